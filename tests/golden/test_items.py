"""Every committed lodgement becomes the items that it became before."""

from __future__ import annotations

from tests.golden.record_items import ITEMS, filtered_examples


def test_lodgements_become_the_same_items_as_before() -> None:
    assert filtered_examples() == ITEMS.read_text(encoding="utf-8"), "if meant: python -m tests.golden.record_items"
