"""Records as an earlier version wrote them: an upgrade finds them on the topics, and history holds them for years.

`written/<date>.json` has records of that day's version, from a simulated border: of each topic one of every event and
stream that came up. It stays as it is; a version that writes otherwise gets a file beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.filtering import Filtering
from agents.reevaluation import ReEvaluation
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.selection import Selection
from agents.step import Arrival
from schemas.codec import decode, decode_consignment, encode
from schemas.registry import declarations
from streams.policies import built_in_policy

WRITTEN: list[dict[str, Any]] = [
    record
    for file in sorted((Path(__file__).parent / "written").glob("*.json"))
    for record in json.loads(file.read_text(encoding="utf-8"))
]


def ce_type(record: dict[str, Any]) -> str | None:
    return next((value for name, value in record["headers"] if name == "ce_type"), None)


def arrivals(topic: str) -> list[Arrival[Any]]:
    return [
        Arrival(decode(topic, one["value"].encode(), ce_type(one)), topic, 0, offset, one["timestamp"], 1)
        for offset, one in enumerate(one for one in WRITTEN if one["topic"] == topic)
    ]


def test_there_are_records_of_every_topic_that_steps_read_or_write() -> None:
    assert {one["topic"] for one in WRITTEN} >= {name for name in declarations() if name != "casework"}


@pytest.mark.parametrize("record", WRITTEN, ids=lambda one: f"{one['topic']} {ce_type(one)}")
def test_a_record_says_today_what_it_said_then(record: dict[str, Any]) -> None:
    topic, value = record["topic"].removesuffix("-dlq"), record["value"].encode()
    event = decode(topic, value, ce_type(record))
    assert json.loads(encode(event)) == json.loads(value)
    for index, raw in enumerate(getattr(event, "consignments", ())):
        assert json.loads(encode(decode_consignment(raw, index))) == json.loads(bytes(raw))


def test_what_was_learnt_and_published_then_is_folded_today() -> None:
    lessons, criteria, entries = arrivals("labelled-examples"), arrivals("criteria"), arrivals("risk-information")
    brain, book, listed = Brain(Profiles()), CriteriaBook(), RiskInformationBook()
    for fold, log in ((brain.fold, lessons), (book.fold, criteria), (listed.fold, entries)):
        for one in log:
            fold(one.offset, "", one.event, one.sent_ms)
    assert (brain.version, book.version, listed.version) == (len(lessons), len(criteria), len(entries))
    assert book.refused == {}
    assert len(book) == len(criteria)


def test_the_steps_remember_today_what_was_decided_then() -> None:
    policy = built_in_policy()
    for one in arrivals("decisions"):
        selection = Selection(policy, Brain(Profiles()))
        lanes = selection.begin(0, 0)
        selection.remember(lanes, [one])
        assert lanes.marks.is_redelivery(one.event.upstream)
    for one in arrivals("screened"):
        filtering = Filtering(policy, CriteriaBook())
        seen = filtering.begin(0, 0)
        filtering.remember(seen, [one])
        assert filtering.decide(seen, [one]).redelivered == 1
    re_evaluation = ReEvaluation(policy)
    open_alerts = re_evaluation.begin(0, 0)
    alerts = arrivals("alerts")
    re_evaluation.remember(open_alerts, alerts)
    assert open_alerts.alerts.keys() == {one.event.decision.decision_id for one in alerts}
