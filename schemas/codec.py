"""Records to events and back, strictly: what cannot be read is refused with a slug, the field, and never a value.

One msgspec pass parses, checks and builds an event. Nothing here looks at the value again unless it was refused, so a
good record costs that pass and a dictionary lookup. `Undecodable` texts end up in dead-letter headers, logs and
metric labels, and lodgements hold personal data: so details are written from the types, and msgspec's own message,
which quotes refused enum values, goes no further than this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from schemas.lodgements import Consignment, Conveyance, ManifestLodged
from schemas.marks import Code, ControlPoint, Fact, Id, Locode, Utc
from schemas.registry import declaration, topic_of

MAX_RECORD_BYTES = 1_000_000
"""The largest value that is read from outside, in bytes. A carrier with more house bills lodges the manifest in parts.

What workers write holds a lodgement and what they have to say of it: of their topics whatever brokers take is read."""

UndecodableReason = Literal[
    "unreadable-record",  # its batch cannot be unpacked or parsed, or unpacks to too much
    "null-value",  # no value where a null means nothing
    "empty-value",  # zero bytes
    "too-large",  # more than MAX_RECORD_BYTES, or than brokers take of what workers write
    "not-json",  # garbage, truncated, not UTF-8, or nested too deeply
    "not-a-number",  # NaN or Infinity, which JSON does not have
    "unknown-schema-version",  # a ce_type or event tag that the topic does not carry, or a version after the current
    "missing-field",
    "wrong-type",
    "out-of-bounds",  # of the right type, outside its bounds, length, pattern or calendar
    "unknown-code",  # not one of the words that the field allows
]
UNDECODABLE_REASONS: tuple[str, ...] = get_args(UndecodableReason)


class Undecodable(Exception):  # noqa: N818 - a word of the domain, as the contracts name it
    """A record, or one consignment of it, that cannot be read. Holds no value of any field.

    `reason` is one of `UNDECODABLE_REASONS`, `field` the path in the record as sent (`goods[0].hs_code`, empty for the
    whole record), `detail` a sentence.
    """

    def __init__(self, reason: UndecodableReason, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}" if field else f"{reason}: {detail}")
        self.reason: UndecodableReason = reason
        self.field = field
        self.detail = detail


class Unencodable(ValueError):  # noqa: N818 - the counterpart of Undecodable
    """An event that its own topic could not read back: a NaN or an infinite number in a field."""


class ManifestEnvelope(Fact, tag_field="event", tag="ManifestLodged", frozen=True, kw_only=True):
    """`ManifestLodged` with its consignments still raw, so that a broken one is refused alone."""

    manifest_id: Id
    lodged_at: Utc
    control_point: ControlPoint
    carrier: Code
    conveyance: Conveyance
    port_of_discharge: Locode
    eta: Utc
    consignments: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=20000)]


class _HouseBill(msgspec.Struct):
    house_bill: Id


_ENCODER = msgspec.json.Encoder()
_CONSIGNMENT = msgspec.json.Decoder(Consignment)
_HOUSE_BILL = msgspec.json.Decoder(_HouseBill)
_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)

# How an event is read, where that differs from its type.
_READ_AS: dict[type[msgspec.Struct], type[msgspec.Struct]] = {ManifestLodged: ManifestEnvelope}


class TopicCodec:
    """Reads the records of one topic. Get it with `codec_for`, which keeps one per topic."""

    def __init__(self, topic: str) -> None:
        declared = declaration(topic)
        self.topic = topic
        self._tombstones = declared.tombstones
        self._most_bytes = declared.max_message_bytes if declared.written_by_workers else MAX_RECORD_BYTES
        self._decoders: dict[bytes | str | None, Callable[[bytes], Any]] = {}
        types = [_READ_AS.get(kind, kind) for kind in declared.types]
        for event, kind in zip(declared.events, types, strict=True):
            decode = msgspec.json.Decoder(kind).decode
            for version in range(1, declared.version + 1):
                ce_type = declared.ce_type(event, version)
                self._decoders[ce_type] = self._decoders[ce_type.encode()] = decode
        # Without a ce_type: the topic's current version; of several events, the one that the `event` tag names.
        union: Any = types[0]
        for kind in types[1:]:
            union = union | kind
        self._decoders[None] = msgspec.json.Decoder(union).decode

    def decode(self, value: bytes | None, ce_type: bytes | str | None = None) -> Any:
        """The event in `value`, or None for the null value of a compacted topic. `ce_type` is the header as it came.

        A manifest comes as `ManifestEnvelope`. Raises `Undecodable`.
        """
        decoder = self._decoders.get(ce_type)
        if decoder is None or not value or len(value) > self._most_bytes:
            return self._unusual(value, known=decoder is not None)
        try:
            return decoder(value)
        except _REFUSALS as error:
            refused = _explain(error, value)
        raise refused  # outside of the except block: its context must not carry msgspec's message

    def _unusual(self, value: bytes | None, *, known: bool) -> None:
        if value is None:
            if self._tombstones:
                return
            raise Undecodable("null-value", "", f"{self.topic} has no use for a record without a value")
        if not value:
            raise Undecodable("empty-value", "", "the value has no bytes")
        if len(value) > self._most_bytes:
            raise Undecodable("too-large", "", f"the value has {len(value)} bytes, more than {self._most_bytes}")
        if not known:
            raise Undecodable("unknown-schema-version", "", f"{self.topic} does not carry the type in header ce_type")


@cache
def codec_for(topic: str) -> TopicCodec:
    """The codec of a topic. Raises `KeyError` when the topic is not declared."""
    return TopicCodec(topic)


def decode(topic: str, value: bytes | None, ce_type: bytes | str | None = None) -> Any:
    """Read one record of `topic`; see `TopicCodec.decode`. Loops keep the codec of `codec_for` instead."""
    return codec_for(topic).decode(value, ce_type)


def decode_consignment(raw: msgspec.Raw, index: int | None = None) -> Consignment:
    """Read one consignment of a `ManifestEnvelope`. Raises `Undecodable`.

    With its `index` the field is a path in the manifest as sent: `consignments[3].goods[0].hs_code`.
    """
    try:
        return _CONSIGNMENT.decode(raw)
    except _REFUSALS as error:
        refused = _explain(error, bytes(raw), "" if index is None else f"consignments[{index}]")
    raise refused


def read_house_bill(raw: msgspec.Raw) -> str | None:
    """The house bill of a consignment that could not be decoded, None when that too cannot be read."""
    try:
        return _HOUSE_BILL.decode(raw).house_bill
    except _REFUSALS:
        return None


def encode(event: msgspec.Struct) -> bytes:
    """The JSON bytes of an event: fields in the order of their declaration, defaults left out, the same every time.

    Raises `Unencodable` when a number is NaN or infinite: JSON has neither, and msgspec would write null for it.
    """
    value = _ENCODER.encode(event)
    # Numbers stand behind a name, and an absent optional field is left out: so this is a word in a text, or a lost
    # number. Counted, because CPython counts faster than it finds.
    if value.count(b":null"):
        _refuse_lost_number(event, value)
    return value


def _refuse_lost_number(event: msgspec.Struct, value: bytes) -> None:
    try:
        msgspec.json.decode(value, type=type(event))
    except _REFUSALS as error:
        refused = _explain(error, value)
    else:
        return
    raise Unencodable(f"{type(event).__name__}.{refused.field} is not a finite number")


@cache
def ce_type_of(event: type[msgspec.Struct]) -> str:
    """The `ce_type` to send an event of this type with: `borderflow.<EventName>.v<N>`, N the current version.

    Raises `KeyError` when no topic carries the type.
    """
    kind = ManifestLodged if event is ManifestEnvelope else event
    return topic_of(kind).ce_type(str(kind.__struct_config__.tag))


_MISSING = re.compile(r"Object missing required field `(\w+)`")
_POSITION = re.compile(r"\(byte (\d+)\)$")


def _explain(error: Exception, value: bytes, prefix: str = "") -> Undecodable:
    """Translate a decoder's error. Only texts that are known to hold no value are passed on."""
    if isinstance(error, RecursionError):
        return Undecodable("not-json", prefix, "nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Undecodable("not-json", prefix, "a text is not UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return _malformed(str(error), value, prefix)
    message, _, path = str(error).rpartition(" - at `")
    if not message:  # no path: the record itself
        message, path = path, "$`"
    field = _join(prefix, path.removesuffix("`").removeprefix("$"))
    if missing := _MISSING.match(message):
        if missing[1] == "event":
            return Undecodable("unknown-schema-version", _join(field, "event"), "the event is not named")
        return Undecodable("missing-field", _join(field, missing[1]), "a required field is missing")
    if message.startswith("Expected `"):
        reason: UndecodableReason = "wrong-type" if "`, got `" in message else "out-of-bounds"
        return Undecodable(reason, field, message.replace("`", "").replace("Expected", "expected", 1))
    if message.startswith("Invalid enum value"):
        return Undecodable("unknown-code", field, "not one of the words that this field allows")
    if message.startswith("Invalid value"):
        return Undecodable("unknown-schema-version", field, "the topic does not carry the event of this name")
    if message.startswith("Number out of range"):
        return Undecodable("out-of-bounds", field, "the number is out of range")
    if message.startswith("Invalid RFC3339"):
        return Undecodable("out-of-bounds", field, "expected a date and time as in RFC 3339")
    return Undecodable("out-of-bounds", field, "the value is refused")


def _malformed(message: str, value: bytes, prefix: str) -> Undecodable:
    if position := _POSITION.search(message):
        rest = value[int(position[1]) :][:8]
        if rest.startswith((b"NaN", b"Infinity")):
            return Undecodable("not-a-number", prefix, "JSON has neither NaN nor Infinity")
        return Undecodable("not-json", prefix, f"malformed at byte {position[1]}")
    return Undecodable("not-json", prefix, "the text ends too early")


def _join(path: str, field: str) -> str:
    field = field.removeprefix(".")
    if not path or not field or field.startswith("["):
        return path.removeprefix(".") + field
    return f"{path.removeprefix('.')}.{field}"
