"""`borderflow audit`: seal records in hash chains, check that none was changed since, and hand out heads."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Table

from schemas.registry import dead_letter_topics, declarations
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.reading import ArchiveReader
from streams.audit.book import Book, Head, only_sealer, read_heads
from streams.audit.chain import AuditError
from streams.audit.comparing import Finding
from streams.audit.sealing import Pace, Sealer, audited_topics
from streams.audit.trail import TrailBroken, TrailHead, check_trail
from streams.audit.verifying import Checked, check_archive, check_chain, check_records
from streams.commands import CommandRefusedError, loud_stop, output
from streams.commands.archive import archive_key
from streams.logging import configure_logging
from streams.producing import UnknownTopicError
from streams.rebuild import LogReader
from streams.settings import Settings

app = App(name="audit", help="Seal records in hash chains; check that none was changed since.")

Folder = Annotated[
    Path | None, Parameter(name="--dir", help="The folder of the chains; BORDERFLOW_AUDIT_DIR unless given.")
]
Topics = Annotated[tuple[str, ...], Parameter(name="--topic", negative=(), help="Only this topic; repeatable.")]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@app.command
def seal(
    *,
    folder: Folder = None,
    topic: Topics = (),
    once: Annotated[bool, Parameter(negative=(), help="End when all that is there now is sealed.")] = False,
    every: Annotated[
        float, Parameter(help="Seconds between sealed heads, where anything came.", validator=Number(gt=0))
    ] = 60.0,
    entries: Annotated[int, Parameter(help="Entries between sealed heads at most.", validator=Number(gte=1))] = 10_000,
) -> int:
    """Seal decisions and every change to criteria, risk information and models, until SIGTERM or Ctrl-C.

    Exit code 1 when it had to stop: a topic that is not the one it sealed before, a chain that was cut, no room,
    brokers away. What is sealed stays sealed; start it again.
    """
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    log = structlog.get_logger("borderflow.audit")
    root = folder or Path(settings.audit_dir)
    sealer = Sealer(settings, root, _known(topic), pace=Pace(head_entries=entries, head_s=every))
    try:
        with loud_stop(log, "sealing stops; what is sealed stays sealed", AuditError, OSError), only_sealer(root):
            count = asyncio.run(_until_told(sealer, once))
    except UnknownTopicError as error:
        raise CommandRefusedError(f"{error}: `borderflow topics create` creates the topics") from None
    log.info("sealed", records=count, folder=str(root))
    return 0


async def _until_told(sealer: Sealer, once: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await sealer.run(stop, once=once)


@app.command
def verify(
    *,
    folder: Folder = None,
    topic: Topics = (),
    source: Annotated[str, Parameter(name="--from", help="Where records are read again: kafka or archive.")] = "kafka",
    archive: Annotated[
        Path | None, Parameter(help="The archive's folder; BORDERFLOW_ARCHIVE_DIR unless given.")
    ] = None,
    archive_lag: Annotated[
        float, Parameter(help="Minutes after sealing by which the archive must have a record.", validator=Number(gte=0))
    ] = 60.0,
    heads: Annotated[
        Path | None, Parameter(help="File of heads that somebody else held: the chains must pass through them.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Read the records again and name the first that was edited, dropped, inserted or moved since it was sealed.

    Exit code 0 when nothing was found, 1 when something was.
    """
    settings = Settings.from_environment()
    if source not in ("kafka", "archive"):
        raise CommandRefusedError(f"--from {source}: kafka or archive")
    root = folder or Path(settings.audit_dir)
    wanted = _known(topic)
    try:
        held = [one for one in (read_heads(heads) if heads else ()) if not wanted or one.topic in wanted]
        chains = [one for one in Book.at(root).chains() if not wanted or one.topic in wanted]
        checked = [(one, check_chain(one, held)) for one in chains]
    except AuditError as error:
        raise CommandRefusedError(str(error)) from None
    whole = [(chain, done) for chain, done in checked if done.finding is None]
    now_ms = int(time.time() * 1000)
    if source == "archive":
        try:
            catalogue = Catalogue.of(archive or Path(settings.archive_dir))
        except ArchiveError as error:
            raise CommandRefusedError(str(error)) from None
        reader = ArchiveReader(catalogue, archive_key(settings))
        for chain, done in whole:
            check_archive(chain, done, reader, now_ms, int(archive_lag * 60_000))
    else:

        async def on_brokers() -> None:
            async with LogReader(settings) as reader:
                for chain, done in whole:
                    await check_records(chain, done, reader, now_ms)

        asyncio.run(on_brokers())
    results = [done for _, done in checked] + _gone(held, [(one.topic, one.partition) for one in chains])
    if as_json:
        json.dump([one.as_json() for one in results], sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(results)
    return int(any(one.finding for one in results))


def _gone(held: Sequence[Head], there: Sequence[tuple[str, int]]) -> list[Checked]:
    lost = {(head.topic, head.partition) for head in held} - set(there)
    return [Checked(*place, 0, "", Finding("chain altered", 0, "its chain is gone")) for place in sorted(lost)]


@app.command(name="heads")
def show_heads(*, folder: Folder = None, topic: Topics = ()) -> int:
    """Print the last sealed head of every chain as JSON lines: give them to somebody who cannot change the chains.

    `borderflow audit verify --heads FILE` checks against what they kept.
    """
    root = folder or Path(Settings.from_environment().audit_dir)
    wanted = _known(topic)
    try:
        for chain in Book.at(root).chains():
            found = chain.heads()
            if found and (not wanted or chain.topic in wanted):
                sys.stdout.write(msgspec.json.encode(found[-1]).decode() + "\n")
    except AuditError as error:
        raise CommandRefusedError(str(error)) from None
    return 0


@app.command
def trail(
    file: Path,
    /,
    *,
    head: Annotated[str, Parameter(help="A head that somebody else held, LINES:HASH: the trail must pass it.")] = "",
) -> int:
    """Check a trail of the console: that no line was changed, dropped or moved; print its head.

    Parameters
    ----------
    file
        The trail.
    """
    held = None
    if head:
        lines, _, made = head.partition(":")
        if not lines.isdigit() or not made:
            raise CommandRefusedError(f"--head {head}: write LINES:HASH, as this command prints it")
        held = TrailHead(int(lines), made)
    found = check_trail(file, held)
    if isinstance(found, TrailBroken):
        output(soft_wrap=True).print(f"[red]{escape(str(file))}: line {found.line} {found.why}[/]")
        return 1
    output(soft_wrap=True).print(f"{found.lines:,} lines, whole; head {found}")
    return 0


def _known(topics: tuple[str, ...]) -> tuple[str, ...]:
    there = (*declarations(), *dead_letter_topics())
    for name in topics:
        if name not in there:
            raise CommandRefusedError(
                f"--topic {name}: no such topic; sealed by default: {', '.join(audited_topics())}"
            )
    return topics


def _print(results: Sequence[Checked]) -> None:
    console = output(soft_wrap=True)
    table = Table("topic", "partition", "sealed", "compared", "not there any more", "", box=None)
    for one in results:
        tally = one.tally
        gone = [
            f"{count:,} {why}"
            for count, why in (
                (tally.expired, "expired"), (tally.compacted, "compacted"), (tally.waiting, "not archived yet"),
            )
            if count
        ]  # fmt: skip
        said = "[green]as sealed[/]" if one.finding is None else f"[red]{one.finding.what}[/]"
        table.add_row(one.topic, str(one.partition), f"{one.entries:,}", f"{tally.compared:,}", ", ".join(gone), said)
    console.print(table if results else "there are no chains")
    for one in results:
        if one.finding is not None:
            at = "" if one.finding.offset is None else f" offset {one.finding.offset}"
            console.print(
                f"[red]{one.topic}\\[{one.partition}]{at}: {one.finding.what}: {escape(one.finding.detail)}[/]"
            )
        if one.tally.holes:
            first, last = one.tally.holes[0]
            console.print(
                f"{one.topic}\\[{one.partition}]: offsets {first} to {last} were not there when it was sealed"
                + (f", and {len(one.tally.holes) - 1} more such runs" if len(one.tally.holes) > 1 else "")
            )
