"""Names as they are compared, check digits as the standards give them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.risk.checks import air_waybill, birth_year, container_number, document_number, imo_number, mrz_check_digit
from agents.risk.codelists import CHAPTERS, COUNTRIES, HEADINGS, USD_PER_UNIT
from agents.risk.normalise import fold_code, fold_name, fold_text, oddly_written, spellings


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Trading & Café Müller GmbH", "MULLER CAFE TRADING"),
        ("Samsung Electronics Co., Ltd.", "ELECTRONICS, SAMSUNG"),
        ("주식회사 한빛무역", "㈜한빛무역"),
        ("한빛무역(주)", "한빛무역 주식회사"),
        ("O'Brien & Sons Ltd", "OBRIEN SONS"),
        ("\uff21\uff22\uff23 Trading", "abc trading"),
        ("Łódź Spółka", "LODZ SPOLKA"),
        ("S.A. Straße", "STRASSE SA"),
        ("XYZ Trading Co., Ltd.", "TRADING XYZ CO"),
        ("LG Co., Ltd.", "LG"),
        ("(주) 두산", "두산 주식회사"),
        ("АО Ромашка", "РОМАШКА, АО"),  # noqa: RUF001 - Cyrillic is meant
        ("John Smith", "JOHN SM\u200bITH"),
        ("John Smith", "J\u00adOHN SM\u2060ITH"),
        ("John Smith", "JOHN SM\u0000ITH"),
        ("John Smith", "\u202eJOHN\u202c SM\u3164ITH\ufe0f"),
        ("John Smith", "JOHN\tSMITH\n"),
        ("John Smith", "JOHN\u3000SMI\u1dc4TH"),
    ],
)
def test_two_spellings_of_a_name_are_one(first: str, second: str) -> None:
    assert fold_name(first) == fold_name(second) != ""


@pytest.mark.parametrize(
    ("first", "second"),
    [("한빛무역", "한빛무력"), ("Kim Minjun", "Kim Minjung"), ("ガス", "カス"), ("Иванов", "Ивано"), ("Co Ltd", ""),
     ("Ip Man", "Man"), ("Ip Man", "Man, SA"), ("유 재석", "재석"), ("주 재석", "유 재석"), ("Co Jose", "Jose"),
     ("Ip Wai Kin", "Se, Kin Wai"), ("Ли \u0410\u043e", "Ли"), ("Ho Se", "Ho")],
)  # fmt: skip
def test_two_names_stay_two(first: str, second: str) -> None:
    assert fold_name(first) != fold_name(second)


def test_a_number_is_found_whatever_unseen_stands_in_it() -> None:
    assert fold_code("M12\u200b34-567") == fold_code("\u3164m\u0000123 4567") == "M1234567"


def _person(name: str) -> str:
    """A traveller's name as similar ones are compared with it."""
    return spellings(name, person=True)[0]


def test_a_persons_name_has_no_legal_forms() -> None:
    assert _person("KIN WAI IP") == _person("Ip, Kin Wai") == "ip kin wai"
    assert _person("Jose Limited") != _person("Jose")


@pytest.mark.parametrize(
    "name",
    [
        "JOHN SM\u200bITH", "JOHN\u202e SMITH", "JO\u0000HN", "SM\u3164ITH", "J\u041eHN SMITH",
        "J\u0301\u041e\u0301H\u0301N", "\uff2a\u041e", "\u13abOHN", "J\u0555HN", "\ua4d9OHN",
    ],
)  # fmt: skip
def test_a_name_with_characters_that_hide_something_is_odd(name: str) -> None:
    assert oddly_written(name)


@pytest.mark.parametrize(
    "name", ["O'Brien & Söhne, 2", "한빛무역 ㈜", "株式会社\u3000東", "Иван Ivanov", "می\u200cر", "Ελένη"]
)
def test_a_name_of_any_script_is_not_odd(name: str) -> None:
    assert not oddly_written(name)


def test_hangul_survives() -> None:
    assert fold_name("김민준") == "김민준"
    assert fold_text("서울특별시 중구") == "서울특별시 중구"


