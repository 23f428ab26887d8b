"""Ids, pseudonyms and draws are functions of identity alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents import identity, refusals
from agents.marks import HighWater
from schemas.codec import UNDECODABLE_REASONS
from schemas.marks import Upstream


def test_ids_read_as_paths() -> None:
    assert identity.manifest_item_id("MRN1", "HB7") == "manifests/MRN1/HB7"
    assert identity.express_item_id("W1") == "express-cargo/W1"
    assert identity.passenger_item_id("KE902-20260101", "P1") == "passengers/KE902-20260101/P1"
    assert identity.passenger_lodgement_id("KE902-20260101", "P1") == "KE902-20260101/P1"


def test_ids_are_the_same_in_every_process() -> None:
    assert identity.record_id("d", "selection", "filtered", 3, 17) == "d-f931535a5670e594ac31272fdd438773"
    assert identity.unit_hash("policy-1", 42) == 0.5417437294764065
    assert identity.subject_key("c", "acme", b"k") == "c:5d4caad1708a104e3b9bd34b730518a2"


@given(st.text(max_size=120), st.text(max_size=120), st.text(max_size=120), st.text(max_size=120))
def test_two_bills_never_meet_in_one_item_id(a: str, b: str, c: str, d: str) -> None:
    first, second = identity.manifest_item_id(a, b), identity.manifest_item_id(c, d)
    assert (first == second) == ((a, b) == (c, d))
    assert len(first) <= identity.ID_LENGTH


@given(st.lists(st.text() | st.integers(), min_size=1, max_size=4))
def test_a_draw_lies_in_the_unit_interval(parts: list[str | int]) -> None:
    assert 0.0 <= identity.unit_hash(*[str(p).encode("utf-8", "replace").decode() for p in parts]) < 1.0


def test_draws_spread_evenly() -> None:
    draws = [identity.unit_hash("p", i) for i in range(10_000)]
    for tenth in range(10):
        assert 850 < sum(tenth / 10 <= d < (tenth + 1) / 10 for d in draws) < 1150


def test_a_pseudonym_needs_the_key() -> None:
    assert identity.subject_key("c", "acme", b"one") != identity.subject_key("c", "acme", b"two")
    assert identity.subject_key("c", "acme", b"x" * 200).startswith("c:")


def test_a_redelivered_record_is_known_by_its_mark() -> None:
    marks = HighWater()

    def at(offset: int, index: int = 0, partition: int = 0) -> Upstream:
        return Upstream(topic="manifests", partition=partition, offset=offset, index=index)

    assert marks.advance(at(5, 0))
    assert marks.advance(at(5, 1))
    assert not marks.advance(at(5, 1))
    assert marks.is_redelivery(at(4, 9))
    assert not marks.is_redelivery(at(5, 2))
    assert not marks.is_redelivery(at(0, 0, partition=1))
    assert marks.is_redelivery(at(5, 1))
    assert not marks.is_redelivery(at(6, 0))
    assert len(marks) == 1


def test_every_refusal_says_what_it_means() -> None:
    slugs = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}
    assert slugs.isdisjoint(UNDECODABLE_REASONS)
    assert slugs | set(UNDECODABLE_REASONS) == set(refusals.MEANINGS)
    assert all(slug == slug.lower() and " " not in slug for slug in slugs)


def test_draws_with_a_shared_beginning_are_the_same_draws() -> None:
    draws = identity.Draws("default-1", 7)
    for number in range(100):
        assert draws(f"express-cargo/W{number}") == identity.unit_hash("default-1", 7, f"express-cargo/W{number}")
