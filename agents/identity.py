"""Who is who: ids of items, lodgements and records, pseudonyms of persons, and chance derived from identity.

Everything here is a function of its arguments alone, so a redelivery, a replay and a second worker come to the same
ids, the same pseudonyms and the same draws. Python's own `hash` is salted per process and is never used.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

ID_LENGTH = 96  # schemas.marks.Id
_UNIT = 2.0**-53


def manifest_item_id(manifest_id: str, house_bill: str) -> str:
    """`manifests/<manifest_id>/<house_bill>`."""
    return _bounded(f"manifests/{_escaped(manifest_id)}/{_escaped(house_bill)}")


def express_item_id(waybill: str) -> str:
    """`express-cargo/<waybill>`."""
    return _bounded(f"express-cargo/{_escaped(waybill)}")


def passenger_item_id(journey_id: str, passenger_reference: str) -> str:
    """`passengers/<journey_id>/<passenger_reference>`."""
    return _bounded(f"passengers/{_escaped(journey_id)}/{_escaped(passenger_reference)}")


def passenger_lodgement_id(journey_id: str, passenger_reference: str) -> str:
    """`<journey_id>/<passenger_reference>`; the other lodgements are named by their manifest id or waybill."""
    return _bounded(f"{_escaped(journey_id)}/{_escaped(passenger_reference)}")


def record_id(kind: str, step: str, topic: str, partition: int, offset: int, index: int = 0, *more: str) -> str:
    """The id of a record that `step` makes from one item of a lodgement: the same after any redelivery.

    `kind` is a letter that tells people what they look at (`d` decision, `a` alert, `s` screened, `f` filtered,
    `m` monitoring); `more` tells apart several records of one kind that follow from one item.
    """
    digest = _begun(step, topic, partition).copy()
    # Most lodgements are one item, and to write one number takes half as long as two.
    digest.update(b"%d\x1f%d" % (offset, index) if index else b"%d\x1f0" % offset)
    if more:
        digest.update(("\x1f" + "\x1f".join(more)).encode())
    return f"{kind}-{digest.hexdigest()}"


@lru_cache(maxsize=4096)
def _begun(step: str, topic: str, partition: int) -> blake2b:
    """The hash of what the ids of all records that follow from one partition begin with."""
    return blake2b(f"{step}\x1f{topic}\x1f{partition}\x1f".encode(), digest_size=16)


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


class SubjectKeys:
    """Pseudonyms under one key: `SubjectKeys(key)(kind, text)` is `subject_key(kind, text, key)`, in less time."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes) -> None:
        """`key` may have any length (blake2b takes 64 bytes; a longer one is hashed to 64 first)."""
        self._begun = blake2b(digest_size=16, key=blake2b(key).digest() if len(key) > 64 else key)

    def __call__(self, kind: str, text: str) -> str:
        digest = self._begun.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        return f"{kind}:{digest.hexdigest()}"


def subject_key(kind: str, text: str, key: bytes) -> str:
    """A pseudonym `<kind>:<32 hex digits>`: a keyed hash, so nobody without `key` can try names against it.

    `kind` is `c` for a party to cargo and `t` for a traveller's document. `text` must be normalised already.
    """
    return SubjectKeys(key)(kind, text)


def _escaped(part: str) -> str:
    """A part of a path, which must not contain a `/`: two manifests may not be made to meet in one id."""
    if "/" not in part and "%" not in part:
        return part
    return part.replace("%", "%25").replace("/", "%2F")


def _bounded(path: str) -> str:
    """A path of at most 96 characters; a longer one becomes a hash, which keeps ids unique whatever lodgers send."""
    if len(path) <= ID_LENGTH:
        return path
    first, _, _ = path.partition("/")
    kept = first if first in ("manifests", "express-cargo", "passengers") else "long"
    return f"{kept}/{blake2b(path.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
