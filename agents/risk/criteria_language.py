"""The criteria language: a condition over the fields of an item, read strictly, refused with the place of the error.

    condition  := either ("or" either)*
    either     := unary ("and" unary)*
    unary      := "not" unary | "(" condition ")" | test
    test       := field compare value                       == != < <= > >=
                | field ["not"] "in" "[" value, ... "]"
                | field ["not"] "between" value "and" value
                | field ["not"] "startswith" (text | "[" text, ... "]")
                | field ["not"] "contains" text
                | field "is" ["not"] "missing"
                | flag

A value is a number, a "text" or 'text', or a date or time as text ("2026-03-01", "2026-03-01T08:00:00Z"). A date is
the whole day, UTC. A test of an absent value is false, whatever it asks, `!=` too. A `not`, also one before `in`,
`between`, `startswith` or `contains`, negates a test: it is true of an absent value. The reader makes typed tests; it
evaluates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from math import isfinite
from typing import Literal

from agents.risk.criteria_fields import Field, folded

Value = str | float
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between", "startswith", "contains", "missing", "flag"]


class CriterionRefusedError(ValueError):
    """A condition that cannot be used; `line` and `column` count from 1, None when the place is no text."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Test:
    """One question to one field. `values` are of the field's type; dates are seconds since the epoch."""

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Condition, ...]


Condition = Test | Not | All | Any

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.])
    | (?P<text>"[^"\n]*"|'[^'\n]*')
    | (?P<mark>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Operator] = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = frozenset(("and", "or", "not", "in", "between", "startswith", "contains", "is", "missing"))
_DEEPEST = 40
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<time>[T ][0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})?)?")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


def read_condition(text: str, fields: Mapping[str, Field]) -> Condition:
    """Read a condition over `fields`. Raises `CriterionRefusedError`."""
    return _Reader(text, fields).whole()


