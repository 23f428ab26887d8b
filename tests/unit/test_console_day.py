"""The console's day: what was learnt lately, each outcome once."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from schemas import codec
from schemas.inspections import OutcomeLearned
from streams.console.day import Learning

EXAMPLE = Path("schemas/examples/labelled-examples")


def test_outcome_that_is_said_again_is_one_point_of_the_learning_curve() -> None:
    (path,) = EXAMPLE.rglob("outcome-seizure.json")
    outcome = codec.decode("labelled-examples", path.read_bytes())
    assert isinstance(outcome, OutcomeLearned)
    once, twice = Learning(), Learning()
    for number in range(30):
        one = replace(outcome, decision_id=f"d-{number}", result_id=f"r-{number}", corrects=None)
        once.fold(number, one, 0)
        twice.fold(2 * number, one, 0)
        twice.fold(2 * number + 1, one, 0)
    assert [len(points) for points in once.curves().values()] == [11]
    assert [len(points) for points in twice.curves().values()] == [11]
