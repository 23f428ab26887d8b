"""A change that could not read history, or would read it as something else, is refused when it is made."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from schemas.compatibility import Finding, differences, violations
from schemas.documents import topic_schema
from schemas.registry import declaration, declarations

Kilograms = Annotated[float, Meta(ge=0, le=1000)]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    hs_code: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    mass_kg: Kilograms
    packages: int = 1


class Lodged(msgspec.Struct, tag_field="event", tag="Lodged", frozen=True, kw_only=True):
    waybill: Annotated[str, Meta(min_length=1, max_length=20)]
    mode: Literal["air", "sea"]
    goods: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=9)]
    platform: str | None = None
    shares: dict[str, float] = {}


def schema(kind: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(msgspec.json.schema(kind)))
    return document


BEFORE = schema(Lodged)


def after(changed: Any) -> list[Finding]:
    return differences(BEFORE, schema(changed))


def variant(*, line: type[msgspec.Struct] = Line, tag: str = "Lodged", **fields: Any) -> type[msgspec.Struct]:
    """`Lodged` with fields changed (`name=type` or `name=(type, default)`) or removed (`name=None`)."""
    plan: dict[str, Any] = {
        "waybill": Annotated[str, Meta(min_length=1, max_length=20)],
        "mode": Literal["air", "sea"],
        "goods": Annotated[tuple[line, ...], Meta(min_length=1, max_length=9)],  # type: ignore[valid-type] - made at run time
        "platform": (str | None, None),
        "shares": (dict[str, float], msgspec.field(default_factory=dict)),
        **fields,
    }
    spec = [(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in plan.items() if kind]
    return msgspec.defstruct("Lodged", spec, tag_field="event", tag=tag, frozen=True, kw_only=True)


def line(**fields: Any) -> type[msgspec.Struct]:
    plan: dict[str, Any] = {
        "hs_code": Annotated[str, Meta(pattern="^[0-9]{6}$")],
        "mass_kg": Kilograms,
        "packages": (int, 1),
        **fields,
    }
    spec = [(name, *kind) if isinstance(kind, tuple) else (name, kind) for name, kind in plan.items() if kind]
    return variant(line=msgspec.defstruct("Line", spec, frozen=True, kw_only=True))


@pytest.mark.parametrize(
    ("changed", "path", "why"),
    [
        (variant(courier=str), "courier", "a new field is required"),
        (variant(platform=str), "platform", "an optional field became required"),
        (variant(platform=str), "platform", "null was allowed, now only string"),
        (variant(platform=(str | None, "none")), "platform", "the default changed from None to 'none'"),
        (variant(waybill=int), "waybill", "string was allowed, now only integer"),
        (
            variant(waybill=Annotated[str, Meta(min_length=2, max_length=20)]),
            "waybill",
            "minLength went from 1 up to 2",
        ),
        (
            variant(waybill=Annotated[str, Meta(min_length=1, max_length=19)]),
            "waybill",
            "maxLength went from 20 down to 19",
        ),
        (variant(waybill=Annotated[str, Meta(pattern="^[A-Z]")]), "waybill", "pattern is new"),
        (variant(mode=Literal["air"]), "mode", "no longer allowed: sea"),
        (variant(goods=Line), "goods", "array was allowed, now only object"),
        (
            variant(goods=Annotated[tuple[Line, ...], Meta(min_length=2, max_length=9)]),
            "goods",
            "minItems went from 1 up to 2",
        ),
        (
            variant(goods=Annotated[tuple[Line, ...], Meta(min_length=1, max_length=8)]),
            "goods",
            "maxItems went from 9 down to 8",
        ),
        (variant(shares=dict[str, int]), "shares", "an optional field became required"),
        (variant(shares=(dict[str, int], msgspec.field(default_factory=dict))), "shares{}", "number was allowed"),
        (variant(tag="Sent"), "", "the event Lodged is no longer read"),
        (line(seals=int), "goods[].seals", "a new field is required"),
        (line(packages=(int, 0)), "goods[].packages", "the default changed from 1 to 0"),
        (line(mass_kg=int), "goods[].mass_kg", "number was allowed, now only integer"),
        (line(mass_kg=Annotated[float, Meta(ge=0, le=999)]), "goods[].mass_kg", "maximum went from 1000 down to 999"),
        (line(mass_kg=Annotated[float, Meta(gt=0, le=1000)]), "goods[].mass_kg", "exclusiveMinimum went from none"),
        (line(hs_code=Annotated[str, Meta(pattern="^[0-9]{8}$")]), "goods[].hs_code", "pattern changed"),
        (line(hs_code=Literal["851762"]), "goods[].hs_code", "any value was allowed, now only some"),
    ],
)
def test_a_breaking_change_is_found_where_it_is(changed: Any, path: str, why: str) -> None:
    found = after(changed)
    assert any(where == path and reason.startswith(why) for where, reason in found), found


@pytest.mark.parametrize(
    "changed",
    [
        variant(),
        variant(courier=(str | None, None)),
        variant(platform=None),
        variant(waybill=str),
        variant(waybill=str | int),
        variant(mode=Literal["air", "sea", "road"]),
        variant(mode=str),
        variant(mode=(Literal["air", "sea"], "air")),
        variant(goods=(tuple[Line, ...], ())),
        line(mass_kg=Annotated[float, Meta(ge=-1)]),
        line(packages=(int | None, 1)),
        line(packages=(float, 1)),
        line(seals=(tuple[str, ...], ())),
        variant() | msgspec.defstruct("Other", [], tag_field="event", tag="Other"),
    ],
)
def test_a_change_that_reads_all_of_history_is_allowed(changed: Any) -> None:
    assert after(changed) == []


def test_an_event_that_is_taken_off_a_topic_is_missed() -> None:
    two = Lodged | msgspec.defstruct("Other", [("at", str)], tag_field="event", tag="Other")
    assert differences(schema(two), BEFORE) == [("", "the event Other is no longer read")]


def test_fixed_arrays_are_compared_place_by_place() -> None:
    before, narrower = schema(tuple[int, float]), schema(tuple[int, int])
    assert differences(before, narrower) == [("[1]", "number was allowed, now only integer")]
    assert differences(narrower, before) == []
    assert [path for path, _ in differences(before, schema(tuple[int, float, int]))] == [""]


def test_a_type_that_holds_itself_is_compared_to_its_end() -> None:
    before = {
        "$ref": "#/$defs/Box",
        "$defs": {
            "Box": {
                "type": "object",
                "properties": {"inner": {"anyOf": [{"$ref": "#/$defs/Box"}, {"type": "null"}]}},
                "required": [],
            }
        },
    }
    changed = copy.deepcopy(before)
    changed["$defs"]["Box"]["required"] = ["inner"]  # type: ignore[index] - plain JSON
    assert differences(before, before) == []
    assert [path for path, _ in differences(before, changed)] == ["inner"]


@pytest.mark.parametrize("topic", sorted(declarations()))
def test_every_type_reads_what_it_writes(topic: str) -> None:
    today = topic_schema(declaration(topic))
    assert differences(today, today) == []


def test_every_version_before_the_current_must_be_committed_and_readable(tmp_path: Path) -> None:
    declared = msgspec.structs.replace(declaration("criteria"), version=3)
    assert [(one.version, one.why) for one in violations(declared, tmp_path)] == [
        (1, "the schema of this version is not committed"),
        (2, "the schema of this version is not committed"),
    ]
    older = topic_schema(declared)
    older["$defs"]["CriterionPublished"]["properties"]["action"]["enum"].append("hold")
    first, second = tmp_path / "json/criteria.v1.schema.json", tmp_path / "json/criteria.v2.schema.json"
    first.parent.mkdir()
    first.write_text(json.dumps(older))
    second.write_text(json.dumps(topic_schema(declared)))
    found = violations(declared, tmp_path)
    assert [(one.topic, one.version, one.path, one.why) for one in found] == [
        ("criteria", 1, "action", "no longer allowed: hold")
    ]
    assert violations(msgspec.structs.replace(declared, compatibility="NONE"), tmp_path) == []
