"""`borderflow audit`: seal records in hash chains, check that none was changed since, and hand out heads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Table

from schemas.registry import dead_letter_topics, declarations
from streams.archive.consuming import archived_topics
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.reading import ArchiveReader
from streams.archive.tidying import keep_days
from streams.audit import metrics
from streams.audit.book import Book, Chain, only_sealer, read_heads
from streams.audit.chain import AuditError
from streams.audit.comparing import Tally
from streams.audit.sealing import Pace, Sealer, audited_topics
from streams.audit.trail import TrailBroken, TrailHead, check_trail
from streams.audit.verifying import Checked, check_archive, check_chain, check_records
from streams.certificates import tell_expiries
from streams.commands import CommandRefusedError, loud_stop, output
from streams.commands.archive import KeepDays, KeepPersonalDays, MacsSince, archive_key, macs_since_ms
from streams.logging import configure_logging
from streams.producing import UnknownTopicError
from streams.rebuild import LogReader
from streams.settings import Settings
from streams.stopping import told_to_stop_loop
from streams.web import WorkerWeb

app = App(name="audit", help="Seal records in hash chains; check that none was changed since.")

Folder = Annotated[
    Path | None, Parameter(name="--dir", help="The folder of the chains; BORDERFLOW_AUDIT_DIR unless given.")
]
Topics = Annotated[tuple[str, ...], Parameter(name="--topic", negative=(), help="Only this topic; repeatable.")]
_MINUTES: Final = Number(gte=0, lte=525_600)
_GAP: Final = re.compile(r"([a-z-]+)\[(\d{1,9})\]:(\d{1,18})-(\d{1,18})", re.ASCII)
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

    Meanwhile /healthz, /readyz and /metrics are on port BORDERFLOW_AUDIT_PORT of BORDERFLOW_WEB_HOST.
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
            count = asyncio.run(_until_told(sealer, settings, once))
    except UnknownTopicError as error:
        raise CommandRefusedError(f"{error}: `borderflow topics create` creates the topics") from None
    log.info("sealed", records=count, folder=str(root))
    return 0


async def _until_told(sealer: Sealer, settings: Settings, once: bool) -> int:
    stop = told_to_stop_loop(structlog.get_logger("borderflow.audit"))
    if once:
        return await sealer.run(stop, once=True)

    def unready() -> list[str]:
        return [] if sealer.caught_up else ["not all that is there is sealed yet"]

    tell_expiries(settings)
    pages = WorkerWeb(replace(settings, web_port=settings.audit_port), unready, metrics.REGISTRY)
    await pages.start()
    try:
        return await sealer.run(stop)
    finally:
        await pages.stop()


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
        float, Parameter(help="Minutes after sealing by which the archive must have a record.", validator=_MINUTES)
    ] = 60.0,
    heads: Annotated[
        Path | None, Parameter(help="File of heads that somebody else held: the chains must pass through them.")
    ] = None,
    seal_lag: Annotated[
        float, Parameter(help="Minutes after sending by which a record must be sealed.", validator=_MINUTES)
    ] = 60.0,
    keep_for: Annotated[KeepDays, Parameter(name="--keep-days")] = 0,
    keep_personal: Annotated[KeepPersonalDays, Parameter(name="--keep-personal-days")] = 0,
    macs_since: MacsSince = None,
    accept_gaps: Annotated[
        tuple[str, ...],
        Parameter(negative=(), help="A gap of the archive that was accepted, TOPIC[PARTITION]:FIRST-LAST; repeatable."),
    ] = (),
    as_json: AsJson = False,
) -> int:
    """Read the records again and name the first that was edited, dropped, inserted or moved since it was sealed.

    Every partition that has records is looked at, those without a chain too. Exit code 0 when nothing was found, 1 when
    something was.

    Parameters
    ----------
    keep_for, keep_personal
        As the archiver was given: from when on files without a MAC may say that retention emptied them.
    macs_since
        With the archive's key a file without a MAC is a finding, unless it begins with what was sealed before this.
    """
    settings = Settings.from_environment()
    if source not in ("kafka", "archive"):
        raise CommandRefusedError(f"--from {source}: kafka or archive")
    if source == "kafka":
        for option, given_ in (("--archive", archive), ("--accept-gaps", accept_gaps), ("--macs-since", macs_since)):
            if given_:
                raise CommandRefusedError(f"{option}: has no effect without --from archive")
    root = folder or Path(settings.audit_dir)
    wanted = _known(topic)
    gaps = _gaps(accept_gaps)
    since_ms = macs_since_ms(macs_since)
    try:
        given = read_heads(heads) if heads else []
        book = Book.at(root)
    except AuditError as error:
        raise CommandRefusedError(str(error)) from None
    if heads and not given:
        raise CommandRefusedError(f"--heads {heads}: holds no head")
    held = [one for one in given if not wanted or one.topic in wanted]
    if given and not held:
        raise CommandRefusedError(f"--heads {heads}: holds no head of {', '.join(wanted)}")
    sealed = {(one.topic, one.partition) for one in book.chains() if not wanted or one.topic in wanted}
    if not sealed and not held:
        raise CommandRefusedError(f"{root}: there are no audit chains here of {', '.join(wanted or ('any topic',))}")
    sealed |= {(one.topic, one.partition) for one in held}
    asked = wanted or audited_topics()
    now_ms, seal_lag_ms = int(time.time() * 1000), int(seal_lag * 60_000)

    def checked(places: Iterable[tuple[str, int]]) -> list[tuple[Chain, Checked]]:
        chains = [Chain(root, *place) for place in sorted(sealed.union(places))]
        return [(one, check_chain(one, held, now_ms)) for one in chains]

    if source == "archive":
        try:
            catalogue = Catalogue.of(archive or Path(settings.archive_dir))
        except ArchiveError as error:
            raise CommandRefusedError(str(error)) from None
        reader = ArchiveReader(catalogue, archive_key(settings))
        days = keep_days(archived_topics(), keep_for, keep_personal)
        results = checked(place for place in catalogue.places if place[0] in asked)
        for chain, done in results:
            if done.finding is None:
                check_archive(
                    chain, done, reader, now_ms, int(archive_lag * 60_000), held=held, seal_lag_ms=seal_lag_ms,
                    accepted=gaps[chain.topic, chain.partition], keep_days=days.get(chain.topic),
                    macs_since_ms=since_ms,
                )  # fmt: skip
    else:

        async def on_brokers() -> list[tuple[Chain, Checked]]:
            async with LogReader(settings) as log:
                places = []
                for name in asked:
                    with contextlib.suppress(UnknownTopicError):
                        places += [(name, partition) for partition in range(await log.partitions(name))]
                chains = checked(places)
                for chain, done in chains:
                    if done.finding is None:
                        await check_records(chain, done, log, now_ms, seal_lag_ms)
                return chains

        results = asyncio.run(on_brokers())
    found = [done for _, done in results if done.entries or done.tally.unsealed or done.finding]
    _report(found, as_json=as_json)
    return int(any(one.finding for one in found))


def _gaps(texts: Sequence[str]) -> defaultdict[tuple[str, int], list[tuple[int, int]]]:
    gaps: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for text in texts:
        found = _GAP.fullmatch(text)
        if found is None:
            raise CommandRefusedError(f"--accept-gaps {text}: write TOPIC[PARTITION]:FIRST-LAST")
        gaps[found[1], int(found[2])].append((int(found[3]), int(found[4])))
    return gaps


@app.command(name="heads")
def show_heads(*, folder: Folder = None, topic: Topics = ()) -> int:
    """Print the last sealed head of every chain as JSON lines: give them to somebody who cannot change the chains.

    `borderflow audit verify --heads FILE` checks against what they kept. Exit code 1 when some cannot be read.
    """
    root = folder or Path(Settings.from_environment().audit_dir)
    wanted = _known(topic)
    try:
        chains = [one for one in Book.at(root).chains() if not wanted or one.topic in wanted]
    except AuditError as error:
        raise CommandRefusedError(str(error)) from None
    wrong = 0
    for chain in chains:
        try:
            found = [head for head in chain.heads() if head.entries]
        except AuditError as error:
            sys.stderr.write(f"{error}\n")
            wrong = 1
        else:
            sys.stdout.writelines(msgspec.json.encode(head).decode() + "\n" for head in found[-1:])
    return wrong


@app.command
def trail(
    file: Path,
    /,
    *,
    head: Annotated[
        str | None, Parameter(help="A head that somebody else held, LINES:HASH: the trail must pass it.")
    ] = None,
) -> int:
    """Check a trail of the console: that no line was changed, dropped or moved; print its head.

    Parameters
    ----------
    file
        The trail.
    """
    held = None
    if head is not None:
        lines, _, made = head.partition(":")
        if not re.fullmatch("[0-9]{1,18}", lines) or not made:
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


def _report(results: Sequence[Checked], *, as_json: bool) -> None:
    if as_json:
        json.dump([one.as_json() for one in results], sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    console = output(soft_wrap=True)
    table = Table("topic", "partition", "sealed", "compared", "not sealed yet", "not there", "", box=None)
    for one in results:
        tally = one.tally
        gone = [
            f"{count:,} {why}"
            for count, why in (
                (tally.expired, "expired"), (tally.compacted, "compacted"), (tally.waiting, "not archived yet"),
                (tally.accepted, "in accepted gaps"), (tally.lost, "lost"),
            )
            if count
        ]  # fmt: skip
        said = "[green]as sealed[/]" if one.finding is None else f"[red]{one.finding.what}[/]"
        counts = (f"{count:,}" for count in (one.entries, tally.compared, tally.unsealed))
        table.add_row(one.topic, str(one.partition), *counts, ", ".join(gone), said)
    console.print(table)
    for one in results:
        if one.finding is not None:
            at = "" if one.finding.offset is None else f" offset {one.finding.offset}"
            console.print(
                f"[red]{one.topic}\\[{one.partition}]{at}: {one.finding.what}: {escape(one.finding.detail)}[/]"
            )
        for said in _notes(one.tally):
            console.print(f"{one.topic}\\[{one.partition}]: {said}")
        if one.tally.holes:
            first, last = one.tally.holes[0]
            console.print(
                f"{one.topic}\\[{one.partition}]: offsets {first} to {last} were not there when it was sealed"
                + (f", and {len(one.tally.holes) - 1} more such runs" if len(one.tally.holes) > 1 else "")
            )


def _notes(tally: Tally) -> Iterator[str]:
    if tally.before:
        yield f"{tally.before:,} offsets are there from before the first that was sealed"
    if tally.unreadable:
        yield f"{tally.unreadable:,} records could not be parsed: their content is not sealed"
    if tally.expired_to:
        yield f"the latest of what retention took out is of {tally.expired_to}"
    if tally.without_mac:
        yield (
            f"no MAC speaks for {tally.without_mac:,} files: their columns were compared with the values, and what they"
            " say of retention and compaction is what anybody may have written"
        )
