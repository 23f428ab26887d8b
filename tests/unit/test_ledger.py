"""The account of a run: every lodged item is decided or dead-lettered, once; the rest is arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.ledger import Arm, Item, Ledger, selection_faults
from load.reading import Reader, dead_letter_of, items_in
from load.seen import AlertSeen, DeadLetterSeen, DecisionSeen, ResultSeen
from schemas.decisions import Layer
from schemas.inspections import InspectionOutcome
from schemas.marks import Origin

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


def decision(
    offset: int,
    index: int = 0,
    *,
    topic: str = "express-cargo",
    partition: int = 0,
    layer: Layer | None = None,
    layers: tuple[Layer, ...] = (),
    lodged_at: datetime = AT,
    model_version: int = 0,
) -> DecisionSeen:
    origin = Origin(
        topic=topic, partition=partition, offset=offset, index=index, lodgement_id=f"L{offset}", sent_ms=1_000
    )
    return DecisionSeen(
        f"d-{topic}-{partition}-{offset}-{index}", "KRICN-EXP", lodged_at, "red" if layer else "green",
        layer is not None, model_version, origin, layer, layers or ((layer,) if layer else ()),
    )  # fmt: skip


def ce_id(number: int) -> str:
    return f"d-{number:032x}"


def test_a_run_without_losses_balances() -> None:
    ledger = Ledger(capacity_share=0.5)
    for offset in range(10):
        ledger.lodged("express-cargo", 0, offset)
    for offset in range(9):
        assert ledger.saw_decision(decision(offset, layer="model" if offset < 4 else None), ce_id(offset), 1_020)
    ledger.saw_dead_letter(DeadLetterSeen("express-cargo", 0, 9, 0, "unknown-control-point"))
    summary = ledger.summary()
    assert (summary["lodged"], summary["decided"], summary["dead_lettered"]) == (10, 9, 1)
    assert (summary["missing"], summary["doubled"], summary["strays"]) == (0, 0, 0)
    assert summary["coverage"] == pytest.approx(4 / 9)
    assert summary["capacity_share"] == 0.5
    assert summary["dead_letters_by_reason"] == {"unknown-control-point": 1}
    assert ledger.in_flight == 0


def test_an_item_without_decision_or_dead_letter_is_missing_and_named() -> None:
    ledger = Ledger()
    ledger.lodged("manifests", 1, 7, items=3)
    ledger.saw_decision(decision(7, 0, topic="manifests", partition=1), ce_id(1), 2_000)
    ledger.saw_dead_letter(DeadLetterSeen("manifests", 1, 7, 2, "wrong-type"))
    assert list(ledger.missing()) == [Item("manifests", 1, 7, 1)]
    assert ledger.summary()["missing"] == ledger.in_flight == 1


def test_what_others_lodged_does_not_settle_an_item_that_still_waits() -> None:
    """What others lodge on the same topics is decided and refused as well, and counting would take it for ours."""
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    ledger.lodged("express-cargo", 0, 2)
    ledger.saw_decision(decision(0), ce_id(0), 2_000)
    ledger.saw_dead_letter(DeadLetterSeen("express-cargo", 0, 1, None, "not-json"))
    assert list(ledger.missing()) == [Item("express-cargo", 0, 2, 0)]
    assert not ledger.settled
    ledger.saw_decision(decision(2, layer="model"), ce_id(2), 2_000)
    assert not ledger.settled
    ledger.saw_alert(AlertSeen(decision(2, layer="model")), 2_000)
    assert ledger.settled


def test_a_manifest_refused_whole_settles_all_of_its_house_bills() -> None:
    for lodged_first in (True, False):
        ledger = Ledger()
        if lodged_first:
            ledger.lodged("manifests", 0, 0, items=500)
        ledger.saw_dead_letter(DeadLetterSeen("manifests", 0, 0, None, "clock-ahead"))
        ledger.lodged("manifests", 0, 0, items=500)
        summary = ledger.summary()
        assert (summary["lodged"], summary["dead_lettered"], summary["missing"]) == (500, 500, 0)
        assert ledger.in_flight == 0


def test_a_decision_sent_again_with_its_ce_id_is_a_redelivery_and_with_another_a_double() -> None:
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    assert ledger.saw_decision(decision(0), ce_id(5), 1_010)
    assert not ledger.saw_decision(decision(0), ce_id(5), 1_020)
    assert (ledger.summary()["doubled"], ledger.summary()["doubled_raw"], ledger.redelivered) == (0, 1, 1)
    assert not ledger.saw_decision(decision(0), ce_id(6), 1_020)
    assert (ledger.summary()["doubled"], ledger.summary()["doubled_raw"]) == (1, 2)


def test_a_selected_item_without_an_alert_is_told_and_one_of_another_lodger_is_not() -> None:
    ledger = Ledger()
    for offset in range(3):
        ledger.lodged("express-cargo", 0, offset)
    for offset in range(5):  # of the last two nobody here knows
        ledger.saw_decision(decision(offset, layer="model" if offset else None), ce_id(offset), 1_010)
    assert ledger.summary()["alerts_missing"] == 2
    ledger.saw_alert(AlertSeen(decision(1, layer="model")), 1_020, "a-1")
    assert ledger.summary()["alerts_missing"] == 1
    assert selection_faults(ledger.summary()) == ["1 selected items have no alert"]


def test_an_alert_sent_again_with_its_ce_id_is_a_redelivery_and_with_another_a_double() -> None:
    ledger = Ledger()
    seen = AlertSeen(decision(0, layer="model"))
    assert ledger.saw_alert(seen, 1_010, ce_id(1))
    assert not ledger.saw_alert(seen, 1_020, ce_id(1))
    assert (ledger.summary()["alerts"], ledger.summary()["alerts_doubled"], ledger.redelivered) == (1, 0, 1)
    assert selection_faults(ledger.summary()) == []
    assert not ledger.saw_alert(seen, 1_030, ce_id(2))
    assert (ledger.summary()["alerts"], ledger.summary()["alerts_doubled"], ledger.redelivered) == (1, 1, 1)
    assert selection_faults(ledger.summary()) == ["1 alerts are a second one on their decision"]


def test_a_decision_that_comes_again_under_its_id_and_says_something_else_is_told() -> None:
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    ledger.saw_decision(decision(0), ce_id(5), 1_010)
    ledger.saw_decision(decision(0), ce_id(5), 1_020)
    assert selection_faults(ledger.summary()) == []
    ledger.saw_decision(decision(0, layer="model"), ce_id(5), 1_030)
    ledger.saw_alert(AlertSeen(decision(0, layer="model")), 1_040, "a-0")
    summary = ledger.summary()
    assert (summary["doubled"], summary["redelivered"], summary["contradicted"]) == (0, 2, 1)
    assert selection_faults(summary) == [
        "1 decisions came again under their id and said something else",
        "1 alerts are on items that no decision selected",
    ]


def test_an_alert_without_a_selection_is_told_and_one_of_what_nobody_lodged_is_a_stray() -> None:
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    ledger.saw_decision(decision(0), ce_id(0), 1_010)
    ledger.saw_alert(AlertSeen(decision(0, layer="model")), 1_020, "a-0")
    ledger.saw_alert(AlertSeen(decision(9, layer="model")), 1_020, "a-9")
    summary = ledger.summary()
    assert (summary["alerts_unfounded"], summary["strays"]) == (1, 1)
    assert selection_faults(summary) == ["1 alerts are on items that no decision selected"]


def test_an_item_both_decided_and_refused_is_doubled() -> None:
    ledger = Ledger()
    ledger.lodged("express-cargo", 0, 0)
    ledger.saw_decision(decision(0), ce_id(5), 1_010)
    ledger.saw_dead_letter(DeadLetterSeen("express-cargo", 0, 0, None, "not-json"))
    summary = ledger.summary()
    assert (summary["decided"], summary["dead_lettered"], summary["doubled"]) == (1, 0, 1)


def test_a_decision_on_what_nobody_lodged_is_a_stray() -> None:
    ledger = Ledger()
    ledger.saw_decision(decision(3), ce_id(5), 1_010)
    assert ledger.summary()["strays"] == 1
    assert ledger.summary()["decided"] == 0


def test_the_exploration_arm_holds_all_items_of_its_draw() -> None:
    ledger = Ledger()
    cases: tuple[tuple[Layer, tuple[Layer, ...], InspectionOutcome | None], ...] = (
        ("model", ("model",), "seizure"),
        ("model", ("model", "exploration"), "irregularity"),
        ("exploration", ("exploration",), "clear"),
        ("exploration", ("exploration",), "not-inspected"),
        ("exploration", ("exploration",), None),
    )
    for offset, (layer, layers, outcome) in enumerate(cases):
        ledger.lodged("express-cargo", 0, offset)
        seen = decision(offset, layer=layer, layers=layers)
        ledger.saw_decision(seen, ce_id(offset), 1_010)
        assert ledger.saw_alert(AlertSeen(seen), 1_030)
        if outcome is not None:
            assert ledger.saw_result(ResultSeen(f"r{offset}", seen.decision_id, outcome))
    summary = ledger.summary()
    assert summary["seizure_rate"] == {"exploration": 0.0, "model": 0.5}
    assert summary["hit_rate"] == {"exploration": 0.5, "model": 1.0}
    assert summary["selected_by_layer"] == {"exploration": 4, "model": 2}
    assert summary["inspected_by_layer"] == {"exploration": 2, "model": 2}
    assert summary["inspected"] == 3
    assert ledger.whole() == Arm(selected=5, inspected=3, hits=2, seizures=1), "each item once"
    assert summary["alerts"] == 5


def test_seizure_rates_after_the_warm_up_leave_out_what_was_lodged_before() -> None:
    until = decision(0).lodged_at
    ledger = Ledger(warm_up_until=until)
    for offset, (hours, outcome) in enumerate(((-2, "clear"), (-1, "clear"), (0, "seizure"), (1, "clear"))):
        seen = msgspec.structs.replace(
            decision(offset, layer="model", layers=("model",)), lodged_at=until + timedelta(hours=hours)
        )
        ledger.saw_alert(AlertSeen(seen), 1_030)
        ledger.saw_result(ResultSeen(f"r{offset}", seen.decision_id, cast("InspectionOutcome", outcome)))
    summary = ledger.summary()
    assert summary["seizure_rate"] == {"model": 0.25}
    assert summary["seizure_rate_after_warm_up"] == {"model": 0.5}
    assert summary["inspected_after_warm_up"] == {"model": 2}


def test_the_first_result_counts_until_it_is_corrected() -> None:
    ledger = Ledger()
    seen = decision(0, layer="model")
    ledger.saw_alert(AlertSeen(seen), 1_010)
    assert not ledger.saw_alert(AlertSeen(seen), 1_020)
    results: tuple[tuple[str, InspectionOutcome, str | None, bool], ...] = (
        ("r1", "clear", None, True),
        ("r1", "clear", None, False),
        ("r2", "seizure", None, False),
        ("r3", "seizure", "r1", True),
    )
    for result_id, outcome, corrects, counts in results:
        assert ledger.saw_result(ResultSeen(result_id, seen.decision_id, outcome, corrects)) is counts
    assert ledger.arms()["model"].seizures == 1
    assert ledger.whole().inspected == 1


def test_coverage_leaves_the_warm_up_out() -> None:
    ledger = Ledger(warm_up_until=AT)
    for offset in range(20):
        early = offset < 10
        when = AT - timedelta(hours=1) if early else AT + timedelta(hours=offset)
        ledger.saw_decision(decision(offset, layer="model" if early else None, lodged_at=when), ce_id(offset), 1_010)
    assert ledger.coverage() == 0
    assert ledger.selected_items == 10


def test_latency_is_measured_from_the_intended_send_time() -> None:
    ledger = Ledger()
    for offset in range(100):
        seen = decision(offset, layer="model", model_version=offset)
        ledger.saw_decision(seen, ce_id(offset), 1_000 + 10 * (offset + 1))
        ledger.saw_alert(AlertSeen(seen), 1_005)
    summary = ledger.summary()
    assert summary["decision_latency_ms"]["p50"] == pytest.approx(500, rel=0.01)
    assert summary["decision_latency_ms"]["p99"] == pytest.approx(990, rel=0.01)
    assert summary["latency_ms"]["p99"] == 5
    assert summary["items_per_second"] == pytest.approx(100 / 0.99, rel=0.01)
    assert summary["model_version"] == 99


def test_refused_results_are_counted_apart_from_lodgements() -> None:
    ledger = Ledger()
    ledger.saw_dead_letter(DeadLetterSeen("inspection-results", 0, 3, None, "no-matching-alert"))
    summary = ledger.summary()
    assert summary["results_refused_by_reason"] == {"no-matching-alert": 1}
    assert (summary["dead_lettered"], summary["strays"]) == (0, 0)


@given(st.data())
def test_the_account_is_the_same_in_whatever_order_it_is_fed(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    fate = st.sampled_from(["decided", "refused", "lost", "decided again"])
    fates = [[data.draw(fate) for _ in range(size)] for size in sizes]
    feeds: list[tuple[str, int, int]] = [("lodged", offset, size) for offset, size in enumerate(sizes)]
    for offset, outcomes in enumerate(fates):
        for index, outcome in enumerate(outcomes):
            feeds += [(outcome, offset, index)] * (2 if outcome == "decided again" else 1)
    ledger = Ledger()
    for what, offset, number in data.draw(st.permutations(feeds)):
        if what == "lodged":
            ledger.lodged("manifests", 0, offset, number)
        elif what == "refused":
            ledger.saw_dead_letter(DeadLetterSeen("manifests", 0, offset, number, "wrong-type"))
        elif what != "lost":
            ledger.saw_decision(decision(offset, number, topic="manifests"), ce_id(offset * 10 + number), 1_010)
    flat = [outcome for outcomes in fates for outcome in outcomes]
    summary = ledger.summary()
    assert summary["lodged"] == len(flat)
    assert summary["decided"] == flat.count("decided") + flat.count("decided again")
    assert summary["dead_lettered"] == flat.count("refused")
    assert summary["missing"] == flat.count("lost") == ledger.in_flight == len(list(ledger.missing()))
    assert summary["redelivered"] == summary["doubled_raw"] == flat.count("decided again")
    assert summary["doubled"] == summary["strays"] == 0


@dataclass
class Record:
    topic: str
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int = 0
    offset: int = 0


def refusal(topic: str, offset: int, index: str = "") -> list[tuple[str, bytes]]:
    return [
        ("dlq-topic", topic.encode()), ("dlq-partition", b"2"), ("dlq-offset", str(offset).encode()),
        ("dlq-index", index.encode()), ("dlq-reason", b"not-json"),
    ]  # fmt: skip


def test_dead_letters_of_internal_topics_lead_back_to_their_lodgement() -> None:
    origin = b'{"topic":"manifests","partition":3,"offset":9,"index":4,"lodgement_id":"M","sent_ms":1}'
    screened = b'{"item_id":"x","origin":' + origin + b"}"
    expected = DeadLetterSeen("manifests", 3, 9, 4, "not-json")
    assert dead_letter_of(refusal("screened", 1), screened) == expected
    assert dead_letter_of(refusal("filtered", 1), b'{"item":' + screened + b"}") == expected
    assert dead_letter_of(refusal("screened", 1), b"garbage") is None
    assert dead_letter_of(refusal("manifests", 9, "4"), None) == DeadLetterSeen("manifests", 2, 9, 4, "not-json")
    assert dead_letter_of(refusal("manifests", 9), b"") == DeadLetterSeen("manifests", 2, 9, None, "not-json")
    assert dead_letter_of([], b"") is None


def test_the_account_can_be_taken_from_the_topics_alone() -> None:
    ledger = Ledger()
    reader = Reader(ledger)
    reader.feed(Record("manifests", b'{"consignments":[{},{}]}', offset=1), 1_000)
    reader.feed(Record("manifests", b"garbage", offset=2), 1_000)
    for index in (0, 1):
        value = msgspec.json.encode(decision(1, index, topic="manifests"))
        reader.feed(Record("decisions", value, [("ce_id", ce_id(index).encode())]), 1_040)
    reader.feed(Record("manifests-dlq", b"garbage", refusal("manifests", 2)), 1_050)
    reader.feed(Record("manifests-dlq", b"?", []), 1_050)
    summary = ledger.summary()
    assert (summary["lodged"], summary["decided"]) == (3, 2)
    assert (summary["missing"], summary["strays"]) == (1, 1)  # the refusal above is of partition 2
    assert reader.ledger.unreadable == 1
    assert any("could not be read" in sentence for sentence in selection_faults(reader.ledger.summary()))


def test_what_cannot_be_read_counts_as_one_item() -> None:
    assert items_in("manifests", b'{"consignments":[1,2,3]}') == 3
    for value in (b"", b"\xff", b"{", b"[]", b'{"consignments":[]}', None):
        assert items_in("manifests", value) == 1
    assert items_in("express-cargo", b"anything") == 1
