"""`borderflow risk-info`: publish, withdraw, list and check watchlist, intelligence and trusted-trader entries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from schemas.knowledge import RiskInformationPublished
from streams.commands import aligned, output, shown
from streams.knowledge import entries, valid
from streams.settings import Settings

app = App(name="risk-info", help="Publish, withdraw and list risk information.")

AsJson = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print JSON for other programs; it holds the names on the list.")
]


@app.command
def publish(
    file: Path,
    /,
    *,
    new_only: Annotated[bool, Parameter(name="--new-only", negative=())] = False,
    leave_gap: Annotated[bool, Parameter(name="--leave-gap", negative=())] = False,
) -> None:
    """Publish the entries of a YAML or JSON file. Every worker applies them within a second.

    An entry that is published already needs a higher version. Nothing is published unless everything is usable.
    Without `valid_from` a version keeps the date of the one that it replaces; a new entry begins a day ago, for what
    was lodged and is not decided yet.

    Parameters
    ----------
    file
        One entry, a list of them, or several YAML documents.
    new_only
        Leave out what is published already in this version or a higher one, instead of refusing the file.
    leave_gap
        Publish also a version that begins later while an earlier one is in force: that one ends now.
    """
    settings = Settings.from_environment()
    events = entries.to_publish(file, lambda: entries.published(settings), new_only=new_only, leave_gap=leave_gap)
    if not events:
        output().print(f"nothing in {file} is new, and nothing was published", highlight=False, markup=False)
        return
    entries.send(settings, events)
    for event in events:
        output().print(
            f"published {event.entry_id} version {event.version}, valid {valid(event)}", highlight=False, markup=False
        )


@app.command
def check(file: Path, /) -> None:
    """Check a file of entries without publishing it and without any broker.

    Parameters
    ----------
    file
        One entry, a list of them, or several YAML documents.
    """
    events = entries.read_file(file)
    output().print(f"{len(events)} usable: {', '.join(e.entry_id for e in events)}", highlight=False, markup=False)


@app.command
def withdraw(entry_id: str, /) -> None:
    """Withdraw an entry: its next version, which ends it.

    Parameters
    ----------
    entry_id
        The entry to end.
    """
    ended = entries.withdraw(Settings.from_environment(), entry_id)
    output().print(f"withdrew {entry_id} with version {ended.version}", highlight=False, markup=False)


@app.command(name="list")
def list_(*, all_: Annotated[bool, Parameter(name="--all", negative=())] = False, as_json: AsJson = False) -> None:
    """List the published entries: what they look for, not whom (that is in `--json`).

    Parameters
    ----------
    all_
        Show withdrawn ones too.
    """
    events = [e for e in entries.published(Settings.from_environment()).values() if all_ or not e.withdrawn]
    if as_json:
        output().out(msgspec.json.encode(events).decode(), highlight=False)
        return
    rows = []
    for one in events:
        kind = "withdrawn" if one.withdrawn else one.kind
        streams, sought = " ".join(one.streams), targets(one)
        if not one.withdrawn and (problem := entries.problem(one)) is not None:
            sought += f"; it cannot be used like that: {shown(problem)}"
        rows.append((shown(one.entry_id), str(one.version), kind, streams, valid(one), str(one.severity), sought))
    sys.stdout.writelines(aligned(("entry", "version", "kind", "streams", "valid", "severity", "targets"), rows))


def targets(entry: RiskInformationPublished) -> str:
    """How many targets of each sort an entry gives, without any of their values."""
    counted = {
        "names": entry.party_names,
        "identifiers": entry.party_identifiers,
        "documents": entry.documents,
        "containers": entry.containers,
        "conveyances": entry.conveyances,
        "headings": entry.headings,
        "origins": entry.origins,
        "departures": entry.departures,
        "ports": entry.ports_of_loading,
    }
    return ", ".join(f"{len(values)} {name}" for name, values in counted.items() if values)
