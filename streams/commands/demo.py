"""`borderflow demo`: the whole loop on this machine, with a live view."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from load.datasets.cdd import DatasetError
from load.demo import DemoPlan, run_demo
from streams.commands import CommandRefusedError, refuse_at_a_border, refuse_unwritable
from streams.settings import Settings
from streams.topics import RetentionTooShortError, check_history
from streams.topology import read_policy

app = App(name="demo", help="Run the whole loop on this machine, with a live view.")

TIMED_BY_EVENTS = (
    "manifests", "passengers", "express-cargo", "screened", "filtered", "decisions", "alerts", "inspection-results",
)  # fmt: skip
"""Topics whose records carry event time as their timestamp; the first two are not for the data set."""


@app.default
def demo(
    *,
    duration: Annotated[
        float | None, Parameter(help="Seconds to lodge for; until Ctrl-C unless given.", validator=Number(gt=0))
    ] = None,
    rate: Annotated[float, Parameter(help="Items lodged per second.", validator=Number(gt=0, lte=20_000))] = 600.0,
    hours_per_second: Annotated[
        float, Parameter(help="Simulated hours in a second, on the embedded broker.", validator=Number(gt=0, lte=240))
    ] = 2.0,
    seed: Annotated[int, Parameter(help="Another seed is another border.", validator=Number(gte=0))] = 7,
    dirt: Annotated[
        float, Parameter(help="Share of lodgements that are broken or doubled.", validator=Number(gte=0, lte=0.5))
    ] = 0.01,
    workers: Annotated[int, Parameter(help="Workers in the consumer group.", validator=Number(gte=1, lte=32))] = 1,
    dataset: Annotated[
        Literal["cdd"] | None, Parameter(help="Lodge the Customs Declaration Dataset instead of a simulated world.")
    ] = None,
    path: Annotated[
        Path | None, Parameter(help="Where the data set is: a folder or a CSV file; BORDERFLOW_CDD unless given.")
    ] = None,
    console: Annotated[bool, Parameter(help="Serve the officers' page too.")] = True,
    json_file: Annotated[Path | None, Parameter(name="--json", help="Write the summary to this file.")] = None,
    archive: Annotated[
        Path | None, Parameter(help="Keep every record in an archive in this new folder, for query, replay, simulate.")
    ] = None,
    picture: Annotated[Path | None, Parameter(help="Write the live view's last frame to this SVG file.")] = None,
) -> int:
    """Start a broker (unless BORDERFLOW_BROKERS is set), topics, workers, lodgers and officers, and show what happens.

    Refused where BORDERFLOW_ENVIRONMENT is production: its goods are simulated.
    Ctrl-C stops it in order. Exit code 0 when every item lodged has exactly one decision or dead letter, else 1.
    """
    refuse_at_a_border(os.environ)
    environment: dict[str, str] = {}
    given = Settings.from_environment()
    policy = given.policy_file or dataset or "demo"
    capacity_share = read_policy(replace(given, policy_file=policy)).capacity_share
    environment["BORDERFLOW_POLICY_FILE"] = policy
    source: Path | None = None
    if dataset == "cdd":
        named = os.environ.get("BORDERFLOW_CDD")
        source = path or (Path(named) if named else None)
        if source is None:
            raise CommandRefusedError("--path: where is the Customs Declaration Dataset? (or set BORDERFLOW_CDD)")
    elif path is not None:
        raise CommandRefusedError("--path: goes with --dataset")
    refuse_unwritable("--json", json_file)
    refuse_unwritable("--picture", picture)
    if archive is not None and archive.exists() and (not archive.is_dir() or any(archive.iterdir())):
        raise CommandRefusedError(f"--archive: {archive} is there already; offsets of another broker would not fit it")
    plan = DemoPlan(
        rate=rate,
        duration_s=duration,
        hours_per_s=hours_per_second,
        seed=seed,
        dirt=dirt,
        workers=workers,
        capacity_share=capacity_share,
        dataset=source,
        brokers=given.brokers if os.environ.get("BORDERFLOW_BROKERS") else None,
        json_file=json_file,
        picture=picture,
        archive=archive,
        console=console,
        environment=environment,
        client_options=_client_options,
        check_history=partial(_check_history, TIMED_BY_EVENTS if source is None else TIMED_BY_EVENTS[2:]),
    )
    try:
        return run_demo(plan)
    except DatasetError as error:
        raise CommandRefusedError(f"{'--path' if path else 'BORDERFLOW_CDD'}: {error}") from None


def _check_history(topics: tuple[str, ...], environment: Mapping[str, str], first: datetime) -> None:
    try:
        check_history(Settings.from_environment({**os.environ, **environment}), topics, first)
    except RetentionTooShortError as error:
        raise CommandRefusedError(str(error)) from None


def _client_options(environment: Mapping[str, str]) -> Mapping[str, Any]:
    return Settings.from_environment({**os.environ, **environment}).client_options()
