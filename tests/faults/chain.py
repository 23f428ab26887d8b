"""Two toy steps in a row: tallies per plate, and totals over the tallies. Run as a program it is a worker.

The second step's input is written by the first one, so it sees every record that a killed or frozen worker and its
successor wrote twice; its totals are right only if each record has one effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta

from agents.step import Arrival, Memory, Outcome, Output
from schemas.marks import Upstream
from streams.app import Topology, build_app, run
from streams.settings import Settings
from tests.integration.toy import Tallied, Tally, toy_topology


class CountTallies:
    """Counts tallies per plate; a tally whose upstream mark was folded before counts no more."""

    name = "total"

    def __init__(self, prefix: str) -> None:
        self.inputs: tuple[str, ...] = (f"{prefix}-tallies",)
        self.produces: tuple[str, ...] = (f"{prefix}-totals",)
        self.memory: tuple[Memory, ...] = (Memory(self.inputs[0], timedelta(days=1), "batch"),)

    def begin(self, partition: int, first_offset: int) -> Tally:
        return Tally()

    def remember(self, state: Tally, arrivals: Sequence[Arrival[Tallied]]) -> None:
        for arrival in arrivals:
            _fold(state, arrival.event)

    def decide(self, state: Tally, arrivals: Sequence[Arrival[Tallied]]) -> Outcome:
        outcome = Outcome()
        for arrival in arrivals:
            event = arrival.event
            total = _fold(state, event)
            if total is None:
                outcome.redelivered += 1
                continue
            mark = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            counted = Tallied(event.plate, event.number, total, mark)
            ce_id = f"{event.upstream.partition}-{event.upstream.offset}"
            outcome.outputs.append(Output(self.produces[0], event.plate, counted, ce_id, arrival.timestamp_ms))
        return outcome

    def entries(self, state: Tally) -> int:
        return len(state.crossings)


def _fold(state: Tally, event: Tallied) -> int | None:
    if not state.marks.advance(event.upstream):
        return None
    total = state.crossings[event.plate] = state.crossings.get(event.plate, 0) + 1
    return total


def chain(prefix: str) -> Topology:
    """Crossings to tallies to totals; the group's name prefixes the topics."""
    toy = toy_topology(prefix)
    return dataclasses.replace(toy, steps=(*toy.steps, CountTallies(prefix)))


if __name__ == "__main__":
    settings = Settings.from_environment()
    run(build_app(settings, chain(settings.group)))
