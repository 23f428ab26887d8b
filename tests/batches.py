"""Record batches as no client makes them, by hand: packed, out of order, longer than they say."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import cramjam
import google_crc32c
import lz4.frame
import zstandard

from streams.recordbatch import varint

NOON_MS: Final = 1_767_182_400_000
CODECS: Final[dict[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "gzip": (1, gzip.compress),
    "snappy": (2, lambda records: bytes(cramjam.snappy.compress_raw(records))),
    "lz4": (3, lambda records: lz4.frame.compress(records, block_linked=False, content_checksum=True)),
    "zstd": (4, lambda records: zstandard.ZstdCompressor(level=9).compress(records)),
}


def record(place: int, value: bytes = b"v", *, attributes: bytes = b"\0", headers: int = 0) -> bytes:
    """A record that says that it is the one at `place` of its batch."""
    body = b"".join((attributes, varint(0), varint(place), varint(1), b"k", varint(len(value)), value, varint(headers)))
    body += (varint(1) + b"h" + varint(-1)) * headers
    return varint(len(body)) + body


def bomb(size: int) -> tuple[bytes, int]:
    """One record with a value of so many MiB, as zstd packs it, and the number of that codec."""
    begun = b"".join((b"\0", varint(0), varint(0), varint(1), b"k", varint(size << 20)))
    packer = zstandard.ZstdCompressor().compressobj()
    parts = [packer.compress(varint(len(begun) + (size << 20) + 1) + begun)]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(size)]
    return b"".join((*parts, packer.compress(b"\0"), packer.flush())), CODECS["zstd"][0]


def packed(codec: str, records: Iterable[bytes]) -> tuple[bytes, int]:
    """Records as this codec packs them, and its number."""
    number, pack = CODECS[codec]
    return pack(b"".join(records)), number


def batch(count: int, records: bytes, codec: int = 0, *, first: int = 0, gone: int = 0) -> bytes:
    """A batch of `count` records from the offset `first` on, of which compaction took some, with its checksum."""
    told = struct.pack(">hiqqqhii", codec, count - 1, NOON_MS, NOON_MS, -1, -1, -1, count - gone) + records
    rest = struct.pack(">ibI", -1, 2, google_crc32c.value(told)) + told
    return struct.pack(">qi", first, len(rest)) + rest


class Lodged:
    """A batch as aiokafka's producer takes it from `streams.recordbatch.RecordBatchBuilder`: sent as it is."""

    def __init__(self, count: int, records: bytes, codec: int = 0) -> None:
        self._count, self._batch = count, batch(count, records, codec)

    def close(self) -> None:
        """It is closed already."""

    def closed(self) -> bool:
        """Whether no more records are taken."""
        return True

    def append(self, **_: object) -> None:
        """None: it is full."""

    def size(self) -> int:
        """Bytes."""
        return len(self._batch)

    def record_count(self) -> int:
        """Records."""
        return self._count

    def _set_producer_state(self, *_: int) -> None:
        pass

    def _build(self) -> bytearray:
        return bytearray(self._batch)


def odd_batches() -> Sequence[tuple[str, int, bytes, int, list[int]]]:
    """Batches that brokers take: what is odd, how many records, the bytes, the codec, and which can be read."""
    three = [record(0), record(1), record(2)]
    gz, lz = gzip.compress(b"".join(three)), CODECS["lz4"][1](b"".join(three))
    return (
        ("bytes behind the end of gzip", 3, gz + b"and so on", 1, []),
        ("a checksum of LZ4 that is wrong", 3, _unlike(CODECS["lz4"][1](b"".join(three))), 3, []),
        ("bytes behind the end of LZ4", 3, lz + b"and so on", 3, []),
        ("a length of snappy cut off", 3, b"\x82SNAPPY\0" + bytes(8) + _framed(b"".join(three)) + b"\0\0", 2, []),
        ("an offset of others", 3, record(0) + record(1000) + record(2), 0, [0]),
        ("an offset below its batch", 3, record(0) + record(-5) + record(2), 0, [0]),
        ("offsets backwards", 3, record(2) + record(1) + record(0), 0, []),
        ("one offset for all", 3, record(0) * 3, 0, [0]),
        ("attributes of two bytes", 3, record(0, attributes=b"\x80") + record(1) + record(2), 0, []),
    )


def _unlike(frame: bytes) -> bytes:
    return frame[:-1] + bytes((frame[-1] ^ 0xFF,))


def _framed(records: bytes) -> bytes:
    block = bytes(cramjam.snappy.compress_raw(records))
    return struct.pack(">I", len(block)) + block
