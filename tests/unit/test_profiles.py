"""Prior records: folded from outcomes, corrected exactly, bounded in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.risk.profiles import NOTHING_KNOWN, Profiles
from schemas.inspections import InspectionOutcome, OutcomeLearned
from schemas.items import PriorRecord
from schemas.marks import Upstream

DAY = datetime(2026, 3, 2, tzinfo=UTC)
IMPORTER, SHIPPER = "c:" + "1" * 32, "c:" + "2" * 32


def outcome(number: int, result: InspectionOutcome, days: float = 0.0, **changes: Any) -> OutcomeLearned:
    plain: dict[str, Any] = {
        "decision_id": f"d-{number}",
        "result_id": f"r-{number}",
        "subject": IMPORTER,
        "counterpart": SHIPPER,
        "lodged_at": DAY + timedelta(days=days),
        "inspected_at": DAY + timedelta(days=days, hours=5),
    }
    return OutcomeLearned(
        stream="express-cargo",
        control_point="KRICN-EXP",
        layer="model",
        lane="red",
        score=0.5,
        features={},
        label=int(result in ("seizure", "irregularity")),
        outcome=result,
        propensity=1.0,
        model_version=0,
        upstream=Upstream(topic="inspection-results", partition=0, offset=number),
        **{**plain, **changes},
    )


def folded(events: list[OutcomeLearned], **options: Any) -> Profiles:
    profiles = Profiles(**options)
    for offset, event in enumerate(events):
        profiles.fold(offset, None, event)
    return profiles


def test_an_unknown_subject_has_an_empty_record() -> None:
    assert Profiles().prior(IMPORTER) is NOTHING_KNOWN


def test_inspections_and_what_they_found_are_counted_for_both_parties() -> None:
    profiles = folded(
        [
            outcome(1, "clear"),
            outcome(2, "seizure", 1, categories=("drugs",)),
            outcome(3, "irregularity", 2, categories=("undervaluation", "drugs"), counterpart=None),
            outcome(4, "not-inspected", 3),
        ]
    )
    assert profiles.prior(IMPORTER) == PriorRecord(
        inspections=3,
        seizures=1,
        irregularities=1,
        last_inspected_at=DAY + timedelta(days=2, hours=5),
        last_seized_at=DAY + timedelta(days=1, hours=5),
        categories=("undervaluation", "drugs"),
    )
    assert profiles.prior(SHIPPER).inspections == 2
    assert profiles.version == 4


def test_a_decision_teaches_once() -> None:
    profiles = folded([outcome(1, "seizure"), outcome(1, "seizure")])
    assert profiles.prior(IMPORTER).seizures == 1


def test_a_corrected_seizure_leaves_no_trace() -> None:
    profiles = folded(
        [
            outcome(1, "clear"),
            outcome(2, "seizure", 1, categories=("drugs",)),
            outcome(3, "clear", 2),
            outcome(2, "clear", 1, corrects="r-2", result_id="r-2b"),
        ]
    )
    record = profiles.prior(IMPORTER)
    assert (record.inspections, record.seizures, record.last_seized_at, record.categories) == (3, 0, None, ())


_OUTCOMES: tuple[InspectionOutcome, ...] = ("clear", "irregularity", "seizure", "not-inspected")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(_OUTCOMES), st.integers(0, 2), st.sampled_from(("drugs", "gold"))), max_size=12),
    st.data(),
)
def test_a_correction_equals_never_having_erred(
    history: list[tuple[InspectionOutcome, int, str]], data: st.DataObject
) -> None:
    subjects = (IMPORTER, SHIPPER, "c:" + "3" * 32)
    events = [
        outcome(n, result, n, subject=subjects[who], counterpart=subjects[(who + n) % 3], categories=(category,))
        for n, (result, who, category) in enumerate(history)
    ]
    if not events:
        return
    wrong = data.draw(st.integers(0, len(events) - 1))
    right = outcome(
        wrong,
        data.draw(st.sampled_from(_OUTCOMES)),
        wrong,
        subject=events[wrong].subject,
        counterpart=events[wrong].counterpart,
        categories=events[wrong].categories,
        corrects=events[wrong].result_id,
    )
    corrected = folded([*events, right])
    never_erred = folded([*events[:wrong], *events[wrong + 1 :], right])
    for subject in subjects:
        assert corrected.prior(subject) == never_erred.prior(subject)


def test_old_subjects_are_forgotten() -> None:
    events = [outcome(n, "clear", n / 1000, subject=f"c:{n:032x}", counterpart=None) for n in range(5000)]
    assert len(folded(events, capacity=1000)) <= 1000 + 1024
    events.append(outcome(9999, "seizure", 800))
    events += [outcome(10_000 + n, "clear", 800) for n in range(1024)]
    profiles = folded(events)
    assert len(profiles) == 2
    assert profiles.prior(IMPORTER).seizures == 1
