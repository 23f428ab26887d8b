"""What was seen of each subject lately: arrivals, shippers, value and places over windows of event time.

Everything reported is a function of the records that are younger than the horizon, counted back from the watermark
(the latest event time of the partition). So a state rebuilt from the horizon equals one that never stopped, for any
order in which records come. Four rules make it so:

- a record at or before `watermark - horizon` is not seen, whether it is still in memory or not;
- an item counts once, at its latest lodgement: a duplicate or a revision moves it, also from one subject to another,
  so it cannot count twice;
- windows end at the subject's own latest event time, so that late records cost no more than others;
- whether an item was lodged before is asked by the watermark at which its lodgements came, not by their event time:
  what is lodged days late, and then again, is known like any other.

Values are whole cents: sums of integers do not depend on what was added and subtracted before.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from schemas.items import Monitored

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_FEW: Final = 12
_MOST_CENTS: Final = 10**15

Entry = tuple[int, str, int, str, str, bool]
"""Event time in ms, item id, value in cents, shipper, control point, just below the de-minimis value."""

Lodgement = tuple[int, int, int, str]
"""The watermark as it came, in ms; revision; event time in ms; subject."""


class Tally:
    """Running sums over the windows of a subject with many items.

    Both indices move on in time, and back when the subject's latest item turns out to be another's.
    """

    __slots__ = ("below", "cents", "day", "hour", "places", "shippers")

    def __init__(self) -> None:
        self.day = 0  # index of the first entry of the 24 h window
        self.hour = 0
        self.cents = 0
        self.below = 0
        self.shippers: dict[str, int] = {}
        self.places: dict[str, int] = {}

    def add(self, entry: Entry) -> None:
        _, _, cents, shipper, place, below = entry
        self.cents += cents
        self.below += below
        self.shippers[shipper] = self.shippers.get(shipper, 0) + 1
        self.places[place] = self.places.get(place, 0) + 1

    def take(self, entry: Entry) -> None:
        _, _, cents, shipper, place, below = entry
        self.cents -= cents
        self.below -= below
        for counts, key in ((self.shippers, shipper), (self.places, place)):
            left = counts[key] - 1
            if left:
                counts[key] = left
            else:
                del counts[key]


class Activity:
    """The items of one subject with several, in the order of event time. `tally` exists once they are many."""

    __slots__ = ("entries", "tally")

    def __init__(self, entry: Entry) -> None:
        self.entries = [entry]
        self.tally: Tally | None = None

    def insert(self, entry: Entry) -> None:
        entries = self.entries
        if not entries or entry > entries[-1]:
            place = len(entries)
            entries.append(entry)
        else:
            place = bisect_left(entries, entry)
            entries.insert(place, entry)
        if (tally := self.tally) is not None:
            if place >= tally.day:
                tally.add(entry)
            else:
                tally.day += 1
            tally.hour += place < tally.hour

    def take_out(self, at_ms: int, item_id: str) -> None:
        """Take out an item as it was lodged at `at_ms`."""
        place = bisect_left(self.entries, (at_ms, item_id))
        old = self.entries.pop(place)
        if (tally := self.tally) is not None:
            if place >= tally.day:
                tally.take(old)
            else:
                tally.day -= 1
            tally.hour -= place < tally.hour

    def figures(self, seen_after: int) -> Monitored:
        """The windows at the subject's latest event time."""
        entries = self.entries
        if entries[0][0] <= seen_after and (self.tally is None or entries[len(entries) >> 2][0] <= seen_after):
            self._trim(bisect_left(entries, (seen_after + 1,)))
        if self.tally is None:
            if len(entries) <= _FEW:
                return _counted(entries, seen_after)
            self.tally = Tally()
            for entry in entries:
                self.tally.add(entry)
        return self._tallied(self.tally, seen_after)

    def _trim(self, gone: int) -> None:
        if (tally := self.tally) is not None:
            for entry in self.entries[tally.day : gone]:
                tally.take(entry)
            tally.day = max(0, tally.day - gone)
            tally.hour = max(0, tally.hour - gone)
        del self.entries[:gone]

    def _tallied(self, tally: Tally, seen_after: int) -> Monitored:
        entries = self.entries
        now = entries[-1][0]
        after = max(now - DAY_MS, seen_after)
        while tally.day and entries[tally.day - 1][0] > after:
            tally.day -= 1
            tally.add(entries[tally.day])
        while entries[tally.day][0] <= after:
            tally.take(entries[tally.day])
            tally.day += 1
        after = max(now - HOUR_MS, seen_after)
        while tally.hour and entries[tally.hour - 1][0] > after:
            tally.hour -= 1
        while entries[tally.hour][0] <= after:
            tally.hour += 1
        first = entries[bisect_left(entries, (seen_after + 1,))][0]
        return Monitored(
            arrivals_1h=len(entries) - tally.hour,
            arrivals_24h=len(entries) - tally.day,
            value_24h_usd=tally.cents / 100.0,
            shippers_24h=len(tally.shippers) - ("" in tally.shippers),
            control_points_24h=len(tally.places),
            first_seen_hours=(now - first) / HOUR_MS,
            below_threshold_24h=tally.below,
        )


