"""Which partition a key goes to, the same for producers, replays and simulations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from struct import Struct

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_32 = 0xFFFFFFFF


@lru_cache(maxsize=131_072)
def _hash(text: bytes | str) -> int:
    """murmur2 as Kafka's clients have it, without its sign; a third of the time of aiokafka's, byte by byte."""
    key = text.encode() if isinstance(text, str) else text
    size = len(key)
    h = _SEED ^ size
    for word in _words(size >> 2)(key):
        k = word * _MIX & _32
        h = (h * _MIX & _32) ^ ((k ^ k >> 24) * _MIX & _32)
    left = size & 3
    if left:
        h = (h ^ int.from_bytes(key[-left:], "little")) * _MIX & _32
    h = (h ^ h >> 13) * _MIX & _32
    return (h ^ h >> 15) & 0x7FFFFFFF


@cache
def _words(count: int) -> Callable[[bytes], tuple[int, ...]]:
    return Struct(f"<{count}I").unpack_from


def partition_of(key: bytes | str | None, partitions: int) -> int:
    """The partition of a key, as the Java client's and aiokafka's default partitioner have it.

    A record without a key goes to partition 0: order matters more here than spread.
    """
    return 0 if key is None or partitions == 1 else _hash(key) % partitions
