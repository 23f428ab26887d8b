"""A replay on two cores: screening and filtering here, selection in a process beside, with the bytes of one process.

What goes over the pipe is a queue: filtered items and lessons in the order in which they came about, so selection sees
what it would have seen here. Lines come back in the same order. Nothing is lost silently: when the process beside ends,
the replay ends with it, and goes on after its last checkpoint when it is started again.
"""

from __future__ import annotations

import pickle
import signal
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, NoReturn

import msgspec

from agents.risk.brain import Brain
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.step import Arrival
from schemas.codec import ce_type_of, codec_for, encode
from schemas.items import ItemFiltered
from streams.collector import look_rarely
from streams.replay.engine import Choosing, Front, Written, written

AHEAD: Final = 8
"""Batches that the process beside may be behind: more would only cost memory."""


class _Items(msgspec.Struct, tag="items", array_like=True, gc=False):
    """Filtered items by partition, `_Filtered` as JSON: times keep their offsets from UTC, as they do on a topic."""

    filtered: bytes
    kept: bool


class _Lesson(msgspec.Struct, tag="lesson", array_like=True, gc=False):
    """A record of the log of lessons; without a value it is a tombstone."""

    offset: int
    key: str
    ce_type: str = ""
    value: bytes = b""


class _States(msgspec.Struct, tag="states", array_like=True, gc=False):
    """Empty to ask for them; otherwise to be taken on. Between two processes of one replay, never from a topic."""

    pickled: bytes = b""


class _Lines(msgspec.Struct, tag="lines", array_like=True, gc=False):
    """What was made of a batch, and refusals by reason up to now."""

    lines: bytes
    records: int
    decided: int
    refused: dict[str, int]


_Filtered = list[tuple[int, list[tuple[int, int, ItemFiltered]]]]
"""(partition, [(offset, timestamp, item)])"""

_encoder: Final = msgspec.msgpack.Encoder()


class Beside:
    """An engine like `streams.replay.engine.Engine` on two processes."""

    def __init__(self, policy: Policy, pseudonym_key: bytes, partitions: int) -> None:
        self._front = Front(policy, pseudonym_key, partitions)
        context = get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, policy), daemon=True)
        self._process.start()
        there.close()
        self._replies: SimpleQueue[bytes | None] = SimpleQueue()
        # Both sides write more than a pipe holds, so somebody has to read while this side writes.
        Thread(target=_receive, args=(self._pipe, self._replies), daemon=True).start()
        self._reader = msgspec.msgpack.Decoder(_Lines | _States)
        self._owed: deque[Written] = deque()
        self._refused: dict[str, int] = {}

    def learn(self, topic: str, offset: int, key: str, event: Any) -> None:
        self._front.learn(topic, offset, key, event)
        if topic == "labelled-examples":
            kind: type[msgspec.Struct] = type(event)
            told = _Lesson(offset, key) if event is None else _Lesson(offset, key, ce_type_of(kind), encode(event))
            self._send(told)

    def decide(self, arrivals: Sequence[Arrival[Any]], kept: bool) -> list[Written]:
        filtered, others = self._front.decide(arrivals, kept)
        items = [(held[0].partition, [(one.offset, one.timestamp_ms, one.event) for one in held]) for held in filtered]
        self._send(_Items(msgspec.json.encode(items), kept))
        self._owed.append(written(others if kept else ()))
        return self._came(AHEAD)

    def finish(self) -> list[Written]:
        return self._came(0)

    @property
    def states(self) -> tuple[Any, ...]:
        self._send(_States())
        reply = self._reply()
        assert isinstance(reply, _States)  # noqa: S101 - `finish` was called: nothing else is owed
        return self._front.states, pickle.loads(reply.pickled)  # noqa: S301 - from our own process

    def restore(self, states: tuple[Any, ...]) -> None:
        front, choosing = states
        self._front.restore(front)
        self._refused = choosing[1]
        self._send(_States(pickle.dumps(choosing)))

    @property
    def refused(self) -> Mapping[str, int]:
        return Counter(self._front.refused) + Counter(self._refused)

    def refuse(self, reason: str) -> None:
        self._front.refuse(reason)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _came(self, most: int) -> list[Written]:
        """What came back, waiting while more than `most` batches are owed."""
        came = []
        while self._owed and (len(self._owed) > most or not self._replies.empty()):
            reply = self._reply()
            assert isinstance(reply, _Lines)  # noqa: S101 - replies come in the order of what was sent
            others, self._refused = self._owed.popleft(), reply.refused
            records, decided = others.records + reply.records, others.decided + reply.decided
            came.append(Written(others.lines + reply.lines, records, decided))
        return came

    def _send(self, message: msgspec.Struct) -> None:
        try:
            self._pipe.send_bytes(_encoder.encode(message))
        except OSError:
            self._ended()

    def _reply(self) -> _Lines | _States:
        reply = self._replies.get()
        if reply is None:
            self._ended()
        message: _Lines | _States = self._reader.decode(reply)
        return message

    def _ended(self) -> NoReturn:
        self._process.join(5)
        raise RuntimeError(f"the process that selects ended with exit code {self._process.exitcode}")


def _receive(pipe: Connection, replies: SimpleQueue[bytes | None]) -> None:
    try:
        while True:
            replies.put(pipe.recv_bytes())
    except (EOFError, OSError):
        replies.put(None)


def _serve(pipe: Connection, policy: Policy) -> None:
    """The process beside: it ends when the other does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    look_rarely()
    choosing = Choosing(policy, Brain(Profiles()))
    lesson_of = codec_for("labelled-examples").decode
    reader, items_of = msgspec.msgpack.Decoder(_Items | _Lesson | _States), msgspec.json.Decoder(_Filtered)
    while True:
        try:
            message = reader.decode(pipe.recv_bytes())
        except EOFError:
            return
        if isinstance(message, _Lesson):
            event = lesson_of(message.value, message.ce_type) if message.value else None
            choosing.brain.fold(message.offset, message.key, event)
        elif isinstance(message, _Items):
            filtered = [
                [Arrival(item, "filtered", partition, offset, at_ms, at_ms) for offset, at_ms, item in items]
                for partition, items in items_of.decode(message.filtered)
            ]
            outputs = choosing.decide(filtered, message.kept)
            lines, records, decided, _ = written(outputs if message.kept else ())
            pipe.send_bytes(_encoder.encode(_Lines(lines, records, decided, choosing.refused)))
        elif message.pickled:
            choosing.restore(pickle.loads(message.pickled))  # noqa: S301 - from our own process
        else:
            pipe.send_bytes(_encoder.encode(_States(pickle.dumps(choosing.states))))
