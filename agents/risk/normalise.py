"""Names and codes as they are compared: case, accents, punctuation, word order and legal forms do not matter.

Nor does what cannot be seen. A person's name has no legal forms: Ip and Co are names.

A name that is written in Hangul, Han or any other script stays in it; nothing is transliterated, because two people
share a romanisation far more often than they share a name.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category, normalize

_FORMS = """
    ltd limited company corp corporation inc incorporated llc llp lp plc pte pvt pty private public gmbh mbh kg
    kgaa ohg ug sarl sas sasu srl spa snc sl slu cv bv nv vof oy oyj aps kft zrt rt dd ood
    eood sro spzoo zoo ooo oao kk gk yk bhd sdn tbk pt jsc ojsc cjsc tnhh jv
    주식회사 유한회사 유한책임회사 합자회사 합명회사
    株式会社 有限会社 合同会社 合資会社 股份有限公司 有限责任公司 有限公司 有限責任公司
    общество ооо оао ип
"""  # noqa: RUF001 - Cyrillic is meant
_LEGAL_FORMS: Final[frozenset[str]] = frozenset(_FORMS.split())
_ALSO_FIRST: Final = {"sa", "ao", "pao", "zao", "ао", "пао", "зао"}  # noqa: RUF001 - Cyrillic again
"""Legal forms that are people's names as well, and that companies write before their name, too."""
_ALSO_NAMES: Final = _ALSO_FIRST | {"co", "se", "ip", "as", "asa", "ag", "ab", "ad", "sau", "doo", "주", "유"}
"""Legal forms that are people's names as well: Ip Man, Co Jose, 유 재석."""
_ANY_FORMS: Final = _LEGAL_FORMS | _ALSO_NAMES
_ABBREVIATED: Final = frozenset("주유株有")
_BRACKETED: Final = re.compile(r"\(\s*[주유株有]\s*\)")
_ATTACHED_FORMS: Final = (
    "주식회사", "유한회사", "株式会社", "有限会社", "合同会社",
    "股份有限公司", "有限责任公司", "有限責任公司", "有限公司",
)  # fmt: skip
"""Legal forms that are written without a space, before or after the name."""
_WITH_FORM: Final = min(map(len, _ATTACHED_FORMS)) + 1
"""Letters of the longest word that is too short to have one."""

