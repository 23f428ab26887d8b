"""What happens at the border is counted where it happens, and only then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.profiles import Profiles
from agents.step import Outcome, Output
from schemas.codec import codec_for
from schemas.documents import examples
from schemas.inspections import OutcomeLearned
from schemas.monitoring import CoverageReported, DriftDetected
from streams import metrics
from streams.broadcast import Follow
from streams.counting import count_border
from streams.knowledge_metrics import KnowledgeCollector
from streams.transport import RecordBatch
from tests.archive_files import parcels
from tests.integration.border import NOON


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def batch(topic: str, timestamps: list[int], partition: int = 77) -> RecordBatch:
    records: list[Any] = parcels(len(timestamps), partition=partition)
    for record, at_ms in zip(records, timestamps, strict=True):
        record.timestamp = at_ms
    return RecordBatch(topic, partition, records, -1, 0, 0)


def example(topic: str, name: str) -> Any:
    return codec_for(topic).decode(examples(topic, 1)[f"{name}.json"])


def outcome(**events: Any) -> Outcome:
    return Outcome([Output(topic.replace("_", "-"), "k", event, "id", 0) for topic, event in events.items()])


def count(step: str, taken: RecordBatch, made: Outcome) -> None:
    by_topic = defaultdict[str, list[Any]](list)  # records hold their events as outputs do
    for output in made.outputs:
        by_topic[output.topic].append(output)
    count_border(step, taken, made.refusals, by_topic)


def test_a_lodgement_far_behind_the_latest_of_its_partition_is_late() -> None:
    before = value("borderflow_late_total", topic="express-cargo")
    count("screening", batch("express-cargo", [1_000_000, 2_000_000]), Outcome())
    assert value("borderflow_late_total", topic="express-cargo") == before, (
        "the first batch has nothing to be behind of"
    )
    count("screening", batch("express-cargo", [2_000_000 - 59_000, 2_000_000 - 61_000]), Outcome())
    assert value("borderflow_late_total", topic="express-cargo") == before + 1
    assert metrics.watermarks["express-cargo", 77] == 2_000_000
    del metrics.watermarks["express-cargo", 77]


def test_what_cannot_be_read_has_no_time_and_is_not_late() -> None:
    before = value("borderflow_late_total", topic="express-cargo")
    count("screening", batch("express-cargo", [-1, -1]), Outcome())
    assert ("express-cargo", 77) not in metrics.watermarks
    count("screening", batch("express-cargo", [2_000_000]), Outcome())
    count("screening", batch("express-cargo", [-1, 2_000_000]), Outcome())
    assert value("borderflow_late_total", topic="express-cargo") == before
    assert metrics.watermarks.pop(("express-cargo", 77)) == 2_000_000


def test_a_record_that_was_sent_again_is_counted_however_few_headers_its_lodger_wrote() -> None:
    labels = {"step": "screening", "topic": "express-cargo"}
    before = value("borderflow_redriven_total", **labels)
    taken = batch("express-cargo", [1, 1, 1])
    for record, headers in zip(taken.records, ([], [("ce_id", b"x")], [*taken.records[0].headers]), strict=True):
        record.headers = [*headers, ("dlq-attempt", b"1")]  # type: ignore[misc]  # as the dead-letter desk sends it
    count("screening", taken, Outcome())
    assert value("borderflow_redriven_total", **labels) == before + 3
    del metrics.watermarks["express-cargo", 77]


def test_a_decision_is_counted_under_its_lane_layer_and_control_point() -> None:
    decision = example("decisions", "selected-by-the-model")
    lane = {"stream": decision.stream, "lane": decision.lane}
    layer = {"stream": decision.stream, "layer": decision.layer}
    before = value("borderflow_decisions_total", **lane), value("borderflow_selections_total", **layer)
    count("selection", batch("filtered", [1]), outcome(decisions=decision))
    after = value("borderflow_decisions_total", **lane), value("borderflow_selections_total", **layer)
    assert after == (before[0] + 1, before[1] + 1)


def test_what_is_noticed_is_counted_and_capacity_is_told() -> None:
    drift = DriftDetected(what="label-delay", stream="manifests", at=NOON, before=0.1, after=0.5)
    report = CoverageReported(
        control_point="KRPUS-SEA", since=NOON, until=NOON + timedelta(hours=1), items=100, selected=2,
        capacity_share=0.02, by_layer={},
    )  # fmt: skip
    before = value("borderflow_drifts_total", stream="manifests", what="label-delay")
    count("reevaluation", batch("inspection-results", [1]), outcome(monitoring=drift))
    count("selection", batch("filtered", [1]), outcome(monitoring=report))
    assert value("borderflow_drifts_total", stream="manifests", what="label-delay") == before + 1
    assert value("borderflow_capacity_ratio", control_point="KRPUS-SEA") == 0.02


def test_lessons_that_are_held_back_and_those_that_are_learnt_are_told() -> None:
    count = 40
    brain = Brain(Profiles())
    learned: OutcomeLearned = example("labelled-examples", "outcome-seizure")
    for number in range(count):
        lesson = _again(learned, number)
        brain.fold(number, "k", lesson)
    told: Mapping[str, Any] = {
        family.name: family.samples
        for family in KnowledgeCollector([Follow("labelled-examples", _never, brain)], lambda: True).collect()
    }
    applied = sum(sample.value for sample in told["borderflow_labels_applied"])
    held = told["borderflow_labels_quarantined"][0].value
    assert applied + held == count
    assert held > 0 < applied
    assert {sample.labels["model"] for sample in told["borderflow_model_log_loss"]} == {"linear", "forgetful", "grove"}
    (gap,) = told["borderflow_champion_challenger_gap"]
    assert gap.labels == {"stream": learned.stream}
    assert told["borderflow_knowledge_entries"][0].value > 0


def test_models_are_told_of_once_their_log_is_caught_up_with_and_never_where_there_are_none() -> None:
    brain, criteria = Brain(Profiles()), CriteriaBook()
    brain.fold(4, "k", example("labelled-examples", "outcome-seizure"))

    def told(caught_up: bool, *books: Follow) -> dict[str, list[float]]:
        families = KnowledgeCollector(books, lambda: caught_up).collect()
        return {family.name: [sample.value for sample in family.samples] for family in families}

    learning, targeting = Follow("labelled-examples", _never, brain), Follow("criteria", _never, criteria)
    assert told(True, learning, targeting)["borderflow_model_version"] == [5]
    for nothing_yet in (told(False, learning, targeting), told(True, targeting)):
        assert not nothing_yet["borderflow_model_version"]
        assert not nothing_yet["borderflow_labels_quarantined"]
        assert len(nothing_yet["borderflow_knowledge_entries"]) > 0


def _again(learned: OutcomeLearned, number: int) -> OutcomeLearned:
    return msgspec.structs.replace(learned, decision_id=f"{learned.decision_id[:-3]}{number:03d}", score=0.05)


def _never(value: bytes | None, ce_type: bytes | None = None) -> Any:
    raise AssertionError
