"""Risk information: what an entry matches, when, and that a long list costs no more than a short one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.epoch import epoch_ms
from agents.identity import unit_hash
from agents.risk.normalise import fold_name, spellings
from agents.risk.risk_information import EntryRefusedError, Party, RiskInformationBook, Sighting, check_entry
from agents.risk.similar_names import NameIndex
from load.bench.timing import microseconds
from schemas.knowledge import RiskInformationPublished

AT = datetime(2026, 3, 2, tzinfo=UTC)
AT_MS = epoch_ms(AT)


def entry(entry_id: str = "E1", **targets: Any) -> RiskInformationPublished:
    plain: dict[str, Any] = {
        "version": 1,
        "kind": "watchlist",
        "streams": ("express-cargo", "manifests"),
        "valid_from": AT - timedelta(days=1),
    }
    return RiskInformationPublished(entry_id=entry_id, **{**plain, **targets})


def book(*entries: RiskInformationPublished) -> RiskInformationBook:
    filled = RiskInformationBook()
    for offset, one in enumerate(entries):
        filled.fold(offset, one.entry_id, one)
    return filled


def traveller(name: str) -> Sighting:
    return Sighting("passengers", AT_MS, (("traveller", Party(spellings(name, person=True))),))


def consigned(name: str, identifier: str | None = None) -> Sighting:
    return Sighting("express-cargo", AT_MS, (("consignee", Party(spellings(name, person=False), identifier)),))


def sighting(**changes: Any) -> Sighting:
    plain: dict[str, Any] = {
        "stream": "express-cargo",
        "at_ms": AT_MS,
        "parties": (
            ("consignee", Party((fold_name("Bonbogi Trading"),), "2148600000")),
            ("shipper", Party(("lakers west",))),
        ),
        "containers": ("CSQU3054383",),
        "conveyances": ("9074729", "EVERGIVEN"),
        "port": "CNSHA",
        "departure": "CN",
        "hs_codes": ("6404110000", "851713"),
        "origins": ("CN", "VN"),
    }
    return Sighting(**{**plain, **changes})


@pytest.mark.parametrize(
    ("targets", "matched"),
    [
        ({"party_identifiers": ("214-86-00000",)}, "consignee"),
        ({"party_names": ("TRADING, Bonbogi Co., Ltd.",)}, "consignee"),
        ({"party_names": ("West Lakers",)}, "shipper"),
        ({"containers": ("CSQU 305438-3",)}, "container"),
        ({"conveyances": ("9074729",)}, "conveyance"),
        ({"conveyances": ("IMO 9074729",)}, "conveyance"),
        ({"conveyances": ("Ever Given",), "departures": ("CN",)}, "conveyance"),
        ({"headings": ("8517",)}, "heading"),
        ({"headings": ("85",), "origins": ("VN",)}, "heading"),
        ({"ports_of_loading": ("CNSHA",)}, "route"),
        ({"departures": ("CN",)}, "route"),
        ({"origins": ("VN",)}, "route"),
        ({"party_names": ("Nobody",), "party_identifiers": ("214 86 00000",)}, "consignee"),
    ],
)
def test_an_entry_matches_its_target(targets: dict[str, Any], matched: str) -> None:
    (hit,) = book(entry(**targets)).match(sighting())
    assert (hit.matched, hit.strength) == (matched, 1.0)


@pytest.mark.parametrize(
    "targets",
    [
        {"party_names": ("Bonbogi",)},
        {"headings": ("8518",)},
        {"headings": ("8517",), "origins": ("US",)},
        {"headings": ("8517",), "ports_of_loading": ("CNCAN",)},
        {"party_identifiers": ("2148600000",), "departures": ("US",)},
        {"containers": ("CSQU3054383",), "conveyances": ("1234567",)},
        {"documents": ("M123",)},
        {},
    ],
)
def test_every_target_of_an_entry_must_match(targets: dict[str, Any]) -> None:
    assert book(entry(**targets)).match(sighting()) == ()


def test_an_entry_holds_for_its_streams_and_dates() -> None:
    one = book(entry(departures=("CN",), valid_until=AT + timedelta(hours=1)))
    assert one.match(sighting())
    assert not one.match(sighting(at_ms=AT_MS - 2 * 86_400_000))
    assert not one.match(sighting(at_ms=AT_MS + 3_600_000))
    assert not one.match(sighting(stream="passengers"))


def test_an_entry_can_be_changed_and_withdrawn() -> None:
    filled = book(entry(departures=("CN",)), entry(departures=("US",), version=2))
    assert not filled.match(sighting())
    filled.fold(2, "E1", entry(departures=("CN",), version=3))
    assert filled.match(sighting())[0].version == 3
    filled.fold(3, "E1", entry(departures=("CN",), version=4, withdrawn=True))
    filled.fold(4, "E2", entry("E2", party_names=("Bonbogi Tradings",), similarity=0.9))
    assert [hit.entry_id for hit in filled.match(sighting())] == ["E2"]
    filled.fold(5, "E2", None)
    assert filled.match(sighting()) == ()
    assert (len(filled), filled.version) == (0, 6)


@pytest.mark.parametrize(
    "targets",
    [
        {"party_identifiers": ("124-81-00998", "1248100998")},
        {"party_names": ("KIM", "Kim")},
        {"documents": ("M1234567", "m 1234567")},
        {"containers": ("MSKU 123456-5", "MSKU1234565")},
        {"conveyances": ("IMO 9074729", "9074729")},
        {"headings": ("8517", "8517")},
        {"origins": ("CN", "CN")},
        {"departures": ("CN", "CN")},
        {"ports_of_loading": ("CNSHA", "CNSHA")},
    ],
)
def test_an_entry_that_names_a_target_twice_can_be_changed_and_ended(targets: dict[str, Any]) -> None:
    for following in (entry(version=2, **targets), entry(version=2, withdrawn=True, **targets), None):
        filled = book(entry(**targets))
        filled.fold(1, "E1", following)
        filled.fold(2, "E1", None)
        assert len(filled) == 0


_SOME = {
    "party_identifiers": ("214-86-00000", "2148600000", "999"),
    "party_names": ("Bonbogi Trading", "Trading Bonbogi", "Bonboghi Trading", "Bon Bogi Trading", "Lakers West"),
    "containers": ("CSQU3054383", "CSQU 305438-3"),
    "conveyances": ("IMO 9074729", "9074729", "Ever Given"),
    "headings": ("8517", "85", "6404"),
    "origins": ("CN", "VN"),
    "ports_of_loading": ("CNSHA",),
}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("A", "B", "C")),
            st.dictionaries(st.sampled_from(sorted(_SOME)), st.lists(st.integers(0, 4), max_size=3), max_size=3),
            st.sampled_from((0.8, 0.9, 1.0)),
            st.sampled_from(("published", "published", "withdrawn", "tombstone")),
        ),
        max_size=12,
    )
)
def test_a_book_that_followed_the_log_equals_one_of_what_is_left(
    changes: list[tuple[str, dict[str, list[int]], float, str]],
) -> None:
    followed, left = RiskInformationBook(), dict[str, RiskInformationPublished]()
    for offset, (name, picked, similarity, what) in enumerate(changes):
        targets = {field: tuple(_SOME[field][n % len(_SOME[field])] for n in ns) for field, ns in picked.items()}
        one = entry(name, version=offset + 1, similarity=similarity, withdrawn=what == "withdrawn", **targets)
        followed.fold(offset, name, None if what == "tombstone" else one)
        left.pop(name, None)
        if what == "published":
            left[name] = one
    fresh = book(*left.values())
    assert followed.entries == fresh.entries
    assert followed.match(sighting()) == fresh.match(sighting())


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        ("HONG GILDONG", "HONG, GIL DONG"),
        ("HONG GIL DONG", "GILDONG, HONG"),
        ("홍길동", "홍, 길동"),
        ("유 재석", "유재석"),
        ("李明", "李, 明"),
        ("Van der Berg Jan", "VANDERBERG, JAN"),
        ("KIN WAI IP", "IP, KIN WAI"),
        ("KIN WAI IP", "IP, KINWAI"),
        ("John Smith", "JOHN SM\u200bITH"),
    ],
)
def test_a_name_is_found_whatever_its_order_and_spaces(listed: str, seen: str) -> None:
    one = book(entry(party_names=(listed,), streams=("passengers", "express-cargo")))
    for met in (traveller(seen), consigned(seen)):
        (hit,) = one.match(met)
        assert hit.strength == 1.0


@pytest.mark.parametrize(
    ("listed", "seen"),
    [("IP MAN", "MAN"), ("IP MAN", "MAN, SA"), ("유 재석", "재석"), ("주 재석", "유 재석"), ("CO JOSE", "JOSE"),
     ("IP WAI KIN", "SE, KIN WAI"), ("Ли \u0410\u043e", "Ли"), ("KIM MINA", "KIM, ANMI")],
)  # fmt: skip
def test_a_surname_is_no_legal_form(listed: str, seen: str) -> None:
    one = book(entry(party_names=(listed,), streams=("passengers", "express-cargo")))
    assert one.match(traveller(seen)) == one.match(consigned(seen)) == ()


def test_a_company_is_not_found_as_a_traveller() -> None:
    listed = entry(party_names=("Maria Ltd", "Jose Co"), streams=("passengers", "express-cargo"))
    assert not book(listed).match(traveller("MARIA"))
    assert not book(listed).match(traveller("JOSE"))
    assert book(listed).match(consigned("MARIA GMBH"))


_WORD = st.one_of(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=7),
    st.text(alphabet="김이박최민서준하윤도현우진수영", min_size=1, max_size=3),
)


@given(st.lists(_WORD, min_size=1, max_size=5), st.sampled_from((0.8, 1.0)), st.data())
def test_every_listed_name_is_found(words: list[str], similarity: float, data: st.DataObject) -> None:
    """As it is listed, by its words in any order, and from any of its words on with spaces anywhere or nowhere."""
    listed = " ".join(words)
    one = book(entry(party_names=(listed,), streams=("passengers", "express-cargo"), similarity=similarity))
    in_any_order = ", ".join(data.draw(st.permutations(words)))
    turn = data.draw(st.integers(0, len(words) - 1))
    spaced = "".join(
        letter + data.draw(st.sampled_from(("", " "))) for letter in "".join(words[turn:] + words[:turn]).upper()
    )
    for seen in (listed, in_any_order.upper(), spaced):
        assert [hit.strength for hit in one.match(traveller(seen))] == [1.0]
    for seen in (listed, in_any_order.upper()):
        assert [hit.strength for hit in one.match(consigned(seen))] == [1.0]


def test_what_is_similar_depends_on_what_is_listed_now_and_not_on_what_was() -> None:
    shared = [entry(f"E{n}", party_names=(f"KIM {chr(97 + n) * 8}",), similarity=0.8) for n in range(24)]
    left = entry("LEFT", party_names=("KIM BCDEFGHIJK",), similarity=0.8)
    followed = book(*shared, left)
    for one in shared:
        followed.fold(99, one.entry_id, None)
    seen = consigned("KIM, XCDEFGHIJX")
    assert followed.match(seen) == book(left).match(seen) != ()


def test_a_trusted_trader_is_known_by_its_identifier() -> None:
    trader = entry(
        kind="trusted-trader", party_names=("Hanguk Electronics Co., Ltd.",), party_identifiers=("124-81-00998",)
    )
    check_entry(trader)
    one = book(trader)
    assert one.match(consigned("Somebody", "1248100998"))
    assert not one.match(consigned("Hanguk Electronics", "9999999999"))
    assert not one.match(consigned("Hanguk Electronics"))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"documents": ("M12345678",)}, "documents: express-cargo show none"),
        ({"containers": ("MSKU1234565",)}, "containers: express-cargo show none"),
        ({"conveyances": ("9074729",), "party_names": ("KIM",)}, "conveyances: express-cargo show none"),
        ({"party_identifiers": ("123",), "streams": ("passengers",)}, "party_identifiers: passengers show none"),
        (
            {"party_names": ("KIM",), "headings": ("8517",), "streams": ("passengers",)},
            "headings: passengers show none",
        ),
        ({"documents": ("M1",), "streams": ("manifests", "passengers")}, "documents: manifests show none"),
        ({"kind": "trusted-trader", "party_names": ("Hanguk",)}, "party_identifiers: a trusted trader needs one"),
        (
            {"kind": "trusted-trader", "party_names": ("A",), "party_identifiers": ("1",), "streams": ("passengers",)},
            "party_identifiers: passengers show none",
        ),
        ({"kind": "trusted-trader", "origins": ("KR",)}, "party_identifiers: a trusted trader needs one"),
    ],
)
def test_an_entry_that_could_never_match_is_refused(targets: dict[str, Any], said: str) -> None:
    with pytest.raises(EntryRefusedError, match=said):
        check_entry(entry(**targets))


@pytest.mark.parametrize(
    "targets",
    [
        {"party_names": ("KIM",), "documents": ("M1",), "streams": ("passengers", "express-cargo")},
        {"ports_of_loading": ("CNPVG",), "departures": ("CN",), "streams": ("passengers", "express-cargo")},
        {"containers": ("MSKU1234565",), "conveyances": ("9074729",), "streams": ("manifests",)},
        {"headings": ("8517",), "origins": ("CN",)},
    ],
)
def test_an_entry_that_can_match_on_each_of_its_streams_is_usable(targets: dict[str, Any]) -> None:
    check_entry(entry(**targets))


def test_similar_names_match_with_their_strength_where_the_entry_allows() -> None:
    close = entry("CLOSE", party_names=("Bonboghi Trading",), similarity=0.85)
    strict = entry("STRICT", party_names=("Bonboghi Trading",))
    trusted = entry("TRUSTED", party_names=("Bonboghi Trading",), kind="trusted-trader", similarity=0.85)
    (hit,) = book(close, strict, trusted).match(sighting())
    assert hit.entry_id == "CLOSE"
    assert 0.9 < hit.strength < 1.0


def test_of_several_parties_like_a_listed_name_the_likest_is_told() -> None:
    listed = book(entry(party_names=("Bonbogi Trading Korea",), similarity=0.85))
    closer, further = (
        ("shipper", Party((fold_name("Bonbogi Trading Koreo"),))),
        ("consignee", Party((fold_name("Bonbogy Tradin Korea"),))),
    )
    (alone,) = listed.match(sighting(parties=(further,)))
    for parties in ((further, closer), (closer, further)):
        (hit,) = listed.match(sighting(parties=parties))
        assert hit.matched == "shipper"
        assert hit.strength > alone.strength


def test_the_gravest_hit_comes_first_and_each_entry_once() -> None:
    hits = book(
        entry("A", departures=("CN",), severity=1),
        entry("B", headings=("8517", "851713", "6404"), severity=3),
        entry("C", party_names=("Bonbogi Trading", "West Lakers"), severity=2),
    ).match(sighting())
    assert [hit.entry_id for hit in hits] == ["B", "C", "A"]


def _name(number: int) -> str:
    syllables = ("ba", "ko", "min", "seo", "tra", "lin", "dor", "vex", "hua", "jin", "pol", "gra", "sun", "wei", "ral")
    words = [
        "".join(syllables[int(unit_hash(number, word, at) * 15)] for at in range(2 + int(unit_hash(number, word) * 3)))
        for word in range(2 + number % 3)
    ]
    return fold_name(" ".join(words))


def test_names_with_a_slip_are_found_among_thousands() -> None:
    index = NameIndex()
    names = list(dict.fromkeys(_name(n) for n in range(20_000)))
    for name in names:
        index.add(name, 0.85)
    missed = tried = 0
    for number, name in enumerate(names[::20]):
        place = int(unit_hash("slip", number) * len(name))
        if name[place] == " " or len(name) < 8:
            continue
        slipped = fold_name(name[:place] + ("x", "")[number % 2] + name[place + 1 :])
        tried += 1
        missed += name not in [found for found, _ in index.similar(slipped)] and slipped != name
    assert tried > 500
    assert missed / tried < 0.03
    for name in names:
        index.discard(name)
    assert len(index) == 0


def test_a_long_list_costs_an_item_what_a_short_one_does() -> None:
    few, many = RiskInformationBook(), RiskInformationBook()
    for n in range(20_000):
        one = entry(f"E{n}", party_names=(_name(n),), party_identifiers=(f"{n:010d}",), similarity=0.9)
        many.fold(n, None, one)
        if n < 10:
            few.fold(n, None, one)
    fresh = [sighting(parties=(("consignee", Party((_name(500_000 + n),), f"A{n}")),)) for n in range(200)]
    known = sighting(parties=(("consignee", Party((_name(777_777),), "A1")), ("shipper", Party((_name(888_888),)))))
    many.match(known)
    assert microseconds(lambda: many.match(known), rounds=3, at_least_ms=5) < 25
    first_time = microseconds(lambda: [many.match(one) for one in fresh], rounds=1, at_least_ms=1) / len(fresh)
    assert first_time < 250
    assert microseconds(lambda: few.match(known), rounds=3, at_least_ms=5) < 25


@pytest.mark.parametrize("party", [{"party_names": ("???",)}, {"party_identifiers": ("-",)}, {"documents": ("...",)}])
def test_entry_about_somebody_without_a_letter_does_not_match_whatever_else_it_says(party: dict[str, Any]) -> None:
    listed = entry(origins=("CN",), **party)  # the command refuses it; the topic may hold it all the same
    with pytest.raises(EntryRefusedError):
        check_entry(listed)
    assert book(entry(origins=("CN",))).match(sighting()) != ()
    assert book(listed).match(sighting()) == ()


@pytest.mark.parametrize(
    ("listed", "lodged", "similarity", "is_found"),
    [
        ("홍길동", "홍길통", 0.8, False),
        ("홍길동", "홍길동이", 0.8, False),
        ("Lee Min", "Lee Mun", 0.85, True),
        ("Lee Mi", "Lee Mu", 0.85, False),
        ("Lee Min Ho", "Lee Mun Ho", 0.9, True),
        ("Lee Min H", "Lee Mun H", 0.9, False),
        ("Abcdefgh", "Abcdzfgh", 0.85, True),
        ("Abcdefg", "Abczefg", 0.85, False),
    ],
)
def test_short_names_are_found_as_they_are_listed_and_hardly_otherwise(
    listed: str, lodged: str, similarity: float, is_found: bool
) -> None:
    known = book(entry(party_names=(listed,), streams=("passengers",), similarity=similarity))
    assert bool(known.match(traveller(lodged))) == is_found
