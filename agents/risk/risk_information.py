"""The risk information that every worker holds: watchlist, intelligence and trusted-trader entries.

An entry matches an item when every target that it gives matches. Names, identifiers and documents are one target, the
party: any of them points at the same person or company. A trusted trader is known by its identifiers alone, where it
has any: its name is on its door. Each entry is found through its most telling target (anchor) by a dictionary lookup,
so 100,000 entries cost an item no more than ten do; names may also be similar.

The latest record of an entry wins, whatever its version: the topic is compacted, and a worker that starts tomorrow
sees only that one. That versions rise is checked when an entry is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, get_args

import msgspec

from agents.epoch import epoch_ms
from agents.risk.normalise import fold_code, fold_conveyance, fold_name, listed_spellings
from agents.risk.similar_names import NameIndex
from schemas.items import RiskHit, Stream
from schemas.knowledge import RiskInformationPublished

NO_HITS: Final[tuple[RiskHit, ...]] = ()
_FOREVER: Final = 1 << 62
_REMEMBERED_NAMES: Final = 20_000

Target = Literal[
    "identifier", "name", "person", "document", "container", "conveyance", "port", "heading", "departure", "origin"
]
"""What an anchor holds. `name` is that of a party to cargo, which may be a company's; `person` that of a traveller."""


class Party(msgspec.Struct, frozen=True, gc=False):
    """A party to an item as it is looked up, folded (`agents.risk.normalise`): by its name and by its identifier.

    The first of its `spellings` is the name that similar ones are compared with.
    """

    spellings: tuple[str, ...]
    identifier: str | None = None


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """What an item shows to the risk information, folded (`agents.risk.normalise`), at its event time `at_ms`.

    Each of the parties stands with its role, which is told in the hit.
    """

    stream: Stream
    at_ms: int
    parties: tuple[tuple[str, Party], ...]  # consignee, shipper, declarant, notify, traveller
    document: str | None = None
    containers: Sequence[str] = ()
    conveyances: Sequence[str] = ()
    port: str | None = None
    departure: str | None = None
    hs_codes: Sequence[str] = ()
    origins: Sequence[str] = ()


class Entry:
    """A published entry, folded for matching."""

    __slots__ = ("anchors", "event", "from_ms", "resembled", "tests", "until_ms")

    def __init__(self, event: RiskInformationPublished) -> None:
        self.event = event
        self.from_ms = epoch_ms(event.valid_from)
        self.until_ms = _FOREVER if event.valid_until is None else epoch_ms(event.valid_until)
        party: list[tuple[Target, str]] = [("identifier", code) for code in folded(event.party_identifiers)]
        self.resembled: tuple[tuple[Target, str], ...] = ()
        """The names that a similar one is compared with."""
        if event.kind != "trusted-trader" or not event.party_identifiers:
            party += [("document", code) for code in folded(event.documents)]
            spelt = [_spelt(target, name) for target in _name_targets(event) for name in event.party_names]
            firsts = tuple(dict.fromkeys(keys[0] for keys in spelt if keys))
            if event.kind == "trusted-trader":  # nothing but its own name earns trust
                party += firsts
            else:
                party += [key for keys in spelt for key in keys]
                self.resembled = firsts if event.similarity < 1.0 else ()
        targets: dict[str, list[tuple[Target, str]]] = {
            "party": party,
            "container": [("container", code) for code in folded(event.containers)],
            "conveyance": [("conveyance", code) for code in folded(event.conveyances, fold_conveyance)],
            "port": [("port", port) for port in event.ports_of_loading],
            "heading": [("heading", heading) for heading in event.headings],
            "departure": [("departure", country) for country in event.departures],
            "origin": [("origin", country) for country in event.origins],
        }
        given = [name for name, keys in targets.items() if keys]
        if not party and (event.party_names or event.party_identifiers or event.documents):
            given = []  # it asks for somebody, and says no letter of who: without them it would match anybody
        self.anchors = tuple(dict.fromkeys(targets[given[0]])) if given else ()
        """Where the entry is found, each once: two numbers of an entry may fold to one. Nowhere: it matches nothing."""
        self.tests = given[1:]
        """What else it asks for."""

    def speaks(self, sighting: Sighting) -> bool:
        """Whether the entry holds for the item's stream at its time, and all but the anchor match."""
        event = self.event
        if not self.from_ms <= sighting.at_ms < self.until_ms or sighting.stream not in event.streams:
            return False
        for test in self.tests:
            if test == "container":
                met = not set(folded(event.containers)).isdisjoint(sighting.containers)
            elif test == "conveyance":
                met = not set(folded(event.conveyances, fold_conveyance)).isdisjoint(sighting.conveyances)
            elif test == "port":
                met = sighting.port in event.ports_of_loading
            elif test == "heading":
                met = any(code.startswith(event.headings) for code in sighting.hs_codes)
            elif test == "departure":
                met = sighting.departure in event.departures
            else:
                met = any(origin in event.origins for origin in sighting.origins)
            if not met:
                return False
        return True

    def hit(self, matched: str, strength: float = 1.0) -> RiskHit:
        event = self.event
        return RiskHit(
            entry_id=event.entry_id,
            version=event.version,
            kind=event.kind,
            matched=matched,
            strength=strength,
            severity=event.severity,
            category=event.category,
        )


