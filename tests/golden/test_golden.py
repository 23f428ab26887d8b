"""Every committed example is decided as it was decided before."""

from __future__ import annotations

import pytest

from tests.golden.record import HERE, cases, decided, path_of


@pytest.mark.parametrize(("topic", "name", "version"), cases())
def test_example_is_decided_as_before(topic: str, name: str, version: int) -> None:
    before = path_of(topic, name, version).read_text(encoding="utf-8")
    assert decided(topic, name, version) == before, "if that is meant: python -m tests.golden.record"


def test_no_golden_file_is_left_of_an_example_that_is_gone() -> None:
    assert set(HERE.glob("*/*/*.json")) == {path_of(*case) for case in cases()}