def _counted(entries: list[Entry], seen_after: int) -> Monitored:
    """The same for a subject with few items, by looking at each: most subjects never need a tally."""
    now = entries[-1][0]
    day, hour = now - DAY_MS, now - HOUR_MS
    if seen_after > day:
        day, hour = seen_after, max(hour, seen_after)
    arrivals = lately = cents = splits = 0
    shippers: set[str] = set()
    places: set[str] = set()
    for at, _, value, shipper, place, below in entries:
        if at > day:
            arrivals += 1
            lately += at > hour
            cents += value
            splits += below
            if shipper:
                shippers.add(shipper)
            places.add(place)
    return Monitored(
        arrivals_1h=lately,
        arrivals_24h=arrivals,
        value_24h_usd=cents / 100.0,
        shippers_24h=len(shippers),
        control_points_24h=len(places),
        first_seen_hours=(now - entries[0][0]) / HOUR_MS,
        below_threshold_24h=splits,
    )


class Lodgements:
    """The lodgements of an item with several: where it counts, and what may yet tell its highest revision.

    One after which another of no lower revision came is left out, so that an item that is amended again and again costs
    no more than any other. `at_ms` and `subject` are those of the latest in event time.
    """

    __slots__ = ("at_ms", "kept", "subject")

    def __init__(self, first: Lodgement) -> None:
        came_ms, revision, self.at_ms, self.subject = first
        self.kept = [(came_ms, revision)]  # as they came, and falling revisions

    def add(self, new: Lodgement, seen_after: int) -> None:
        """One more, and those that are not seen any longer go."""
        came_ms, revision, at_ms, subject = new
        if at_ms >= self.at_ms:
            self.at_ms, self.subject = at_ms, subject
        kept = self.kept
        while kept and kept[-1][1] <= revision:
            kept.pop()
        del kept[: bisect_left(kept, (seen_after + 1,))]
        kept.append((came_ms, revision))


