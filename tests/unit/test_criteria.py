"""Criteria: what the language says, what it refuses and where, and that the compiled form means the same."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unicodedata import normalize

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.risk.criteria import CriteriaBook, check_criterion
from agents.risk.criteria_compiler import CompiledCriteria
from agents.risk.criteria_doubts import doubts
from agents.risk.criteria_fields import ALL, FIELDS, Field, fields_of
from agents.risk.criteria_language import All, Condition, CriterionRefusedError, Not, Test, read_condition
from agents.risk.criteria_language import Any as Either
from load.bench.criteria import SEEN, parcel
from schemas.codec import codec_for
from schemas.items import ItemScreened, PriorRecord
from schemas.knowledge import CriterionPublished
from streams.criteria_page import PAGES

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
PARCEL = parcel()


def criterion(condition: str, **changes: Any) -> CriterionPublished:
    plain: dict[str, Any] = {
        "criterion_id": "C1",
        "version": 1,
        "title": "t",
        "streams": ("express-cargo",),
        "condition": condition,
        "action": "direct",
        "valid_from": AT,
    }
    return CriterionPublished(**{**plain, **changes})


@pytest.mark.parametrize("offset", [-12, -5, 0, 9, 14])
def test_hour_and_weekday_are_those_of_utc_whatever_zone_the_lodger_writes(offset: int) -> None:
    written = AT.replace(hour=21, minute=30).astimezone(timezone(timedelta(hours=offset)))
    item = replace(PARCEL, lodged_at=written)
    assert fires('hour == 21 and weekday == 1 and lodged_at == "2026-03-02T21:30:00Z"', item)


@pytest.mark.parametrize(
    ("test", "fired"),
    [
        ('<= "2026-03-02"', (True, True, True, False)),
        ('< "2026-03-02"', (True, False, False, False)),
        ('> "2026-03-02"', (False, False, False, True)),
        ('>= "2026-03-02"', (False, True, True, True)),
        ('== "2026-03-02"', (False, True, True, False)),
        ('!= "2026-03-02"', (True, False, False, True)),
        ('in ["2026-03-02"]', (False, True, True, False)),
        ('not in ["2026-03-02", "2026-03-01"]', (False, False, False, True)),
        ('between "2026-03-02" and "2026-03-02"', (False, True, True, False)),
        ('between "2026-03-02T00:00:00Z" and "2026-03-02T00:00:00Z"', (False, True, False, False)),
        ('not between "2026-03-01" and "2026-03-02"', (False, False, False, True)),
        ('<= "2026-03-02T00:00:00+00:00"', (True, True, False, False)),
        ('== "2026-03-02T18:00:00+09:00"', (False, False, True, False)),
    ],
)
def test_a_date_is_the_whole_day_and_a_time_is_a_moment(test: str, fired: tuple[bool, ...]) -> None:
    moments = ("2026-03-01T23:59:59Z", "2026-03-02T00:00:00Z", "2026-03-02T09:00:00Z", "2026-03-03T00:00:00Z")
    for moment, expected in zip(moments, fired, strict=True):
        assert fires(f"lodged_at {test}", replace(PARCEL, lodged_at=datetime.fromisoformat(moment))) is expected


def test_a_day_says_nothing_of_an_absent_date() -> None:
    for test in ('== "2026-03-02"', '!= "2026-03-02"', '<= "2026-03-02"', '> "2026-03-02"', 'in ["2026-03-02"]'):
        assert not fires(f"consignee.last_seized_at {test}")


@pytest.mark.parametrize(
    ("sent", "literal"),
    [
        (normalize("NFD", "리튬 배터리"), "배터리"),
        ("리튬 배터리", normalize("NFD", "배터리")),
        (normalize("NFD", "Café table"), "CAFÉ"),
        ("".join(chr(ord(one) + 0xFEE0) for one in "LITHIUM") + " BATTERY", "lithium battery"),
        ("LITHIUM  \u00a0BATTERY", "lithium battery"),
        ("LITH\u200bIUM \u00adBATTERY", "lithium battery"),
        ("LITH\x01IUM BATT\x7fERY", "lithium battery"),
        ("LITH\u034fIUM BATT\ufe0fERY\u3164", "lithium battery"),
        ("lithium\tbattery", "lithium battery"),
        ("lithium battery", "LITHIUM  BATTERY"),
        ("red led lamp", " led "),
    ],
)
def test_a_description_is_found_however_it_was_typed(sent: str, literal: str) -> None:
    assert PARCEL.cargo is not None
    goods = replace(PARCEL.cargo.goods, description=sent)
    item = replace(PARCEL, cargo=replace(PARCEL.cargo, goods=goods))
    assert fires(f'description contains "{literal}"', item)
    assert not fires('description contains " ithium"', item)


def fires(condition: str, item: ItemScreened = PARCEL) -> bool:
    book = CriteriaBook()
    book.fold(0, "C1", criterion(condition))
    return bool(book.evaluate(item, SEEN, 0.5, AT_MS))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('hs6 startswith "8517" and origin == "CN"', True),
        ('hs6 startswith ["64", "8517"]', True),
        ("hs2 in ['85', '90'] and not (origin in [\"KR\"])", True),
        ("value_usd between 640 and 641", True),
        ("value_usd between 641 and 700", False),
        ("value_usd not between 641 and 700", True),
        ('origin == "KR" or consignee.seizures >= 1', True),
        ('origin == "KR" and value_usd > 1 or trusted', False),
        ('description contains "PHONE"', True),
        ('quality contains "zero-mass"', False),
        ("trusted", False),
        ("not trusted", True),
        ("duty_rate_percent > 5", False),
        ("not (duty_rate_percent > 5)", True),
        ("duty_rate_percent != 5", False),
        ("duty_rate_percent not in [5]", True),
        ("duty_rate_percent not between 4 and 6", True),
        ("duty_rate_percent is not missing and duty_rate_percent not in [5]", False),
        ("duty_rate_percent is missing", True),
        ("net_mass_kg is not missing", True),
        ('lodged_at >= "2026-03-02"', True),
        ('lodged_at >= "2026-03-02T09:00:00+09:00" and hour == 4 and weekday == 1', True),
        ("consignee.last_seized_at is missing", True),
        ('consignee.last_seized_at > "2020-01-01"', False),
        ("shipper.inspections == 0", True),
        ("arrivals_24h\n  > 3\n  and first_seen_hours < 10", True),
        ("value_per_kg_usd > 1828 and value_per_kg_usd < 1829", True),
    ],
)
def test_a_condition_means_what_it_says(condition: str, expected: bool) -> None:
    assert fires(condition) is expected


@pytest.mark.parametrize(
    ("condition", "line", "column", "said"),
    [
        ('hs4 == "8517" and colour == "red"', 1, 19, "unknown field 'colour'"),
        ('origin == "CN"\n  and value_usd > "high"', 2, 19, "'value_usd' is a number"),
        ("origin == 5", 1, 11, "'origin' is a text"),
        ('origin < "KR"', 1, 8, "has no order"),
        ("value_usd", 1, 10, "not a flag: compare it"),
        ("trusted == 1", 1, 9, "is a flag: write it alone"),
        ('quality == "zero-mass"', 1, 9, "use 'contains'"),
        ("value_usd startswith 5", 1, 11, "'startswith' does not apply"),
        ('origin between "A" and "B"', 1, 8, "'between' does not apply"),
        ("value_usd between 5 and 3", 1, 19, "the first bound is above the second"),
        ("value_usd in []", 1, 15, "is a number, found ']'"),
        ('lodged_at > "March"', 1, 13, "is a date"),
        ('origin == ""', 1, 11, "the text is empty"),
        ("", 1, 1, "expected a field, found the end"),
        ("(trusted", 1, 9, "expected ')'"),
        ("trusted trusted", 1, 9, "expected 'and', 'or' or the end"),
        ("trusted and", 1, 12, "expected a field"),
        ("value_usd > 1e999", 1, 13, "is a number"),
        ("value_usd > \u0663", 1, 13, "is not understood here"),
        ('lodged_at > "2026-W10-1"', 1, 13, "is a date"),
        ('lodged_at > "20260301"', 1, 13, "is a date"),
        ('lodged_at > "2026-02-30"', 1, 13, "is a date"),
        ("lodged_at > 5", 1, 13, "is a date"),
        ('lodged_at between "2026-03-02" and "2026-03-01"', 1, 19, "the first bound is above the second"),
        ('lodged_at between "2026-03-02" and "2026-03-01T23:00:00Z"', 1, 19, "the first bound is above the second"),
        ('description contains "\u200b"', 1, 22, "the text is empty"),
        ("value_usd > 5kg", 1, 13, "is not understood here"),
        ("__import__('os').system('x')", 1, 17, "'.' is not understood here"),
        ("origin.__class__ == 'x'", 1, 1, "unknown field 'origin.__class__'"),
        ("not " * 60 + "trusted", 1, 161, "nested too deeply"),
        ('embarkation == "KRICN"', 1, 1, "unknown field 'embarkation' (stream express-cargo)"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(condition: str, line: int, column: int, said: str) -> None:
    with pytest.raises(CriterionRefusedError) as refused:
        check_criterion(criterion(condition))
    assert said in str(refused.value)
    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ('origin == "cn"', "origin is two capitals (ISO 3166-1), never 'cn'"),
        ('departure in ["CN", "China"]', "departure is two capitals (ISO 3166-1), never 'China'"),
        ('hs6 == "8517"', "hs6 is six digits, never '8517'"),
        ('hs6 startswith "85171200"', "hs6 is six digits, never '85171200'"),
        ('port_of_loading startswith "cn"', "port_of_loading is five capitals or digits (UN/LOCODE), never 'cn'"),
        ('hits contains "watch-list"', "hits is one of intelligence, trusted-trader, watchlist, never 'watch-list'"),
        ('mode == "SEA" or not (mode == "SEA")', "mode is one of air, express, post, rail, road, sea, never 'SEA'"),
        ("hour == 24", "hour is 0 to 23, never 24"),
        ("weekday between 0 and 5", "weekday is 1 to 7, never 0"),
        ("anomaly > 2", "anomaly is 0 to 1, never 2"),
    ],
)
def test_what_never_occurs_is_a_doubt_and_no_refusal(condition: str, said: str) -> None:
    assert doubts(criterion(condition)) == [said]


def test_what_may_occur_is_no_doubt() -> None:
    condition = (
        'hs6 startswith ["85", "8517"] and hs4 == "8517" and origin in ["CN", "XK"] and quality contains "zero-mass" '
        'and mode == "express" and hour between 0 and 23 and port_of_loading startswith "CN" and bill contains "cn" '
        'and hits contains "watchlist" and lodged_at <= "2026-03-02" and description contains "China"'
    )
    assert doubts(criterion(condition)) == []
    assert doubts(criterion(condition, cap=0.0, weight=1.0)) == [
        "cap is 0: it never acts", "a weight is for a boost: it does nothing for direct",
    ]  # fmt: skip
    for one in yaml.safe_load(Path("load/demo_data/criteria.yaml").read_text(encoding="utf-8")):
        assert doubts(codec_for("criteria").decode(msgspec.json.encode({"event": "CriterionPublished", **one}))) == []


def test_nobody_can_be_singled_out_by_nationality_or_age() -> None:
    assert {"nationality", "birth_year", "gender", "age"}.isdisjoint(field.name for field in FIELDS)


# -- the compiled form means the same as the conditions

_WORDS = ("CN", "KR", "8517", "851713", "8", "phone")


def _tests(field: Field) -> st.SearchStrategy[Condition]:
    numbers = st.sampled_from((0.0, 1.0, 5.0, 640.0))
    words = st.sampled_from(_WORDS)
    missing = st.just(Test(field, "missing"))
    if field.type == "flag":
        return st.just(Test(field, "flag"))
    if field.type == "texts":
        return st.builds(lambda word: Test(field, "contains", (word,)), words)
    if field.type == "text":
        few = st.lists(words, min_size=1, max_size=3, unique=True).map(tuple)
        return st.one_of(
            missing,
            st.builds(lambda op, values: Test(field, op, values), st.sampled_from(("in", "startswith")), few),
            st.builds(lambda op, word: Test(field, op, (word,)), st.sampled_from(("==", "!=", "contains")), words),
        )
    return st.one_of(
        missing,
        st.builds(
            lambda op, number: Test(field, op, (number,)), st.sampled_from(("==", "!=", "<", "<=", ">", ">=")), numbers
        ),
        st.builds(lambda a, b: Test(field, "between", (min(a, b), max(a, b))), numbers, numbers),
    )


def _conditions(fields: list[Field]) -> st.SearchStrategy[Condition]:
    return st.recursive(
        st.sampled_from(fields).flatmap(_tests),
        lambda parts: st.one_of(
            st.builds(Not, parts),
            st.builds(lambda few: All(tuple(few)), st.lists(parts, min_size=2, max_size=3)),
            st.builds(lambda few: Either(tuple(few)), st.lists(parts, min_size=2, max_size=3)),
        ),
        max_leaves=4,
    )


def _by_hand(condition: Condition, values: dict[str, Any]) -> bool:
    if isinstance(condition, Not):
        return not _by_hand(condition.part, values)
    if isinstance(condition, All):
        return all(_by_hand(part, values) for part in condition.parts)
    if isinstance(condition, Either):
        return any(_by_hand(part, values) for part in condition.parts)
    value = values[condition.field.name]
    if condition.operator == "missing":
        return value is None
    if value is None:
        return False
    first = condition.values[0] if condition.values else None
    asked: dict[str, Any] = {
        "flag": lambda: bool(value),
        "contains": lambda: first in value,
        "startswith": lambda: value.startswith(condition.values),
        "in": lambda: value in condition.values,
        "between": lambda: condition.values[0] <= value <= condition.values[1],
        "==": lambda: value == first,
        "!=": lambda: value != first,
        "<": lambda: value < first,
        "<=": lambda: value <= first,
        ">": lambda: value > first,
        ">=": lambda: value >= first,
    }
    return bool(asked[condition.operator]())


_CARGO_FIELDS = list(fields_of("express-cargo").values())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_conditions(_CARGO_FIELDS), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from(("851713", "640399")),
    st.sampled_from((None, "CN", "phone")),
)
def test_compiled_and_indexed_criteria_fire_as_their_conditions_say(
    many: list[Condition], known: bool, hs6: str, platform: str | None
) -> None:
    cargo = PARCEL.cargo
    assert cargo is not None
    goods = replace(cargo.goods, hs6=hs6, net_mass_kg=0.5 if known else None, gross_mass_kg=0.5 if known else 0.0)
    item = replace(PARCEL, cargo=replace(cargo, goods=goods, platform=platform), quality=("8",) if known else ())
    for indexed in (True, False):
        compiled = CompiledCriteria(many, indexed=indexed)
        values = dict(zip(compiled.names, compiled.values(item, SEEN, 0.5), strict=True))
        assert compiled.evaluate(item, SEEN, 0.5) == [n for n, one in enumerate(many) if _by_hand(one, values)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_conditions(_CARGO_FIELDS), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(0, 11), max_size=12, unique=True), min_size=1, max_size=6),
    st.sampled_from((1, 2, 64)),
)
def test_criteria_compiled_from_those_before_fire_as_if_compiled_anew(
    many: list[Condition], sets: list[list[int]], joined: int
) -> None:
    compiled = None
    for places in sets:
        chosen = [many[place] for place in places if place < len(many)]
        compiled = CompiledCriteria(chosen, joined=joined, before=compiled)
        assert compiled.evaluate(PARCEL, SEEN, 0.5) == CompiledCriteria(chosen).evaluate(PARCEL, SEEN, 0.5)


@pytest.mark.parametrize("text", ['hs6 == "{:06}" and value_usd > 1', "value_usd > {}"])
@pytest.mark.parametrize("joined", [1, 64])
def test_a_change_of_one_criterion_leaves_what_was_made_of_the_others(text: str, joined: int) -> None:
    fields = fields_of("express-cargo")
    conditions = [read_condition(text.format(n), fields) for n in range(500)]
    before = CompiledCriteria(conditions, joined=joined)
    conditions[250] = read_condition(text.format(999), fields)
    after = CompiledCriteria(conditions, joined=joined, before=before)
    made = {id(function) for one in (before, after) for _, function in one._joins}
    predicates = {id(made.predicate) for one in (before, after) for made in one._made.values() if made.predicate}
    assert len(made | predicates) <= (501 if joined == 1 or predicates else 10)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abchs46 ()[]\"'=<>!,.0123456789\n_andorti", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(CriterionRefusedError):
        read_condition(text, fields_of("express-cargo"))


# -- the book


def test_a_criterion_holds_between_its_dates_of_event_time() -> None:
    book = CriteriaBook()
    book.fold(0, "C1", criterion("value_usd > 1", valid_until=AT + timedelta(hours=1)))
    hour_ms = 3_600_000
    fired = [bool(book.evaluate(PARCEL, SEEN, 0.5, AT_MS + n * hour_ms)) for n in (-1, 0, 1)]
    assert fired == [False, True, False]


def test_a_changed_criterion_replaces_the_old_one_and_a_withdrawn_one_ends() -> None:
    book = CriteriaBook()
    book.fold(4, "C1", criterion("value_usd > 1"))
    assert len(book.evaluate(PARCEL, SEEN, 0.5, AT_MS)) == 1
    book.fold(5, "C1", criterion("value_usd > 9999", version=2))
    assert not book.evaluate(PARCEL, SEEN, 0.5, AT_MS)
    book.fold(6, "C1", criterion("value_usd > 1", version=3))
    book.fold(7, "C1", criterion("value_usd > 1", version=4, withdrawn=True))
    assert not book.evaluate(PARCEL, SEEN, 0.5, AT_MS)
    book.fold(8, "C1", criterion("value_usd > 1", version=5))
    book.fold(9, "C1", None)
    assert len(book) == 0
    assert book.version == 10


def test_a_criterion_speaks_only_for_its_streams() -> None:
    book = CriteriaBook()
    book.fold(0, "C1", criterion("trusted or not trusted", streams=ALL))
    assert book.evaluate(PARCEL, SEEN, 0.5, AT_MS)
    book.fold(1, "C1", criterion("trusted or not trusted", streams=("passengers", "manifests")))
    assert not book.evaluate(PARCEL, SEEN, 0.5, AT_MS)


def test_a_criterion_in_the_log_that_cannot_be_used_is_left_out_and_told() -> None:
    book = CriteriaBook()
    book.fold(0, "C1", criterion("colour == 1"))
    book.fold(1, "C2", criterion("value_usd > 1", criterion_id="C2"))
    assert [one.criterion_id for one in book.evaluate(PARCEL, SEEN, 0.5, AT_MS)] == ["C2"]
    assert "unknown field 'colour'" in book.refused["C1"]


def test_an_item_without_its_facts_fires_nothing() -> None:
    book = CriteriaBook()
    book.fold(0, "C1", criterion("shipper.inspections == 0"))
    assert not book.evaluate(replace(PARCEL, cargo=None, prior=PriorRecord()), SEEN, 0.5, AT_MS)


def test_the_pages_say_what_the_code_does() -> None:
    for path, page in PAGES.items():
        assert Path(path).read_text(encoding="utf-8") == page(), f"{path}: run python -m streams.criteria_page"
