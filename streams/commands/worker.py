"""`borderflow worker`: one member of the consumer group, hosting the four steps or some of them."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated

import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number

from streams.logging import configure_logging
from streams.settings import Settings

app = App(name="worker", help="Host the four steps, or some of them, as one member of the consumer group.")


@app.default
def worker(
    *,
    steps: Annotated[
        str | None, Parameter(help="Steps to host, separated by commas; all of BORDERFLOW_STEPS unless given.")
    ] = None,
    web_port: Annotated[
        int | None,
        Parameter(
            help="Port of /healthz, /readyz and /metrics; BORDERFLOW_WEB_PORT unless given.",
            validator=Number(gte=0, lte=65_535),
        ),
    ] = None,
) -> None:
    """Take lodgements, results and knowledge from the brokers until SIGTERM or Ctrl-C.

    All settings come from BORDERFLOW_* variables (docs/settings.md). Exit code 0 after an orderly stop, 1 when the
    worker had to stop because it could not go on without losing a record, 2 when starting it again would not help.
    """
    from streams.worker import serve

    settings = Settings.from_environment()
    settings = dataclasses.replace(
        settings,
        steps=settings.steps if steps is None else steps,
        web_port=settings.web_port if web_port is None else web_port,
    )
    settings.client_options()  # files of TLS and SASL that cannot be used are refused before anything starts
    configure_logging(settings.log_level)
    log = structlog.get_logger("borderflow.worker")
    for variable in Settings.unknown_variables():
        log.warning("no setting reads this variable", variable=variable)
    log.info(
        "worker starts",
        steps=settings.step_names, brokers=settings.brokers, group=settings.group, web_port=settings.web_port,
        pid=os.getpid(),
    )  # fmt: skip
    serve(settings)
