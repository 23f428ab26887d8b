"""Names and codes as they are compared: case, accents, punctuation, word order and legal forms do not matter.

A name that is written in Hangul, Han or any other script stays in it; nothing is transliterated, because two people
share a romanisation far more often than they share a name.
"""

from __future__ import annotations

from typing import Final
from unicodedata import category, normalize

_FORMS = """
    ltd limited co company corp corporation inc incorporated llc llp lp plc pte pvt pty private public gmbh mbh ag kg
    kgaa ohg ug se sa sarl sas sasu srl spa snc sl slu sau cv bv nv vof oy oyj ab as asa aps kft zrt rt doo dd ad ood
    eood sro spzoo zoo ooo oao zao pao ao ip kk gk yk bhd sdn tbk pt jsc ojsc cjsc tnhh jv
    주식회사 유한회사 유한책임회사 합자회사 합명회사 주 유
    株式会社 有限会社 合同会社 合資会社 股份有限公司 有限责任公司 有限公司 有限責任公司
    общество ооо оао зао пао ао ип
"""  # noqa: RUF001 - Cyrillic is meant
_LEGAL_FORMS: Final[frozenset[str]] = frozenset(_FORMS.split())
_ATTACHED_FORMS: Final = (
    "주식회사", "유한회사", "株式会社", "有限会社", "合同会社",
    "股份有限公司", "有限责任公司", "有限責任公司", "有限公司",
)  # fmt: skip
"""Legal forms that are written without a space, before or after the name."""

# Letters that Unicode does not decompose, with what they are commonly written as.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "\u0131": "i", "þ": "th", "æ": "ae", "œ": "oe", "ŋ": "n"}
)
# Joined away (O'Brien, S.A., and hyphens become spaces); everything else that is no letter or digit becomes a space.
_JOINED: Final = frozenset("'`.\u2019\u2018\u00b4\u02bc")
_ASCII: Final = {
    code: None if chr(code) in _JOINED else (chr(code).lower() if chr(code).isalnum() else " ") for code in range(128)
}


def fold_text(text: str) -> str:
    """Lower case, without accents and punctuation, single spaces. Hangul, Han, kana, Arabic... keep their letters."""
    if text.isascii():
        return " ".join(text.translate(_ASCII).split())
    letters: list[str] = []
    for char in normalize("NFKD", text).casefold():
        code = ord(char)
        if 0x300 <= code <= 0x36F or char in _JOINED:  # accents of Latin, Greek and Cyrillic
            continue
        if char.isalnum() or category(char)[0] == "M":  # marks of other scripts are part of their letters
            letters.append(char)
        else:
            letters.append(" ")
    return " ".join(normalize("NFC", "".join(letters)).translate(_LETTERS).split())


def fold_name(name: str) -> str:
    """A name for comparison: folded, legal forms dropped, words in alphabetical order. Empty when nothing is left.

    `Trading & Café Müller GmbH`, `MULLER CAFE TRADING` and `Müller Café, Trading` are one name. A name of nothing but
    legal forms keeps them.
    """
    words = fold_text(name).split()
    if not name.isascii():
        words = [_detached(word) for word in words]
    kept = [word for word in words if word not in _LEGAL_FORMS]
    kept = kept or words
    if len(kept) > 1:
        kept.sort()
    return " ".join(kept)


def _detached(word: str) -> str:
    for form in _ATTACHED_FORMS:
        if len(word) > len(form) + 1:
            word = word.removeprefix(form).removesuffix(form)
    return word


def fold_code(code: str) -> str:
    """An identifier, document or container number for comparison: upper case, letters and digits only."""
    if code.isascii() and code.isalnum():
        return code.upper()
    return "".join(char for char in normalize("NFKC", code).upper() if char.isalnum())


def fold_conveyance(name: str) -> str:
    """A ship's, aircraft's or vehicle's identifier or name for comparison; an IMO number without its three letters."""
    code = fold_code(name)
    return code[3:] if len(code) == 10 and code.startswith("IMO") and code[3:].isdigit() else code
