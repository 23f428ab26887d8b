"""The simulated border: same seed, same traffic; schemes come and go; the truth stays at home."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import cache
from itertools import islice

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load import names
from load.cargo import imo_number
from load.desk import Lodged
from load.oracle import oracle
from load.population import NEW_PARTIES
from load.schemes import Phase
from load.truth import Fate, Truth
from load.world import World
from schemas.lodgements import ExpressConsignmentLodged, ManifestLodged, PassengerExpected

EVENTS = {"manifests": ManifestLodged, "express-cargo": ExpressConsignmentLodged, "passengers": PassengerExpected}


@cache
def two_months() -> tuple[World, tuple[Lodged, ...]]:
    world = World(3, items_per_day=500)
    return world, tuple(world.lodgements(world.start + timedelta(days=60)))


def encoded(lodged: Lodged) -> bytes:
    return lodged.body if isinstance(lodged.body, bytes) else msgspec.json.encode(lodged.body)


def test_the_same_seed_lodges_the_same_bytes() -> None:
    first = [encoded(lodged) for lodged in islice(World(7).lodgements(), 1000)]
    assert first == [encoded(lodged) for lodged in islice(World(7).lodgements(), 1000)]
    assert first != [encoded(lodged) for lodged in islice(World(8).lodgements(), 1000)]


def test_what_is_lodged_does_not_depend_on_how_it_is_read() -> None:
    by_days = [lodged for day in islice(World(5, items_per_day=500).days(), 3) for lodged in day.lodgements]
    world = World(5, items_per_day=500)
    assert by_days == list(world.lodgements(world.start + timedelta(days=3)))


def test_lodgements_come_in_event_time_order_and_decode_as_their_topic_s_event() -> None:
    _, lodgements = two_months()
    times = [lodged.lodged_at for lodged in lodgements]
    assert times == sorted(times)
    decoders = {topic: msgspec.json.Decoder(event) for topic, event in EVENTS.items()}
    for lodged in lodgements:
        event = decoders[lodged.topic].decode(encoded(lodged))
        assert event == lodged.body
        assert event.lodged_at == lodged.lodged_at < event.eta
    assert {lodged.topic for lodged in lodgements} == set(EVENTS)


def test_a_manifest_has_20_to_200_house_bills_and_no_item_is_lodged_twice() -> None:
    world, lodgements = two_months()
    manifests = [lodged.body for lodged in lodgements if isinstance(lodged.body, ManifestLodged)]
    assert all(20 <= len(manifest.consignments) <= 200 for manifest in manifests)
    items = sum(
        len(lodged.body.consignments) if isinstance(lodged.body, ManifestLodged) else 1 for lodged in lodgements
    )
    assert items == len(world.truth)


def test_every_item_has_one_fate_under_both_of_its_names() -> None:
    world, lodgements = two_months()
    for lodged in lodgements[:2000]:
        if isinstance(lodged.body, ManifestLodged):
            for index, consignment in enumerate(lodged.body.consignments):
                fate = world.truth.of(lodged.topic, lodged.key, index)
                assert fate is world.truth.of_item(f"manifests/{lodged.key}/{consignment.house_bill}")
                assert fate.control_point == lodged.body.control_point
        else:
            assert world.truth.of(lodged.topic, lodged.key) is world.truth.of_item(f"{lodged.topic}/{lodged.key}")


def test_between_one_and_two_in_a_hundred_items_are_illicit() -> None:
    world, _ = two_months()
    assert 0.01 <= sum(fate.illicit for fate in world.truth) / len(world.truth) <= 0.02


def test_the_base_rate_follows_its_argument() -> None:
    world = World(1, items_per_day=300, base_rate=0.05)
    for _ in world.lodgements(world.start + timedelta(days=30)):
        pass
    assert 0.03 <= sum(fate.illicit for fate in world.truth) / len(world.truth) <= 0.07


def test_true_probabilities_are_calibrated() -> None:
    world, _ = two_months()
    fates = list(world.truth)
    expected = sum(fate.probability for fate in fates)
    variance = sum(fate.probability * (1 - fate.probability) for fate in fates)
    assert abs(sum(fate.illicit for fate in fates) - expected) < 4 * variance**0.5


def test_schemes_start_stop_move_and_mutate() -> None:
    world, _ = two_months()
    assert any(scheme.starts > 0 for scheme in world.schemes)
    assert any(scheme.stops < 60 for scheme in world.schemes)
    assert {scheme.kind for scheme in world.schemes} == {"surge", "quiet"}
    changes = Counter(phase.change for scheme in world.schemes for phase in scheme.phases)
    assert changes["moves"] > 3
    assert changes["mutates"] > 3
    for scheme in world.schemes:
        for before, after in zip(scheme.phases, scheme.phases[1:], strict=False):
            assert before.until == after.since
            if scheme.kind == "surge":
                kept = 0 if after.change == "moves" else 1
                assert before.lead[kept] == after.lead[kept]


def test_a_scheme_is_only_found_in_traffic_while_it_runs() -> None:
    world, _ = two_months()
    runs = {scheme.scheme_id: scheme for scheme in world.schemes}
    seen = [fate for fate in world.truth if fate.scheme_id is not None]
    assert len(seen) > 200
    for fate in seen:
        assert fate.scheme_id is not None
        # A consignment waits for the rest of its manifest: at the smallest port of this small world, up to 12 days.
        assert runs[fate.scheme_id].starts <= world.day_of(fate.lodged_at) < runs[fate.scheme_id].stops + 12


def test_a_surge_brings_new_traffic_and_a_quiet_scheme_none() -> None:
    world, _ = two_months()
    phases = [phase for scheme in world.schemes for phase in scheme.phases]
    assert all(phase.traffic == 0 for phase in phases if phase.kind == "quiet")
    assert all(phase.traffic > 0 for phase in phases if phase.kind == "surge")
    assert all(min(phase.consignees) > NEW_PARTIES for phase in phases if phase.kind == "surge")


def test_each_mark_of_a_scheme_predicts_a_part() -> None:
    phase = next(p for s in two_months()[0].schemes for p in s.phases if len(p.marks) >= 3)
    by_matches = [phase.probability(matched) for matched in range(len(phase.marks) + 1)]
    assert by_matches == sorted(by_matches)
    assert by_matches[0] == 0
    assert by_matches[-1] == phase.rate


def test_the_oracle_finds_most_of_what_can_be_found_at_two_in_a_hundred() -> None:
    world, _ = two_months()
    best = oracle(world.truth, 0.02)
    assert 0.4 <= best.seizure_rate <= 0.75
    assert best.inspected == pytest.approx(0.02 * best.items, abs=1)
    assert oracle(world.truth, 0.02, miss_rate=0.1).expected == pytest.approx(best.expected * 0.9)
    assert oracle(world.truth, 0.02, kind="quiet").found < best.found


ONLY_IN_THE_TRUTH = ("scheme", "illicit", "probability", "severity", "quiet-", "surge-", "boom-", "fate", "truth")


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), dirt=st.sampled_from([0.0, 0.3]))
def test_the_truth_never_travels_on_a_topic(seed: int, dirt: float) -> None:
    world = World(seed, items_per_day=400, dirt=dirt)
    for lodged in islice(world.lodgements(), 150):
        text = encoded(lodged).lower() + lodged.key.encode()
        assert not [word for word in ONLY_IN_THE_TRUTH if word.encode() in text]


def test_licit_and_illicit_records_have_the_same_fields() -> None:
    world, lodgements = two_months()
    fields: dict[bool, set[str]] = {True: set(), False: set()}
    for lodged in lodgements:
        if lodged.topic == "express-cargo":
            fields[world.truth.of(lodged.topic, lodged.key).illicit] |= set(msgspec.to_builtins(lodged.body))
    assert fields[True] <= fields[False]


def test_a_truth_that_keeps_little_forgets_the_oldest_lodgements() -> None:
    world = World(1, keep=100)
    lodgements = list(islice(world.lodgements(), 1500))
    assert not world.truth.knows(f"{lodgements[0].topic}/{lodgements[0].key}")
    assert len(world.truth) < 100 * 200
    truth = Truth()
    with pytest.raises(KeyError):
        truth.of("manifests", "nobody")


def test_dirty_lodgements_are_as_many_as_asked_for_and_the_same_for_the_same_seed() -> None:
    clean = World(2)
    until = clean.start + timedelta(days=1)
    before = list(clean.lodgements(until))
    dirty = list(World(2, dirt=0.05).lodgements(until))
    assert dirty == list(World(2, dirt=0.05).lodgements(until))
    times = [lodged.lodged_at for lodged in dirty]
    assert times == sorted(times)
    changed = len(set(map(repr, dirty)) - set(map(repr, before)))
    assert 0.02 < changed / len(before) < 0.07
    assert any(isinstance(lodged.body, bytes) for lodged in dirty)
    keys = Counter((lodged.topic, lodged.key) for lodged in dirty)
    assert max(keys.values()) == 2


def test_container_ship_and_waybill_numbers_carry_their_check_digits() -> None:
    assert names.container_number("CSQU", 305438) == "CSQU3054383"  # the example of ISO 6346
    assert imo_number(907472) == "9074729"  # the example of IMO resolution A.1117(30)
    assert names.air_waybill("907", 1234567) == "907-12345675"


def test_a_world_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="items_per_day"):
        World(1, items_per_day=0)
    with pytest.raises(ValueError, match="base_rate"):
        World(1, base_rate=0.5)
    with pytest.raises(ValueError, match="dirty"):
        World(1, dirt=2.0)


def test_marks_name_what_gives_a_phase_away() -> None:
    phase = Phase("q", "quiet", "starts", "express-cargo", 0, 20, ("950300", "CN"), 0.5, 0, "drugs", port="CNPVG")
    assert phase.marks == ("port",)
    assert phase.severity == 3


def test_a_fate_is_licit_unless_said_otherwise() -> None:
    world, _ = two_months()
    for fate in world.truth:
        assert isinstance(fate, Fate)
        assert (fate.severity > 0) == fate.illicit == (fate.category is not None)
