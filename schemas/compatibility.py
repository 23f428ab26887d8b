"""Can today's types read all that was ever written? BACKWARD_TRANSITIVE, schema by committed schema.

History is replayed for years, so a change that cannot read an old record, or reads it as something else, is refused
when it is made. `differences(old, new)` walks both schemas and reports whatever the old one allows and the new one does
not. It knows the JSON Schema that msgspec writes. It is conservative: what it cannot prove (a changed pattern) it
reports. Beside the usual rules it refuses a changed default, because defaults are left out when an event is written,
and the old record would silently mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from schemas.documents import Schema, committed_schema, topic_schema
from schemas.registry import TopicDeclaration

Finding = tuple[str, str]
"""The path of a field (`goods[].hs_code`, empty for the record) and why old records cannot be read there."""

# keyword, what a raised or lowered bound is called, and whether a larger new value narrows
_LOWER_BOUNDS = (("minimum", 0), ("exclusiveMinimum", 0), ("minLength", 0), ("minItems", 0), ("minProperties", 0))
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """A place where today's type cannot read what a committed version allows."""

    topic: str
    version: int
    path: str
    why: str


def violations(declared: TopicDeclaration, package: Traversable | None = None) -> list[Violation]:
    """All violations of a topic's compatibility rule against its committed versions, the current one among them.

    A version that should be committed and is not (any before the current) is a violation too.
    """
    if declared.compatibility == "NONE":
        return []
    today, found = topic_schema(declared), []
    for version in range(1, declared.version + 1):
        committed = committed_schema(declared.topic, version, package)
        if committed is not None:
            found += [Violation(declared.topic, version, path, why) for path, why in differences(committed, today)]
        elif version < declared.version:
            found.append(Violation(declared.topic, version, "", "the schema of this version is not committed"))
    return found


def differences(old: Schema, new: Schema) -> list[Finding]:
    """What `old` allows and `new` does not read, or reads as something else."""
    return sorted(set(_Comparison(old, new).compare(old, new, "")))


