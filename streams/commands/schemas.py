"""`borderflow schemas`: what the topics carry, whether today's types read all of it, and what is personal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich import box
from rich.table import Table

import schemas
from schemas.asyncapi import ASYNCAPI_PATH, render_asyncapi
from schemas.codec import Undecodable, decode, decode_consignment
from schemas.compatibility import Violation, differences, violations
from schemas.documents import committed_schema, examples, generated_schemas, topic_schema
from schemas.personal import personal_fields
from schemas.registry import declarations
from streams.commands import CommandRefusedError, output

app = App(name="schemas", help="Show and check the schemas of the events.")

Folder = Annotated[Path | None, Parameter(help="The schemas folder; the installed package when absent.")]


@app.command(name="list")
def list_topics() -> int:
    """List the topics: key, events, version, partitions, retention."""
    table = Table("topic", "key", "events", "version", "partitions", "retention", "personal", box=box.SIMPLE)
    for one in declarations().values():
        table.add_row(
            one.topic,
            one.key,
            ", ".join(one.events),
            str(one.version),
            one.partitions,
            retention(one.retention_ms) + (", compacted" if one.tombstones else ""),
            "yes" if one.personal.holds else "no",
        )
    output().print(table, markup=False)
    return 0


@app.command
def personal(topic: str | None = None) -> int:
    """List the fields that are about persons, of one topic or of all."""
    if topic is not None and topic not in declarations():
        raise CommandRefusedError(f"no such topic: {topic}; there are {', '.join(declarations())}")
    table = Table("topic", "field", box=box.SIMPLE)
    for name in [topic] if topic else list(declarations()):
        for field in personal_fields(name):
            table.add_row(name, field)
    output().print(table, markup=False)
    return 0


@app.command
def check(*, folder: Folder = None) -> int:
    """Check that today's types read every committed version and example, and that the committed files are up to date.

    The exit code is 1 when something is wrong; each finding names the topic, version, field and reason.
    """
    if folder is not None and not folder.is_dir():
        raise CommandRefusedError(f"--folder: there is no folder {folder}")
    found = findings(folder or package_folder())
    if not found:
        output(soft_wrap=True).print(
            f"{len(declarations())} topics: all committed versions can be read, all files are up to date", markup=False
        )
        return 0
    table = Table("topic", "version", "field", "why", box=box.SIMPLE)
    for one in found:
        table.add_row(one.topic, str(one.version), one.path or "(record)", one.why)
    output().print(table, markup=False)
    return 1


@app.command
def compare(other: Path, /) -> int:
    """Compare with another version of borderflow: whether each reads all that the other may write.

    What only this one reads is no matter for an upgrade: it is for the way back. Exit code 1 when something is found.

    Parameters
    ----------
    other
        The `schemas` folder of the other version's installation.
    """
    if not (other / "json").is_dir():
        raise CommandRefusedError(f"{other}: is no schemas folder of borderflow (it has no folder json)")
    found = sorted(between(other))
    if not found:
        output(soft_wrap=True).print(f"each version reads what the other one writes to {len(declarations())} topics")
        return 0
    table = Table("topic", "field", "who cannot read it", "why", box=box.SIMPLE)
    for topic, path, who, why in found:
        table.add_row(topic, path or "(record)", who, why)
    output().print(table, markup=False)
    return 1


@app.command
def generate(
    *,
    folder: Folder = None,
    breaking: Annotated[
        bool,
        Parameter(negative=(), help="Write even what can no longer read a committed version: before a release only."),
    ] = False,
) -> int:
    """Write the JSON Schemas of the current versions and the AsyncAPI document.

    Refuses (exit code 1) when a committed version could no longer be read: writing would hide that from the check.
    """
    folder = folder or package_folder()
    broken = [one for topic in declarations().values() for one in violations(topic, folder)]
    if broken and not breaking:
        output(soft_wrap=True).print(
            "refused: today's types cannot read what was committed (see `borderflow schemas check`)", markup=False
        )
        return 1
    for path, text in generated_files().items():
        file = folder / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            output(soft_wrap=True).print(f"wrote {path}")
    return 0


def package_folder() -> Path:
    """The folder of the `schemas` package, as it is imported."""
    return Path(schemas.__file__).parent


def generated_files() -> dict[str, str]:
    """All files that are generated from the types and declarations: text by path in the `schemas` folder."""
    return {**generated_schemas(), ASYNCAPI_PATH: render_asyncapi()}


def findings(folder: Path) -> list[Violation]:
    """All that `check` finds: incompatible types, examples that cannot be read, and files that are out of date."""
    found: list[Violation] = []
    for one in declarations().values():
        found += violations(one, folder)
        for version in range(1, one.version + 1):
            found += _unreadable_examples(one.topic, version, folder)
    for path, text in generated_files().items():
        file = folder / path
        topic = path.removeprefix("json/").split(".")[0]
        version = declarations()[topic].version if topic in declarations() else 0
        if not file.is_file():
            found.append(Violation(topic, version, path, "not committed; run `borderflow schemas generate`"))
        elif file.read_text(encoding="utf-8") != text:
            found.append(Violation(topic, version, path, "out of date; run `borderflow schemas generate`"))
    return sorted(found)


def between(other: Path) -> Iterator[tuple[str, str, str, str]]:
    """What this version and that of another `schemas` folder cannot read of each other: topic, field, who, and why."""
    for one in declarations().values():
        today, theirs = topic_schema(one), committed_schema(one.topic, one.version, other)
        if theirs is None:
            yield one.topic, "", "the other version", f"it has no version {one.version} of the topic"
            continue
        yield from ((one.topic, path, "this version", why) for path, why in differences(theirs, today))
        yield from ((one.topic, path, "the other version", why) for path, why in differences(today, theirs))


def retention(milliseconds: int) -> str:
    """How long a topic keeps records, in words."""
    return "for ever" if milliseconds < 0 else f"{milliseconds / 86_400_000:g} days"


def _unreadable_examples(topic: str, version: int, folder: Path) -> list[Violation]:
    found, texts = [], examples(topic, version, folder)
    if not texts:
        found.append(Violation(topic, version, "", "the version has no examples"))
    for name, value in texts.items():
        try:
            event = decode(topic, value)
            for index, raw in enumerate(getattr(event, "consignments", ())):
                decode_consignment(raw, index) if isinstance(raw, msgspec.Raw) else None
        except Undecodable as error:
            found.append(Violation(topic, version, error.field, f"example {name}: {error.reason}, {error.detail}"))
    return found
