"""`borderflow criteria`: publish, withdraw, list and check targeting criteria."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.markup import escape
from rich.table import Column, Table

from agents.risk.criteria_doubts import doubts
from agents.risk.criteria_fields import ALL, fields_of
from schemas.items import Stream
from streams.commands import CommandRefusedError, output, shown
from streams.knowledge import criteria, valid
from streams.settings import Settings

app = App(name="criteria", help="Publish, withdraw and list targeting criteria.")

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")]


@app.command
def publish(
    file: Path,
    /,
    *,
    accept_load: Annotated[
        bool, Parameter(negative=(), help="Publish also what projects above its cap, and without a projection.")
    ] = False,
    folder: Annotated[
        Path | None, Parameter(name="--dir", help="The archive to project from; BORDERFLOW_ARCHIVE_DIR unless given.")
    ] = None,
    new_only: Annotated[bool, Parameter(name="--new-only", negative=())] = False,
    leave_gap: Annotated[bool, Parameter(name="--leave-gap", negative=())] = False,
    days: Annotated[
        int, Parameter(help="Latest days of the archive to project from.", validator=Number(gte=1, lte=36_500))
    ] = 7,
) -> None:
    """Publish the criteria of a YAML or JSON file. Every worker applies them within a second.

    A criterion that is published already needs a higher version. Nothing is published unless everything is usable.
    Without `valid_from` a version keeps the date of the one that it replaces; a new criterion begins a day ago, for
    what was lodged and is not decided yet.
    Where there is an archive, each criterion is tried on its latest days first. One that would fire on more than its
    cap at a control point is refused unless --accept-load is given. Without an archive there is no projection,
    and the command says so.

    Parameters
    ----------
    file
        One criterion, a list of them, or several YAML documents.
    new_only
        Leave out what is published already in this version or a higher one, instead of refusing the file.
    leave_gap
        Publish also a version that begins later while an earlier one is in force: that one ends now.
    """
    settings = Settings.from_environment()
    events = criteria.to_publish(file, lambda: criteria.published(settings), new_only=new_only, leave_gap=leave_gap)
    if not events:
        output().print(f"nothing in {file} is new, and nothing was published", highlight=False, markup=False)
        return
    if not accept_load:
        from streams.commands.projection import refuse_load

        refuse_load(settings, events, folder, days)
    criteria.send(settings, events)
    for event in events:
        output().print(
            f"published {event.criterion_id} version {event.version}, valid {valid(event)}",
            highlight=False,
            markup=False,
        )


@app.command
def check(file: Path, /) -> None:
    """Check a file of criteria without publishing it and without any broker. Warns of what never occurs.

    Parameters
    ----------
    file
        One criterion, a list of them, or several YAML documents.
    """
    events = criteria.read_file(file)
    for event in events:
        for doubt in doubts(event):
            output().print(f"{event.criterion_id}: {doubt}", highlight=False, markup=False)
    output().print(f"{len(events)} usable: {', '.join(e.criterion_id for e in events)}", highlight=False, markup=False)


@app.command
def withdraw(criterion_id: str, /) -> None:
    """Withdraw a criterion: its next version, which ends it.

    Parameters
    ----------
    criterion_id
        The criterion to end.
    """
    ended = criteria.withdraw(Settings.from_environment(), criterion_id)
    output().print(f"withdrew {criterion_id} with version {ended.version}", highlight=False, markup=False)


@app.command(name="list")
def list_(*, all_: Annotated[bool, Parameter(name="--all", negative=())] = False, as_json: AsJson = False) -> None:
    """List the published criteria.

    Parameters
    ----------
    all_
        Show withdrawn ones too.
    """
    events = [e for e in criteria.published(Settings.from_environment()).values() if all_ or not e.withdrawn]
    if as_json:
        output().out(msgspec.json.encode(events).decode(), highlight=False)
        return
    table = Table(Column("criterion", no_wrap=True), "version", "action", "streams", "valid", "condition", box=None)
    for one in events:
        action: str = "[dim]withdrawn[/]" if one.withdrawn else one.action
        if one.action == "boost" and not one.withdrawn:
            action += f" {one.weight:+g}"
        condition = escape(shown(one.condition))
        if not one.withdrawn and (problem := criteria.problem(one)) is not None:
            condition += f"\n[red]workers leave it out: {escape(shown(problem))}[/]"
        table.add_row(
            escape(shown(one.criterion_id)), str(one.version), action, " ".join(one.streams), valid(one), condition
        )
    output().print(table)


@app.command
def fields(stream: str | None = None, /) -> None:
    """List the fields that a condition may ask about.

    Parameters
    ----------
    stream
        Only those of one stream: manifests, express-cargo or passengers.
    """
    if stream is not None and stream not in ALL:
        raise CommandRefusedError(f"there is no stream {stream!r}; there are {', '.join(ALL)}")
    wanted: tuple[Stream, ...] = tuple(one for one in ALL if stream in (None, one))
    table = Table("field", "type", "streams", "meaning", box=None)
    known = {field.name: field for one in wanted for field in fields_of(one).values()}
    for field in known.values():
        where = "all" if field.streams == ALL else " ".join(field.streams)
        table.add_row(field.name, field.type, where, escape(field.meaning))
    output().print(table)
