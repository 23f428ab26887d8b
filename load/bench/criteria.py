"""What 500 criteria on one item cost, by expression engine: `python -m load.bench.criteria`.

The engines answer the same 500 conditions over the same parcel, and must fire alike. `cel-python` and
`common-expression-language` take part when they are installed; borderflow does not depend on them. The last column is
the ratio to decoding the same parcel with msgspec in the same run, which carries over between machines.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from agents.risk.criteria import CriteriaBook
from agents.risk.criteria_compiler import CompiledCriteria, demanded
from agents.risk.criteria_fields import fields_of
from agents.risk.criteria_language import All, Condition, Not, Test, read_condition
from agents.risk.criteria_language import Any as Either
from load.bench.timing import microseconds
from schemas.items import CargoFacts, GoodsFacts, ItemScreened, Monitored, PriorRecord
from schemas.knowledge import CriterionPublished
from schemas.marks import Origin, Upstream

AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
HEADINGS = ("8517", "6404", "4202", "3304", "2106", "9503", "8471", "6110", "3004", "2402", "7113", "8525", "9102")
COUNTRIES = ("CN", "US", "JP", "VN", "HK", "TH", "DE", "TR", "AE", "CO", "MX", "NL", "GB", "PE", "BR")


def conditions(count: int) -> list[str]:
    """Conditions as targeteers write them: most name goods or places, one in ten asks only for amounts."""
    made = []
    for n in range(count):
        heading, origin, departure = HEADINGS[n % 13], COUNTRIES[n % 15], COUNTRIES[n * 7 % 15]
        made.append(
            (
                f'hs6 startswith "{heading}" and origin == "{origin}" and value_usd > {50 + n}',
                f'origin in ["{origin}", "{departure}"] and consignee.seizures >= {1 + n % 3}',
                f'hs6 == "{heading}{10 + n % 60}" and gross_mass_kg < {0.1 * (1 + n % 20):.1f}',
                f'platform == "shop-{n}" and arrivals_24h > {n % 9}',
                f'departure == "{departure}" and not (origin == "{departure}") and value_per_kg_usd < {1 + n % 7}',
                f'hs2 in ["{heading[:2]}", "{n % 90 + 10}"] and shipper.seizures > 0 and value_usd > {150 + n}',
                f'port_of_loading startswith "{departure}" and hs4 == "{heading}" and below_threshold_24h >= 3',
                f'description contains "item {n}" and hs4 == "{heading}"',
                f'carrier == "COURIER{n % 40}" and first_seen_hours < 1 and value_24h_usd > {1000 + n}',
                f"value_usd > {5000 + 100 * n} and gross_mass_kg < 0.5 and arrivals_1h >= {2 + n % 5}",
            )[n % 10]
        )
    return made


def parcel() -> ItemScreened:
    """A parcel that meets a fair number of them half-way."""
    goods = GoodsFacts(
        hs6="851713", description="smart phone item 7", packages=1, gross_mass_kg=0.4, net_mass_kg=0.35,
        value_usd=640.0, declared_value=640.0, origin="CN",
    )  # fmt: skip
    cargo = CargoFacts(
        bill="W1", consignee="c:" + "1" * 32, shipper="c:" + "2" * 32, consignee_name="A", shipper_name="B",
        carrier="COURIER8", mode="express", departure="CN", port_of_loading="CNCAN", goods=goods, platform="shop-13",
    )  # fmt: skip
    return ItemScreened(
        item_id="express-cargo/W1", stream="express-cargo", control_point="KRICN-EXP", lodged_at=AT, due_at=AT,
        subject=cargo.consignee, cargo=cargo, prior=PriorRecord(inspections=2, seizures=1), profile_version=1,
        risk_information_version=1, upstream=Upstream(topic="express-cargo", partition=0, offset=1),
        origin=Origin(topic="express-cargo", partition=0, offset=1, lodgement_id="W1", sent_ms=0),
    )  # fmt: skip


SEEN = Monitored(
    arrivals_1h=1, arrivals_24h=4, value_24h_usd=2200.0, shippers_24h=2, control_points_24h=1, first_seen_hours=9.0,
    below_threshold_24h=1,
)  # fmt: skip


def published(criterion_id: str, condition: str) -> CriterionPublished:
    """A criterion with this condition, valid from the parcel's time."""
    return CriterionPublished(
        criterion_id=criterion_id,
        version=1,
        title="",
        streams=("express-cargo",),
        condition=condition,
        action="direct",
        valid_from=AT,
    )


