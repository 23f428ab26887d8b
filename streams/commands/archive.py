"""`borderflow archive`: write every record down, keep the files in order, say what is there."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.table import Table

from agents.epoch import epoch_ms
from agents.risk.policy import PolicyRefusedError
from streams.archive import metrics
from streams.archive.consuming import Archiver, Pace, archived_topics, only_writer
from streams.archive.layout import ArchiveError, Catalogue
from streams.archive.policies import PolicyShelf
from streams.archive.reading import ArchiveReader, said_of_no_mac
from streams.archive.sealing import ArchiveKey
from streams.archive.tidying import compact, damaged, keep_days, retire, summary
from streams.certificates import tell_expiries
from streams.commands import CommandRefusedError, loud_stop, output, shown
from streams.commands.times import moment_of
from streams.logging import configure_logging
from streams.policies import BUILT_IN, built_in_policy, load_policy
from streams.settings import Settings
from streams.stopping import told_to_stop
from streams.web import WorkerWeb

app = App(name="archive", help="Write every record to Parquet files, once; keep them in order.")

Folder = Annotated[
    Path | None, Parameter(name="--dir", help="The archive's folder; BORDERFLOW_ARCHIVE_DIR unless given.")
]
_STOPS = "the archive stops; nothing that is not in a file was acknowledged"
KeepDays = Annotated[
    int,
    Parameter(
        help="Take out records whose date is older than so many days, except logs that are kept for ever; 0: never.",
        validator=Number(gte=0, lte=36_500),
    ),
]
KeepPersonalDays = Annotated[
    int,
    Parameter(help="The same for topics with personal data; 0: as --keep-days.", validator=Number(gte=0, lte=36_500)),
]


MacsSince = Annotated[
    str | None, Parameter(help="When the archiver began to write MACs: a time, or how long ago (24h, 7d).")
]


def macs_since_ms(text: str | None) -> int:
    """From when on all files have MACs, in ms; 0 unless it is said. Raises `CommandRefusedError`."""
    return 0 if text is None else epoch_ms(moment_of("--macs-since", text))


def tell_without_mac(reader: ArchiveReader) -> None:
    """Say on standard error how many of the files that were read could have been changed by anybody."""
    if count := len(reader.without_mac()):
        print(f"borderflow: {count:,} of the files that were read have no MAC: anybody may have changed them "  # noqa: T201 - beside the answer
              "(docs/archive.md)", file=sys.stderr)  # fmt: skip


def archive_key(settings: Settings) -> ArchiveKey | None:
    """The key of the archive. Raises `CommandRefusedError` for one that cannot be used, or none in production."""
    try:
        key = ArchiveKey.read(settings.archive_key_file)
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    if key is None and settings.environment == "production":
        raise CommandRefusedError("BORDERFLOW_ARCHIVE_KEY_FILE: production needs a key for records about persons")
    return key


def folder_of(settings: Settings, given: Path | None) -> Path:
    """The folder of the archive."""
    return given or Path(settings.archive_dir)


@app.default
def archive(
    *,
    folder: Folder = None,
    once: Annotated[bool, Parameter(negative=(), help="End when all that is there now is archived.")] = False,
    every: Annotated[
        float, Parameter(help="Seconds that a record waits at most until it is in a file.", validator=Number(gt=0))
    ] = 60.0,
    free: Annotated[
        int, Parameter(help="MiB of the disk to leave free; with less the archive stops.", validator=Number(gte=0))
    ] = 256,
    tidy_every: Annotated[
        float, Parameter(help="Seconds between rounds of compaction and retention; 0: never.", validator=Number(gte=0))
    ] = 3600.0,
    keep_for: Annotated[KeepDays, Parameter(name="--keep-days")] = 0,
    keep_personal: Annotated[KeepPersonalDays, Parameter(name="--keep-personal-days")] = 0,
    accept_gaps: Annotated[
        bool, Parameter(negative=(), help="Go on where brokers deleted records before they were archived.")
    ] = False,
) -> int:
    """Archive all topics until SIGTERM or Ctrl-C; what is not in a file two seconds later is read again next time.

    With BORDERFLOW_ARCHIVE_PORT, /healthz, /readyz and /metrics are on that port of BORDERFLOW_WEB_HOST.
    Exit code 1 when it had to stop: no room, records deleted too early, a file of the archive lost, another cluster's
    brokers, brokers away. Nothing is lost by that while the brokers keep the records; start it again.
    """
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    # kafka-python warns of every poll that took over 0.1 s; ours decode records in between.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    log = structlog.get_logger("borderflow.archive")
    root, key = folder_of(settings, folder), archive_key(settings)
    if key is None:
        log.warning("records about persons are archived UNPROTECTED: BORDERFLOW_ARCHIVE_KEY_FILE is not set")
    stopped = told_to_stop(log)
    days = keep_days(archived_topics(), keep_for, keep_personal)
    tidied = time.monotonic()

    def beat() -> None:
        nonlocal tidied
        if tidy_every and time.monotonic() - tidied >= tidy_every:
            retired = retire(root, days, key=key)  # first: compaction leaves the files that it put together for a round
            log.info("tidied", compacted=compact(root, key), retired=retired)
            tidied = time.monotonic()

    try:
        with loud_stop(log, _STOPS, ArchiveError, OSError, told=stopped.is_set), only_writer(root):
            shelf = PolicyShelf(root)
            for policy in (*map(built_in_policy, BUILT_IN), load_policy(settings.policy_file)):
                shelf.keep(policy)
            pace = Pace(seconds=every, free_bytes=free * 1_048_576)
            archiver = Archiver(settings, root, key, pace=pace, accept_gaps=accept_gaps)
            with _pages(settings, archiver, root):
                count = archiver.run(stopped.is_set, once=once, beat=beat)
    except PolicyRefusedError as error:
        raise CommandRefusedError(f"BORDERFLOW_POLICY_FILE: {error}") from None
    log.info("archived", records=count, folder=str(root))
    return 0


def _pages(settings: Settings, archiver: Archiver, root: Path) -> AbstractContextManager[None]:
    """The archiver's pages, while the block lasts."""

    def unready() -> list[str]:
        return [] if archiver.caught_up else ["not all that is there is read yet"]

    tell_expiries(settings)
    metrics.free_bytes.set_function(lambda: shutil.disk_usage(root).free)
    return WorkerWeb(replace(settings, web_port=settings.archive_port), unready, metrics.REGISTRY).served()


