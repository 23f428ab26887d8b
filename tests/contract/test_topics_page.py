"""docs/topics-and-schemas.md is the page that the declarations write."""

from __future__ import annotations

from pathlib import Path

from schemas.page import PATH, REFUSED_FROM, topics_page
from streams.redrive import SOURCES


def test_the_topics_page_is_the_one_that_the_declarations_write() -> None:
    page = (Path(__file__).parents[2] / PATH).read_text(encoding="utf-8")
    assert page == topics_page(), "run make generate"


def test_the_page_names_dead_letters_only_of_topics_that_a_step_takes_in() -> None:
    assert REFUSED_FROM == SOURCES
