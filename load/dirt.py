"""Dirty input, as real lodgers send it: garbage, broken house bills, wrong check digits, late and doubled records.

What is soiled and how follows from the seed. The ledger needs no list of it: everything lodged, however dirty, must
end as a decision or as a dead letter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count

import msgspec
import numpy as np

from load.desk import Lodged
from schemas.lodgements import ManifestLodged

DELAY = timedelta(minutes=20)
"""How long after the first the doubled record of a lodgement is sent."""
_GARBAGE = (b"", b"{", b"\xff\xfe\x00garbage", b"[1,2,3]", b'{"event":"ManifestLodged"', b"null", b'{"a":NaN}')


def _house_bills(lodged: Lodged) -> int:
    return len(lodged.body.consignments) if isinstance(lodged.body, ManifestLodged) else 1


class Dirt:
    """Soils lodgements, one defect a record: the share `rate` of parcels and travellers, and of house bills.

    Most soiled manifests have one bad house bill among good ones; a few are spoilt as a whole.
    """

    def __init__(self, seed: int, rate: float) -> None:
        if not 0 < rate <= 1:
            raise ValueError("the rate of dirty records must be above 0 and at most 1")
        self._rng = np.random.default_rng([seed, 4])
        self._rate = rate
        self._defects: tuple[Callable[[Lodged], Lodged], ...] = (
            self._garbage,
            self._truncated,
            self._broken_field,
            self._wrong_check_digit,
            self._unknown_point,
            self._late,
        )

    def soil(self, lodgements: Iterator[Lodged]) -> Iterator[Lodged]:
        """The lodgements with some soiled, and some sent again; still in event-time order."""
        rng = self._rng
        again: list[tuple[object, int, Lodged]] = []
        order = count()
        for lodged in lodgements:
            while again and again[0][2].lodged_at + DELAY <= lodged.lodged_at:
                double = heapq.heappop(again)[2]
                yield double._replace(lodged_at=double.lodged_at + DELAY)
            share = self._rate * _house_bills(lodged)
            if rng.random() >= min(0.5, share):
                yield lodged
            elif share > self._rate and rng.random() < 0.8:
                yield (self._broken_field, self._wrong_check_digit)[int(rng.integers(0, 2))](lodged)
            elif (defect := int(rng.integers(0, len(self._defects) + 1))) < len(self._defects):
                yield self._defects[defect](lodged)
            else:
                yield lodged
                heapq.heappush(again, (lodged.lodged_at, next(order), lodged))

    def _garbage(self, lodged: Lodged) -> Lodged:
        return lodged._replace(body=_GARBAGE[int(self._rng.integers(0, len(_GARBAGE)))])

    def _truncated(self, lodged: Lodged) -> Lodged:
        body = msgspec.json.encode(lodged.body)
        return lodged._replace(body=body[: int(len(body) * self._rng.random())])

    def _broken_field(self, lodged: Lodged) -> Lodged:
        """One item loses a required field, gets a wrong type, or a number out of bounds."""
        body = msgspec.to_builtins(lodged.body, str_keys=True, builtin_types=())
        item = body
        if "consignments" in body:
            item = body["consignments"][int(self._rng.integers(0, len(body["consignments"])))]
        what = int(self._rng.integers(0, 3))
        if "goods" in item:
            line = item["goods"][0]
            if what == 0:
                del line["hs_code"]
            elif what == 1:
                line["gross_mass_kg"] = -1.0
            else:
                line["declared_value"] = "a lot"
        elif what == 0:
            del item["family_name"]
        elif what == 1:
            item["birth_date"] = "yesterday"
        else:
            item["nationality"] = "Atlantis"
        return lodged._replace(body=msgspec.json.encode(body))

    def _wrong_check_digit(self, lodged: Lodged) -> Lodged:
        """A mistyped container number. Odd, but it can be decided; records without containers stay as they are."""
        body = lodged.body
        if not isinstance(body, ManifestLodged):
            return lodged
        consignments = list(body.consignments)
        for place, consignment in enumerate(consignments):
            if consignment.containers:
                box = consignment.containers[0]
                wrong = box.number[:-1] + str((int(box.number[-1]) + 3) % 10)
                boxes = (msgspec.structs.replace(box, number=wrong), *consignment.containers[1:])
                consignments[place] = msgspec.structs.replace(consignment, containers=boxes)
                break
        return lodged._replace(body=msgspec.structs.replace(body, consignments=tuple(consignments)))

    def _unknown_point(self, lodged: Lodged) -> Lodged:
        if isinstance(lodged.body, bytes):
            return lodged
        return lodged._replace(body=msgspec.structs.replace(lodged.body, control_point="KRXXX-NONE"))

    def _late(self, lodged: Lodged) -> Lodged:
        """Lodged after arrival."""
        if isinstance(lodged.body, bytes):
            return lodged
        return lodged._replace(body=msgspec.structs.replace(lodged.body, eta=lodged.lodged_at - timedelta(hours=6)))
