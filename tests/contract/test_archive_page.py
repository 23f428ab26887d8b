"""docs/archive.md lists the columns that the archive has."""

from __future__ import annotations

from schemas.registry import declarations
from streams.archive.page import PATH, archive_page
from streams.archive.topic_columns import COLUMNS


def test_the_page_of_the_archive_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == archive_page(), "run `python -m streams.archive.page`"


def test_every_topic_has_columns() -> None:
    assert list(COLUMNS) == list(declarations())
