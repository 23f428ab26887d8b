"""Screening of cargo: consignments of a manifest and parcels of a courier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from agents import quality, refusals
from agents.risk.checks import air_waybill, container_number, imo_number
from agents.risk.codelists import KNOWN_ORIGINS, UNKNOWN_COUNTRY_CODE
from agents.risk.findings import Findings, is_trusted
from agents.risk.goods import goods_facts
from agents.risk.normalise import fold_code, fold_conveyance
from agents.risk.parties import Parties
from agents.risk.profiles import NOTHING_KNOWN, Profiles
from agents.risk.risk_information import NO_HITS, Party, RiskInformationBook, Sighting, folded
from agents.undecidable import Undecidable
from schemas.codec import ManifestEnvelope
from schemas.items import CargoFacts, RiskHit, Stream
from schemas.lodgements import Consignment, ExpressConsignmentLodged, GoodsLine, ManifestLodged, Procedure


class Voyage(NamedTuple):
    """What all consignments of a manifest share. `known_as` are the conveyance's identifier and name, folded."""

    carrier: str
    mode: str
    conveyance: str | None
    known_as: tuple[str, ...]
    odd: tuple[str, ...]
    at_ms: int


class CargoScreen:
    """Checks and normalises cargo, and attaches what is known of its parties."""

    def __init__(
        self,
        parties: Parties,
        profiles: Profiles,
        risk_information: RiskInformationBook,
        usd_per_unit: Mapping[str, float],
    ) -> None:
        self._parties = parties
        self._profiles = profiles
        self._risk_information = risk_information
        self._rates = usd_per_unit

    def voyage(self, manifest: ManifestEnvelope | ManifestLodged, at_ms: int, odd: tuple[str, ...]) -> Voyage:
        """Check the ship or aircraft once for all consignments. Raises `Undecidable` for an unknown port."""
        _check_port(manifest.port_of_discharge, "port_of_discharge")
        conveyance = manifest.conveyance
        name = conveyance.name or ""
        told = name[:32]
        if conveyance.identifier is not None:
            told = fold_conveyance(conveyance.identifier)[:32]
            if conveyance.mode == "sea" and imo_number(told) is False:
                odd += (quality.IMO_NUMBER,)
        # A listed name has 32 characters at most: a longer one is looked for whole, and as its beginning.
        names = (name,) if len(name) <= 32 else (name, name[:32])
        known_as = folded((conveyance.identifier or "", *names), fold_conveyance)
        return Voyage(manifest.carrier, conveyance.mode, told or None, known_as, odd, at_ms)

    def consignment(self, voyage: Voyage, consignment: Consignment) -> Findings:
        """Screen one house bill. Raises `Undecidable`."""
        _check_port(consignment.port_of_loading, "port_of_loading")
        known = self._parties.known
        consignee = known(consignment.consignee, "consignee")
        shipper = known(consignment.shipper, "shipper")
        declarant = None if consignment.declarant is None else known(consignment.declarant, "declarant")
        notify = None if consignment.notify is None else known(consignment.notify, "notify")
        odd = list(voyage.odd)
        if consignee.odd or shipper.odd or (declarant and declarant.odd) or (notify and notify.odd):
            odd.append(quality.NAME_CHARACTERS)
        departure = _departure(consignment.departure, odd)
        containers: tuple[str, ...] = ()
        if consignment.containers:
            # No longer than they were sent: some letters fold to eighteen, and the item has to fit its topic.
            containers = tuple([fold_code(box.number)[: len(box.number)] or "?" for box in consignment.containers])
            if not all(map(container_number, containers)):
                odd.append(quality.CONTAINER_NUMBER)
        if voyage.mode == "air" and air_waybill(consignment.house_bill) is False:
            odd.append(quality.AIR_WAYBILL)
        goods = goods_facts(consignment.goods, self._rates, odd)
        cargo = CargoFacts(
            bill=consignment.house_bill,
            consignee=consignee.subject,
            shipper=shipper.subject,
            declarant=None if declarant is None else declarant.subject,
            consignee_name=consignment.consignee.name,
            shipper_name=consignment.shipper.name,
            consignee_address=consignment.consignee.address,
            carrier=voyage.carrier,
            mode=voyage.mode,
            conveyance=voyage.conveyance,
            departure=departure,
            port_of_loading=consignment.port_of_loading,
            goods=goods,
            containers=containers,
        )
        if consignment.procedure is not None:
            cargo = _under(consignment.procedure, cargo)
        hits = NO_HITS
        if self._risk_information.version:  # else none was ever published
            roles = _roles(consignee, shipper, declarant, notify)
            hits = self._hits("manifests", voyage.at_ms, roles, cargo, consignment.goods, voyage.known_as)
        return self._findings(cargo, hits, odd)

    def parcel(self, lodged: ExpressConsignmentLodged, at_ms: int, late: tuple[str, ...]) -> Findings:
        """Screen one parcel. Raises `Undecidable`."""
        port = lodged.port_of_loading
        if port is not None:
            _check_port(port, "port_of_loading")
        known = self._parties.known
        consignee = known(lodged.consignee, "consignee")
        seller = known(lodged.seller, "seller")
        declarant = None if lodged.declarant is None else known(lodged.declarant, "declarant")
        odd = list(late)
        if consignee.odd or seller.odd or (declarant and declarant.odd):
            odd.append(quality.NAME_CHARACTERS)
        departure = _departure(lodged.departure, odd)
        # Couriers number parcels their own way: only a waybill written as an airline's, with its dash, is checked.
        if lodged.waybill[3:4] == "-" and air_waybill(lodged.waybill) is False:
            odd.append(quality.AIR_WAYBILL)
        goods = goods_facts(lodged.goods, self._rates, odd)
        cargo = CargoFacts(
            bill=lodged.waybill,
            consignee=consignee.subject,
            shipper=seller.subject,
            declarant=None if declarant is None else declarant.subject,
            consignee_name=lodged.consignee.name,
            shipper_name=lodged.seller.name,
            consignee_address=lodged.consignee.address,
            carrier=lodged.courier,
            mode=lodged.mode,
            departure=departure,
            port_of_loading=port,
            goods=goods,
            platform=lodged.platform,
            list_cleared=lodged.list_clearance is not None,
        )
        if lodged.procedure is not None:
            cargo = _under(lodged.procedure, cargo)
        hits = NO_HITS
        if self._risk_information.version:  # else none was ever published
            roles = _roles(consignee, seller, declarant, None)
            hits = self._hits("express-cargo", at_ms, roles, cargo, lodged.goods)
        return self._findings(cargo, hits, odd)

    def _hits(
        self,
        stream: Stream,
        at_ms: int,
        roles: tuple[tuple[str, Party], ...],
        cargo: CargoFacts,
        lines: tuple[GoodsLine, ...],
        conveyances: tuple[str, ...] = (),
    ) -> tuple[RiskHit, ...]:
        one = lines[0]
        return self._risk_information.match(
            Sighting(
                stream,
                at_ms,
                roles,
                None,
                cargo.containers,
                conveyances,
                cargo.port_of_loading,
                cargo.departure,
                (one.hs_code,) if len(lines) == 1 else [line.hs_code for line in lines],
                (one.origin,) if len(lines) == 1 else [line.origin for line in lines],
            )
        )

    def _findings(self, cargo: CargoFacts, hits: tuple[RiskHit, ...], odd: list[str]) -> Findings:
        counterpart = self._profiles.prior(cargo.shipper)
        return Findings(
            cargo.consignee,
            cargo,
            None,
            self._profiles.prior(cargo.consignee),
            None if counterpart is NOTHING_KNOWN else counterpart,
            hits,
            bool(hits) and is_trusted(hits),
            tuple(dict.fromkeys(odd)) if odd else (),
        )


