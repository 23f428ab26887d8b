"""`borderflow replay`: decide history again, or check every recorded decision."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import duckdb
import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from agents.epoch import epoch_ms
from agents.risk.policy import Policy, PolicyRefusedError
from streams.archive.consuming import Archiver, only_writer
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader
from streams.archive.times import LATEST
from streams.archive.views import connect
from streams.archive.writing import date_of
from streams.commands import DISK, CommandRefusedError, output, progress_over
from streams.commands.archive import archive_key, folder_of, tell_without_mac
from streams.commands.times import span
from streams.policies import BUILT_IN, built_in_policy, load_policy
from streams.replay.beside import Beside
from streams.replay.engine import LODGEMENTS, Engine
from streams.replay.findings import Findings
from streams.replay.run import Plan, Replay, key_id, only_replay
from streams.replay.topics import TopicSink
from streams.replay.verify import verify
from streams.reports import plots
from streams.settings import Settings

app = App(name="replay", help="Decide history again, or check every recorded decision.")

_LONGEST_DAYS: Final = 36_500

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")]


@contextmanager
def archive_of(source: Literal["archive", "kafka"], settings: Settings, folder: Path | None) -> Iterator[ArchiveReader]:
    """The history to work on: the archive, or what the brokers have now, archived into a folder that is removed after.

    Raises `ArchiveError`, or the client's `KafkaError`.
    """
    if source == "archive":
        yield ArchiveReader(Catalogue.of(folder_of(settings, folder)), archive_key(settings))
        return
    with tempfile.TemporaryDirectory(prefix="borderflow-history-") as held:
        root = Path(held)
        with only_writer(root):
            shelf = PolicyShelf(root)
            for policy in (*map(built_in_policy, BUILT_IN), load_policy(settings.policy_file)):
                shelf.keep(policy)
            Archiver(settings, root, archive_key(settings), commits=False).run(lambda: False, once=True)
        yield ArchiveReader(Catalogue.of(root), archive_key(settings))


def span_of(since: str | None, until: str | None) -> tuple[int, int]:
    """The span of event time in ms. Raises `CommandRefusedError`."""
    begin, end = span(since, until)
    return epoch_ms(begin), epoch_ms(end)


def records_of(reader: ArchiveReader, *topics: str) -> int:
    """How many records the archive has of topics."""
    catalogue = reader.catalogue
    return sum(
        reader.facts(part).records
        for topic in topics
        for partition in catalogue.partitions(topic)
        for chunk in catalogue.chunks(topic, partition)
        for part in chunk.parts
    )


def refuse_nothing(reader: ArchiveReader, since_ms: int, until_ms: int, *topics: str) -> None:
    """Raise `CommandRefusedError` where the archive has no record of any of these topics, or of none of these dates."""
    root, begin, end = reader.catalogue.root, date_of(since_ms), date_of(until_ms - 1)
    parts = [part for topic in topics for part in reader.catalogue.parts(topic)]
    if any(begin <= part.date <= end and reader.facts(part).records for part in parts):
        return
    dates = sorted(part.date for part in parts if reader.facts(part).records)
    if not dates:
        raise CommandRefusedError(f"{root}: no record is archived of {', '.join(topics)}")
    raise CommandRefusedError(
        f"--since, --until: {root}: no record of that time is archived of {', '.join(topics)}; they are of {dates[0]} "
        f"to {dates[-1]}"
    )


@app.default
def replay(
    *,
    source: Annotated[
        Literal["archive", "kafka"], Parameter(name="--from", help="Where history is: the archive, or the brokers.")
    ] = "archive",
    since: Annotated[str | None, Parameter(help="Lodged at or after: a time, or how long ago (24h, 7d).")] = None,
    until: Annotated[str | None, Parameter(help="Lodged before.")] = None,
    check: Annotated[
        bool, Parameter(name="--verify", negative=(), help="Recompute every recorded decision; replay nothing.")
    ] = False,
    decisions_only: Annotated[
        bool, Parameter(negative=(), help="Verify selection alone: needs neither lodgements nor the pseudonym key.")
    ] = False,
    to: Annotated[Literal["files", "topics"], Parameter(help="Files alone, or topics with --prefix, too.")] = "files",
    prefix: Annotated[str, Parameter(help="Of the topics that --to topics writes to.")] = "replay-",
    out: Annotated[Path, Parameter(help="Folder of the files; a replay that was stopped goes on there.")] = Path(
        "replay"
    ),
    policy: Annotated[
        str | None, Parameter(help="A kept version, a file or a built-in name; the latest that decided unless given.")
    ] = None,
    speed: Annotated[str, Parameter(help="max, or so many times event time: 1x, 60x.")] = "max",
    warm_days: Annotated[
        float, Parameter(help="Days before --since that are decided, to have states, and not written.")
    ] = 36.0,
    processes: Annotated[
        Literal[1, 2] | None,
        Parameter(help="2: selection in a process beside; the same bytes. At full speed 2 where there are two cores."),
    ] = None,
    folder: Annotated[
        Path | None, Parameter(name="--dir", help="The archive's folder; BORDERFLOW_ARCHIVE_DIR unless given.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Decide history again in event time, with the knowledge of the time, or check it with --verify.

    Two replays of one archive write the same bytes. No live topic is ever written to. With --verify every recorded
    decision is recomputed at its model, criteria, profile, risk-information and policy versions: exit code 0 when all
    follow, byte for byte, from what is recorded; 1 when some do not, and each is named. A replay that decided nothing
    exits with 1.
    """
    if not check:
        plots.refuse_missing()
    settings = Settings.from_environment()
    since_ms, until_ms = span_of(since, until)
    factor = _factor(speed)
    if decisions_only and not check:
        raise CommandRefusedError("--decisions-only: has no effect without --verify")
    if check:
        for option, given in (("--policy", policy is not None), ("--to", to == "topics")):
            if given:
                raise CommandRefusedError(f"{option}: has no effect with --verify, which decides nothing anew")
    if processes == 2 and to == "topics":
        raise CommandRefusedError("--processes: a replay to topics takes one")
    if processes is None:
        in_two = factor is None and to == "files" and len(os.sched_getaffinity(0)) > 1
        processes = 2 if in_two else 1
    warm_ms = warm_from(since_ms, warm_days)
    with refusing(out), archive_of(source, settings, folder) as reader:
        if check:
            code = _verify(reader, settings, since_ms, until_ms, decisions_only, as_json)
        else:
            code = _replay(
                reader, settings, since_ms, until_ms, warm_ms, policy, factor, out, prefix if to == "topics" else None,
                processes, as_json,
            )  # fmt: skip
        tell_without_mac(reader)
    return code


