"""Recorded input for the benchmarks of speed: the same records every time, made from the simulated world.

Manifests of 200 consignments, single parcels and travellers, in the world's own shares of items. A manifest of the
world is rarely as large, so the consignments that are lodged one after the other at a control point are put into one.
Parties of parcels get names and numbers of their own, so that no subject is in two streams: then what is decided does
not depend on which stream a host reads first. Everything else is as the world lodges it. Equal arguments give equal
bytes (`Recording.sha256`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from load.desk import Lodged
from load.world import World
from schemas.codec import ce_type_of, encode
from schemas.lodgements import Consignment, ExpressConsignmentLodged, Lodgement, ManifestLodged, Party

MANIFEST_OF = 200
"""Consignments of a manifest."""
SEED = 7
ITEMS_PER_DAY = 900_000
"""So that 300,000 items are ten hours of one day: no window of filtering ends in between (`load.bench.throughput`)."""


class RecordedLodgement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record of a lodgement topic, ready to be produced; `items` is how many it holds."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    ce_id: bytes
    ce_type: bytes
    items: int

    def headers(self, sent_at: bytes) -> list[tuple[str, bytes]]:
        """CloudEvents headers; `sent_at` is the `ce_time`."""
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.ce_id),
            ("ce_type", self.ce_type),
            ("ce_source", b"/lodgers/recorded"),
            ("ce_time", sent_at),
            ("content-type", b"application/json"),
        ]


@dataclass(frozen=True, slots=True)
class Recording:
    """The records in event-time order, and what they amount to."""

    records: list[RecordedLodgement]
    items: int
    sha256: str

    @property
    def bytes(self) -> int:
        """Bytes of all values."""
        return sum(len(record.value) for record in self.records)


def recording(items: int, folder: Path, *, seed: int = SEED, items_per_day: int = ITEMS_PER_DAY) -> Recording:
    """At least `items` items; read from `folder` if they were recorded there before, else made and kept there."""
    kept = folder / f"lodgements-{seed}-{items}-{items_per_day}.msgpack"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        made = list(_until(items, _records(World(seed, items_per_day=items_per_day, keep=1_000))))
        writing = kept.with_suffix(".part")
        writing.write_bytes(msgspec.msgpack.encode(made))
        writing.rename(kept)
    raw = kept.read_bytes()
    records = msgspec.msgpack.decode(raw, type=list[RecordedLodgement])
    return Recording(records, sum(record.items for record in records), sha256(raw).hexdigest())


def _until(items: int, records: Iterable[RecordedLodgement]) -> Iterator[RecordedLodgement]:
    made = 0
    for record in records:
        yield record
        made += record.items
        if made >= items:
            return


def _records(world: World) -> Iterator[RecordedLodgement]:
    loading: dict[str, tuple[ManifestLodged, list[Consignment]]] = {}
    for lodged in world.lodgements():
        body = lodged.body
        if isinstance(body, bytes):
            continue  # a world without dirt has none
        if not isinstance(body, ManifestLodged):
            yield _recorded(lodged._replace(body=_apart(body)))
            continue
        # A full manifest is lodged when its last consignment is: later ones begin the next.
        head, held = loading.get(body.control_point) or (body, [])
        held = held + list(body.consignments)
        while len(held) >= MANIFEST_OF:
            part, held = held[:MANIFEST_OF], held[MANIFEST_OF:]
            yield _recorded(_full(head, part, lodged.lodged_at))
            head = body
        loading[body.control_point] = (head, held)


def _apart(body: Lodgement) -> Lodgement:
    if not isinstance(body, ExpressConsignmentLodged):
        return body
    parties = {name: _other(getattr(body, name)) for name in ("consignee", "seller", "declarant")}
    return msgspec.structs.replace(body, **parties)


def _other(party: Party | None) -> Party | None:
    if party is None:
        return None
    number = None if party.identifier is None else f"X{party.identifier}"
    return msgspec.structs.replace(party, name=f"{party.name} Post", identifier=number)


def _full(head: ManifestLodged, part: list[Consignment], at: datetime) -> Lodged:
    manifest = msgspec.structs.replace(
        head, manifest_id=f"{head.manifest_id}+", lodged_at=at, eta=max(at, head.eta), consignments=tuple(part)
    )
    return Lodged(at, "manifests", manifest.manifest_id, manifest)


def _recorded(lodged: Lodged) -> RecordedLodgement:
    body = lodged.body
    assert not isinstance(body, bytes)  # noqa: S101 - left out above
    return RecordedLodgement(
        topic=lodged.topic,
        key=lodged.key.encode(),
        value=encode(body),
        timestamp_ms=round(lodged.lodged_at.timestamp() * 1000),
        ce_id=f"{lodged.topic}/{lodged.key}".encode(),
        ce_type=ce_type_of(type(body)).encode(),
        items=len(body.consignments) if isinstance(body, ManifestLodged) else 1,
    )