_PARTY: Final = ("party_names", "party_identifiers", "documents")
_NEVER_SHOWN: Final[dict[Stream, tuple[str, ...]]] = {
    "manifests": ("documents",),
    "express-cargo": ("documents", "containers", "conveyances"),
    "passengers": ("party_identifiers", "containers", "conveyances", "headings", "origins"),
}
"""Targets that no item of a stream has."""


class EntryRefusedError(ValueError):
    """An entry that could never match, or would match too much; the message names the field, and no person."""


def check_entry(event: RiskInformationPublished) -> None:
    """Whether an entry can be used. Raises `EntryRefusedError`."""
    if event.valid_until is not None and event.valid_until <= event.valid_from:
        raise EntryRefusedError("valid_until: is not after valid_from, so it would never be in force")
    for field, values in (
        ("party_identifiers", event.party_identifiers),
        ("documents", event.documents),
        ("containers", event.containers),
        ("conveyances", event.conveyances),
    ):
        for place, value in enumerate(values):
            if not fold_code(value):
                raise EntryRefusedError(f"{field}[{place}]: has no letter or digit")
    for place, name in enumerate(event.party_names):
        if not fold_name(name):
            raise EntryRefusedError(f"party_names[{place}]: has no letter or digit")
    if event.kind == "trusted-trader":
        if event.similarity < 1.0:
            raise EntryRefusedError("similarity: trust is never extended to similar names; leave it out")
        if not event.party_identifiers:
            raise EntryRefusedError("party_identifiers: a trusted trader needs one; anybody may write its name")
    if not Entry(event).anchors:
        raise EntryRefusedError("it gives no target to look for")
    for stream in event.streams:
        for field in _NEVER_SHOWN[stream]:
            if getattr(event, field) and (field not in _PARTY or not _names_a_party(event, stream)):
                raise EntryRefusedError(f"{field}: {stream} show none, so it could never match there")


def _names_a_party(event: RiskInformationPublished, stream: Stream) -> bool:
    """Whether a field of the party that the stream shows is given: any of them is enough, for trust the identifiers."""
    fields = ("party_identifiers",) if event.kind == "trusted-trader" else _PARTY
    return any(getattr(event, field) for field in fields if field not in _NEVER_SHOWN[stream])