def _verify(
    reader: ArchiveReader, settings: Settings, since_ms: int, until_ms: int, decisions_only: bool, as_json: bool
) -> int:
    key = None if decisions_only else settings.pseudonym_secret()
    earlier = () if decisions_only else (*LODGEMENTS, "screened")
    refuse_nothing(reader, since_ms, until_ms, *earlier, "filtered", "decisions")
    totals = {"selection": records_of(reader, "filtered")}
    if key is not None:
        totals["index"] = records_of(reader, "screened", "filtered")
        totals["screening"] = records_of(reader, *LODGEMENTS)
        totals["filtering"] = records_of(reader, "screened")
    with progress_over(totals) as noticed:
        found = verify(reader, key, since_ms=since_ms, until_ms=until_ms, noticed=noticed)
    _say(found, as_json)
    if not any(one.checked or one.differing for one in found):
        print("borderflow: nothing could be checked", file=sys.stderr)  # noqa: T201 - beside the answer
        return 1
    return int(any(one.differing for one in found))


def _replay(
    reader: ArchiveReader, settings: Settings, since_ms: int, until_ms: int, warm_ms: int, policy: str | None,
    factor: float | None, out: Path, prefix: str | None, processes: int, as_json: bool,
) -> int:  # fmt: skip
    refuse_nothing(reader, since_ms, until_ms, *LODGEMENTS)
    chosen, key = chosen_policy(reader, policy), settings.pseudonym_secret()
    partitions = max(reader.catalogue.partitions("screened"), default=0) + 1
    plan = Plan(since_ms=since_ms, until_ms=until_ms, warm_ms=warm_ms, policy=chosen.policy_version,
                partitions=partitions, pseudonyms=key_id(key), sink=prefix or "")  # fmt: skip
    from streams.replay.report import compare, write_report

    told = Console(stderr=True, highlight=False, soft_wrap=True)
    with only_replay(out):
        with ExitStack() as held:
            engine = Engine if processes == 1 else Beside
            run = Replay(reader, out, plan, lambda: engine(chosen, key, partitions))
            held.callback(run.close)
            sink: TopicSink | None = None
            if prefix is not None and not run.was_complete:
                sink = TopicSink(settings, prefix, partitions)
                held.callback(sink.close)
            noticed = held.enter_context(progress_over({"lodgements": records_of(reader, *LODGEMENTS)}))
            manifest = run.run(noticed=lambda count: noticed("lodgements", count), speed=factor, sink=sink)
        if run.was_complete:
            more = run.grown and until_ms == epoch_ms(LATEST)
            grown = "; the archive has grown since: what came is for a new folder" if more else ""
            told.print(f"the replay in {out} is complete already, nothing was done{grown}", markup=False)
        ran = shlex.join(["borderflow", *sys.argv[1:]])
        found = compare(reader.catalogue, out, manifest, ran, chosen.control_points)
        files = write_report(found, out)
    for caution in found.cautions:
        told.print(caution, markup=False)
    if as_json:
        sys.stdout.write(msgspec.json.encode(manifest).decode() + "\n")
    else:
        whole = found.whole
        line = f"{manifest.items:,} lodgements, {manifest.decided:,} decisions in {len(manifest.parts)} files in {out}"
        refused = ", ".join(f"{reason} {count}" for reason, count in manifest.refused.items())
        console = output(soft_wrap=True)
        console.print(line + (f"; refused: {refused}" if refused else ""), markup=False)
        if whole.items:
            console.print(f"{whole.items - whole.other_lane:,} of {whole.items:,} in the lane that was recorded")
        console.print(f"report: {', '.join(str(file) for file in files)}", markup=False)
    if not manifest.decided:
        why = f"policy {plan.policy} refused all of it" if manifest.items else "nothing of that time is archived"
        told.print(f"nothing was decided: {why}", markup=False)
    return int(not manifest.decided)


