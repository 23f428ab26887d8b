"""Which fields are about persons: read off the `x-personal` marks of the types, so that the lists cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from schemas.documents import Schema, topic_schema
from schemas.registry import declaration


@cache
def personal_fields(topic: str) -> tuple[str, ...]:
    """The paths of a topic's personal fields, in order: `consignments[].consignee.name`.

    Where the topic carries several events the path starts with the event's name: `ModelPromoted:by`.
    Raises `KeyError` when the topic is not declared.
    """
    declared = declaration(topic)
    schema = topic_schema(declared)
    found: set[str] = set()
    for event in declared.events:
        paths = _marked({"$ref": f"#/$defs/{event}"}, schema, "", ())
        found.update(f"{event}:{path}" if len(declared.events) > 1 else path for path in paths)
    return tuple(sorted(found))


def _marked(schema: Schema, document: Schema, path: str, above: tuple[str, ...]) -> Iterator[str]:
    if schema.get("x-personal"):
        yield path
    if ref := schema.get("$ref"):
        if ref not in above:
            yield from _marked(_definition(document, ref), document, path, (*above, ref))
        return
    for one in schema.get("anyOf", ()):
        yield from _marked(one, document, path, above)
    for name, field in schema.get("properties", {}).items():
        yield from _marked(field, document, f"{path}.{name}" if path else name, above)
    for inner in (*schema.get("prefixItems", ()), schema.get("items")):
        if isinstance(inner, dict):
            yield from _marked(inner, document, f"{path}[]", above)
    if isinstance(entries := schema.get("additionalProperties"), dict):
        yield from _marked(entries, document, f"{path}{{}}", above)


def _definition(document: Schema, ref: str) -> Schema:
    definition: Any = document["$defs"][ref.removeprefix("#/$defs/")]
    return dict(definition)
