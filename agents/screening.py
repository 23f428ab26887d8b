"""Step 1, screening: a lodgement becomes items, checked, in common units and codes, with what the record knows.

Keeps no state of its own: prior records come from the profiles, hits from the risk information, and a lodgement that
is delivered again becomes the same items with the same upstream, which filtering drops. A consignment that cannot be
decided is refused alone, with its path in the manifest; the rest go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agents import quality, refusals
from agents.epoch import epoch_ms
from agents.identity import (
    express_item_id,
    manifest_item_id,
    passenger_item_id,
    passenger_lodgement_id,
    record_id,
)
from agents.risk.cargo import CargoScreen
from agents.risk.codelists import USD_PER_UNIT
from agents.risk.findings import Findings
from agents.risk.parties import Parties
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.risk.travellers import TravellerScreen
from agents.step import Arrival, Memory, Outcome, Output, Refusal
from agents.undecidable import Undecidable
from schemas.codec import ManifestEnvelope, Undecodable, decode_consignment, read_house_bill
from schemas.items import ItemScreened, Stream
from schemas.lodgements import Consignment, ExpressConsignmentLodged, ManifestLodged, PassengerExpected
from schemas.marks import Origin, Upstream

Lodged = ManifestEnvelope | ManifestLodged | ExpressConsignmentLodged | PassengerExpected

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_ON_TIME: Final[tuple[str, ...]] = ()
_LATE: Final = (quality.LODGED_LATE,)


class Screening:
    """Explodes manifests, express parcels and passengers into `ItemScreened`, keyed by subject."""

    name = "screening"
    inputs = ("manifests", "express-cargo", "passengers")
    produces = ("screened",)
    memory: tuple[Memory, ...] = ()

    def __init__(
        self,
        policy: Policy,
        profiles: Profiles,
        risk_information: RiskInformationBook,
        pseudonym_key: bytes,
        *,
        usd_per_unit: Mapping[str, float] = USD_PER_UNIT,
    ) -> None:
        """`usd_per_unit`: reference rates by ISO 4217 code; a currency without one is refused."""
        self._policy = policy
        self._ahead_ms = int(policy.clock_ahead_minutes * 60_000)
        self._profiles = profiles
        self._risk_information = risk_information
        parties = Parties(pseudonym_key)
        self._cargo = CargoScreen(parties, profiles, risk_information, usd_per_unit)
        self._travellers = TravellerScreen(parties, profiles, risk_information)

    def begin(self, partition: int, first_offset: int) -> None:
        """There is nothing to remember."""

    def remember(self, state: None, arrivals: Sequence[Arrival[Any]]) -> None:
        """There is nothing to remember."""

    def entries(self, state: None) -> int:
        """No keyed entries."""
        return 0

    def decide(self, state: None, arrivals: Sequence[Arrival[Any]]) -> Outcome:
        """Screen a batch of lodgements. Raises `TypeError` for an event that is no lodgement."""
        outcome = Outcome()
        for arrival in arrivals:
            event = arrival.event
            if isinstance(event, ExpressConsignmentLodged):
                self._parcel(arrival, event, outcome)
            elif isinstance(event, PassengerExpected):
                self._passenger(arrival, event, outcome)
            elif isinstance(event, ManifestEnvelope | ManifestLodged):
                self._manifest(arrival, event, outcome)
            else:
                raise TypeError(f"screening does not take {type(event).__name__}")
        return outcome

    def _parcel(self, arrival: Arrival[Any], event: ExpressConsignmentLodged, outcome: Outcome) -> None:
        item_id = express_item_id(event.waybill)
        try:
            at_ms = self._checked_time(arrival, event, "express-cargo")
            findings = self._cargo.parcel(event, at_ms, _ON_TIME if event.eta >= event.lodged_at else _LATE)
        except Undecidable as why:
            outcome.refusals.append(Refusal(arrival.offset, why.reason, why.field, why.detail, 0, item_id))
            return
        self._emit(arrival, event, "express-cargo", item_id, event.waybill, event.revision, findings, 0, at_ms, outcome)

    def _passenger(self, arrival: Arrival[Any], event: PassengerExpected, outcome: Outcome) -> None:
        item_id = passenger_item_id(event.journey_id, event.passenger_reference)
        try:
            at_ms = self._checked_time(arrival, event, "passengers")
            findings = self._travellers.passenger(event, at_ms, _ON_TIME if event.eta >= event.lodged_at else _LATE)
        except Undecidable as why:
            outcome.refusals.append(Refusal(arrival.offset, why.reason, why.field, why.detail, 0, item_id))
            return
        lodgement_id = passenger_lodgement_id(event.journey_id, event.passenger_reference)
        self._emit(arrival, event, "passengers", item_id, lodgement_id, event.revision, findings, 0, at_ms, outcome)

    def _manifest(self, arrival: Arrival[Any], event: ManifestEnvelope | ManifestLodged, outcome: Outcome) -> None:
        try:
            at_ms = self._checked_time(arrival, event, "manifests")
            voyage = self._cargo.voyage(event, at_ms, _ON_TIME if event.eta >= event.lodged_at else _LATE)
        except Undecidable as why:
            outcome.refusals.append(Refusal(arrival.offset, why.reason, why.field, why.detail))
            return
        bills: set[str] = set()
        consignments: Sequence[Consignment | msgspec.Raw] = event.consignments
        for index, sent in enumerate(consignments):
            bill: str | None = None
            try:
                consignment = sent if isinstance(sent, Consignment) else decode_consignment(sent, index)
                bill = consignment.house_bill
                if bill in bills:
                    raise Undecidable(refusals.DUPLICATE_HOUSE_BILL, "house_bill", "it stands in this manifest already")
                findings = self._cargo.consignment(voyage, consignment)
                bills.add(bill)  # now that it is decided: one that is refused does not stand in for another
            except (Undecidable, Undecodable) as why:
                field = why.field
                if isinstance(why, Undecidable):
                    field = f"consignments[{index}].{field}"
                elif not isinstance(sent, Consignment):
                    bill = read_house_bill(sent)
                item_id = None if bill is None else manifest_item_id(event.manifest_id, bill)
                outcome.refusals.append(Refusal(arrival.offset, why.reason, field, why.detail, index, item_id))
                continue
            item_id = manifest_item_id(event.manifest_id, bill)
            revision = consignment.revision
            self._emit(
                arrival, event, "manifests", item_id, event.manifest_id, revision, findings, index, at_ms, outcome
            )

    def _checked_time(self, arrival: Arrival[Any], event: Lodged, stream: Stream) -> int:
        """The lodgement's event time in ms, when its control point and its clock can be believed.

        Raises `Undecidable`: nobody inspects there, or `lodged_at` would put the item outside of every window.
        """
        if not self._policy.admits(event.control_point, stream):
            detail = f"the policy has no control point of this name for {stream}"
            raise Undecidable(refusals.UNKNOWN_CONTROL_POINT, "control_point", detail)
        if event.lodged_at < _EARLIEST:
            raise Undecidable(refusals.IMPOSSIBLE_DATE, "lodged_at", "before the year 2000")
        at_ms = epoch_ms(event.lodged_at)
        if at_ms > arrival.timestamp_ms + self._ahead_ms:
            ahead = (at_ms - arrival.timestamp_ms) // 60_000
            raise Undecidable(refusals.CLOCK_AHEAD, "lodged_at", f"{ahead} minutes ahead of the record's timestamp")
        return at_ms

    def _emit(
        self,
        arrival: Arrival[Any],
        event: Lodged,
        stream: Stream,
        item_id: str,
        lodgement_id: str,
        revision: int,
        findings: Findings,
        index: int,
        at_ms: int,
        outcome: Outcome,
    ) -> None:
        topic, partition, offset = arrival.topic, arrival.partition, arrival.offset
        lodged_at = event.lodged_at
        item = ItemScreened(
            item_id=item_id,
            stream=stream,
            control_point=event.control_point,
            lodged_at=lodged_at,
            due_at=event.eta if event.eta >= lodged_at else lodged_at,
            subject=findings.subject,
            cargo=findings.cargo,
            traveller=findings.traveller,
            prior=findings.prior,
            counterpart_prior=findings.counterpart_prior,
            quality=findings.quality,
            profile_version=self._profiles.version,
            risk_information_version=self._risk_information.version,
            origin=Origin(
                topic=topic,
                partition=partition,
                offset=offset,
                index=index,
                lodgement_id=lodgement_id,
                sent_ms=arrival.sent_ms,
            ),
            upstream=Upstream(topic=topic, partition=partition, offset=offset, index=index),
        )
        if revision or findings.hits:
            # What few items have, apart: a call with more than 15 keywords takes CPython four times as long.
            item = replace(item, revision=revision, hits=findings.hits, trusted=findings.trusted)
        ce_id = record_id("s", "screening", topic, partition, offset, index)
        outcome.outputs.append(Output("screened", findings.subject, item, ce_id, at_ms))
