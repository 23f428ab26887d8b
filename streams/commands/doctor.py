"""`borderflow doctor`: checks an installation and says what to do."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape

from streams.commands import output, shown

app = App(
    name="doctor",
    help="Check settings, certificates, brokers, topics, rights, workers, seals, clock and disk; say what to do.",
)

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red", "skipped": "dim"}


@app.default
def doctor(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")] = False,
) -> int:
    """Examine this installation with the settings of the environment; nothing is changed.

    Exit code 0 when nothing is wrong (warnings are allowed), 1 otherwise.
    """
    from streams.doctor import examine

    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a broker that is away is a finding, not a traceback
    findings = list(examine(os.environ))
    wrong = any(one.state == "wrong" for one in findings)
    if as_json:
        json.dump(
            {"healthy": not wrong, "findings": [dataclasses.asdict(one) for one in findings]}, sys.stdout, indent=2
        )
        sys.stdout.write("\n")
        return int(wrong)
    console = output(soft_wrap=True)
    for one in findings:
        console.print(f"[{_COLOURS[one.state]}]{one.state:7}[/]  {one.check:16}  {escape(shown(one.found))}")
        if one.advice:
            console.print(f"{'':27}[dim]what to do:[/] {escape(one.advice)}")
    return int(wrong)
