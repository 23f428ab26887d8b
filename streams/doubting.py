"""A worker that starts during a flood of garbage tries itself on what was lodged before, and goes on if it takes that.

Nearly everything of its first items is refused: either this worker is wrong (a policy without the offices, a version
that cannot read the topic), or somebody floods it. A wrong one refuses what was lodged in quiet times as well, so the
topic itself can tell. docs/adr/0024-garbage-stops-no-border.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from agents.step import Refusal
from streams.deadletter import DeadLetterLimit, TooManyDeadLettersError
from streams.defects import DefectError
from streams.hosting import StepHost
from streams.transport import RecordBatch

log = logging.getLogger("borderflow.doubting")

PLACES: Final = 16
"""Places of each partition that are looked at, from the oldest record that brokers have to the newest."""
STRETCH: Final = 50
"""Records that are read at each."""


class DoubtingHost(StepHost):
    """A host that looks back before it stops for its refusals: for steps that remember nothing of their input."""

    def __init__(self, *given: Any, limit: DeadLetterLimit, **more: Any) -> None:
        super().__init__(*given, limit=limit, **more)
        self._doubts = limit

    async def handle(self, batches: Sequence[RecordBatch]) -> list[bool]:
        """As `StepHost.handle`."""
        try:
            return await super().handle(batches)
        except TooManyDeadLettersError as doubt:
            if self.step.memory or not await self._takes_earlier(doubt.topic):
                raise
            log.warning(
                "%s refuses nearly all of its first items of %s, and takes what was lodged there before: it goes on",
                self.step.name, doubt.topic,
            )  # fmt: skip
        self.forget(lambda *_: False)  # they have folded batches that nothing has followed from
        return await self.handle(batches)

    async def _takes_earlier(self, topic: str) -> bool:
        """Whether this worker takes as much of what the topic holds as it would have to take of its first items."""
        reader, in_order = self._reader, 0
        spans = [
            (await reader.begin(topic, partition), await reader.end(topic, partition))
            for partition in range(await reader.partitions(topic))
        ]
        for place in range(PLACES):
            for partition, (begin, end) in enumerate(spans):
                start, after = (begin + (end - begin) * at // PLACES for at in (place, place + 1))
                in_order += await self._in_order(topic, partition, start, min(start + STRETCH, after))
                if self._doubts.trusts(topic, in_order):
                    return True
        return False

    async def _in_order(self, topic: str, partition: int, start: int, upto: int) -> int:
        """Items of a stretch that this worker takes; 0 where it refuses as many: garbage, or it is wrong there, too."""
        records = [one async for chunk in self._reader.read(topic, partition, start, upto) for one in chunk]
        if not records:
            return 0
        step, undecodable = self.step, list[Refusal]()
        try:
            outcome = step.decide(step.begin(partition, start), self._arrivals(records, undecodable))
        except Exception as error:
            raise DefectError(
                f"{step.name} failed on {topic}[{partition}], offsets {start} to {upto - 1}", error
            ) from None
        taken = sum(output.topic == step.produces[0] for output in outcome.outputs)
        return taken if taken > len(undecodable) + len(outcome.refusals) else 0
