"""Dead letters: what a step refuses goes to `<topic>-dlq`, with the source's raw bytes and headers saying why.

A dead letter keeps the source's key, value and headers, so it can be looked at with any Kafka tool and sent again as
it was. It adds `dlq-` headers; `dlq-index` is the place of the refused item in its lodgement. Of a lodgement of which
several items are refused the first letter keeps the whole raw value, and a key and headers of more than a kilobyte; the
others say how long the value is (`dlq-omitted-bytes`). So does a letter that is larger than its topic takes, as what
was lodged compressed may be.
Readers that count dead letters dedupe by topic, partition, offset, timestamp and index, because a redelivered record is
refused again, and a topic that was made anew begins with the offsets of the old one.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agents.refusals import ALREADY_RESOLVED, DUPLICATE_LODGEMENT, SUPERSEDED_REVISION
from schemas.registry import DEAD_LETTER_MAX_BYTES
from streams.producing import Publisher
from streams.recordbatch import encoded
from streams.wire import FetchedRecord, Outgoing, Record, header

if TYPE_CHECKING:
    from agents.step import Refusal

SUFFIX = "-dlq"
OURS: Final = "dlq-"
OMITTED: Final = "dlq-omitted-bytes"
_ATTEMPT_DIGITS: Final = 6
_MOST_BYTES: Final = DEAD_LETTER_MAX_BYTES - 256
"""Of a letter's key, value and headers: what its batch adds comes on top."""

_REPEATED_BYTES: Final = 1_024
"""Of a key and headers that every letter of a source has."""

_SAID_BEFORE: Final = {DUPLICATE_LODGEMENT, SUPERSEDED_REVISION, ALREADY_RESOLVED}


def dead_letter_topic(topic: str) -> str:
    """The dead-letter topic of a topic."""
    return topic + SUFFIX


def dead_letter(record: Record, refusal: Refusal, step: str, now_ms: int) -> Outgoing:
    """The dead letter of one record, or of one item of it when `refusal.index` is set.

    Its timestamp is `now_ms`, so that retention counts from the refusal; the source's is kept in `dlq-timestamp`.
    `dlq-attempt` counts how often the record has been refused: 1, and one more each time it is sent again
    with its headers kept.
    """
    kept: list[tuple[str, bytes | None]] = [one for one in record.headers if not one[0].startswith(OURS)]
    reasons = {
        "dlq-topic": record.topic,
        "dlq-partition": str(record.partition),
        "dlq-offset": str(record.offset),
        "dlq-timestamp": str(record.timestamp),
        "dlq-step": step,
        "dlq-reason": refusal.reason,
        "dlq-field": refusal.field,
        "dlq-error": refusal.detail,
        "dlq-index": "" if refusal.index is None else str(refusal.index),
        "dlq-item-id": refusal.item_id or "",
        "dlq-attempt": str(_attempts(record) + 1),
    }
    said = [(name, text.encode()) for name, text in reasons.items()]
    return Outgoing(record.key, record.value, now_ms, [*kept, *said])


def dead_letters(sources: Mapping[int, Record], refused: Sequence[Refusal], step: str, now_ms: int) -> list[Outgoing]:
    """The letters of one batch; `sources` are its records by offset. Each source's value is kept once, if it fits.

    So are its key and headers where these are large.
    """
    letters, kept, repeated = list[Outgoing](), set[int](), dict[int, Record]()
    for one in refused:
        source = sources[one.offset]
        if source.value and one.offset in kept:
            if one.offset not in repeated:
                repeated[one.offset] = _repeated(source)
            letter = _without_value(dead_letter(repeated[one.offset], one, step, now_ms))
        else:
            letter = dead_letter(source, one, step, now_ms)
            kept.add(one.offset)
        letters.append(_fitting(letter))
    return letters


def _repeated(source: Record) -> Record:
    """A source as the second letter of it has it, and all after that: with its key and headers if these are small.

    A lodgement of 40 kB may have 20,000 items to refuse, and a key of a megabyte.
    """
    key, headers = source.key, list(source.headers)
    if len(key or b"") + len(encoded(headers)) > _REPEATED_BYTES:
        key, headers = None, [("dlq-attempt", str(_attempts(source)).encode())]
    return FetchedRecord(source.topic, source.partition, source.offset, source.timestamp, key, source.value, headers)


