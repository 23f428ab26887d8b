"""The whole loop over recorded input: what is put in comes out decided, and comes out the same again."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from agents.loop import Loop, Round, Sent, whole_loop
from load.desk import Lodged
from load.inspectors import Inspector
from load.world import World
from schemas import codec
from schemas.decisions import SelectionDecided
from schemas.inspections import InspectionCompleted
from schemas.lodgements import ManifestLodged
from schemas.marks import Upstream
from streams.policies import load_policy

KEY = b"a test's pseudonym key"
SEED = 5
HOURS = 6


@cache
def recorded() -> tuple[tuple[tuple[Lodged, ...], tuple[InspectionCompleted, ...]], ...]:
    """Twelve stretches of six hours of a small border, each with the results that were in by its end."""
    world = World(SEED, items_per_day=1200)
    inspector = Inspector(world.truth, SEED, delay=(timedelta(hours=4), timedelta(hours=20)))
    loop = fresh()
    tape = []
    for lodged, until in stretches(world, 12):
        done = lodge(loop, lodged)
        for alert in done.alerts:
            inspector.take(alert, alert.alert_id)
        results = tuple(inspector.due(until))
        loop.inspect(results)
        tape.append((lodged, results))
    return tuple(tape)


def stretches(world: World, count: int) -> Iterator[tuple[tuple[Lodged, ...], Any]]:
    until = world.start + timedelta(hours=HOURS)
    held: list[Lodged] = []
    for lodged in world.lodgements(world.start + timedelta(hours=HOURS * count)):
        while lodged.lodged_at >= until:
            yield tuple(held), until
            held, until = [], until + timedelta(hours=HOURS)
        held.append(lodged)
    yield tuple(held), until


def fresh(**options: Any) -> Loop:
    return whole_loop(load_policy(), KEY, **options)


def lodge(loop: Loop, lodged: tuple[Lodged, ...]) -> Round:
    """Lodge a stretch, topic by topic, in batches of a hundred records."""
    done = Round()
    for topic in ("manifests", "express-cargo", "passengers"):
        records = [
            Sent(one.key, codec.decode(topic, codec.encode(one.body)), int(one.lodged_at.timestamp() * 1000))
            for one in lodged
            if one.topic == topic and not isinstance(one.body, bytes)
        ]
        for start in range(0, len(records), 100):
            add(done, loop.send(topic, records[start : start + 100]))
    return done


def add(done: Round, more: Round) -> None:
    done.decisions.extend(more.decisions)
    done.alerts.extend(more.alerts)
    done.examples.extend(more.examples)
    done.monitoring.extend(more.monitoring)
    done.refusals.extend(more.refusals)
    done.redelivered += more.redelivered


def play(loop: Loop, stretch: slice = slice(None)) -> Round:
    done = Round()
    for lodged, results in recorded()[stretch]:
        add(done, lodge(loop, lodged))
        add(done, loop.inspect(results))
    return done


def fingerprint(done: Round) -> str:
    events = [*done.decisions, *done.alerts, *done.examples, *done.monitoring]
    return blake2b(b"\n".join(codec.encode(event) for event in events)).hexdigest()


def placeless(done: Round) -> list[SelectionDecided]:
    """The decisions without the offsets of the internal records that they follow from."""
    nowhere = Upstream(topic="-", partition=0, offset=0)
    return [msgspec.structs.replace(decision, upstream=nowhere, screened=nowhere) for decision in done.decisions]


def items_of(one: Lodged) -> int:
    return len(one.body.consignments) if isinstance(one.body, ManifestLodged) else 1


def test_every_item_ends_as_one_decision_or_one_refusal() -> None:
    done = play(fresh())
    lodged = sum(items_of(one) for stretch, _ in recorded() for one in stretch)
    assert lodged > 3000
    screening_and_on = [refusal for step, refusal in done.refusals if step != "reevaluation"]
    assert len(done.decisions) + len(screening_and_on) == lodged
    assert set(Counter(decision.decision_id for decision in done.decisions).values()) == {1}
    assert len(done.alerts) == sum(decision.selected for decision in done.decisions)


def test_results_move_the_models_that_decide_later_items() -> None:
    done = play(fresh())
    results = sum(len(results) for _, results in recorded())
    assert len(done.examples) == results > 20
    assert done.decisions[0].model_version == 0
    assert done.decisions[-1].model_version > 0
    assert {decision.policy_version for decision in done.decisions} == {load_policy().policy_version}


def test_two_runs_over_the_same_recorded_input_decide_the_same_byte_for_byte() -> None:
    assert fingerprint(play(fresh())) == fingerprint(play(fresh()))


def test_wire_format_between_the_steps_changes_no_decision() -> None:
    def round_trip(topic: str, event: Any) -> Any:
        return codec.decode(topic, codec.encode(event))

    assert fingerprint(play(fresh(pass_on=round_trip))) == fingerprint(play(fresh()))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_with_another_hash_seed_decides_the_same(seed: str) -> None:
    program = "from tests.unit.test_loop import *; print(fingerprint(play(fresh(), slice(0, 4))))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == fingerprint(play(fresh(), slice(0, 4)))


def test_restart_of_all_steps_between_any_two_stretches_changes_nothing() -> None:
    undisturbed = play(fresh())
    loop = fresh(keep=True)
    done = Round()
    for number in range(len(recorded())):
        loop.restart()
        add(done, play(loop, slice(number, number + 1)))
    assert fingerprint(done) == fingerprint(undisturbed)


@pytest.mark.parametrize("topic", ["express-cargo", "screened", "filtered"])
def test_redelivered_batch_decides_nothing_twice(topic: str) -> None:
    loop = fresh(keep=True)
    done = play(loop, slice(0, 6))
    decided = [decision.decision_id for decision in done.decisions]
    again = Round()
    for partition in range(4):
        held = loop.logs.get((topic, partition), [])
        if held:
            add(again, loop.redeliver(topic, partition, len(held) // 2))
    assert again.redelivered > 0
    assert again.decisions == []
    assert {alert.decision.decision_id for alert in again.alerts} <= set(decided)
    # And what comes after is decided as if nothing had happened, from other places in the internal logs.
    undisturbed = fresh()
    play(undisturbed, slice(0, 6))
    assert placeless(play(loop, slice(6, 12))) == placeless(play(undisturbed, slice(6, 12)))


def test_redelivered_results_teach_the_same_lessons_under_the_same_marks() -> None:
    loop = fresh(keep=True)
    done = play(loop)
    again = Round()
    for partition in range(4):
        if loop.logs.get(("inspection-results", partition)):
            add(again, loop.redeliver("inspection-results", partition, 0))
    taught = {example.decision_id: example for example in done.examples}
    assert {example.decision_id: example for example in again.examples} == taught


def test_loop_that_keeps_nothing_says_so_when_asked_to_deliver_again() -> None:
    loop = fresh()
    play(loop, slice(0, 1))
    loop.restart()
    with pytest.raises(RuntimeError, match="keeps no records"):
        play(loop, slice(1, 2))
