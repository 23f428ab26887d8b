"""`borderflow topics`: create what is declared, list it, and say where the brokers differ."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

from schemas.registry import declarations
from streams.commands import CommandRefusedError, output
from streams.settings import Settings

app = App(name="topics", help="Create, list and describe the topics of the loop.")

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON for other programs.")]


@app.command
def create(*, as_json: AsJson = False) -> int:
    """Create the declared topics that are missing. What exists is left as it is; how to change its settings is said.

    Exit code 0 when every topic is there as declared, 1 when one differs from its declaration.
    """
    from streams.topics import create_topics

    done = create_topics(Settings.from_environment())
    if as_json:
        _print_json([{"topic": one.name, "created": one.created, "differences": one.differences} for one in done])
    else:
        table = Table("topic", "", "differs from its declaration", box=None)
        for one in done:
            state = "[green]created[/]" if one.created else "[dim]exists[/]"
            table.add_row(one.name, state, "[yellow]" + "; ".join(one.differences) + "[/]" if one.differences else "")
        output(soft_wrap=True).print(table)
        if commands := [one.command for one in done if one.command]:
            print("as declared they are after (a shorter retention.ms deletes what is older):", *commands, sep="\n")  # noqa: T201 - to be copied
    return int(any(one.differences for one in done))


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List the declared topics and what the brokers have of each."""
    from streams.topics import admin, describe_topics

    settings = Settings.from_environment()
    with admin(settings) as client:
        both = describe_topics(client, settings)
    if as_json:
        _print_json(
            [
                {
                    "topic": wanted.name,
                    "exists": found is not None,
                    "partitions": found.partitions if found else None,
                    "replication": found.replication if found else None,
                }
                for wanted, found in both
            ]
        )
        return
    table = Table("topic", "partitions", "replicas", "declared", box=None)
    for wanted, found in both:
        declared = f"{wanted.partitions} / {wanted.replication}"
        if found is None:
            table.add_row(wanted.name, "[red]missing[/]", "", declared)
        else:
            table.add_row(wanted.name, str(found.partitions), str(found.replication), f"[dim]{declared}[/]")
    output(soft_wrap=True).print(table)


@app.command
def describe(topic: str, /, *, as_json: AsJson = False) -> int:
    """Describe one topic: what a record is, who writes and reads it, and its settings.

    Exit code 0 when the brokers have it as declared, 1 when it is missing or differs.

    Parameters
    ----------
    topic
        A declared topic, or the dead-letter topic of one.
    """
    from streams.topics import admin, describe_topics, topic_differences

    declared = declarations().get(topic.removesuffix("-dlq"))
    settings = Settings.from_environment()
    with admin(settings) as client:
        found = {wanted.name: (wanted, there) for wanted, there in describe_topics(client, settings)}
    if declared is None or topic not in found:
        raise CommandRefusedError(f"there is no topic {topic!r}; there are {', '.join(declarations())}")
    wanted, there = found[topic]
    differences = list(topic_differences(wanted, there))
    facts: dict[str, object] = {
        "topic": topic,
        "description": declared.description if topic == declared.topic else f"dead letters of {declared.topic}",
        "key": declared.key,
        "events": list(declared.events),
        "version": declared.version,
        "partitions": there.partitions if there else None,
        "replication": there.replication if there else None,
        "config": wanted.config,
        "differences": differences,
    }
    if as_json:
        _print_json(facts)
    else:
        table = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            if name == "config":
                value = "\n".join(f"{key}={text}" for key, text in wanted.config.items())
            elif isinstance(value, list):
                value = ", ".join(value) or "none"
            table.add_row(f"[dim]{name}[/]", "missing" if value is None else str(value))
        output(soft_wrap=True).print(table)
    return int(bool(differences))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2))  # noqa: T201 - the command's output
