"""Decides every committed example and writes what came of it beside this module: `python -m tests.golden.record`.

Look at the difference before you commit it: it is what lodgers and officers will see change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agents.loop import Round, Sent, whole_loop
from agents.reevaluation import ReEvaluation
from agents.risk.brain import Brain
from agents.risk.profiles import Profiles
from agents.selection import Selection
from agents.step import Arrival, Outcome
from schemas import codec
from schemas.decisions import AlertRaised
from schemas.documents import examples
from schemas.inspections import InspectionCompleted
from schemas.registry import declaration
from streams.policies import load_policy

HERE = Path(__file__).parent
TOPICS = ("manifests", "express-cargo", "passengers", "filtered", "inspection-results")
KEY = b"golden"


def cases() -> list[tuple[str, str, int]]:
    """(topic, name, version) of every example that something is decided on."""
    found = []
    for topic in TOPICS:
        for version in range(1, declaration(topic).version + 1):
            found += [(topic, name, version) for name in sorted(examples(topic, version))]
    return found


def path_of(topic: str, name: str, version: int) -> Path:
    """Where what came of an example is kept."""
    return HERE / topic / f"v{version}" / f"{Path(name).stem}.json"


def decided(topic: str, name: str, version: int) -> str:
    """What comes of one example, as JSON for people."""
    event = codec.decode(topic, examples(topic, version)[name])
    if topic == "filtered":
        came = _selected(event)
    elif topic == "inspection-results":
        came = _learnt(event)
    else:
        at_ms = int(event.lodged_at.timestamp() * 1000)
        came = _shown(whole_loop(load_policy(), KEY).send(topic, [Sent("key", event, at_ms)]))
    return msgspec.json.format(msgspec.json.encode(came), indent=2).decode() + "\n"


def _selected(event: Any) -> dict[str, Any]:
    step = Selection(load_policy(), Brain(Profiles()))
    outcome = step.decide(step.begin(0, 0), [_arrival("filtered", event, event.item.lodged_at)])
    return _shown(_round(outcome, "selection"))


def _learnt(event: Any) -> dict[str, Any]:
    step = ReEvaluation(load_policy())
    state = step.begin(0, 0)
    for value in examples("alerts", declaration("alerts").version).values():
        alert: AlertRaised = codec.decode("alerts", value)
        step.remember(state, [_arrival("alerts", alert, alert.raised_at)])
    if isinstance(event, InspectionCompleted):
        at = event.inspected_at
    else:  # what is withdrawn was filed before
        at = event.withdrawn_at
        filed = examples("inspection-results", declaration("inspection-results").version).values()
        for result in [codec.decode("inspection-results", value) for value in filed]:
            if isinstance(result, InspectionCompleted) and result.result_id == event.result_id:
                step.remember(state, [_arrival("inspection-results", result, result.inspected_at)])
    return _shown(_round(step.decide(state, [_arrival("inspection-results", event, at)]), step.name))


def _arrival(topic: str, event: Any, at: Any) -> Arrival[Any]:
    at_ms = int(at.timestamp() * 1000)
    return Arrival(event, topic, 0, 0, at_ms, at_ms)


def _round(outcome: Outcome, step: str) -> Round:
    def of(topic: str) -> list[Any]:
        return [output.event for output in outcome.outputs if output.topic == topic]

    refusals = [(step, refusal) for refusal in outcome.refusals]
    return Round(of("decisions"), of("alerts"), of("labelled-examples"), of("monitoring"), refusals)


def _shown(came: Round) -> dict[str, Any]:
    """Decisions and examples without features (they have tests of their own) and the policy's hash; of alerts what
    the decision does not say."""
    return {
        "decisions": [
            msgspec.structs.replace(decision, policy_version=decision.policy_version.partition("+")[0], features={})
            for decision in came.decisions
        ],
        "alerts": [
            {"priority": alert.priority, "headline": alert.headline, "deadline": alert.deadline}
            for alert in came.alerts
        ],
        "examples": [msgspec.structs.replace(example, features={}) for example in came.examples],
        "refusals": [{"step": step, "reason": r.reason, "field": r.field} for step, r in came.refusals],
    }


if __name__ == "__main__":
    for case in cases():
        path_of(*case).parent.mkdir(parents=True, exist_ok=True)
        path_of(*case).write_text(decided(*case), encoding="utf-8")
