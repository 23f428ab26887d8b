"""Subject windows: what a brute-force count says, and the same after a rebuild from the horizon."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.risk.windows import DAY_MS, HOUR_MS, SubjectWindows
from schemas.items import Monitored

HORIZON = DAY_MS
Seen = tuple[str, str, int, int, int, str, str, bool]


@st.composite
def arrivals(draw: st.DrawFn) -> list[Seen]:
    """Lodgements of few subjects, in rough order of time: some far late, some twice, some revised."""
    seen: list[Seen] = []
    now = 10 * DAY_MS
    for number in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from((0, 1, 60_000, HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS)))
        late = draw(st.sampled_from((0, 0, 0, 1, HOUR_MS, 7 * HOUR_MS, 23 * HOUR_MS, DAY_MS, 30 * HOUR_MS)))
        again = draw(st.integers(0, 5)) == 0 and seen
        subject, item = draw(st.sampled_from("abc")), f"item-{number:03d}"
        if again:
            holder, item = draw(st.sampled_from(seen))[:2]
            subject = draw(st.sampled_from((holder, subject)))
        cents = draw(st.integers(0, 10**6))
        shipper, place = draw(st.sampled_from(("", "s1", "s2", "s3"))), draw(st.sampled_from(("p1", "p2")))
        seen.append((subject, item, draw(st.integers(0, 3)), now - late, cents, shipper, place, draw(st.booleans())))
    return seen


def fold(windows: SubjectWindows, seen: list[Seen]) -> list[tuple[int | None, Monitored]]:
    told = []
    for subject, item, revision, at, cents, shipper, place, below in seen:
        windows.advance(at)
        highest = windows.highest_revision(item)
        told.append((highest, windows.observe(subject, item, revision, at, cents, shipper, place, below)))
    return told


def counted_by_hand(seen: list[Seen]) -> tuple[int | None, Monitored]:
    """What must be told of the last of `seen`, from the definition alone."""
    subject, item, _, at, cents, shipper, _, below = seen[-1]
    seen_after = max(one[3] for one in seen) - HORIZON
    visible = [one for one in seen if one[3] > seen_after]
    watermarks = list(accumulate((one[3] for one in seen), max))
    before = [one for one, came in zip(seen[:-1], watermarks, strict=False) if came > seen_after]
    highest = max((one[2] for one in before if one[1] == item), default=None)
    alone = Monitored(
        arrivals_1h=1,
        arrivals_24h=1,
        value_24h_usd=cents / 100,
        shippers_24h=int(bool(shipper)),
        control_points_24h=1,
        first_seen_hours=0.0,
        below_threshold_24h=int(below),
    )
    if at <= seen_after:
        return highest, alone
    latest: dict[str, Seen] = {}
    for one in visible:
        if one[1] not in latest or one[3] >= latest[one[1]][3]:
            latest[one[1]] = one
    mine = [one for one in latest.values() if one[0] == subject]
    if not mine:
        return highest, alone
    now = max(one[3] for one in mine)
    day = [one for one in mine if one[3] > now - DAY_MS]
    return highest, Monitored(
        arrivals_1h=sum(one[3] > now - HOUR_MS for one in day),
        arrivals_24h=len(day),
        value_24h_usd=sum(one[4] for one in day) / 100,
        shippers_24h=len({one[5] for one in day} - {""}),
        control_points_24h=len({one[6] for one in day}),
        first_seen_hours=(now - min(one[3] for one in mine)) / HOUR_MS,
        below_threshold_24h=sum(one[7] for one in day),
    )


@settings(max_examples=150, deadline=None)
@given(arrivals())
def test_windows_hold_what_a_count_by_hand_finds(seen: list[Seen]) -> None:
    told = fold(SubjectWindows(HORIZON), seen)
    for place, one in enumerate(told):
        assert one == counted_by_hand(seen[: place + 1])


@settings(max_examples=150, deadline=None)
@given(arrivals(), st.data())
def test_a_rebuild_from_the_horizon_tells_what_an_undisturbed_fold_tells(seen: list[Seen], data: st.DataObject) -> None:
    undisturbed = fold(SubjectWindows(HORIZON), seen)
    restart = data.draw(st.integers(0, len(seen) - 1))
    from_ms = seen[restart][3] - HORIZON
    start = next(place for place, one in enumerate(seen) if one[3] >= from_ms)
    rebuilt = SubjectWindows(HORIZON)
    told = fold(rebuilt, seen[start:])[restart - start :]
    assert told == undisturbed[restart:]


def test_an_importer_with_thousands_of_parcels_is_counted_like_any_other() -> None:
    seen = [
        ("a", f"item-{n:05d}", 0, n * 1_000_000 - (n % 7) * 3_000_000 + 10**9, n, f"s{n % 11}", f"p{n % 3}", n % 5 == 0)
        for n in range(400)
    ]
    told = fold(SubjectWindows(HORIZON), seen)
    for place in range(0, 400, 13):
        assert told[place] == counted_by_hand(seen[: place + 1])


def test_an_item_that_moves_to_another_subject_counts_there_alone() -> None:
    at = 10**10
    first, moved, back = ("a", "i1", 0, at), ("b", "i1", 1, at + HOUR_MS), ("a", "i1", 2, at + 2 * HOUR_MS)
    other, later = ("a", "i2", 0, at + HOUR_MS), ("b", "i3", 0, at + 3 * HOUR_MS)
    seen = [(*one, 100, "s", "p", True) for one in (first, moved, other, back, later)]
    told = fold(SubjectWindows(HORIZON), seen)
    assert [one.arrivals_24h for _, one in told] == [1, 1, 1, 2, 1]
    assert [one.below_threshold_24h for _, one in told] == [1, 1, 1, 2, 1]


def test_an_importer_whose_latest_parcel_was_another_s_is_counted_as_if_it_had_never_been_there() -> None:
    seen: list[Seen] = [("a", f"item-{n:02d}", 0, 10**10 + n, n, f"s{n % 3}", "p", False) for n in range(40)]
    seen.append(("a", "far", 0, 10**10 + DAY_MS - 5, 7, "s", "p", True))  # most of the others are out of its windows
    seen.append(("b", "far", 1, 10**10 + DAY_MS - 4, 7, "s", "p", True))
    seen.append(("a", "item-40", 0, 10**10 + 60, 1, "s", "p", False))
    told = fold(SubjectWindows(HORIZON), seen)
    assert told[-1] == counted_by_hand(seen)
    assert told[-1][1].arrivals_1h == 41


def lodgements_of(windows: SubjectWindows, item: str) -> list[tuple[int, int]]:
    lodged = windows._lodged[item]
    return [lodged[:2]] if isinstance(lodged, tuple) else lodged.kept


def test_an_item_that_is_amended_again_and_again_leaves_one_lodgement() -> None:
    windows = SubjectWindows(HORIZON)
    fold(windows, [("a", "item", number, 10**10 + number, 1, "x", "p", False) for number in range(5000)])
    assert lodgements_of(windows, "item") == [(10**10 + 4999, 4999)]
    fold(windows, [("a", "item", 4000, 10**10 + 6000, 1, "x", "p", False)] * 5000)
    assert lodgements_of(windows, "item") == [(10**10 + 4999, 4999), (10**10 + 6000, 4000)]


def test_idle_subjects_are_forgotten() -> None:
    windows = SubjectWindows(HORIZON)
    fold(windows, [(f"s{n}", f"i{n}", 0, 10**10 + n, 1, "x", "p", False) for n in range(1000)])
    assert len(windows) == 2000
    fold(windows, [("later", "i", 0, 10**10 + 2 * DAY_MS, 1, "x", "p", False)])
    assert len(windows) == 2