@given(st.text("김민준각가\ud7a3 AZaz09"))
def test_hangul_is_folded_as_any_other_script(text: str) -> None:
    assert fold_text(text) == fold_text(text + "\u200b")


@given(st.text(max_size=60) | st.lists(st.sampled_from(["co", "ltd", "주식회사", "kim", "(주)", "sa"])).map(" ".join))
def test_the_first_spelling_of_a_partys_name_is_the_name(name: str) -> None:
    assert spellings(name, person=False)[:1] == ((fold_name(name),) if fold_name(name) else ())


@given(st.text(max_size=60))
def test_folding_twice_changes_nothing_more(name: str) -> None:
    once = fold_text(name)
    assert fold_text(once) == once
    assert fold_code(fold_code(name)) == fold_code(name)


@given(st.lists(st.text(alphabet=string.ascii_letters, min_size=1, max_size=8), min_size=1, max_size=5), st.randoms())
def test_the_order_of_words_does_not_matter(words: list[str], random: object) -> None:
    shuffled = words[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert _person(" ".join(words)) == _person(", ".join(shuffled).upper())
    long = [word + "ville" for word in words]  # no legal form that may be a name: where it stands says what it is
    shuffled = [word + "ville" for word in shuffled]
    assert fold_name(" ".join(long)) == fold_name(", ".join(shuffled).upper())


def test_known_container_numbers_have_their_check_digit() -> None:
    assert all(map(container_number, ("CSQU3054383", "MSKU9070323", "TOLU4734787")))
    assert not any(map(container_number, ("CSQU3054384", "CSQX3054383", "CSQU305438", "C5QU3054383", "CSQU30543٣3")))


@given(st.text(alphabet=string.ascii_uppercase, min_size=3, max_size=3), st.integers(0, 999_999), st.integers(0, 9))
def test_one_wrong_digit_of_a_container_number_is_found(owner: str, serial: int, place: int) -> None:
    stem = f"{owner}U{serial:06d}"
    right = [digit for digit in range(10) if container_number(f"{stem}{digit}")]
    assert len(right) == 1
    number = f"{stem}{right[0]}"
    place = 4 + place % 6
    wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
    # ISO 6346 takes a remainder of 10 for 0, so that digit catches one slip less.
    assert not container_number(wrong) or number[10] == "0"


def test_air_waybills_and_ships() -> None:
    assert air_waybill("180-12345675") is True
    assert air_waybill("18012345676") is False
    assert air_waybill("DASH0001") is None
    assert imo_number("IMO9074729") is True
    assert imo_number("9074728") is False
    assert imo_number("HL7701") is None


def test_machine_readable_fields_of_doc_9303() -> None:
    assert mrz_check_digit("L898902C3") == 6
    assert mrz_check_digit("740812") == 2
    assert mrz_check_digit("120415") == 9
    assert mrz_check_digit("ü") is None
    assert document_number("L898902C3")
    assert document_number("L898902C36")
    assert not document_number("L898902C35")
    assert not document_number("")
    assert not document_number("여권")


@pytest.mark.parametrize(
    ("text", "year"),
    [("1988-02-29", 1988), ("1987-02-29", None), ("1960-00-00", 1960), ("1960-05-00", 1960), ("1960-00-05", None),
     ("1960-13-01", None), ("1849-01-01", None)],
)  # fmt: skip
def test_birth_dates_may_be_incomplete_but_not_impossible(text: str, year: int | None) -> None:
    assert birth_year(text) == year


def test_code_lists_are_whole() -> None:
    assert len(COUNTRIES) == 249
    assert len(CHAPTERS) == 98
    assert "77" not in CHAPTERS
    assert {"8517", "0309", "2404", "8524", "8549", "8807"} <= HEADINGS
    assert not {"7701", "8803", "9009", "5304"} & HEADINGS
    assert USD_PER_UNIT["USD"] == 1.0
    assert all(0.0 < rate < 10.0 for rate in USD_PER_UNIT.values())
