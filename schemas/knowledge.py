"""What targeteers publish: criteria and risk information. Broadcast, compacted, versioned, with validity dates."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.items import Stream
from schemas.marks import Code, Country, Fact, Fraction, Heading, Id, Locode, PersonalId, PersonalName, Text, Utc


class CriterionPublished(Fact, tag_field="event", tag="CriterionPublished", frozen=True, kw_only=True):
    """A targeting criterion: a named, versioned condition over an item.

    `direct` selects at once, `boost` adds `weight` to the log-odds that rank the item, `whitelist` clears it unless a
    mandatory hit or a `direct` criterion speaks. `cap` bounds the share of a control point's items that it may touch in
    a day: hits over the cap are ranked, kept without effect, and reported. `withdrawn` ends it.
    """

    criterion_id: Id
    version: Annotated[int, Meta(ge=1)]
    title: Text
    streams: Annotated[tuple[Stream, ...], Meta(min_length=1)]
    condition: Annotated[str, Meta(min_length=1, max_length=2000)]
    action: Literal["direct", "boost", "whitelist"]
    weight: Annotated[float, Meta(ge=-10, le=10)] = 0.0
    category: Code | None = None
    lane: Literal["yellow", "red"] = "red"
    cap: Fraction = 0.01
    valid_from: Utc
    valid_until: Utc | None = None
    author: PersonalId | None = None
    withdrawn: bool = False


class RiskInformationPublished(Fact, tag_field="event", tag="RiskInformationPublished", frozen=True, kw_only=True):
    """A watchlist, intelligence or trusted-trader entry. It matches an item when every target that it gives matches.

    Names, identifiers and documents are one target, the party: any one of them is enough for it; a trusted trader is
    known by its identifiers alone. `party_names` are matched as normalised names (word order, spaces, accents and
    punctuation do not matter) and, from `similarity` on, by similar spelling.
    """

    entry_id: Id
    version: Annotated[int, Meta(ge=1)]
    kind: Literal["watchlist", "intelligence", "trusted-trader"]
    streams: Annotated[tuple[Stream, ...], Meta(min_length=1)]
    party_names: tuple[PersonalName, ...] = ()
    party_identifiers: tuple[PersonalId, ...] = ()
    documents: tuple[PersonalId, ...] = ()
    containers: tuple[Code, ...] = ()
    conveyances: tuple[Code, ...] = ()
    headings: tuple[Heading, ...] = ()
    origins: tuple[Country, ...] = ()
    departures: tuple[Country, ...] = ()
    ports_of_loading: tuple[Locode, ...] = ()
    similarity: Annotated[float, Meta(ge=0.8, le=1)] = 1.0
    severity: Annotated[int, Meta(ge=1, le=3)] = 2
    category: Code | None = None
    source: Code | None = None
    valid_from: Utc
    valid_until: Utc | None = None
    withdrawn: bool = False