def _under(procedure: Procedure, cargo: CargoFacts) -> CargoFacts:
    """The facts and the procedure. Apart: a call with more than 15 keywords takes CPython four times as long."""
    return replace(
        cargo,
        process_type=procedure.process_type,
        import_type=procedure.import_type,
        import_use=procedure.import_use,
        payment_type=procedure.payment_type,
    )


def _roles(
    consignee: Party, shipper: Party, declarant: Party | None, notify: Party | None
) -> tuple[tuple[str, Party], ...]:
    roles: tuple[tuple[str, Party], ...] = (("consignee", consignee), ("shipper", shipper))
    if declarant is not None:
        roles += (("declarant", declarant),)
    if notify is not None:
        roles += (("notify", notify),)
    return roles


def _departure(country: str, odd: list[str]) -> str:
    if country not in KNOWN_ORIGINS:
        raise Undecidable(refusals.UNKNOWN_COUNTRY, "departure", f"{country} is no country code")
    if country == UNKNOWN_COUNTRY_CODE:
        odd.append(quality.UNKNOWN_DEPARTURE)
    return country


def _check_port(port: str, field: str) -> None:
    if port[:2] not in KNOWN_ORIGINS:
        raise Undecidable(refusals.UNKNOWN_PORT, field, f"UN/LOCODE {port}: {port[:2]} is no country code")