class _Reader:
    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text = text
        self._fields = fields
        self._tokens = self._tokenise()
        self._next = 0
        self._depth = 0

    def _tokenise(self) -> list[Token]:
        tokens, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._error(f"{self._text[at]!r} is not understood here", at)
            if match.lastgroup != "space":
                tokens.append(Token(match.lastgroup, match[0], at))
            at = match.end()
        tokens.append(Token("end", "", at))
        return tokens

    def _error(self, message: str, at: int) -> CriterionRefusedError:
        before = self._text[:at]
        return CriterionRefusedError(message, before.count("\n") + 1, at - before.rfind("\n"))

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> str | None:
        token = self._peek()
        if token.kind in ("word", "mark") and token.text in texts:
            self._next += 1
            return token.text
        return None

    def _expect(self, text: str, where: str) -> None:
        token = self._peek()
        if self._accept(text) is None:
            raise self._error(f"expected {text!r} {where}, found {_shown(token)}", token.at)

    def whole(self) -> Condition:
        condition = self._any()
        token = self._peek()
        if token.kind != "end":
            raise self._error(f"expected 'and', 'or' or the end, found {_shown(token)}", token.at)
        return condition

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._unary()]
        while self._accept("and"):
            parts.append(self._unary())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _unary(self) -> Condition:
        token = self._peek()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("nested too deeply", token.at)
        try:
            if self._accept("not"):
                return Not(self._unary())
            if self._accept("("):
                condition = self._any()
                self._expect(")", "to close the parenthesis")
                return condition
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> Condition:
        token = self._take()
        if token.kind != "word" or token.text in _WORDS:
            raise self._error(f"expected a field, found {_shown(token)}", token.at)
        field = self._fields.get(token.text)
        if field is None:
            raise self._error(f"unknown field {token.text!r}{_nearest(token.text, self._fields)}", token.at)
        if self._accept("is"):
            negated = self._accept("not") is not None
            self._expect("missing", "after 'is'")
            missing = Test(field, "missing")
            return Not(missing) if negated else missing
        operator_at = self._peek().at
        if (compare := self._accept(*_COMPARE)) is not None:
            return self._comparison(field, _COMPARE[compare], operator_at)
        negated = self._accept("not") is not None
        word = self._accept("in", "between", "startswith", "contains")
        if word is None:
            if negated:
                raise self._error("expected 'in', 'between', 'startswith' or 'contains' after 'not'", self._peek().at)
            if field.type != "flag":
                raise self._error(
                    f"{field.name!r} is a {field.type}, not a flag: compare it with something", operator_at
                )
            return Test(field, "flag")
        test = self._worded(field, word, operator_at)
        return Not(test) if negated else test

    def _comparison(self, field: Field, operator: Operator, at: int) -> Condition:
        if field.type == "flag":
            raise self._error(f"{field.name!r} is a flag: write it alone, or after 'not'", at)
        if field.type == "texts":
            raise self._error(f"{field.name!r} holds several texts: use 'contains'", at)
        if field.type == "text" and operator not in ("==", "!="):
            raise self._error(f"{field.name!r} is a text: it has no order, so {operator!r} does not apply", at)
        if field.type == "date":
            return _compared(field, operator, *self._span(field))
        return Test(field, operator, (self._value(field),))

    def _worded(self, field: Field, word: str, at: int) -> Condition:
        if word == "in":
            if field.type in ("flag", "texts"):
                raise self._error(f"'in' does not apply to {field.name!r}, which is a {field.type}", at)
            if field.type == "date":
                return self._dates(field)
            return Test(field, "in", self._list(field))
        if word == "between" and field.type == "date":
            low_at = self._peek().at
            first = self._span(field)
            self._expect("and", "between the two bounds")
            last = self._span(field)
            if first[0] > last[1] or first[0] == last[1] != last[0]:
                raise self._error("the first bound is above the second: nothing lies between them", low_at)
            return All((_compared(field, ">=", *first), _compared(field, "<=", *last)))
        if word == "between":
            if field.type != "number":
                raise self._error(f"'between' does not apply to {field.name!r}, which is a {field.type}", at)
            low_at = self._peek().at
            low = self._value(field)
            self._expect("and", "between the two bounds")
            high = self._value(field)
            if low > high:  # type: ignore[operator]  # both are of the field's type
                raise self._error("the first bound is above the second: nothing lies between them", low_at)
            return Test(field, "between", (low, high))
        if word == "startswith":
            if field.type != "text":
                raise self._error(f"'startswith' does not apply to {field.name!r}, which is a {field.type}", at)
            values = self._list(field) if self._peek().text == "[" else (self._value(field),)
            return Test(field, "startswith", values)
        if field.type not in ("text", "texts"):
            raise self._error(f"'contains' does not apply to {field.name!r}, which is a {field.type}", at)
        return Test(field, "contains", (self._value(field),))

    def _dates(self, field: Field) -> Condition:
        self._expect("[", "to open the list")
        parts = [_compared(field, "==", *self._span(field))]
        while self._accept(","):
            parts.append(_compared(field, "==", *self._span(field)))
        self._expect("]", "to close the list")
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _list(self, field: Field) -> tuple[Value, ...]:
        self._expect("[", "to open the list")
        values = [self._value(field)]
        while self._accept(","):
            values.append(self._value(field))
        self._expect("]", "to close the list")
        return tuple(dict.fromkeys(values))

    def _value(self, field: Field) -> Value:
        token = self._take()
        if field.type == "number":
            if token.kind == "number" and isfinite(number := float(token.text)):
                return number
            raise self._error(f"{field.name!r} is a number, found {_shown(token)}", token.at)
        if token.kind != "text":
            raise self._error(f'{field.name!r} is a {field.type}, expected "...", found {_shown(token)}', token.at)
        text = token.text[1:-1]
        if field.name == "description":
            text = folded(text)
        if not text:
            raise self._error("the text is empty", token.at)
        return text

    def _span(self, field: Field) -> tuple[float, float]:
        """When a date begins, and when it is over: a day later, or at once for a time."""
        token = self._take()
        if token.kind != "text":
            raise self._error(f'{field.name!r} is a date, expected "...", found {_shown(token)}', token.at)
        written = _DATE.fullmatch(token.text[1:-1])
        try:
            moment = datetime.fromisoformat(written[0]) if written is not None else None
        except ValueError:
            moment = None
        if written is None or moment is None:
            problem = f'{field.name!r} is a date: expected "2026-03-01" or "2026-03-01T08:00:00Z"'
            raise self._error(problem, token.at)
        begins = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        return begins, begins if written["time"] else begins + _DAY_S


def _compared(field: Field, operator: Operator, begins: float, over: float) -> Condition:
    """A test of a date against a time, or against a whole day: after it is over, or before it begins."""
    if begins == over:
        return Test(field, operator, (begins,))
    before, from_on = Test(field, "<", (begins,)), Test(field, ">=", (begins,))
    until, after = Test(field, "<", (over,)), Test(field, ">=", (over,))
    whole: dict[str, Condition] = {
        "==": All((from_on, until)),
        "!=": Any((before, after)),
        "<": before,
        "<=": until,
        ">": after,
        ">=": from_on,
    }
    return whole[operator]


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def _nearest(name: str, fields: Mapping[str, Field]) -> str:
    meant = get_close_matches(name, fields, n=1)
    return f"; did you mean {meant[0]!r}?" if meant else ""