def warm_from(since_ms: int, days: float) -> int:
    """From when lodgements are decided to have states. Raises `CommandRefusedError`."""
    if not 0 <= days <= _LONGEST_DAYS:  # nor is it `nan`
        raise CommandRefusedError(f"--warm-days: {days:g} is not between 0 and {_LONGEST_DAYS:,}")
    return max(0, since_ms - int(days * 86_400_000))


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Around work on an archive: what is wrong with its files, or with room in `folder`, is refused in one line."""
    try:
        yield
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    except duckdb.Error as error:
        raise CommandRefusedError(str(error)) from None
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            raise
        raise CommandRefusedError(f"{error.filename or folder}: {error.strerror or error}") from None


def chosen_policy(reader: ArchiveReader, asked: str | None, option: str = "--policy") -> Policy:
    """A kept version, a file or a built-in policy; None for the one that decided last. Raises `CommandRefusedError`."""
    shelf = PolicyShelf(reader.catalogue.root)
    if asked is None:
        db = connect(reader.catalogue, "decisions")
        row = db.execute(
            'SELECT policy_version FROM decisions ORDER BY stamped_at DESC, "offset" DESC, partition LIMIT 1'
        ).fetchone()
        if row is None:
            raise CommandRefusedError(f"{option}: no decision is archived that could tell which; name one")
        return shelf.get(row[0])
    if asked in shelf.versions():
        return shelf.get(asked)
    try:
        return load_policy(asked)
    except PolicyRefusedError as error:
        raise CommandRefusedError(f"{option}: {error}") from None


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e9:
        raise CommandRefusedError(f"--speed: {speed!r} is neither max nor a number of times, as 60x")
    return factor


def _say(found: list[Findings], as_json: bool) -> None:
    if as_json:
        said: list[dict[str, Any]] = [
            {"step": one.step, "checked": one.checked, "differing": one.differing, "redelivered": one.redelivered,
             "in_flight": one.in_flight, "refused": one.refused, "unchecked": one.unchecked, "others": one.others,
             "differences": msgspec.to_builtins(one.differences)}
            for one in found
        ]  # fmt: skip
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return
    console = output(soft_wrap=True)
    for one in found:
        line = f"{one.step}: {one.checked:,} checked, {one.differing:,} differ"
        for count, what in ((one.redelivered, "redelivered"), (one.in_flight, "still on their way"),
                            (one.refused, "refused by a policy or a model, as their letters say"),
                            (one.unchecked, "not checked: from a letter, or from what is not archived"),
                            (one.others, "not checked: another version of borderflow decided them")):  # fmt: skip
            line += f", {count:,} {what}" if count else ""
        console.print(line)
        if one.step == "screening" and one.checked == one.differing > 0:
            console.print("  All differ. Is BORDERFLOW_PSEUDONYM_KEY the key that was used then?")
        for difference in one.differences:
            console.print(f"  {difference}", markup=False)
    this = version("borderflow")
    by = {one.software for step in found for one in step.differences if one.kind != "altered"} - {this}
    if by:
        named = ", ".join(sorted(name for name in by if name))
        who = f" This is {this}; decisions above name {named}." if named else ""
        console.print(f"Another version of borderflow may decide otherwise: what it decided is for it to verify.{who}")
