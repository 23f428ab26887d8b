"""`borderflow shadow`: a candidate policy on live traffic, without any effect on decisions."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.table import Table

from agents.risk.policy import PolicyRefusedError
from streams.commands import CommandRefusedError, loud_stop, output
from streams.commands.simulate import say
from streams.knowledge import criteria as criteria_topic
from streams.logging import configure_logging
from streams.policies import load_policy
from streams.reports import plots
from streams.settings import Settings
from streams.shadow.folder import CANDIDATE, ShadowFolder, shadows
from streams.simulate.candidates import Candidate
from streams.stopping import told_to_stop

app = App(name="shadow", help="Try a candidate policy on live traffic, without any effect on decisions.")

Folder = Annotated[
    Path | None, Parameter(name="--dir", help="The folder of shadows; BORDERFLOW_SHADOW_DIR unless given.")
]


@app.command
def start(
    name: str,
    /,
    *,
    policy: Annotated[
        str, Parameter(help="The candidate: a policy's file or built-in name; empty: the workers'.")
    ] = "",
    criteria: Annotated[Path | None, Parameter(help="Criteria to try with it, as for publication.")] = None,
    cpu: Annotated[
        float, Parameter(help="The most of one core that it may take.", validator=Number(gt=0, lte=1))
    ] = 0.5,
    warm_items: Annotated[
        int, Parameter(help="Latest decisions that fill its states first.", validator=Number(gte=0))
    ] = 100_000,
    detach: Annotated[
        bool, Parameter(negative=(), help="Go on in the background; its log is `log` in its folder.")
    ] = False,
    folder: Folder = None,
) -> int:
    """Follow live traffic with a candidate until `shadow stop NAME`, SIGTERM or Ctrl-C.

    It reads `filtered`, `decisions`, `inspection-results`, `criteria` and `labelled-examples`, and writes to its
    folder only, never to a topic. Several may run at once, each under a name of its own. Exit code 1 when it had to
    stop: no room, brokers away.

    Parameters
    ----------
    name
        What to call it.
    """
    settings = Settings.from_environment()
    held = ShadowFolder(_root(settings, folder), name)
    try:
        chosen = load_policy(policy or settings.policy_file)
    except PolicyRefusedError as error:
        raise CommandRefusedError(f"--policy: {error}") from None
    tried = tuple(criteria_topic.read_file(criteria)) if criteria is not None else ()
    if held.is_running():
        raise CommandRefusedError(f"shadow {name} runs already")
    held.begin(Candidate(CANDIDATE, chosen, tried))
    if detach:
        return _detached(held, cpu, warm_items)
    from streams.shadow.following import Follower

    configure_logging(settings.log_level)
    log = structlog.get_logger("borderflow.shadow")
    stopped = told_to_stop(log)
    with loud_stop(log, "the shadow stops; what it chose stays", OSError, told=stopped.is_set), held.held():
        status = Follower(settings, held, cpu=cpu, warm_items=warm_items).run(stopped.is_set)
    output().print(f"shadow {name} stopped after {status.items:,} items, {status.cpu_us_per_item:,.0f} us of CPU each")
    return 0


@app.command
def stop(
    name: str,
    /,
    *,
    wait_s: Annotated[float, Parameter(help="Seconds to wait until it has.", validator=Number(gte=0))] = 30.0,
    folder: Folder = None,
) -> int:
    """Stop a shadow; what it chose stays. Exit code 1 when it has not stopped in time.

    Parameters
    ----------
    name
        Which one.
    """
    held = _existing(folder, name)
    held.ask_to_stop()
    until = time.monotonic() + wait_s
    while held.is_running():
        if time.monotonic() > until:
            output().print(f"shadow {name} was told, and has not stopped yet")
            return 1
        time.sleep(0.1)
    output().print(f"shadow {name} is stopped")
    return 0


@app.command
def report(
    name: str | None = None,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder for report.html and report.json; else the shadow's own.")
    ] = None,
    folder: Folder = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")] = False,
) -> None:
    """Without a name: all shadows, how they stand and what they cost. With one: what it would have selected.

    Parameters
    ----------
    name
        Which one.
    """
    if name is None:
        _list(shadows(_root(Settings.from_environment(), folder)), as_json)
        return
    plots.refuse_missing()
    held = _existing(folder, name)
    from streams.shadow.comparing import compare
    from streams.simulate.page import write_report

    found = compare(held, shlex.join(["borderflow", *sys.argv[1:]]))
    files = write_report(found, out or held.path, f"Shadow {name} beside live decisions")
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    say(found)
    output().print(f"report: {', '.join(str(file) for file in files)}")


def _list(found: list[ShadowFolder], as_json: bool) -> None:
    rows = [{"name": one.name, **msgspec.to_builtins(one.status())} for one in found]
    if as_json:
        sys.stdout.write(msgspec.json.encode(rows).decode() + "\n")
        return
    table = Table("shadow", "state", "items", "behind", "us an item", "CPU s", "MB", "since", box=None)
    for row in rows:
        table.add_row(row["name"], row["state"], f"{row['items']:,}", f"{row['behind']:,}",
                      f"{row['cpu_us_per_item']:,.0f}", f"{row['cpu_s']:,.1f}", f"{row['memory_mb']:,.0f}",
                      row["started_at"])  # fmt: skip
    output().print(table)


def _detached(held: ShadowFolder, cpu: float, warm_items: int) -> int:
    """Start the same in a session of its own. The folder has the candidate by now."""
    command = [sys.executable, "-m", "streams.shadow", str(held.path.parent), held.name, str(cpu), str(warm_items)]
    with open(held.path / "log", "ab") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    output().print(f"shadow {held.name} runs as process {process.pid}; its log is {held.path / 'log'}")
    return 0


def _existing(folder: Path | None, name: str) -> ShadowFolder:
    held = ShadowFolder(_root(Settings.from_environment(), folder), name)
    held.candidate()
    return held


def _root(settings: Settings, given: Path | None) -> Path:
    return given or Path(settings.shadow_dir)