class RiskInformationBook:
    """All entries in force, by anchor. `version` is the offset after the last folded record."""

    def __init__(self) -> None:
        self.version = 0
        self._entries: dict[str, Entry] = {}
        self._index: dict[Target, dict[str, tuple[Entry, ...]]] = {target: {} for target in get_args(Target)}
        self._heading_lengths: dict[int, int] = {}
        self._similar: dict[Target, NameIndex] = {"name": NameIndex(), "person": NameIndex()}
        self._resembled: dict[tuple[Target, str], tuple[Entry, ...]] = {}
        self._similar_memo: dict[tuple[Target, str], list[tuple[str, float]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[RiskInformationPublished, ...]:
        """The entries as published, by id; those out of their validity dates are among them."""
        return tuple(self._entries[entry_id].event for entry_id in sorted(self._entries))

    def fold(self, offset: int, key: str | None, event: object | None, sent_ms: int = 0) -> None:
        """Fold the record of risk-information at `offset`. None (a tombstone) and `withdrawn` end the entry."""
        self.version = offset + 1
        if isinstance(event, RiskInformationPublished):
            self._remove(event.entry_id)
            if not event.withdrawn:
                self._insert(Entry(event))
        elif event is None and key is not None:
            self._remove(key)

    def _insert(self, entry: Entry) -> None:
        self._entries[entry.event.entry_id] = entry
        for target, value in entry.anchors:
            entries = self._index[target]
            entries[value] = (*entries.get(value, ()), entry)
            if target == "heading":
                self._heading_lengths[len(value)] = self._heading_lengths.get(len(value), 0) + 1
        for name in entry.resembled:
            self._resembled[name] = (*self._resembled.get(name, ()), entry)
            self._list_name(name)

    def _remove(self, entry_id: str) -> None:
        entry = self._entries.pop(entry_id, None)
        if entry is None:
            return
        for target, value in entry.anchors:
            entries = self._index[target]
            entries[value] = _without(entry, entries[value])
            if not entries[value]:
                del entries[value]
            if target == "heading":
                self._heading_lengths[len(value)] -= 1
                if not self._heading_lengths[len(value)]:
                    del self._heading_lengths[len(value)]
        for name in entry.resembled:
            self._resembled[name] = _without(entry, self._resembled[name])
            self._list_name(name)

    def _list_name(self, name: tuple[Target, str]) -> None:
        """Keep the similar names equal to those of the entries that ask for less than equality."""
        self._similar_memo.clear()
        if entries := self._resembled[name]:
            self._similar[name[0]].add(name[1], min(entry.event.similarity for entry in entries))
        else:
            del self._resembled[name]
            self._similar[name[0]].discard(name[1])

    def match(self, sighting: Sighting) -> tuple[RiskHit, ...]:
        """The entries that match an item, each once with its strongest match, gravest first."""
        if not self._entries:
            return NO_HITS
        index = self._index
        named: Target = "person" if sighting.stream == "passengers" else "name"
        identifiers, names = index["identifier"], index[named]
        found: list[tuple[str, tuple[Entry, ...]]] = []
        for role, party in sighting.parties:
            if party.identifier in identifiers:
                found.append((role, identifiers[party.identifier]))
            for spelling in party.spellings:
                if spelling in names:
                    found.append((role, names[spelling]))  # noqa: PERF401
        if (documents := index["document"]) and sighting.document in documents:
            found.append(("document", documents[sighting.document]))
        # Loops in place of comprehensions: each of those is a call, and hardly ever is there anything to list.
        if containers := index["container"]:
            for number in sighting.containers:
                if number in containers:
                    found.append(("container", containers[number]))  # noqa: PERF401
        if conveyances := index["conveyance"]:
            for name in sighting.conveyances:
                if name in conveyances:
                    found.append(("conveyance", conveyances[name]))  # noqa: PERF401
        if headings := index["heading"]:
            for code in sighting.hs_codes:
                for length in self._heading_lengths:
                    if (heading := code[:length]) in headings:
                        found.append(("heading", headings[heading]))  # noqa: PERF401
        if (ports := index["port"]) and sighting.port in ports:
            found.append(("route", ports[sighting.port]))
        if (departures := index["departure"]) and sighting.departure in departures:
            found.append(("route", departures[sighting.departure]))
        if origins := index["origin"]:
            for origin in sighting.origins:
                if origin in origins:
                    found.append(("route", origins[origin]))  # noqa: PERF401
        hits: dict[str, RiskHit] = {}
        for matched, entries in found:
            for entry in entries:
                if entry.event.entry_id not in hits and entry.speaks(sighting):
                    hits[entry.event.entry_id] = entry.hit(matched)
        if self._resembled and len(self._similar[named]):
            self._match_similar(sighting, named, hits)
        if not hits:
            return NO_HITS
        return tuple(sorted(hits.values(), key=lambda hit: (-hit.severity, -hit.strength, hit.entry_id)))

    def _match_similar(self, sighting: Sighting, named: Target, hits: dict[str, RiskHit]) -> None:
        for role, party in sighting.parties:
            if not party.spellings:
                continue
            similar = self._similar_memo.get((named, party.spellings[0]))
            if similar is None:
                similar = self._similar_to(named, party.spellings[0])
            for name, strength in similar:
                for entry in self._resembled[named, name]:
                    if strength < entry.event.similarity:
                        continue
                    held = hits.get(entry.event.entry_id)
                    if (held is None or held.strength < strength) and entry.speaks(sighting):
                        hits[entry.event.entry_id] = entry.hit(role, strength)

    def _similar_to(self, named: Target, name: str) -> list[tuple[str, float]]:
        if len(self._similar_memo) >= _REMEMBERED_NAMES:
            self._similar_memo.clear()
        similar = self._similar_memo[named, name] = self._similar[named].similar(name)
        return similar


def _without(entry: Entry, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple([one for one in entries if one is not entry])


def _name_targets(event: RiskInformationPublished) -> tuple[Target, ...]:
    """As whose the entry's names are looked for: `name` on cargo, `person` on passengers, or both."""
    cargo: tuple[Target, ...] = ("name",) if set(event.streams) - {"passengers"} else ()
    return (*cargo, "person") if "passengers" in event.streams else cargo


def _spelt(target: Target, name: str) -> list[tuple[Target, str]]:
    return [(target, key) for key in listed_spellings(name, person=target == "person") if key]


def folded(codes: Iterable[str], fold: Callable[[str], str] = fold_code) -> tuple[str, ...]:
    """Codes as they are compared, without empty ones."""
    return tuple(code for code in map(fold, codes) if code)
