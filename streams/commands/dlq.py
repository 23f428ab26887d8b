"""`borderflow dlq`: look at what was refused, and send it again once what was wrong has been put right."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Table

from agents.refusals import MEANINGS
from streams.commands import CommandRefusedError, aligned, output, progress_over, shown
from streams.commands.times import span
from streams.redrive import SOURCES, DeadLetter, Wanted
from streams.settings import Settings

app = App(name="dlq", help="List, show and send again what the steps refused.")

Topic = Annotated[
    tuple[str, ...],
    Parameter(negative=(), help="Only of this source topic (its dead letters are in <topic>-dlq); repeatable."),
]
Reason = Annotated[tuple[str, ...], Parameter(negative=(), help="Only with this reason; repeatable.")]
StepName = Annotated[
    tuple[str, ...], Parameter(name="--step", negative=(), help="Only refused by this step; repeatable.")
]
Since = Annotated[
    str | None, Parameter(help="Only refused since: a time (2026-03-02T12:00Z) or how long ago (90m, 24h, 7d).")
]
Until = Annotated[str | None, Parameter(help="Only refused before: a time, or how long ago.")]
AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")]


@app.command(name="list")
def list_(
    *,
    topic: Topic = (),
    reason: Reason = (),
    step: StepName = (),
    since: Since = None,
    until: Until = None,
    every: Annotated[bool, Parameter(negative=(), help="Count those that were sent again, too.")] = False,
    letters: Annotated[bool, Parameter(negative=(), help="One line a letter, not a reason.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count the outstanding dead letters by topic, step and reason, with what the reason means."""
    wanted = _wanted(reason, step, since, until)
    found = [one for one in asyncio.run(_read(_topics(topic))) if wanted.takes(one) and (every or not one.redriven)]
    if letters:
        _print_letters(found, as_json)
    else:
        _print_counts(found, as_json)