def _fitting(letter: Outgoing) -> Outgoing:
    """The letter, as far as its topic takes it.

    The raw bytes are still in the source topic, at the partition and offset that the headers name. It is measured and
    not tried: a batch that brokers refuse leaves a gap in the numbers of an idempotent producer, and they take no more.
    """
    if _size(letter) > _MOST_BYTES:
        letter = _without_value(letter)
        if _size(letter) > _MOST_BYTES:
            ours = [said for said in letter.headers if isinstance(said, tuple) and said[0].startswith(OURS)]
            letter = replace(letter, key=None, headers=ours)
    return letter


def _without_value(letter: Outgoing) -> Outgoing:
    omitted = str(len(letter.value or b"") or 1).encode()
    return replace(letter, value=b"", headers=[*letter.headers, (OMITTED, omitted)])


def _size(letter: Outgoing) -> int:
    return len(letter.key or b"") + len(letter.value or b"") + len(letter.encoded_headers)


def _attempts(record: Record) -> int:
    text = header(record.headers, "dlq-attempt") or b"0"
    return int(text) if text.isdigit() and len(text) <= _ATTEMPT_DIGITS else 0  # whoever lodges may write it


async def bury(publisher: Publisher, topic: str, letters: list[Outgoing]) -> None:
    """Deliver dead letters of one source topic. Whatever goes wrong is raised."""
    await publisher.publish(dead_letter_topic(topic), letters)


class TooManyDeadLettersError(RuntimeError):
    """Nearly everything of a topic is refused: more likely this worker is wrong than everybody who lodges."""

    def __init__(self, topic: str, said: str) -> None:
        super().__init__(said)
        self.topic = topic


class DeadLetterLimit:
    """Stops a step when the refused share of the last `window` items of a topic reaches `share`, before it buries them.

    A wrong schema, policy or key would otherwise drain whole topics into their dead-letter topics within minutes. Those
    a worker has from its start: a topic of `outside`, which others write, is watched until so many of its items were in
    order that its first window cannot reach the share. What is refused after that is the others' doing, and one of them
    who floods garbage stops no border. One that starts during a flood may be told by what was lodged before it
    (`trusts`, `streams.doubting`). The topics between the steps are watched for good: who writes them may be
    upgraded, and a model may come to give no scores (docs/adr/0024-garbage-stops-no-border.md).

    What was merely said before (a lodger who sends a day again) is not held against anybody, and one lodgement counts
    for no more than a twentieth of the window, so that none stops a border by itself. All partitions count together.
    """

    def __init__(self, step: str, share: float, window: int, outside: Collection[str] = ()) -> None:
        self._step = step
        self._share = share
        self._window = window
        self._of_one = max(1, window // 20)
        self._outside = outside
        self._in_order = set[str]()
        self._latest = defaultdict[str, _Latest](_Latest)

    def note(self, topic: str, records: int, refusals: Sequence[Refusal], in_order: int) -> None:
        """Count a decided batch of `records`: what was refused of it, and how many items were in order.

        Raises `TooManyDeadLettersError`. A share of 0 means that there is no limit.
        """
        if not self._share or topic in self._in_order:
            return
        by_record = Counter(one.offset for one in refusals if one.reason not in _SAID_BEFORE)
        refused = sum(min(count, self._of_one) for count in by_record.values())
        items = max(records, refused + in_order)
        latest = self._latest[topic]
        latest.add(items, refused, self._window)
        may_be_refused = self._window - (latest.items - latest.refused)  # of its first window
        if topic in self._outside and may_be_refused < self._share * self._window:
            self._in_order.add(topic)
        elif latest.items >= self._window and latest.refused >= self._share * latest.items:
            raise TooManyDeadLettersError(
                topic,
                f"{self._step} refuses {latest.refused} of its last {latest.items} items of {topic}, and "
                f"BORDERFLOW_DEAD_LETTER_LIMIT is {self._share:g}: nothing more is buried "
                "(docs/operations.md, 'A worker stops because nearly everything is refused')",
            )

    def trusts(self, topic: str, in_order: int) -> bool:
        """Whether so many items of the topic that this worker takes are enough; it is not watched any more then.

        For a topic of `outside` only: what is refused of others' records may be the doing of who wrote them since.
        """
        if topic in self._outside and self._window - in_order < self._share * self._window:
            self._in_order.add(topic)
        return topic in self._in_order


class _Latest:
    """The latest batches of a topic, as few as make a window: their items, and how many of these were refused."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self.items = 0
        self.refused = 0

    def add(self, items: int, refused: int, window: int) -> None:
        self._batches.append((items, refused))
        self.items += items
        self.refused += refused
        while self.items - self._batches[0][0] >= window:
            old_items, old_refused = self._batches.popleft()
            self.items -= old_items
            self.refused -= old_refused
