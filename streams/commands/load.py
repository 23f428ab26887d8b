"""`borderflow load`: lodge simulated items at a given rate on running brokers, and measure latency."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console

from load.clock import simulated_time
from load.measure import LoadPlan, complaints, report, run_load
from streams.commands import CommandRefusedError, refuse_at_a_border, refuse_unwritable
from streams.logging import configure_logging
from streams.settings import Settings
from streams.topology import read_policy

app = App(name="load", help="Lodge simulated items at a given rate and measure latency.")


@app.default
def load(
    *,
    rate: Annotated[float, Parameter(help="Items lodged per second.", validator=Number(gt=0, lte=100_000))] = 2000.0,
    duration: Annotated[
        float, Parameter(help="Seconds to lodge for; 0 for until Ctrl-C.", validator=Number(gte=0))
    ] = 60.0,
    brokers: Annotated[str | None, Parameter(help="Bootstrap servers; BORDERFLOW_BROKERS unless given.")] = None,
    seed: Annotated[int, Parameter(help="Another seed is another border.", validator=Number(gte=0))] = 1,
    items_per_day: Annotated[
        int | None,
        Parameter(
            help="Items in a simulated day; by default so many that event times stay within the topics' retention.",
            validator=Number(gte=1),
        ),
    ] = None,
    dirt: Annotated[
        float, Parameter(help="Share of lodgements that are broken or doubled.", validator=Number(gte=0, lte=0.5))
    ] = 0.0,
    officers: Annotated[bool, Parameter(help="Let simulated officers answer alerts.")] = True,
    drain: Annotated[
        float, Parameter(help="Seconds to wait at the end for what is in flight.", validator=Number(gte=0))
    ] = 30.0,
    json_file: Annotated[Path | None, Parameter(name="--json", help="Write the summary to this file.")] = None,
) -> int:
    """Lodge at the intended schedule however the system fares; latencies count from the intended send time.

    Workers must be running (`borderflow worker`) on the same brokers. Refused where BORDERFLOW_ENVIRONMENT is
    production: what it lodges is simulated. Exit code 0 when every item sent ended in
    exactly one decision or dead letter, else 1.
    """
    refuse_at_a_border(os.environ)
    refuse_unwritable("--json", json_file)
    settings = Settings.from_environment()
    if brokers is not None:
        settings = replace(settings, brokers=brokers)
    policy = read_policy(settings)
    _refuse_missing_topics(settings)
    try:
        time = simulated_time(rate, duration or None, datetime.now(UTC), items_per_day=items_per_day)
    except ValueError as error:
        raise CommandRefusedError(f"--items-per-day: {error}") from None
    plan = LoadPlan(
        client_options=settings.client_options(),
        rate=rate,
        duration_s=duration or None,
        time=time,
        seed=seed,
        dirt=dirt,
        officers=officers,
        capacity_share=policy.capacity_share,
        drain_s=drain,
    )
    configure_logging(settings.log_level)  # clients that wait for brokers say so once in a while, not at every try
    console = Console(highlight=False)
    summary = run_load(plan, console)
    if json_file is not None:
        json_file.write_text(json.dumps(summary, indent=2) + "\n")
    console.print(report(summary))
    if summary["driver_fell_behind"]:
        console.print("[yellow]the driver itself fell behind its schedule: these latencies are partly its own[/]")
    wrong = complaints(summary)
    for sentence in wrong:
        console.print(f"[red]{sentence}[/]")
    return int(bool(wrong))


def _refuse_missing_topics(settings: Settings) -> None:
    from streams.topics import admin, describe_topics

    with admin(settings) as client:
        missing = [wanted.name for wanted, found in describe_topics(client, settings) if found is None]
    if missing:
        raise CommandRefusedError(
            f"topic {missing[0]!r} does not exist (create it with `borderflow topics create`), "
            "or this user may not see it"
        )
