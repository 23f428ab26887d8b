"""What the world outside does wrong: lodgements doubled, out of order and from clocks ahead; results late, doubled,
of nobody's alert and flipped. Each one ends in one decision, one lesson or one dead letter that says why.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.codec import codec_for
from schemas.decisions import AlertRaised
from schemas.inspections import InspectionCompleted, OutcomeLearned
from streams.wire import Outgoing
from tests.integration.border import (
    PARTITIONS,
    Border,
    border,
    item_ids,
    letter_of,
    parcel,
    parcel_record,
    record_of,
)
from tests.integration.harbour import PATIENCE_S

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

LODGED = 1_200


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    with border(tmp_path_factory.mktemp("disordered")) as made:
        made.open("one", "two")
        yield made


def reasons(at: Border, topic: str, want: int) -> Counter[str]:
    """Why records of a topic were refused, once `want` were."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = at.read(f"{topic}-dlq", want)
        if len(found) >= want or time.monotonic() > deadline:
            return Counter(letter_of(one)["reason"] for one in found)


def test_lodgements_that_come_twice_and_in_any_order_are_decided_once_each(
    at: Border, keep_account: Callable[[str], None]
) -> None:
    dice = random.Random(7)  # noqa: S311 - an order, no secret
    records = [parcel_record(parcel(number), number % PARTITIONS) for number in range(LODGED)]
    ahead = parcel(5_000_000, lodged_at=datetime.now(UTC) + timedelta(hours=3))
    again = dice.sample(records, 200)
    disordered = [*records, *again]
    dice.shuffle(disordered)
    at.lodge("express-cargo", disordered)
    at.lodge("express-cargo", [record_of(ahead, ahead.waybill, datetime.now(UTC))])
    refused = reasons(at, "screened", 200) + reasons(at, "express-cargo", 1)
    decided = item_ids(at.decisions(LODGED))
    at.running()
    keep_account(
        f"lodged {len(disordered) + 1}, decided {len(decided)}, dead-lettered {dict(refused)}, "
        f"missing {LODGED - len(decided)}, effective duplicates {sum(decided.values()) - len(decided)}"
    )
    assert set(decided) == {f"express-cargo/EX{number:08d}" for number in range(LODGED)}
    assert set(decided.values()) == {1}
    assert refused == {"duplicate-lodgement": 200, "clock-ahead": 1}


def test_results_late_doubled_unknown_and_flipped_teach_one_lesson_each_or_are_refused_with_the_reason(
    at: Border, tmp_path: Path, keep_account: Callable[[str], None]
) -> None:
    alerts = [codec_for("alerts").decode(record.value) for record in at.read("alerts", 6)]
    assert len(alerts) >= 6
    plain, doubled, flipped, late, elsewhere, ahead = alerts[:6]
    sent = [
        result(plain, "R-plain"),
        result(doubled, "R-first"),
        result(doubled, "R-second"),
        result(flipped, "R-wrong", outcome="clear"),
        result(flipped, "R-right", outcome="seizure", corrects="R-wrong"),
        result(flipped, "R-stale", outcome="clear", corrects="R-wrong"),
        result(late, "R-late", inspected_at=late.decision.lodged_at + timedelta(days=31)),
        result(elsewhere, "R-elsewhere", control_point=other(elsewhere)),
        result(ahead, "R-ahead", inspected_at=datetime.now(UTC) + timedelta(hours=3)),
        result(plain, "R-nobody", decision_id="d-of-nobody"),
    ]
    partition = {alert.decision.decision_id: at_ for alert, at_ in placed(at)}
    at.lodge("inspection-results", [outgoing(one, partition.get(one.decision_id, 0)) for one in sent])
    refused = reasons(at, "inspection-results", 6)
    lessons = [
        codec_for("labelled-examples").decode(one.value) for one in at.read("labelled-examples", 4, partitions=1)
    ]
    learnt = {one.result_id: one.label for one in lessons if isinstance(one, OutcomeLearned)}
    at.running()
    keep_account(f"results {len(sent)}, lessons {len(learnt)}, dead-lettered {dict(refused)}")
    assert learnt == {"R-plain": 1, "R-first": 1, "R-wrong": 0, "R-right": 1}
    assert refused == {
        "already-resolved": 1,
        "nothing-to-correct": 1,
        "no-matching-alert": 2,
        "other-control-point": 1,
        "clock-ahead": 1,
    }


def result(alert: AlertRaised, result_id: str, **changes: Any) -> InspectionCompleted:
    decision = alert.decision
    made = InspectionCompleted(
        result_id=result_id, decision_id=decision.decision_id, control_point=decision.control_point,
        inspected_at=decision.lodged_at + timedelta(hours=5), method="x-ray", outcome="seizure",
        categories=("counterfeit",), severity=2,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def other(alert: AlertRaised) -> str:
    return "KRPTK-EXP" if alert.decision.control_point != "KRPTK-EXP" else "KRICN-EXP"


def placed(at: Border) -> Iterator[tuple[AlertRaised, int]]:
    """Alerts and their partitions: results go to the same one."""
    for record in at.read("alerts"):
        yield codec_for("alerts").decode(record.value), record.partition


def outgoing(made: InspectionCompleted, partition: int) -> Outgoing:
    return record_of(made, made.control_point, min(made.inspected_at, datetime.now(UTC)), partition)
