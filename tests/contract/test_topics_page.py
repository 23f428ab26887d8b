"""docs/topics-and-schemas.md is the page that the declarations write."""

from __future__ import annotations

from pathlib import Path

from schemas.page import PATH, topics_page


def test_the_topics_page_is_the_one_that_the_declarations_write() -> None:
    page = (Path(__file__).parents[2] / PATH).read_text(encoding="utf-8")
    assert page == topics_page(), "run make generate"
