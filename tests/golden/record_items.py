"""Screens and filters every committed lodgement: `python -m tests.golden.record_items` keeps the items in `items.json`.

Look at the difference before you commit it: features, criteria and officers see these items.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agents.filtering import Filtering
from agents.risk.criteria import CriteriaBook
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival, Refusal
from schemas import codec
from schemas.documents import examples
from schemas.items import ItemFiltered
from schemas.registry import declaration
from streams.policies import load_policy

ITEMS = Path(__file__).parent / "items.json"
LODGEMENTS = ("manifests", "express-cargo", "passengers")


def filtered_examples() -> str:
    """What every example of a lodgement becomes, with the examples of criteria and risk information in force."""
    came = {}
    for topic in LODGEMENTS:
        for version in range(1, declaration(topic).version + 1):
            for name, value in sorted(examples(topic, version).items()):
                came[f"{topic}/v{version}/{name}"] = _filtered(topic, codec.decode(topic, value))
    return msgspec.json.format(msgspec.json.encode(came), indent=2).decode() + "\n"


def _filtered(topic: str, event: Any) -> dict[str, list[Any]]:
    criteria, risk_information = CriteriaBook(), RiskInformationBook()
    for book, log in ((criteria, "criteria"), (risk_information, "risk-information")):
        for offset, (_, value) in enumerate(sorted(examples(log, declaration(log).version).items())):
            book.fold(offset, None, codec.decode(log, value))
    policy = load_policy()
    screening = Screening(policy, Profiles(), risk_information, b"golden")
    filtering = Filtering(policy, criteria)
    at_ms = int(event.lodged_at.timestamp() * 1000)
    screened = screening.decide(None, [Arrival(event, topic, 0, 0, at_ms, at_ms)])
    arrivals: list[Arrival[Any]] = [
        Arrival(codec.decode("screened", codec.encode(output.event)), "screened", 0, offset, output.at_ms, at_ms)
        for offset, output in enumerate(screened.outputs)
    ]
    outcome = filtering.decide(filtering.begin(0, 0), arrivals)
    return {
        "filtered": [output.event for output in outcome.outputs if isinstance(output.event, ItemFiltered)],
        "refusals": [_shown(one) for one in (*screened.refusals, *outcome.refusals)],
    }


def _shown(refusal: Refusal) -> dict[str, Any]:
    return {"reason": refusal.reason, "field": refusal.field, "item_id": refusal.item_id}


if __name__ == "__main__":
    ITEMS.write_text(filtered_examples(), encoding="utf-8")