class SubjectWindows:
    """The windows of all subjects of one partition."""

    def __init__(self, horizon_ms: int) -> None:
        self.horizon_ms = horizon_ms
        self.watermark_ms = 0
        self._subjects: dict[str, Activity | Entry] = {}  # most have one item: that alone
        self._lodged: dict[str, Lodgements | Lodgement] = {}  # most have one lodgement: that alone
        self._places: dict[str, str] = {}
        self._swept_ms = 0

    def __len__(self) -> int:
        return len(self._subjects) + len(self._lodged)

    def advance(self, at_ms: int) -> None:
        """Move the watermark on to `at_ms`, and now and then drop what it has left behind."""
        if at_ms > self.watermark_ms:
            self.watermark_ms = at_ms
            if at_ms - self._swept_ms > self.horizon_ms >> 2:
                self._swept_ms = at_ms
                seen_after = at_ms - self.horizon_ms
                self._subjects = {k: v for k, v in self._subjects.items() if _latest_ms(v) > seen_after}
                self._lodged = {k: v for k, v in self._lodged.items() if _came_ms(v) > seen_after}

    def highest_revision(self, item_id: str) -> int | None:
        """The highest revision of an item among its lodgements that came within the horizon; None without one."""
        lodged = self._lodged.get(item_id)
        if lodged is None:
            return None
        seen_after = self.watermark_ms - self.horizon_ms
        if isinstance(lodged, tuple):
            return lodged[1] if lodged[0] > seen_after else None
        place = bisect_left(lodged.kept, (seen_after + 1,))
        return lodged.kept[place][1] if place < len(lodged.kept) else None

    def observe(
        self, subject: str, item_id: str, revision: int, at_ms: int, cents: int, shipper: str, place: str, below: bool
    ) -> Monitored:
        """Count one lodgement of an item, and say what the windows hold with it. Call `advance` first.

        `shipper` is empty for travellers. An item older than the horizon counts for itself alone. One that was lodged
        again later, and came late, counts where it was lodged later.
        """
        seen_after = self.watermark_ms - self.horizon_ms
        if cents > _MOST_CENTS:
            cents = _MOST_CENTS
        earlier = self._lodge(item_id, (self.watermark_ms, revision, at_ms, subject), seen_after)
        if at_ms <= seen_after:
            return _alone(cents, shipper, below)
        entry: Entry = (at_ms, item_id, cents, shipper, self._places.setdefault(place, place), below)
        counts = earlier is None or at_ms >= earlier[0]
        if earlier is not None and counts:
            self._take_out(item_id, *earlier)
        activity = self._subjects.get(subject)
        if activity is None or _latest_ms(activity) <= seen_after:
            if counts:
                self._subjects[subject] = entry
            return _alone(cents, shipper, below)
        if not counts and isinstance(activity, tuple):
            return _counted([activity], seen_after)
        if isinstance(activity, tuple):
            activity = self._subjects[subject] = Activity(activity)
        if counts:
            activity.insert(entry)
        return activity.figures(seen_after)

    def _lodge(self, item_id: str, new: Lodgement, seen_after: int) -> tuple[int, str] | None:
        """Note a lodgement; event time and subject of the latest before it, if it is still seen."""
        lodged = self._lodged.get(item_id)
        if lodged is None or _came_ms(lodged) <= seen_after:
            self._lodged[item_id] = new
            return None
        if isinstance(lodged, tuple):
            lodged = self._lodged[item_id] = Lodgements(lodged)
        earlier = lodged.at_ms, lodged.subject
        lodged.add(new, seen_after)
        return earlier if earlier[0] > seen_after else None

    def _take_out(self, item_id: str, at_ms: int, subject: str) -> None:
        activity = self._subjects[subject]
        if isinstance(activity, tuple) or len(activity.entries) == 1:
            del self._subjects[subject]
        else:
            activity.take_out(at_ms, item_id)


def _latest_ms(held: Activity | Entry) -> int:
    return held[0] if isinstance(held, tuple) else held.entries[-1][0]


def _came_ms(lodged: Lodgements | Lodgement) -> int:
    """The watermark at which the latest lodgement of an item came."""
    return lodged[0] if isinstance(lodged, tuple) else lodged.kept[-1][0]


def _alone(cents: int, shipper: str, below: bool) -> Monitored:
    return Monitored(
        arrivals_1h=1,
        arrivals_24h=1,
        value_24h_usd=cents / 100.0,
        shippers_24h=1 if shipper else 0,
        control_points_24h=1,
        first_seen_hours=0.0,
        below_threshold_24h=1 if below else 0,
    )
