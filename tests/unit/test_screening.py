"""Screening: what is checked, what is refused, and what is known of a party."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agents.risk.policy import read_policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival
from schemas.codec import codec_for
from schemas.items import ItemScreened

POLICY = read_policy(yaml.safe_load(Path("streams/policies/default.yaml").read_text()))
EXAMPLES = sorted(
    path
    for topic in ("manifests", "express-cargo", "passengers")
    for path in Path("schemas/examples", topic).rglob("*.json")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_every_example_of_a_lodgement_becomes_items(path: Path) -> None:
    screening = Screening(POLICY, Profiles(), RiskInformationBook(), b"test key")
    topic = path.parts[-3]
    event = codec_for(topic).decode(path.read_bytes())
    sent_ms = int(event.lodged_at.timestamp() * 1000)
    outcome = screening.decide(None, [Arrival(event, topic, 2, 7, sent_ms, sent_ms)])
    assert not outcome.refusals
    assert len(outcome.outputs) == len(getattr(event, "consignments", [event]))
    for index, output in enumerate(outcome.outputs):
        item = output.event
        assert isinstance(item, ItemScreened)
        assert output.key == item.subject
        assert output.at_ms == sent_ms
        assert item.upstream.offset == 7
        assert item.upstream.index == index
