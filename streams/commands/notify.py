"""`borderflow notify`: tell webhooks and mailboxes of urgent alerts; list and send again what was not delivered."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import App, Parameter
from rich.table import Table

from streams.commands import loud_stop, output
from streams.notify.deadletters import still_undelivered
from streams.notify.plan import read_plan
from streams.settings import Settings

app = App(name="notify", help="Tell webhooks and mailboxes of urgent alerts.")


@app.command
def run(
    file: Path,
    /,
    *,
    expired: Annotated[
        bool, Parameter(negative="", help="Also alerts whose deadline has passed, as in a simulated border.")
    ] = False,
) -> int:
    """Notify as the plan in FILE says, until SIGTERM or Ctrl-C.

    With BORDERFLOW_NOTIFY_PORT, /healthz, /readyz and /metrics are on that port of BORDERFLOW_WEB_HOST.
    Exit code 1 when it had to stop: no room for dead letters, an alert that this version cannot read, brokers that are
    away or have not answered for half a minute. What is open comes again; start it again.

    Parameters
    ----------
    file
        The plan: receivers, priorities, addresses (docs/centre-guide.md).
    """
    from streams.centre import UnreadableAlertError
    from streams.certificates import tell_expiries
    from streams.logging import configure_logging
    from streams.notify import metrics
    from streams.notify.run import Notifier
    from streams.web import WorkerWeb

    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    notifier = Notifier(settings, read_plan(file), expired_too=expired)

    def end(*_: object) -> None:
        notifier.stop()
        if not notifier.connected:
            sys.exit(0)  # it has nothing in hand, and may wait for brokers for half a minute

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    log = structlog.get_logger("borderflow.notify")
    said = "notifying stops; what was not delivered comes again at the next start"
    pages = WorkerWeb(replace(settings, web_port=settings.notify_port), notifier.unready, metrics.REGISTRY)
    with loud_stop(log, said, OSError, UnreadableAlertError), pages.served():
        tell_expiries(settings)
        notifier.run()
    return 0


@app.command
def check(file: Path, /) -> None:
    """Check a plan without sending anything."""
    plan = read_plan(file)
    for one in plan.receivers:
        where = ", ".join(one.control_points) or "all control points"
        kind = "webhook" if one.webhook is not None else "mail"
        output(soft_wrap=True).print(f"{one.name}: {kind}, priority 1 to {one.priority}, {where}", markup=False)


@app.command
def failed(file: Path, /) -> None:
    """List what could not be delivered and was not delivered since."""
    table = Table("since", "receiver", "alert", "attempts", "why", box=None)
    for one in still_undelivered(Path(read_plan(file).dead_letters)):
        table.add_row(f"{one.at:%Y-%m-%d %H:%M:%S}", one.receiver, one.alert_id, str(one.attempts), one.why)
    output().print(table)


@app.command
def replay(file: Path, /, *, receiver: Annotated[str | None, Parameter(help="Only this receiver's.")] = None) -> int:
    """Send what could not be delivered once more; exit code 1 when something still cannot."""
    from streams.notify.run import redeliver

    console = output(soft_wrap=True)
    tally = redeliver(
        Settings.from_environment(),
        read_plan(file),
        receiver,
        lambda line: console.print(line, markup=False),
    )
    console.print(f"{tally.told} delivered, {tally.failed} not")
    return 1 if tally.failed else 0
