"""Who is who: ids of items, lodgements and records, pseudonyms of persons, and chance derived from identity.

Everything here is a function of its arguments alone, so a redelivery, a replay and a second worker come to the same
ids, the same pseudonyms and the same draws. Python's own `hash` is salted per process and is never used.
"""

from __future__ import annotations

from hashlib import blake2b

ID_LENGTH = 96  # schemas.marks.Id
_UNIT = 2.0**-53


def manifest_item_id(manifest_id: str, house_bill: str) -> str:
    """`manifests/<manifest_id>/<house_bill>`."""
    return _path("manifests", manifest_id, house_bill)


def express_item_id(waybill: str) -> str:
    """`express-cargo/<waybill>`."""
    return _path("express-cargo", waybill)


def passenger_item_id(journey_id: str, passenger_reference: str) -> str:
    """`passengers/<journey_id>/<passenger_reference>`."""
    return _path("passengers", journey_id, passenger_reference)


def passenger_lodgement_id(journey_id: str, passenger_reference: str) -> str:
    """`<journey_id>/<passenger_reference>`; the other lodgements are named by their manifest id or waybill."""
    return _path(journey_id, passenger_reference)


def record_id(kind: str, step: str, topic: str, partition: int, offset: int, index: int = 0, *more: str) -> str:
    """The id of a record that `step` makes from one item of a lodgement: the same after any redelivery.

    `kind` is a letter that tells people what they look at (`d` decision, `a` alert, `s` screened, `f` filtered,
    `m` monitoring); `more` tells apart several records of one kind that follow from one item.
    """
    text = f"{step}\x1f{topic}\x1f{partition}\x1f{offset}\x1f{index}"
    if more:
        text += "\x1f" + "\x1f".join(more)
    return f"{kind}-{blake2b(text.encode(), digest_size=16).hexdigest()}"


def unit_hash(*parts: str | int) -> float:
    """A draw in [0, 1) that belongs to `parts`: uniform over different parts, the same for the same ones."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _UNIT


class Draws:
    """Draws that share their first parts: `Draws(*parts)(last)` is `unit_hash(*parts, last)`, three times as fast."""

    __slots__ = ("_begun",)

    def __init__(self, *parts: str | int) -> None:
        self._begun = blake2b("".join([f"{part}\x1f" for part in parts]).encode(), digest_size=8)

    def __call__(self, last: str) -> float:
        digest = self._begun.copy()
        digest.update(last.encode())
        return (int.from_bytes(digest.digest(), "big") >> 11) * _UNIT


def subject_key(kind: str, text: str, key: bytes) -> str:
    """A pseudonym `<kind>:<32 hex digits>`: a keyed hash, so nobody without `key` can try names against it.

    `kind` is `c` for a party to cargo and `t` for a traveller's document. `text` must be normalised already.
    `key` may have any length (blake2b takes 64 bytes; a longer one is hashed to 64 first).
    """
    if len(key) > 64:
        key = blake2b(key).digest()
    return f"{kind}:{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16, key=key).hexdigest()}"


def _path(*parts: str) -> str:
    """Join with `/`; a part that contains one is escaped, and a path over 96 characters becomes a hash.

    Both keep ids unique whatever lodgers send: two manifests may not be made to meet in one id.
    """
    joined = "/".join(parts)
    if joined.count("/") != len(parts) - 1 or "%" in joined:
        joined = "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)
    if len(joined) > ID_LENGTH:
        digest = blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        kept = parts[0] if parts[0] in ("manifests", "express-cargo", "passengers") else "long"
        joined = f"{kept}/{digest}"
    return joined
