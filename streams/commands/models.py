"""`borderflow models`: show, compare, promote, freeze and roll back the models."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.table import Table

from agents.risk.activation import Activation
from agents.risk.brain import STREAMS
from agents.risk.challengers import MODELS
from agents.risk.fairness import fairness
from agents.risk.standings import WINDOW
from schemas.codec import Undecodable, codec_for, encode
from schemas.inspections import ModelFrozen, ModelPromoted, ModelRolledBack
from schemas.items import Stream
from streams.commands import CommandRefusedError, output
from streams.model_log import TOPIC, ModelEvent, append, audit_sample, folded
from streams.settings import Settings

app = App(name="models", help="Show, promote, freeze and roll back the models.")

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")]
By = Annotated[str | None, Parameter(help="Who decides this; the name of the login unless given.")]
Why = Annotated[str, Parameter(help="Why, for the record.")]

FEW_FINDS = 10
"""With fewer, how a model ranks finds above clear results is mostly chance."""


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List what decides for each stream, since which version, and what can be rolled back to."""
    brain = folded(Settings.from_environment())
    rows = [_facts(stream, brain.activation(stream)) for stream in STREAMS]
    if as_json:
        output().out(msgspec.json.encode({"version": brain.version, "streams": rows}).decode(), highlight=False)
        return
    table = Table("stream", "activation", "decides", "since", "follows the log", "can roll back to", box=None)
    for row in rows:
        table.add_row(*[" ".join(map(str, cell)) if isinstance(cell, tuple) else str(cell) for cell in row.values()])
    output().print(table)
    output().print(f"the log stands at version {brain.version}; {brain.quarantined} lessons are in quarantine")


@app.command
def compare(stream: Stream, /, *, as_json: AsJson = False) -> None:
    """Compare champion and challengers on the latest lessons, each scored before it was learnt.

    Parameters
    ----------
    stream
        manifests, express-cargo or passengers.
    """
    standings = folded(Settings.from_environment()).standings(stream)
    if as_json:
        output().out(msgspec.json.encode(standings).decode(), highlight=False)
        return
    table = Table(
        "model", "decides", "lessons", f"finds in the latest {WINDOW}", "log loss", "ranked above clears", box=None
    )
    for one in standings:
        ranking = "-" if one.ranking is None else f"{one.ranking:.1%}"
        counts = str(one.lessons), str(one.finds)
        table.add_row(one.model, "yes" if one.decides else "", *counts, f"{one.log_loss:.4f}", ranking)
    output().print(table)
    if standings[0].finds < FEW_FINDS:
        output().print("with so few finds the ranking says nothing yet")


@app.command
def promote(stream: Stream, model: str, /, *, by: By = None, why: Why = "") -> None:
    """Let a model decide for a stream, as it stands at the end of the log.

    Parameters
    ----------
    stream
        manifests, express-cargo or passengers.
    model
        One of those that `compare` shows.
    """
    if model not in MODELS:
        raise CommandRefusedError(f"there is no model {model!r}; there are {', '.join(MODELS)}")
    _append(ModelPromoted(stream=stream, model=model, by=_who(by), why=why, at=datetime.now(UTC)))


@app.command
def freeze(stream: Stream, /, *, by: By = None, why: Why = "") -> None:
    """Let what decides for a stream stand still; the models go on learning beside it.

    Parameters
    ----------
    stream
        manifests, express-cargo or passengers.
    """
    _append(ModelFrozen(stream=stream, by=_who(by), why=why, at=datetime.now(UTC)))


@app.command
def rollback(stream: Stream, to_version: int, /, *, by: By = None, why: Why = "") -> None:
    """Go back to an earlier activation; it scores bit for bit as it did. Version 0 is the beginning.

    Parameters
    ----------
    stream
        manifests, express-cargo or passengers.
    to_version
        One of those that `list` shows.
    """
    settings = Settings.from_environment()
    held = folded(settings).activation(stream).versions
    if to_version not in held:
        raise CommandRefusedError(
            f"{stream} cannot be rolled back to {to_version}; it can to {', '.join(map(str, held))}"
        )
    event = ModelRolledBack(stream=stream, to_version=to_version, by=_who(by), why=why, at=datetime.now(UTC))
    _append(event, settings)


@app.command(name="fairness")
def fairness_(*, least: int = 30, as_json: AsJson = False) -> None:
    """Report targeting and finds by nationality in the audit sample of travellers. It decides nothing.

    Parameters
    ----------
    least
        Groups of fewer travellers are reported together.
    """
    reports = fairness(audit_sample(Settings.from_environment()), max(least, 10))
    if as_json:
        output().out(msgspec.json.encode(reports).decode(), highlight=False)
        return
    table = Table("nationality", "drawn", "finds", "share of finds (95%)", "mean score", "targeted too", "", box=None)
    for one in reports:
        span = f"{one.find_rate:.1%} ({one.low:.1%} to {one.high:.1%})"
        flag = "scored above its finds" if one.overscored else ""
        table.add_row(
            one.group, str(one.travellers), str(one.finds), span, f"{one.mean_score:.3f}", f"{one.targeted:.1%}", flag
        )
    output().print(table)
    if not reports:
        output().print("the audit sample is too small to speak of any group")


def _append(event: ModelEvent, settings: Settings | None = None) -> None:
    try:
        codec_for(TOPIC).decode(encode(event))
    except Undecodable as error:
        raise CommandRefusedError(f"--{error.field}: {error.detail}") from None
    offset = append(settings or Settings.from_environment(), event)
    output().print(f"{event.stream}: {type(event).__name__} stands in the log at {offset}", highlight=False)


def _facts(stream: Stream, activation: Activation) -> dict[str, object]:
    return {
        "stream": stream,
        "activation": activation.mode,
        "decides": activation.name,
        "since": activation.since,
        "follows": "yes" if activation.standing is None else "no",
        "versions": activation.versions,
    }


def _who(by: str | None) -> str:
    return by if by is not None else os.environ.get("USER") or "unknown"
