"""A toy step: counts crossings per plate. Run as a program it is a worker, so tests can kill it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from agents.marks import HighWater
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from schemas.codec import Undecodable
from schemas.marks import Upstream
from streams import app
from streams.app import BorderApp, Topology, build_app, run
from streams.broadcast import Follow
from streams.settings import Settings
from streams.wire import Decode


class Crossed(msgspec.Struct, tag_field="event", tag="Crossed", frozen=True):
    """A lorry crossed. `upstream` marks a record that comes from another step."""

    plate: str
    number: int
    upstream: Upstream | None = None


class Tallied(msgspec.Struct, tag_field="event", tag="Tallied", frozen=True):
    """How often a plate has crossed, up to and with crossing `number`."""

    plate: str
    number: int
    crossings: int
    upstream: Upstream


class Noticed(msgspec.Struct, tag_field="event", tag="Noticed", frozen=True):
    """A broadcast notice."""

    text: str


def decoder(kind: type[msgspec.Struct]) -> Decode:
    """A decoder that refuses what is not of this kind, and lets tombstones of notices through."""

    def decode(value: bytes | None, ce_type: bytes | None = None) -> Any:
        if value is None:
            if kind is Noticed:
                return None
            raise Undecodable("null-value", "", "no value")
        try:
            return msgspec.json.decode(value, type=kind)
        except msgspec.DecodeError:
            raise Undecodable("not-json", "", "not a record of this topic") from None

    return decode


def name_of(kind: type[msgspec.Struct]) -> str:
    """The ce_type of a toy event."""
    return f"toy.{kind.__name__}.v1"


@dataclass
class Tally:
    """State: crossings per plate, and the marks of what has been folded."""

    crossings: dict[str, int] = field(default_factory=dict)
    marks: HighWater = field(default_factory=HighWater)


class CountCrossings:
    """Counts crossings per plate over a day of the log."""

    name = "count"
    inputs: tuple[str, ...]
    produces: tuple[str, ...]
    memory: tuple[Memory, ...]

    def __init__(self, prefix: str, explode_on: str = "") -> None:
        self.output = f"{prefix}-tallies"
        self.inputs = (f"{prefix}-crossings",)
        self.produces = (self.output,)
        self.memory = (Memory(self.inputs[0], timedelta(days=1), "batch"),)
        self.explode_on = explode_on

    def begin(self, partition: int, first_offset: int) -> Tally:
        return Tally()

    def remember(self, state: Tally, arrivals: Sequence[Arrival[Crossed]]) -> None:
        for arrival in arrivals:
            self._fold(state, arrival)

    def _fold(self, state: Tally, arrival: Arrival[Crossed]) -> int | None:
        event = arrival.event
        if event.upstream is not None and not state.marks.advance(event.upstream):
            return None
        count = state.crossings[event.plate] = state.crossings.get(event.plate, 0) + 1
        return count

    def decide(self, state: Tally, arrivals: Sequence[Arrival[Crossed]]) -> Outcome:
        outcome = Outcome()
        for arrival in arrivals:
            event = arrival.event
            if self.explode_on and event.plate == self.explode_on:
                raise RuntimeError("the toy exploded")
            if event.plate == "":
                outcome.refusals.append(Refusal(arrival.offset, "blank-name", "plate", "the plate is blank", index=0))
                continue
            count = self._fold(state, arrival)
            if count is None:
                outcome.redelivered += 1
                continue
            mark = Upstream(topic=arrival.topic, partition=arrival.partition, offset=arrival.offset)
            tallied = Tallied(event.plate, event.number, count, mark)
            outcome.outputs.append(
                Output(self.output, event.plate, tallied, f"{arrival.partition}-{arrival.offset}", arrival.timestamp_ms)
            )
        return outcome

    def entries(self, state: Tally) -> int:
        return len(state.crossings)


class NoticeBoard:
    """A book of notices by key."""

    def __init__(self) -> None:
        self.notices: dict[str, str] = {}
        self.offset = -1

    def fold(self, offset: int, key: str, event: Noticed | None, sent_ms: int = 0) -> None:
        self.offset = offset
        if event is None:
            self.notices.pop(key, None)
        else:
            self.notices[key] = event.text


def toy_topology(prefix: str, explode_on: str = "", book: NoticeBoard | None = None) -> Topology:
    """The toy step, and the notices when a book is given."""
    notices = f"{prefix}-notices"
    step = CountCrossings(prefix, explode_on)
    return Topology(
        steps=(step,),
        decoders={step.inputs[0]: decoder(Crossed), step.output: decoder(Tallied)},
        encode=msgspec.json.encode,
        ce_type=name_of,
        follows=() if book is None else (Follow(notices, decoder(Noticed), book),),
    )


def toy_app(settings: Settings, explode_on: str = "", book: NoticeBoard | None = None) -> BorderApp:
    """A worker that hosts the toy step; the group's name prefixes its topics."""
    return build_app(settings, toy_topology(settings.group, explode_on, book))


if __name__ == "__main__":
    app.SILENT_S = float(os.environ.get("TOY_SILENT_S", app.SILENT_S))
    run(toy_app(Settings.from_environment(), os.environ.get("TOY_EXPLODES_ON", "")))
