"""What screening finds about one item, before it is put together with its lodgement's lineage."""

from __future__ import annotations

import msgspec

from schemas.items import CargoFacts, PriorRecord, RiskHit, TravellerFacts


class Findings(msgspec.Struct, frozen=True, gc=False):
    """The facts of one item, and what the record and the risk information know of its parties."""

    subject: str
    cargo: CargoFacts | None
    traveller: TravellerFacts | None
    prior: PriorRecord
    counterpart_prior: PriorRecord | None
    hits: tuple[RiskHit, ...]
    trusted: bool
    quality: tuple[str, ...]


def is_trusted(hits: tuple[RiskHit, ...]) -> bool:
    """Whether the consignee itself is a trusted trader; a shipper's or declarant's trust does not extend to it."""
    return any(hit.kind == "trusted-trader" and hit.matched == "consignee" for hit in hits)
