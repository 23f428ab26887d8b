"""Criteria made fast: each becomes a Python function over a tuple of field values, found by what it asks first.

Most criteria demand one of few values of some field (`hs6 startswith "8517"`, `origin in ["CN", "VN"]`): those are
found by a dictionary lookup of the item's own value, so an item meets only criteria that could fire. The rest are
joined into few functions. docs/adr/0006-criteria-expressions.md has the measurements.

Functions are built as syntax trees from typed conditions (`agents.risk.criteria_language`), never from text of a
criterion: its texts and numbers enter as constants. None of them can raise: an absent value is asked for first.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from types import CodeType, FunctionType
from typing import Any as AnyValue
from typing import Final, NamedTuple

from agents.risk.criteria_fields import Field, folded
from agents.risk.criteria_language import All, Any, Condition, Not, Test, Value
from agents.risk.profiles import NOTHING_KNOWN
from schemas.items import ItemScreened, Monitored

Values = tuple[AnyValue, ...]
Extract = Callable[[ItemScreened, Monitored, float], Values]
Predicate = Callable[[Values], bool]
Join = tuple[tuple[int, ...], Callable[[Values], list[int]]]
"""Several conditions in one function: their ids, and what tells the places of those that hold."""
Demand = tuple[Field, int | None, tuple[str, ...]]
"""A field, the length of its prefix (None: the whole value) and the values of which an item must have one."""

_MOST_DEMANDED = 200
MANY: Final = 64
_SELECTIVE = (
    "consignee", "shipper", "document", "bill", "journey", "conveyance", "declarant", "hs6", "platform", "agency",
    "hs4", "port_of_loading", "embarkation", "carrier", "hs2", "origin", "departure", "document_issuer",
    "control_point",
)  # fmt: skip
"""Fields by how few items share a value: the first of these that a criterion demands is what it is found by."""


class Made(NamedTuple):
    """What was made of a condition. It holds the condition, so that no other one has its `id`."""

    condition: Condition
    demand: Demand | None
    predicate: Predicate | None


class CompiledCriteria:
    """The criteria of one stream. `evaluate` tells which fire, as indices in the order they were given."""

    def __init__(
        self,
        conditions: Sequence[Condition],
        *,
        indexed: bool = True,
        joined: int = MANY,
        before: CompiledCriteria | None = None,
    ) -> None:
        """`before`: compiled criteria of the same stream. What is among them is taken over, so that a change of one
        criterion costs little; a field keeps its place among the values. `joined`: how many of those that demand
        nothing share a function: with fewer a change costs less and an item more. `indexed=False` takes all for such,
        for comparison (load/bench/criteria.py).
        """
        known = {} if before is None else before._made
        fields: dict[str, Field] = {} if before is None else dict(before._fields)
        fresh = [one for one in conditions if id(one) not in known]
        fields |= {field.name: field for one in fresh for field in fields_in(one)}
        self._fields: dict[str, Field] = fields
        self._place = {name: place for place, name in enumerate(fields)}
        self.names = tuple(fields)
        self.values: Extract = (
            before.values if before is not None and before.names == self.names else _extractor(fields.values())
        )
        self._made: dict[int, Made] = {}
        tables: dict[tuple[int, int | None], dict[str, list[tuple[int, Predicate]]]] = {}
        rest: dict[int, int] = {}  # the index of each by the id of its condition
        for index, condition in enumerate(conditions):
            made = known.get(id(condition))
            if made is None:
                demand = demanded(condition) if indexed else None
                made = Made(condition, demand, None if demand is None else self.predicate(condition))
            self._made[id(condition)] = made
            if made.demand is None or made.predicate is None:
                rest[id(condition)] = index
                continue
            field, length, values = made.demand
            table = tables.setdefault((self._place[field.name], length), {})
            for value in values:
                table.setdefault(value, []).append((index, made.predicate))
        self._probes = [(place, length, table) for (place, length), table in tables.items()]
        self._joins: list[Join] = self._join(rest, joined, () if before is None else before._joins)
        self._rest = [(function, [rest[one] for one in ids]) for ids, function in self._joins]

    def evaluate(self, item: ItemScreened, seen: Monitored, anomaly: float) -> list[int]:
        """The indices of the criteria that fire, ascending."""
        values = self.values(item, seen, anomaly)
        fired: list[int] = []
        for function, indices in self._rest:
            if places := function(values):
                fired.extend([indices[one] for one in places])
        for place, length, table in self._probes:
            value = values[place]
            if value is not None:
                candidates = table.get(value if length is None else value[:length])
                if candidates is not None:
                    for index, predicate in candidates:
                        if predicate(values):
                            fired.append(index)
        if len(fired) > 1:
            fired.sort()
        return fired

    def predicate(self, condition: Condition) -> Predicate:
        """A condition over these fields as one function of their values."""
        body = self._expression(condition)
        function = ast.FunctionDef("predicate", _arguments("f"), [ast.Return(body)], [])
        built: Predicate = _built(function)
        return built

    def _join(self, rest: dict[int, int], size: int, before: Sequence[Join]) -> list[Join]:
        """Functions of `size` conditions each; those from before that are full and still asked for are kept."""
        kept = [join for join in before if len(join[0]) == size and all(one in rest for one in join[0])]
        held = {one for ids, _ in kept for one in ids}
        loose = [one for one in rest if one not in held]
        made = [tuple(loose[at : at + size]) for at in range(0, len(loose), size)]
        return kept + [(ids, self._joined([self._made[one].condition for one in ids])) for ids in made]

    def _joined(self, conditions: Sequence[Condition]) -> Callable[[Values], list[int]]:
        """One function that tells which of several conditions hold, by their places."""
        body: list[ast.stmt] = [ast.Assign([_store("fired")], ast.List([], ast.Load()))]
        for place, condition in enumerate(conditions):
            fire = ast.Call(ast.Attribute(_load("fired"), "append", ast.Load()), [ast.Constant(place)], [])
            body.append(ast.If(self._expression(condition), [ast.Expr(fire)], []))
        body.append(ast.Return(_load("fired")))
        built: Callable[[Values], list[int]] = _built(ast.FunctionDef("joined", _arguments("f"), body, []))
        return built

    def _expression(self, condition: Condition) -> ast.expr:
        if isinstance(condition, All | Any):
            joined: ast.boolop = ast.And() if isinstance(condition, All) else ast.Or()
            return ast.BoolOp(joined, [self._expression(part) for part in condition.parts])
        if isinstance(condition, Not):
            return ast.UnaryOp(ast.Not(), self._expression(condition.part))
        return self._test(condition)

    def _test(self, test: Test) -> ast.expr:
        field, operator, values = test.field, test.operator, test.values
        value = ast.Subscript(_load("f"), ast.Constant(self._place[field.name]), ast.Load())
        present = ast.Compare(value, [ast.IsNot()], [ast.Constant(None)])
        if operator == "missing":
            return ast.Compare(value, [ast.Is()], [ast.Constant(None)])
        if operator == "flag":
            return value
        if operator == "contains":
            asked: ast.expr = ast.Compare(ast.Constant(values[0]), [ast.In()], [value])
        elif operator == "startswith":
            prefix = ast.Constant(values[0]) if len(values) == 1 else _constants(values)
            asked = ast.Call(ast.Attribute(value, "startswith", ast.Load()), [prefix], [])
        elif operator == "in":
            asked = ast.Compare(value, [ast.In()], [ast.Set([ast.Constant(one) for one in values])])
        elif operator == "between":
            low, high = ast.Constant(values[0]), ast.Constant(values[1])
            asked = ast.Compare(low, [ast.LtE(), ast.LtE()], [value, high])
        else:
            asked = ast.Compare(value, [_COMPARE[operator]()], [ast.Constant(values[0])])
        if field.may_miss and operator not in ("==", "in"):
            return ast.BoolOp(ast.And(), [present, asked])
        return asked


_COMPARE: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
}


def fields_in(condition: Condition) -> list[Field]:
    """The fields that a condition asks about."""
    if isinstance(condition, Test):
        return [condition.field]
    if isinstance(condition, Not):
        return fields_in(condition.part)
    return [field for part in condition.parts for field in fields_in(part)]


def demanded(condition: Condition) -> Demand | None:
    """What every item that fires must have: some text field with one of few values. None when nothing is demanded."""
    if isinstance(condition, Test):
        return _demanded_by(condition)
    if isinstance(condition, Not):
        return None
    demands = [demanded(part) for part in condition.parts]
    if isinstance(condition, All):
        return min([one for one in demands if one is not None], key=_selectivity, default=None)
    first = demands[0]
    if first is None or any(one is None or one[:2] != first[:2] for one in demands):
        return None
    values = tuple(dict.fromkeys(value for one in demands if one is not None for value in one[2]))
    return (first[0], first[1], values) if len(values) <= _MOST_DEMANDED else None


def _demanded_by(test: Test) -> Demand | None:
    if test.field.type != "text" or test.operator not in ("==", "in", "startswith"):
        return None
    values = tuple(str(value) for value in test.values)
    if len(values) > _MOST_DEMANDED:
        return None
    if test.operator != "startswith":
        return test.field, None, values
    shortest = min(len(value) for value in values)
    return test.field, shortest, tuple(dict.fromkeys(value[:shortest] for value in values))


def _selectivity(demand: Demand) -> tuple[int, int, int]:
    field, length, values = demand
    rank = _SELECTIVE.index(field.name) if field.name in _SELECTIVE else len(_SELECTIVE)
    return rank, -(length or 99), len(values)


_SHARED = {
    # Lodgers write times in zones of their choice.
    "lodged": "item.lodged_at if item.lodged_at.tzinfo is utc else item.lodged_at.astimezone(utc)",
    "cargo": "item.cargo",
    "goods": "item.cargo.goods",
    "traveller": "item.traveller",
    "prior": "item.prior",
    "other": "item.counterpart_prior or nothing_known",
    "mass": "goods.net_mass_kg or goods.gross_mass_kg",
    "value_per_kg": "goods.value_usd / mass if mass > 0.0 else None",
}
"""What several fields are read from, each from those above it."""


def _extractor(fields: Iterable[Field]) -> Extract:
    """A function that reads the values of `fields`. Its text is our own (`criteria_fields`), of no criterion."""
    values = [ast.parse(field.source, mode="eval").body for field in fields]
    wanted = {node.id for value in values for node in ast.walk(value) if isinstance(node, ast.Name)}
    lines: list[ast.stmt] = []
    for name in reversed(_SHARED):
        if name in wanted:
            source = ast.parse(_SHARED[name], mode="eval").body
            wanted |= {node.id for node in ast.walk(source) if isinstance(node, ast.Name)}
            lines.insert(0, ast.Assign([_store(name)], source))
    lines.append(ast.Return(ast.Tuple(values, ast.Load())))
    built: Extract = _built(ast.FunctionDef("extract", _arguments("item", "seen", "anomaly"), lines, []))
    return built


def _arguments(*names: str) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def _constants(values: Sequence[Value]) -> ast.expr:
    return ast.Tuple([ast.Constant(value) for value in values], ast.Load())


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _built(function: ast.FunctionDef) -> AnyValue:
    module = ast.fix_missing_locations(ast.Module([function], []))
    code = next(c for c in compile(module, "<criteria>", "exec").co_consts if isinstance(c, CodeType))
    return FunctionType(code, {"__builtins__": {}, "nothing_known": NOTHING_KNOWN, "folded": folded, "utc": UTC})
