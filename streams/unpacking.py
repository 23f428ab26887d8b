"""Record batches as anybody may have made them, read so that none stops a reader or fills its memory.

Brokers bound what a batch has packed (`max.message.bytes`) and not what it unpacks to: a megabyte of zstd may be thirty
gigabytes. Nor do they look at all that a client reads: bytes behind the end of a gzip stream, checksums of LZ4 and the
offsets of records that are not packed pass them and end in errors, or in offsets that belong to other records
(docs/adr/0022-batches-are-bounded-when-unpacked.md). Both Kafka clients read with what is here: aiokafka by
`streams.fetching`, kafka-python by `streams.parsing`.
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

import cramjam
import lz4.frame
import zstandard

from schemas.registry import dead_letter_topics, declarations

MOST_BYTES: Final = 16 * 1024 * 1024
"""What a batch may unpack to: sixteen times what brokers take. What does not fit is not read.

A fetch of a partition ends as soon as it has unpacked as much."""

MOST_HEADERS: Final = 1_000
"""Of a record: three bytes of a batch are a header, and that is an object of a hundred."""

_LETTERS_ADD: Final = 32
"""More headers than a dead letter has beside those of its source."""

_CHUNK: Final = 262_144
_XERIAL: Final = b"\x82SNAPPY\0"


class UnreadableBatchError(Exception):
    """What is left of a batch cannot be read; says why, and holds no content."""


class _Batch(Protocol):
    """What the batches of both clients have."""

    @property
    def base_offset(self) -> int: ...
    @property
    def next_offset(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


class Meter:
    """Counts what this process has unpacked: in all of its threads, so that a fetch may end a little early."""

    def __init__(self) -> None:
        self.bytes = 0


METER: Final = Meter()


def records_of(batch: _Batch, topic: str) -> Iterator[Any]:
    """The records of a batch, one at each of its offsets; where the topic is compacted some may be gone.

    Raises `UnreadableBatchError` at the first that cannot be read. `MemoryError` is none of the batch's doing.
    """
    gaps = topic in declarations() and declarations()[topic].tombstones
    most = MOST_HEADERS + _LETTERS_ADD if topic in dead_letter_topics() else MOST_HEADERS
    try:
        place, end = batch.base_offset, batch.next_offset
        for record in batch:
            if record.offset != place and not (gaps and place < record.offset < end):
                raise UnreadableBatchError("the offsets in its batch are not in order")
            if len(record.headers) > most:
                raise UnreadableBatchError(f"a record of its batch has more than {most} headers")
            place = record.offset + 1
            yield record
    except (MemoryError, UnreadableBatchError):
        raise
    except UnicodeDecodeError:
        why = "a header's name in its batch is not UTF-8"
    except Exception:  # whatever codecs and parsers raise; a batch's checksum was looked at before
        why = "its batch cannot be unpacked or parsed"
    else:
        return
    raise UnreadableBatchError(why)


def read_with_bounds(*modules: str) -> None:
    """Have these modules of a client unpack with what is here, as far as they are imported."""
    for name in modules:
        if (module := sys.modules.get(name)) is not None:
            for codec, unpack in UNPACK.items():
                setattr(module, f"{codec}_decode", unpack)


def _bounded(chunks: Iterable[bytes]) -> bytes:
    """Chunks as one. Raises `UnreadableBatchError` when they are more than `MOST_BYTES`."""
    taken, size = [], 0
    for chunk in chunks:
        METER.bytes += len(chunk)
        size += len(chunk)
        _refuse_more_than_most(size)
        taken.append(chunk)
    return b"".join(taken)


def _refuse_more_than_most(size: int) -> None:
    if size > MOST_BYTES:
        raise UnreadableBatchError(f"its batch unpacks to more than {MOST_BYTES} bytes")


def _stream(opened: Callable[[io.BytesIO], Any]) -> Callable[[bytes], bytes]:
    """How to unpack what a file-like object reads piece by piece."""

    def unpack(packed: bytes) -> bytes:
        stream = opened(io.BytesIO(packed))
        return _bounded(iter(lambda: stream.read(_CHUNK), b""))

    return unpack


def _snappy(packed: bytes) -> bytes:
    """One block, or several with their lengths before them, as Java's library frames them."""
    if not packed.startswith(_XERIAL):
        return _bounded(_blocks([packed]))
    return _bounded(_blocks(_framed(packed)))


def _framed(packed: bytes) -> Iterator[bytes]:
    at = 16  # behind two versions
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def _blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        _refuse_more_than_most(cramjam.snappy.decompress_raw_len(block))  # it says so itself, and so much is allocated
        yield bytes(cramjam.snappy.decompress_raw(block))


UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": _stream(lambda packed: gzip.GzipFile(fileobj=packed)),
    "snappy": _snappy,
    "lz4": _stream(lz4.frame.LZ4FrameFile),
    "zstd": _stream(lambda packed: zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)),
}
