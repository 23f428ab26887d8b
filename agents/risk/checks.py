"""Check digits and document rules. Each function says whether a code can be right; none of them refuses anything."""

from __future__ import annotations

from datetime import date
from operator import getitem
from typing import Final

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _iso6346_values() -> dict[str, int]:
    """10 to 38 for the letters, leaving out the multiples of 11 (ISO 6346:2022, annex A)."""
    values = {str(digit): digit for digit in range(10)}
    value = 10
    for letter in _LETTERS:
        value += value % 11 == 0
        values[letter] = value
        value += 1
    return values


_CONTAINER: Final = [
    {char: value << place for char, value in _iso6346_values().items() if char.isdigit() == (place > 3)}
    for place in range(10)
]
"""What each character counts at each place: four letters, then digits."""
_MRZ: Final = {"<": 0} | {str(d): d for d in range(10)} | {letter: 10 + at for at, letter in enumerate(_LETTERS)}
_MRZ_CHARACTERS: Final = frozenset(_MRZ)
_EARLIEST_BIRTH: Final = 1850
_DIGITS: Final = frozenset("0123456789")


def container_number(number: str) -> bool:
    """Whether a container number has the form and the check digit of ISO 6346: `CSQU3054383`, spaces removed."""
    if len(number) != 11 or number[3] not in "UJZR":
        return False
    try:
        total = sum(map(getitem, _CONTAINER, number))
        return total % 11 % 10 == int(number[10])
    except (KeyError, ValueError):
        return False


def air_waybill(number: str) -> bool | None:
    """Whether an IATA air waybill's serial number, modulo 7, is its last digit. None when it is not of that form.

    `180-12345675` or `18012345675`: three digits of the airline, seven of serial number, one check digit (IATA
    Resolution 600a). Couriers number their parcels otherwise, so None is nothing to wonder at.
    """
    digits = number[:3] + number[4:] if len(number) == 12 and number[3] in "- " else number
    if len(digits) != 11 or not _DIGITS.issuperset(digits):
        return None
    return int(digits[3:10]) % 7 == int(digits[10])


def imo_number(identifier: str) -> bool | None:
    """Whether a ship's IMO number has its check digit (IMO resolution A.1117(30)). None when it is not of that form."""
    digits = identifier[3:].lstrip() if identifier[:3] == "IMO" else identifier
    if len(digits) != 7 or not _DIGITS.issuperset(digits):
        return None
    return sum(int(digits[place]) * (7 - place) for place in range(6)) % 10 == int(digits[6])


def mrz_check_digit(field: str) -> int | None:
    """The check digit of a machine-readable field: weights 7, 3, 1, modulo 10 (ICAO Doc 9303 part 3, 4.9).

    None when a character is not one of the zone's (A to Z, 0 to 9, `<`).
    """
    try:
        return sum(_MRZ[char] * (7, 3, 1)[place % 3] for place, char in enumerate(field)) % 10
    except KeyError:
        return None


def document_number(number: str) -> bool:
    """Whether a travel document's number could stand in a machine-readable zone.

    One to nine characters of the zone; a tenth must be the check digit that some carriers send along. Longer numbers
    are those of identity cards that run over into the optional field (Doc 9303 part 5, 4.2.2).
    """
    if not number.rstrip("<") or not _MRZ_CHARACTERS.issuperset(number):
        return False
    if len(number) == 10 and number[9] in _DIGITS:
        return mrz_check_digit(number[:9]) == int(number[9])
    return len(number) <= 22


def calendar_date(text: str) -> date | None:
    """The date of `YYYY-MM-DD`, None when there is no such day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def birth_year(text: str) -> int | None:
    """The year of a birth date whose month or day may be unknown (`1960-00-00`, Doc 9303 part 3, 4.8).

    None when it can be no birth date: no such month or day, or a year before 1850.
    """
    if (born := calendar_date(text)) is not None:
        return born.year if born.year >= _EARLIEST_BIRTH else None
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    return year if day == 0 and month <= 12 and year >= _EARLIEST_BIRTH else None
