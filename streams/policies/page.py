"""`docs/policy.md`: written from the policy's own descriptions (`python -m streams.policies.page`).

What needs more than a table (how a bar moves, what a propensity means) is `semantics.md` beside this module.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from agents.risk.policy import Policy
from streams.policies import BUILT_IN, built_in_policy

PATH = Path("docs/policy.md")

_HEAD = """\
# The selection policy

A policy says what may be inspected where, how much of it, and by which rules. It is one YAML file; a worker reads the
one that `BORDERFLOW_POLICY_FILE` names, else the built-in `default`. Every decision carries `policy_version`: the
policy's `version`, and a hash of all its settings. Keys that are not listed here, values out of bounds and parts that
contradict each other are refused at start-up, with the path of the setting.

The least that a policy says is its name and its offices:

```yaml
{example}```

An item for any other office is refused (`unknown-control-point`), so write yours before the first worker starts:
`borderflow doctor` reads the file that `BORDERFLOW_POLICY_FILE` names, and says what is wrong with it. What a policy
leaves out has the default of the tables below. The built-in policy named `default` differs from these: it draws less by
chance and looks more at flows, and [models](models.md) measures that. Begin with its text, [below](#built-in-policies),
and put your own offices in.

On this page: [settings](#settings), [built-in policies](#built-in-policies), and what they do:
[how capacity is kept](#how-capacity-is-kept), [lanes](#lanes),
[chance](#chance-the-draw-its-rate-and-the-propensity), [what a result teaches](#what-a-result-teaches).

The tables are written from `agents/risk/policy.py` (`make generate`); a test compares the two.

"""

EXAMPLE = """\
version: rotterdam-1
control_points:
  NLRTM-SEA: {title: Port of Rotterdam, streams: [manifests]}
  NLRTM-EXP: {title: Rotterdam express centre, streams: [express-cargo], capacity_share: 0.01}
"""


def policy_page() -> str:
    """The whole page."""
    kind = inspect.type_info(Policy)
    assert isinstance(kind, inspect.StructType)  # noqa: S101  # narrows the type for the checker
    sections: list[str] = []
    rows = _rows(kind, "", sections)
    head = [_HEAD.format(example=EXAMPLE), "## Settings\n\n", _table(rows), *sections, "\n", _built_in(), "\n"]
    return "".join(head) + files("streams.policies").joinpath("semantics.md").read_text(encoding="utf-8")


def _rows(
    kind: inspect.StructType, path: str, sections: list[str], left_out: Any = None
) -> list[tuple[str, str, str, str]]:
    """The rows of one section; `left_out` is what a policy has that leaves the whole section out."""
    rows = []
    for field in kind.fields:
        name = f"{path}{field.encode_name}"
        held, description = _described(field.type)
        nested = _struct_in(held)
        if nested is not None:
            inner = f"{name}.*." if isinstance(held, inspect.DictType) else f"{name}."
            inside: list[str] = []
            whole = _value(field, left_out) if isinstance(held, inspect.StructType) else None
            table = _table(_rows(nested, inner, inside, whole))
            doc = " ".join((nested.cls.__doc__ or "").split())
            sections.append(f"\n### {name}\n\n{description} {doc}\n\n{table}")
            sections.extend(inside)
            if isinstance(held, inspect.StructType):
                continue
        rows.append((name, _kind(held), _default(field, left_out), description))
    return rows


def _described(kind: inspect.Type) -> tuple[inspect.Type, str]:
    if isinstance(kind, inspect.Metadata):
        schema = kind.extra_json_schema or {}
        return kind.type, str(schema.get("description", ""))
    return kind, ""


def _struct_in(kind: inspect.Type) -> inspect.StructType | None:
    if isinstance(kind, inspect.DictType):
        return _struct_in(_described(kind.value_type)[0])
    return kind if isinstance(kind, inspect.StructType) else None


def _kind(kind: inspect.Type) -> str:
    kind = _described(kind)[0]
    if isinstance(kind, inspect.FloatType | inspect.IntType):
        return ("number" if isinstance(kind, inspect.FloatType) else "whole number") + _bounds(kind)
    if isinstance(kind, inspect.BoolType):
        return "yes or no"
    if isinstance(kind, inspect.StrType):
        return "text"
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {_kind(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return "mapping by name"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_kind(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.DateTimeType):
        return "time with a zone"
    raise TypeError(f"no words for {kind!r}")


def _bounds(kind: inspect.FloatType | inspect.IntType) -> str:
    low = f"{kind.ge:g}" if kind.ge is not None else f"above {kind.gt:g}" if kind.gt is not None else ""
    high = f"{kind.le:.12g}" if kind.le is not None else f"below {kind.lt:g}" if kind.lt is not None else ""
    if low and high:
        return f", {low} to {high}"
    return f", {low}" + (" or more" if kind.ge is not None else "") if low else ""


def _value(field: inspect.Field, left_out: Any) -> Any:
    if left_out is not None:
        return getattr(left_out, field.name)
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _default(field: inspect.Field, left_out: Any) -> str:
    inside = "required" if field.required else _shown(field.default)
    outside = inside if left_out is None else _shown(_value(field, left_out))
    return inside if inside == outside else f"{outside} without its section, else {inside}"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {default} | {meaning} |" for name, kind, default, meaning in rows]
    return "\n".join(lines) + "\n"


def _built_in() -> str:
    lines = ["## Built-in policies\n"]
    for name in BUILT_IN:
        policy = built_in_policy(name)
        points = policy.control_points
        streams = sorted({stream for point in points.values() for stream in point.streams})
        lines.append(
            f"- `{name}`: {len(points)} control points for {', '.join(streams)}; "
            f"capacity {policy.capacity_share:.0%} of items; `{policy.policy_version}`."
        )
    text = files("streams.policies").joinpath("default.yaml").read_text(encoding="utf-8")
    lines += ["\nThey are the files `streams/policies/*.yaml`. The default one:\n", f"```yaml\n{text}```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(policy_page(), encoding="utf-8")
