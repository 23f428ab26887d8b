"""The JSON Schemas that are committed beside the types, for people and programs that do not read Python.

`borderflow schemas generate` writes them and `borderflow schemas check` compares them: the types are the source, the
files are what other parties, the compatibility check and code review see.
"""

from __future__ import annotations

import inspect
import json
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import msgspec

from schemas.registry import TopicDeclaration, declarations

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_path(topic: str, version: int) -> str:
    """Where a topic's schema is, relative to the `schemas` package."""
    return f"json/{topic}.v{version}.schema.json"


def topic_schema(declared: TopicDeclaration) -> Schema:
    """The JSON Schema (2020-12) of a topic's records, from today's types. Fields about persons carry `x-personal`."""
    types: Any = declared.types[0]
    for kind in declared.types[1:]:
        types = types | kind
    schema = msgspec.json.schema(types)
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    document: Schema = {
        "$schema": DIALECT,
        "$id": f"urn:borderflow:{declared.topic}:v{declared.version}",
        "title": declared.topic,
        "description": declared.description,
        **schema,
    }
    plain: Schema = json.loads(json.dumps(document))  # defaults that are tuples become lists, as they are in JSON
    return plain


def render(document: Schema) -> str:
    """The text of a committed schema: sorted keys, so that a change shows as what it is."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def generated_schemas() -> dict[str, str]:
    """What the committed schemas of the current versions must say: text by path."""
    return {schema_path(one.topic, one.version): render(topic_schema(one)) for one in declarations().values()}


def committed_schema(topic: str, version: int, package: Traversable | None = None) -> Schema | None:
    """A committed schema, None when there is no such file. `package` is another `schemas` folder than the installed."""
    file = _package(package).joinpath(schema_path(topic, version))
    if not file.is_file():
        return None
    schema: Schema = json.loads(file.read_text(encoding="utf-8"))
    return schema


def examples(topic: str, version: int, package: Traversable | None = None) -> dict[str, bytes]:
    """The examples of a version of a topic, by file name, in order."""
    folder = _package(package).joinpath("examples").joinpath(topic).joinpath(f"v{version}")
    if not folder.is_dir():
        return {}
    files = {file.name: file for file in folder.iterdir() if file.name.endswith(".json")}
    return {name: files[name].read_bytes() for name in sorted(files)}


def _package(package: Traversable | None) -> Traversable:
    return resources.files("schemas") if package is None else package