# Letters that Unicode does not decompose, with what they are commonly written as.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "\u0131": "i", "þ": "th", "æ": "ae", "œ": "oe", "ŋ": "n"}
)
# Joined away (O'Brien, S.A., and hyphens become spaces); everything else that is no letter or digit becomes a space.
_JOINED: Final = frozenset("'`.\u2019\u2018\u00b4\u02bc")
_BREAKS: Final = frozenset("\t\n\v\f\r\u0085")
_ACCENTS: Final = frozenset(
    chr(code)
    for first, last in ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
    for code in range(first, last + 1)
)
# Letters and marks without a glyph. Control and format characters (categories C) are told by their category.
_UNSEEN: Final = frozenset(
    chr(code)
    for first, last in (
        (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164), (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
_DROPPED: Final = _JOINED | _ACCENTS | _UNSEEN
_RIGHTLY_UNSEEN: Final = frozenset("\u200c\u200d\u200e\u200f")
"""Format characters that names of Persian, Arabic, Hebrew and Indian scripts are rightly written with."""
_LATIN: Final = "[A-Za-z\u00c0-\u024f\uff21-\uff3a\uff41-\uff5a]"
_LIKE_LATIN: Final = "[\u0370-\u058f\u13a0-\u13ff\u1c80-\u1c8f\u1f00-\u1fff\u2c80-\u2cff\ua4d0-\ua4ff\ua640-\ua69f]"
"""Scripts with letters that look like Latin ones: Greek, Cyrillic, Armenian, Cherokee, Coptic, Lisu."""
_ACCENTED: Final = "[" + "".join(sorted(_ACCENTS)) + "]*"
_TWO_ALPHABETS: Final = re.compile(f"{_LATIN}{_ACCENTED}{_LIKE_LATIN}|{_LIKE_LATIN}{_ACCENTED}{_LATIN}")
_HANGUL: Final = re.compile("[0-9A-Za-z \uac00-\ud7a3]+")
_TURNED: Final = 5
"""A listed name of more words is found in their order alone when spaces differ."""


_ASCII: Final = bytes([ord(chr(code).lower() if chr(code).isalnum() else " ") for code in range(128)] + [0] * 128)
"""What each ASCII character is folded to; bytes are translated in a third of the time that a text takes."""
_ASCII_DROPPED: Final = bytes(
    code for code in range(128) if chr(code) in _JOINED or (category(chr(code)) == "Cc" and chr(code) not in _BREAKS)
)
_NO_CODE: Final = bytes(code for code in range(128) if not chr(code).isalnum())


def fold_text(text: str) -> str:
    """Lower case, without accents and punctuation, single spaces. Hangul, Han, kana, Arabic... keep their letters.

    What nobody sees is not there: a name with a zero-width space in it is the name without one.
    """
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    if text.isascii():
        return text.encode().translate(_ASCII, _ASCII_DROPPED).decode().split()
    if _HANGUL.fullmatch(text):  # the same as below, in a fifteenth of the time
        return text.lower().split()
    letters: list[str] = []
    for char in normalize("NFKD", text).casefold():
        if char in _DROPPED:
            continue
        if char.isalnum() or (kind := category(char)[0]) == "M":
            letters.append(char)
        elif kind != "C" or char in _BREAKS:
            letters.append(" ")
    return normalize("NFC", "".join(letters)).translate(_LETTERS).split()


def without_unseen(text: str) -> str:
    """A text without control and format characters, and without letters and marks that have no glyph."""
    if text.isprintable() and _UNSEEN.isdisjoint(text):
        return text
    return "".join([one for one in text if one in _BREAKS or not (one in _UNSEEN or category(one) in ("Cc", "Cf"))])


def oddly_written(name: str) -> bool:
    """Whether a name holds a character that nobody sees, or letters of two alphabets side by side."""
    if name.isascii():
        return not name.isprintable()
    if not _UNSEEN.isdisjoint(name) or _TWO_ALPHABETS.search(name) is not None:
        return True
    return not name.isprintable() and any(category(one)[0] == "C" and one not in _RIGHTLY_UNSEEN for one in name)


def fold_name(name: str) -> str:
    """A party's name for comparison: folded, legal forms dropped, words in alphabetical order. Empty without a letter.

    `Trading & Café Müller GmbH`, `MULLER CAFE TRADING` and `Müller Café, Trading` are one name. A name of nothing but
    legal forms keeps them. Of those that are people's names as well see `_without_forms`.
    """
    words, _ = _without_forms(name, _words(name))
    return _in_order(words)


def spellings(name: str, *, person: bool) -> tuple[str, ...]:
    """What a name as sent is looked up by: its words in alphabetical order, and its letters without spaces.

    The first of a party to cargo is `fold_name`. A person's name has no legal forms: every word is a part of it. Both
    also stand there with the words that may be a name or a legal form. There are none of a name without a letter.
    """
    words = kept = _words(name)
    if not person:
        kept, is_sure = _without_forms(name, words)
        if not is_sure and len(kept) < len(words):
            return tuple(dict.fromkeys((_in_order(kept), "".join(kept), _in_order(words), "".join(words))))
    return (_in_order(kept), "".join(kept)) if len(kept) > 1 else (*kept,)


def listed_spellings(name: str, *, person: bool) -> tuple[str, ...]:
    """What a name on a list is found by: the same, and its letters from each of its words on.

    So HONG GILDONG is found as HONG, GIL DONG and as GIL DONG HONG: spaces within a name are written or not, and the
    family name comes first or last.
    """
    keys: list[str] = []
    for words in _readings(name, person=person):
        keys.append(_in_order(words))
        turns = range(len(words)) if len(words) <= _TURNED else (0,)
        keys += ("".join(words[turn:] + words[:turn]) for turn in turns)
    return tuple(dict.fromkeys(keys))


def _in_order(words: list[str]) -> str:
    return " ".join(sorted(words))


def _readings(name: str, *, person: bool) -> tuple[list[str], ...]:
    """The words of a name: as a person's; or as a company's, and where that is not sure as a person's too."""
    words = _words(name)
    if person:
        return (words,)
    kept, is_sure = _without_forms(name, words)
    return (kept,) if is_sure or len(kept) == len(words) else (kept, words)


def _without_forms(name: str, words: list[str]) -> tuple[list[str], bool]:
    """The words without legal forms, and whether one of these says for sure that it is a company's name.

    A form that is nobody's name (`Ltd`, `주식회사`) makes all others forms as well. Without one, a form that may be a
    name is dropped where companies write it, as long as two words or four letters are left: Bonbogi Trading Co, not
    Co Jose or Ho Se.
    """
    if not name.isascii():
        if not _ABBREVIATED.isdisjoint(words):
            words = _words(_BRACKETED.sub(" 주식회사 ", normalize("NFKC", name)))
        words = [_detached(word) if len(word) > _WITH_FORM else word for word in words]
    if _ANY_FORMS.isdisjoint(words):  # nearly every name
        return words, False
    if not _LEGAL_FORMS.isdisjoint(words):
        kept = [word for word in words if word not in _ANY_FORMS]
        return kept or [word for word in words if word not in _LEGAL_FORMS] or words, True
    first, last = 0, len(words)
    while last and words[last - 1] in _ALSO_NAMES and _enough(words[: last - 1]):
        last -= 1
    while first < last and words[first] in _ALSO_FIRST and _enough(words[first + 1 : last]):
        first += 1
    return words[first:last], False


def _enough(words: list[str]) -> bool:
    return len(words) > 1 or (len(words) == 1 and len(words[0]) > 3)


def _detached(word: str) -> str:
    for form in _ATTACHED_FORMS:
        if len(word) > len(form) + 1:
            word = word.removeprefix(form).removesuffix(form)
    return word


def fold_code(code: str) -> str:
    """An identifier, document or container number for comparison: upper case, letters and digits only."""
    if code.isascii():
        return (code if code.isalnum() else code.encode().translate(None, _NO_CODE).decode()).upper()
    return "".join(char for char in normalize("NFKC", code).upper() if char.isalnum() and char not in _UNSEEN)


def fold_conveyance(name: str) -> str:
    """A ship's, aircraft's or vehicle's identifier or name for comparison; an IMO number without its three letters."""
    code = fold_code(name)
    return code[3:] if len(code) == 10 and code.startswith("IMO") and code[3:].isdigit() else code