class _Comparison:
    """Two whole schemas; `$ref`s are resolved in their own one. A pair that is being compared is not entered again,
    so types that hold themselves end."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._under_way: set[tuple[int, int]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        offered = _alternatives(new, self._new)
        for alternative in _alternatives(old, self._old):
            yield from self._readable(alternative, offered, path)

    def _readable(self, old: Schema, offered: list[Schema], path: str) -> Iterator[Finding]:
        """Nothing when one of the offered alternatives reads all of `old`, else the findings of the nearest one."""
        nearest: list[Finding] | None = None
        for new in offered:
            if not _same_kind(old, new):
                continue
            found = list(self._pair(old, new, path))
            if not found:
                return
            if nearest is None or len(found) < len(nearest):
                nearest = found
        if nearest is not None:
            yield from nearest
        elif (event := _tag(old)) is not None:
            yield path, f"the event {event} is no longer read"
        else:
            there = ", ".join(dict.fromkeys(_kind(one) for one in offered))
            yield path, f"{_kind(old)} was allowed, now only {there}"

    def _pair(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        pair = (id(old), id(new))
        if pair in self._under_way:
            return
        self._under_way.add(pair)
        yield from _values(old, new, path)
        yield from _bounds(old, new, path)
        if _kind(old) == "object":
            yield from self._properties(old, new, path)
        elif _kind(old) == "array":
            yield from self._items(old, new, path)
        self._under_way.discard(pair)

    def _properties(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = set(old.get("required", ()))
        for name in new.get("required", ()):
            if name not in required:
                why = "an optional field became required" if name in before else "a new field is required"
                yield _field(path, name), why
        for name, field in after.items():
            if name not in before:
                continue
            yield from self.compare(before[name], field, _field(path, name))
            if name not in required and "default" in field and before[name].get("default") != field["default"]:
                yield (
                    _field(path, name),
                    f"the default changed from {before[name].get('default')!r} to {field['default']!r}",
                )
        entries, read = old.get("additionalProperties"), new.get("additionalProperties")
        if isinstance(entries, dict) and isinstance(read, dict):
            yield from self.compare(entries, read, f"{path}{{}}")
        elif read is False and entries is not False:
            yield path, "fields that are not declared are refused now"
        elif isinstance(read, dict) and not before and entries is None:
            yield path, "entries of any kind were allowed, now they are restricted"

    def _items(self, old: Schema, new: Schema, path: str) -> Iterator[Finding]:
        before, after = _shape(old), _shape(new)
        for place in range(max(len(before[0]), len(after[0]))):
            one = before[0][place] if place < len(before[0]) else before[1]
            other = after[0][place] if place < len(after[0]) else after[1]
            if one is not None and other is not None:
                yield from self.compare(one, other, f"{path}[{place}]")
        if before[1] is not None and after[1] is not None:
            yield from self.compare(before[1], after[1], f"{path}[]")


def _values(old: Schema, new: Schema, path: str) -> Iterator[Finding]:
    """Enumerations, patterns and formats."""
    if "enum" in new:
        if "enum" not in old:
            yield path, "any value was allowed, now only some"
        elif gone := [value for value in old["enum"] if value not in new["enum"]]:
            yield path, f"no longer allowed: {', '.join(map(str, gone))}"
        return
    for keyword in ("pattern", "format", "multipleOf"):
        if keyword not in new or old.get(keyword) == new[keyword]:
            continue
        if keyword == "pattern" and "enum" in old and all(re.search(new["pattern"], str(one)) for one in old["enum"]):
            continue
        yield path, f"{keyword} is new" if keyword not in old else f"{keyword} changed"


def _bounds(old: Schema, new: Schema, path: str) -> Iterator[Finding]:
    if "enum" in old and "enum" not in new:  # words that became free text: the words must fit
        lengths = [len(str(value)) for value in old["enum"]]
        old = {"minLength": min(lengths), "maxLength": max(lengths)} if _kind(old) == "string" else old
    for keyword, nothing in _LOWER_BOUNDS:
        # A bound of zero on a length bounds nothing; on a number it does.
        before = old.get(keyword, nothing if keyword.startswith("min") and keyword != "minimum" else None)
        if keyword in new and (before is None or before < new[keyword]):
            yield path, f"{keyword} went from {'none' if before is None else before} up to {new[keyword]}"
    for keyword in _UPPER_BOUNDS:
        before = old.get(keyword)
        if keyword in new and (before is None or before > new[keyword]):
            yield path, f"{keyword} went from {'none' if before is None else before} down to {new[keyword]}"


def _alternatives(schema: Schema, document: Schema) -> list[Schema]:
    """The schema without `$ref` and `anyOf`: the list of plain schemas that it is a choice of."""
    if "$ref" in schema:
        resolved: Schema = document["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return _alternatives(resolved, document)
    if "anyOf" in schema:
        return [plain for one in schema["anyOf"] for plain in _alternatives(one, document)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": one} for one in schema["type"]]
    return [schema]


def _kind(schema: Schema) -> str:
    if "type" in schema:
        return str(schema["type"])
    if "enum" in schema:
        return "string" if all(isinstance(value, str) for value in schema["enum"]) else "integer"
    return "any"


def _same_kind(old: Schema, new: Schema) -> bool:
    if _tag(old) != _tag(new) and None not in (_tag(old), _tag(new)):
        return False
    kinds = (_kind(old), _kind(new))
    return kinds[0] == kinds[1] or kinds[1] == "any" or kinds == ("integer", "number")


def _tag(schema: Schema) -> str | None:
    words: list[Any] = schema.get("properties", {}).get("event", {}).get("enum", [])
    return str(words[0]) if len(words) == 1 else None


def _shape(schema: Schema) -> tuple[list[Schema], Schema | None]:
    """The schemas of the first items, one by one, and of the rest (None: there is no rest, or anything goes)."""
    rest: Any = schema.get("items")
    return schema.get("prefixItems", []), rest if isinstance(rest, dict) else None


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