@app.command
def show(
    topic: str,
    number: int,
    /,
    *,
    value: Annotated[
        bool, Parameter(negative=(), help="The refused record itself, too: it may hold personal data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: where it came from, who refused it, and why.

    Parameters
    ----------
    topic
        The source topic; the dead letter is in <topic>-dlq.
    number
        The number of the letter, as `dlq list --letters` prints it: its offset in the dead-letter topic.
    """
    (source,) = _topics((topic,))
    letter = next((one for one in asyncio.run(_read((source,))) if one.number == number), None)
    if letter is None:
        raise CommandRefusedError(f"there is no dead letter {number} in {source}-dlq")
    facts = _facts(letter)
    facts["means"] = MEANINGS.get(letter.reason, "")
    facts["headers"] = {name: None if said is None else said.decode(errors="replace") for name, said in letter.headers}
    if value:
        facts["value"] = None if letter.value is None else letter.value.decode(errors="replace")
    if as_json:
        _print_json(facts)
        return
    table = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        lines = [f"{key}: {text}" for key, text in fact.items()] if isinstance(fact, dict) else str(fact).split("\n")
        table.add_row(f"[dim]{name}[/]", "\n".join(map(_cell, lines)))
    output(soft_wrap=True).print(table)


@app.command
def redrive(
    *,
    topic: Topic = (),
    reason: Reason = (),
    step: StepName = (),
    since: Since = None,
    until: Until = None,
    number: Annotated[tuple[int, ...], Parameter(negative=(), help="Only the letter of this number; repeatable.")] = (),
    every: Annotated[bool, Parameter(negative=(), help="All outstanding letters, when nothing else is said.")] = False,
    again: Annotated[bool, Parameter(negative=(), help="Those that were sent again before, too.")] = False,
    max_attempts: Annotated[int, Parameter(help="Leave alone what was refused this many times.")] = 5,
    rate: Annotated[float, Parameter(help="Records a second.", validator=Number(gt=0))] = 50.0,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be sent, send nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Send refused records again, to the topic that they came from, under the key and ce_id that they had.

    Exit code 0 when every letter that was asked for was sent, 1 when some were left alone (each is named).
    """
    wanted = _wanted(reason, step, since, until, number)
    if not (topic or reason or step or since or until or number or every):
        raise CommandRefusedError("say which letters (--topic, --reason, --step, --since, --number), or --every")
    if number and len(topic) != 1:
        raise CommandRefusedError("--number: say of which topic with one --topic")
    sent, left = asyncio.run(_redrive(_topics(topic), wanted, again, max_attempts, rate, dry_run))
    if as_json:
        _print_json({"dry_run": dry_run, "sent": sent, "left": left})
    else:
        console = output(soft_wrap=True)
        table = Table("topic", "sent" if not dry_run else "would be sent", "letters", box=None)
        for name, (records, answered) in sent.items():
            table.add_row(name, str(records), str(answered))
        if sent:
            console.print(table)
        for line in left:
            console.print(f"[yellow]left alone:[/] {_cell(line)}")
        if not sent and not left:
            console.print("no outstanding dead letter is like that")
    return int(bool(left))


async def _redrive(
    topics: Sequence[str], wanted: Wanted, again: bool, max_attempts: int, rate: float, dry_run: bool
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    from aiokafka.errors import TopicAuthorizationFailedError

    from streams.producing import Publisher, new_producer
    from streams.rebuild import LogReader
    from streams.redrive import redrives, send_again, with_source_bytes

    settings = Settings.from_environment()
    chosen: list[DeadLetter] = []
    left: list[str] = []
    async with LogReader(settings) as reader:
        for letter in await _letters(reader, topics):
            if not wanted.takes(letter) or (letter.redriven and not again):
                continue
            if letter.attempt >= max_attempts:
                left.append(f"{letter.topic} {letter.number}: refused {letter.attempt} times ({letter.reason})")
                continue
            try:
                whole = await with_source_bytes(reader, letter)
            except TopicAuthorizationFailedError:
                left.append(f"{letter.topic} {letter.number}: too large to be kept; you may not read {letter.topic}")
                continue
            if whole is None:
                left.append(f"{letter.topic} {letter.number}: too large to be kept, and gone from its source topic")
            else:
                chosen.append(whole)
    planned = []
    for one in redrives(chosen, int(time.time() * 1000)):
        if one.fits:
            planned.append(one)
        else:
            numbers = ", ".join(str(letter.number) for letter in one.letters)
            left.append(f"{one.topic} {numbers}: larger than {one.topic} takes; ask the lodger for smaller parts")
    counts: dict[str, tuple[int, int]] = {}

    def count(topic: str, letters: int) -> None:
        records, answered = counts.get(topic, (0, 0))
        counts[topic] = (records + 1, answered + letters)

    if dry_run:
        for one in planned:
            count(one.topic, len(one.letters))
        return counts, left
    producer = new_producer(settings)
    await producer.start()
    try:
        with progress_over({"sent again": len(planned)}) as noticed:
            async for one in send_again(Publisher(producer, settings.max_batch_bytes), planned, per_second=rate):
                count(one.topic, len(one.letters))
                noticed("sent again", 1)
    finally:
        await producer.stop()
    return counts, left


async def _read(topics: Sequence[str]) -> list[DeadLetter]:
    from streams.rebuild import LogReader

    async with LogReader(Settings.from_environment()) as reader:
        return await _letters(reader, topics)


async def _letters(reader: Any, topics: Sequence[str]) -> list[DeadLetter]:
    from streams.producing import UnknownTopicError
    from streams.redrive import read_letters

    found: list[DeadLetter] = []
    with progress_over({"read": None}) as noticed:
        for topic in topics:
            try:
                found += await read_letters(reader, topic, lambda count: noticed("read", count))
            except UnknownTopicError as error:
                raise CommandRefusedError(str(error)) from None
    return found


def _topics(asked: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.removesuffix("-dlq") for name in asked))
    for name in names:
        if name not in SOURCES:
            raise CommandRefusedError(f"--topic {name}: nothing is refused from it; there are {', '.join(SOURCES)}")
    return names or SOURCES


def _wanted(
    reasons: tuple[str, ...],
    steps: tuple[str, ...],
    since: str | None,
    until: str | None,
    numbers: tuple[int, ...] = (),
) -> Wanted:
    for reason in reasons:
        if reason not in MEANINGS:
            raise CommandRefusedError(f"--reason {reason}: no such reason; there are {', '.join(sorted(MEANINGS))}")
    return Wanted(frozenset(reasons), frozenset(steps), frozenset(numbers), *span(since, until))


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return {
        "topic": letter.topic,
        "number": letter.number,
        "refused_at": _time(letter.at_ms),
        "step": letter.step,
        "reason": letter.reason,
        "field": letter.field,
        "error": letter.error,
        "item_id": letter.item_id,
        "source": f"{letter.topic}[{letter.partition}] offset {letter.offset}"
        + ("" if letter.index is None else f" item {letter.index}"),
        "attempt": letter.attempt,
        "bytes": len(letter.value or b"") or letter.omitted_bytes,
        "sent_again": letter.redriven,
    }


def _print_letters(found: list[DeadLetter], as_json: bool) -> None:
    if as_json:
        _print_json([_facts(one) for one in found])
        return
    if not found:
        output().print("no dead letter is like that")
        return
    rows = [
        (one.topic, str(one.number), _time(one.at_ms), _line(one.step), _line(one.reason), _line(one.field),
         str(one.attempt), "sent again" if one.redriven else "")
        for one in found
    ]  # fmt: skip
    sys.stdout.writelines(aligned(("topic", "number", "refused at", "step", "reason", "field", "attempt", ""), rows))


def _print_counts(found: list[DeadLetter], as_json: bool) -> None:
    groups: dict[tuple[str, str, str], list[DeadLetter]] = defaultdict(list)
    for one in found:
        groups[one.topic, one.step, one.reason].append(one)
    rows = [
        {
            "topic": topic,
            "step": step,
            "reason": reason,
            "letters": len(same),
            "sent_again": sum(one.redriven for one in same),
            "first": _time(min(one.at_ms for one in same)),
            "last": _time(max(one.at_ms for one in same)),
            "means": MEANINGS.get(reason, ""),
        }
        for (topic, step, reason), same in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]
    if as_json:
        _print_json(rows)
        return
    table = Table("letters", "topic", "step", "reason", "first", "last", "means", box=None)
    for row in rows:
        table.add_row(
            *(_cell(str(row[name])) for name in ("letters", "topic", "step", "reason", "first", "last", "means"))
        )
    output(soft_wrap=True).print(table if rows else "no outstanding dead letters")


def _cell(text: str) -> str:
    return escape(_line(text))


def _line(text: str) -> str:
    """One line: a line break in what a lodger sent is no line of ours."""
    return shown(text).replace("\n", "\\n")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_json(value: object) -> None:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