@app.command
def tidy(*, folder: Folder = None, keep_for: Annotated[KeepDays, Parameter(name="--keep-days")] = 0,
         keep_personal: Annotated[KeepPersonalDays, Parameter(name="--keep-personal-days")] = 0) -> None:  # fmt: skip
    """One round of compaction and retention, while no archiver runs on the folder."""
    settings = Settings.from_environment()
    root, key = folder_of(settings, folder), archive_key(settings)
    try:
        Catalogue.of(root)
        with only_writer(root):
            retired = retire(root, keep_days(archived_topics(), keep_for, keep_personal), key=key)
            compacted = compact(root, key)
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    output().print(f"{compacted} chunks compacted, {retired} files retired")


@app.command
def status(
    *,
    folder: Folder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    check: Annotated[
        bool, Parameter(negative=(), help="Read every file to its end, by its checksums; with the key also by its MAC.")
    ] = False,
    macs_since: MacsSince = None,
) -> int:
    """Say what is archived. Exit code 1 when files are missing or damaged, or offsets between them; each is named.

    Damaged files are in no count. With --check and the archive's key a file without a MAC is wrong, too.

    Parameters
    ----------
    macs_since
        With --check: files without a MAC are only counted when their date is from before this.
    """
    settings = Settings.from_environment()
    root, since_ms = folder_of(settings, folder), macs_since_ms(macs_since)
    if macs_since is not None and not check:
        raise CommandRefusedError("--macs-since: has no effect without --check")
    key = archive_key(settings) if check else None
    try:
        reader = ArchiveReader(Catalogue.of(root), key)
        broken = damaged(reader) if check else {}
        bare = [part for part in reader.without_mac(since_ms) if part not in broken]
        catalogue = Catalogue.of(root) if check else reader.catalogue  # to read all files takes long
        rows = summary(catalogue, without=broken)
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    wrong = {
        "damaged": list(broken.values()) + (list(PolicyShelf(root).damaged()) if check else []),
        "no_mac": [str(root / part.path) for part in bare],
        "torn": [str(one) for one in catalogue.torn],
        "gaps": [str(gap) for gap in catalogue.gaps()],
    }
    if as_json:
        policies = PolicyShelf(root).versions()
        print(json.dumps({"topics": rows, **wrong, "policies": policies}))  # noqa: T201
        return int(any(wrong.values()))
    table = Table(box=None)
    for name in rows[0] if rows else ("topic",):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    output().print(table)
    if check and key is None:
        output().print("no MAC was checked: BORDERFLOW_ARCHIVE_KEY_FILE is not set")
    elif count := sum(int(str(row["without_mac"])) for row in rows):
        output().print(f"{count:,} files have no MAC: from before there was one, or without a key; what they say, and "
                       "their columns, anybody may have changed")  # fmt: skip
    no_mac = [said_of_no_mac(root, bare)] if bare else []
    for said in (*wrong["damaged"], *no_mac, *wrong["torn"], *wrong["gaps"]):
        output().print(shown(said), style="red", markup=False)
    return int(any(wrong.values()))


@app.command
def snapshot(
    *,
    model: Annotated[
        int | None,
        Parameter(help="The model version; the latest that is archived unless given.", validator=Number(gte=0)),
    ] = None,
    folder: Folder = None,
) -> None:
    """Keep the models as they stood at a version, so that verification and simulation need not fold all lessons."""
    from agents.risk.brain import Brain
    from agents.risk.profiles import Profiles
    from streams.replay.shelf import Shelf
    from streams.replay.snapshots import Snapshots

    settings = Settings.from_environment()
    root, key = folder_of(settings, folder), archive_key(settings)
    try:
        reader = ArchiveReader(Catalogue.of(root), key)
        end = reader.catalogue.end("labelled-examples", 0) or 0
        shelf = Shelf(reader, "labelled-examples", lambda: Brain(Profiles()))
        brain = shelf.at(end if model is None else model)
        file = Snapshots(root, key).keep(brain)
    except ArchiveError as error:
        raise CommandRefusedError(str(error)) from None
    output().print(f"model version {brain.version} is kept in {file}")


@app.command(name="keep-policy")
def keep_policy(file: Path, /, *, folder: Folder = None) -> None:
    """Store a policy with the archive, so that what it decided can be recomputed.

    Parameters
    ----------
    file
        The policy's YAML file.
    """
    try:
        policy = load_policy(file)
    except PolicyRefusedError as error:
        raise CommandRefusedError(str(error)) from None
    kept = PolicyShelf(folder_of(Settings.from_environment(), folder)).keep(policy)
    said = "is kept now" if kept else "was kept already"
    output().print(f"{policy.policy_version} {said}")