def main() -> int:
    """Measure and print the table. Exit code 1 when borderflow's own engine is over 100 microseconds."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.criteria", description=__doc__.split("\n\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=500, help="how many criteria")
    count = parser.parse_args().count
    item, fields = parcel(), fields_of("express-cargo")
    texts = conditions(count)
    read = [read_condition(text, fields) for text in texts]
    book = CriteriaBook()
    for n, text in enumerate(texts):
        book.fold(n, None, published(f"C{n:05d}", text))
    at_ms = int(AT.timestamp() * 1000)
    indexed, joined = CompiledCriteria(read), CompiledCriteria(read, indexed=False)
    expected = indexed.evaluate(item, SEEN, 0.5)
    engines: list[tuple[str, Callable[[], Any], Callable[[Any], int]]] = [
        ("borderflow: book, indexed", lambda: book.evaluate(item, SEEN, 0.5, at_ms), len),
        ("borderflow: compiled, not indexed", lambda: joined.evaluate(item, SEEN, 0.5), len),
        ("Python functions, one each", _functions(read, item), sum),
        *_cel_engines(read, item),
    ]
    wire = msgspec.json.encode(item)
    decoder = msgspec.json.Decoder(ItemScreened)
    decode_us = microseconds(lambda: decoder.decode(wire))
    table = Table(
        "engine", "us an item", "fired", "x msgspec decode", title=f"{count} criteria on one parcel", box=None
    )
    ours = float("inf")
    for name, run, fired in engines:
        took = microseconds(run)
        ours = min(ours, took) if name.startswith("borderflow: book") else ours
        table.add_row(name, f"{took:.1f}", str(fired(run())), f"{took / decode_us:.1f}")
    table.add_row("msgspec decode of the parcel", f"{decode_us:.1f}", "", "1.0")
    console = Console()
    console.print(table)
    demanding = sum(demanded(one) is not None for one in read)
    console.print(f"{demanding} of {count} are found by what they demand; {len(expected)} fire", highlight=False)
    return int(ours > 100.0)


def _functions(read: list[Condition], item: ItemScreened) -> Callable[[], list[bool]]:
    """Each condition as one Python function over the item's values, all called."""
    joined = CompiledCriteria(read, indexed=False)
    functions = [joined.predicate(one) for one in read]
    return lambda: _called(functions, joined.values(item, SEEN, 0.5))


def _called(functions: list[Callable[[tuple[Any, ...]], bool]], values: tuple[Any, ...]) -> list[bool]:
    return [bool(one(values)) for one in functions]


def _cel_engines(
    read: list[Condition], item: ItemScreened
) -> list[tuple[str, Callable[[], Any], Callable[[Any], int]]]:
    texts = [as_cel(one) for one in read]
    values = _cel_values(read, item)
    engines: list[tuple[str, Callable[[], Any], Callable[[Any], int]]] = []
    try:
        cel: Any = importlib.import_module("cel")
    except ImportError:
        pass
    else:
        programs = [cel.compile(text) for text in texts]
        engines.append(("common-expression-language (Rust)", lambda: [p.execute(values) for p in programs], sum))
    try:
        celpy: Any = importlib.import_module("celpy")
    except ImportError:
        pass
    else:
        environment = celpy.Environment()
        runners = [environment.program(environment.compile(text)) for text in texts]
        activation = celpy.json_to_cel(values)
        engines.append(
            ("cel-python", lambda: [bool(r.evaluate(activation)) for r in runners], lambda got: sum(map(bool, got)))
        )
    return engines


def _cel_values(read: list[Condition], item: ItemScreened) -> dict[str, Any]:
    compiled = CompiledCriteria(read, indexed=False)
    values = compiled.values(item, SEEN, 0.5)
    return {
        name.replace(".", "_"): float(value) if isinstance(value, int) else value
        for name, value in zip(compiled.names, values, strict=True)
    }


def as_cel(condition: Condition) -> str:
    """The same condition in the Common Expression Language (no field of the benchmark's parcel is absent)."""
    if isinstance(condition, Not):
        return f"!({as_cel(condition.part)})"
    if isinstance(condition, All):
        return " && ".join(f"({as_cel(part)})" for part in condition.parts)
    if isinstance(condition, Either):
        return " || ".join(f"({as_cel(part)})" for part in condition.parts)
    return _test_as_cel(condition)


def _test_as_cel(test: Test) -> str:
    name = test.field.name.replace(".", "_")
    values = [repr(float(v)) if test.field.type == "number" else f'"{v}"' for v in test.values]
    if test.operator == "in":
        return f"{name} in [{', '.join(values)}]"
    if test.operator == "between":
        return f"{name} >= {values[0]} && {name} <= {values[1]}"
    if test.operator == "startswith":
        return f"{name}.startsWith({values[0]})"
    if test.operator == "contains":
        return f"{name}.contains({values[0]})"
    return f"{name} {test.operator} {values[0]}"


if __name__ == "__main__":
    sys.exit(main())
