"""The benchmarks of speed measure what they say: equal input, all items decided, hosts doing the same work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from load.bench import selection as selection_alone
from load.bench.bars import draw_bars
from load.bench.budget import STEPS, Line, feeds, measured
from load.bench.flame import draw, sampled
from load.bench.metering import uncounted
from load.bench.recorded import MANIFEST_OF, Recording, recording
from load.bench.throughput import BY_CONTROL_POINT, CONTROL_POINT_PARTITIONS, summed_up
from load.geography import AIR_POINT, EXPRESS_POINTS, PASSENGER_POINTS, SEA_POINTS
from schemas.codec import decode
from streams.metrics import REGISTRY, observe_all
from streams.partitioning import partition_of


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recording(1_500, tmp_path_factory.mktemp("recordings"))


def test_the_same_input_is_recorded_every_time(recorded: Recording, tmp_path: Path) -> None:
    again = recording(1_500, tmp_path)
    assert again.sha256 == recorded.sha256
    assert recorded.items >= 1_500
    assert {record.topic for record in recorded.records} == {"manifests", "express-cargo", "passengers"}


def test_selection_alone_keeps_to_its_capacity() -> None:
    inputs = selection_alone.parcels(3_000)
    _, selected = selection_alone.run(inputs, selection_alone.scores(3_000, 3))
    assert 30 <= selected <= 90  # of 60 that 2% are


def test_a_manifest_has_200_consignments(recorded: Recording) -> None:
    assert {record.items for record in recorded.records if record.topic == "manifests"} == {MANIFEST_OF}


def test_no_consignee_stands_in_two_streams(recorded: Recording) -> None:
    of_parcels = {
        decode("express-cargo", record.value).consignee.name
        for record in recorded.records
        if record.topic == "express-cargo"
    }
    of_manifests = [record.value for record in recorded.records if record.topic == "manifests"]
    assert of_parcels
    assert not any(f'"name":"{name}"'.encode() in value for name in of_parcels for value in of_manifests)


def test_a_worker_that_counts_nothing_decides_the_same(recorded: Recording) -> None:
    def counted() -> float:
        counts = ("borderflow_records_in_total", "borderflow_outputs_total", "borderflow_decisions_total",
                  "borderflow_event_to_decision_seconds_count", "borderflow_decide_seconds_count")  # fmt: skip
        return sum(one.value for family in REGISTRY.collect() for one in family.samples if one.name in counts)

    async def decided() -> int:
        line, decisions = Line(), 0
        for part in feeds(recorded.records):
            await line.feed(part)
            decisions += await line.run()
        return decisions

    before = counted()
    with uncounted():
        assert asyncio.run(decided()) == recorded.items
    assert counted() == before
    assert asyncio.run(decided()) == recorded.items
    assert counted() > before


def test_every_item_is_decided_in_memory(recorded: Recording) -> None:
    async def lodge() -> int:
        line = Line()
        decided = 0
        for part in feeds(recorded.records):
            await line.feed(part)
            decided += await line.run()
        return decided

    assert asyncio.run(lodge()) == recorded.items


def test_what_takes_two_batches_of_one_partition_is_decided_in_memory_too(recorded: Recording) -> None:
    async def decided() -> int:
        line = Line(partitions=1)
        await line.feed(recorded.records)  # more than a batch may hold
        return await line.run()

    assert asyncio.run(decided()) == recorded.items


def test_the_shares_of_the_budget_add_up(recorded: Recording) -> None:
    shares = measured(recorded)
    assert set(shares) == set(STEPS)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(share > 0 for share in shares.values())


def test_control_points_of_two_streams_share_no_partition() -> None:
    streams = (
        [*(point for point, *_ in SEA_POINTS), AIR_POINT[0]],
        [point for point, _ in EXPRESS_POINTS],
        [point for point, *_ in PASSENGER_POINTS],
    )
    taken = [{partition_of(point.encode(), CONTROL_POINT_PARTITIONS) for point in points} for points in streams]
    assert not taken[0] & taken[1]
    assert not taken[0] & taken[2]
    assert not taken[1] & taken[2]
    assert "filtered" in BY_CONTROL_POINT


def test_hosts_that_decide_otherwise_are_shown() -> None:
    run = {"items": 1, "items_per_second": 10.0, "cpu_us_per_item": 1.0, "peak_mb": 1.0}
    rows = summed_up(
        [
            {**run, "host": "borderflow", "decisions_sha256": "a"},
            {**run, "host": "faust", "decisions_sha256": "a", "items_per_second": 2.0},
            {**run, "host": "faust", "decisions_sha256": "b", "items_per_second": 3.0},
        ]
    )
    assert [row["decisions_sha256"] for row in rows] == ["a", "differs: a, b"]
    assert rows[1]["borderflow_is_faster_by"] == 4.0


def test_pictures_are_of_one_piece(tmp_path: Path) -> None:
    _, stacks = sampled(lambda: sum(number * number for number in range(300_000)), every_s=0.001)
    stacks[("a", "b <script>")] += 5
    draw(stacks, "what took long", tmp_path / "flame.svg")
    draw_bars({"borderflow": 2.0, "a<b": 1.0}, "items", tmp_path / "bars.svg")
    for name in ("flame.svg", "bars.svg"):
        text = (tmp_path / name).read_text()
        assert text.startswith("<svg")
        assert "<script" not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@given(st.binary(max_size=70))
def test_the_quicker_murmur2_is_murmur2(key: bytes) -> None:
    assert partition_of(key, 1 << 31) == murmur2(key) & 0x7FFFFFFF


@given(st.lists(st.floats(0, 400)))
def test_many_observations_at_once_count_as_one_by_one(values: list[float]) -> None:
    registry = CollectorRegistry()
    one, many = (Histogram(name, "h", buckets=(0.1, 1, 10, 300), registry=registry) for name in ("one", "many"))
    for value in values:
        one.observe(value)
    observe_all(many, values)
    for kept, seen in zip(one._buckets, many._buckets, strict=True):
        assert kept.get() == seen.get()
    assert many._sum.get() == pytest.approx(one._sum.get())
