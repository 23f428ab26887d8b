"""Hypothesis strategies made from the event types: every value that a type allows, its bounds and patterns included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as types

LONGEST = 3
"""The most items in a generated list: a manifest of thousands says no more about a codec than one of three."""

# Surrogates are no characters: JSON cannot carry a lone one.
_TEXT = st.characters(exclude_categories=("Cs",))


def events(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Events of one type."""
    return _of(types.type_info(kind))


def _of(info: Any) -> st.SearchStrategy[Any]:
    match info:
        case types.Metadata():
            return _of(info.type)
        case types.StructType():
            return st.builds(
                info.cls,
                **{
                    field.name: _of(field.type) if field.required else st.one_of(_default(field), _of(field.type))
                    for field in info.fields
                },
            )
        case types.StrType():
            return _text(info)
        case types.IntType():
            low = info.ge if info.ge is not None else (info.gt + 1 if info.gt is not None else -(2**40))
            high = info.le if info.le is not None else (info.lt - 1 if info.lt is not None else 2**40)
            return st.integers(low, high)
        case types.FloatType():
            return st.floats(
                min_value=info.ge if info.ge is not None else info.gt,
                max_value=info.le if info.le is not None else info.lt,
                exclude_min=info.ge is None and info.gt is not None,
                exclude_max=info.le is None and info.lt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.DateTimeType():
            return st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds and adds the zone
        case types.LiteralType():
            return st.sampled_from(info.values)
        case types.VarTupleType():
            low = info.min_length or 0
            return st.lists(_of(info.item_type), min_size=low, max_size=max(low, LONGEST)).map(tuple)
        case types.TupleType():
            return st.tuples(*map(_of, info.item_types))
        case types.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=LONGEST)
        case types.UnionType():
            return st.one_of(*map(_of, info.types))
    raise NotImplementedError(f"no strategy for {info}")


def _text(info: types.StrType) -> st.SearchStrategy[str]:
    if info.pattern is not None:
        return st.from_regex(info.pattern.replace(r"(?!\n)", ""), fullmatch=True).filter(lambda text: "\n" not in text)
    low, high = info.min_length or 0, info.max_length
    return st.text(_TEXT, min_size=low, max_size=min(high, max(low, 24)) if high is not None else 24)


def _default(field: types.Field) -> st.SearchStrategy[Any]:
    if field.default_factory is not msgspec.NODEFAULT:
        return st.builds(field.default_factory)
    return st.just(field.default)
