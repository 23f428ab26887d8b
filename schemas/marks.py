"""The vocabulary that fields are declared with: bounded text, code shapes, units, and the mark of personal data.

A field whose type carries `x-personal` in its JSON Schema is about a person. It is never logged, never a metric
label, never in an error text (docs/security-and-privacy.md), and the archive keeps it in separate columns.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

PERSONAL = {"x-personal": True}

Id = Annotated[str, Meta(min_length=1, max_length=96)]
Code = Annotated[str, Meta(min_length=1, max_length=32)]
Text = Annotated[str, Meta(max_length=512)]

PersonalId = Annotated[str, Meta(min_length=1, max_length=96, extra_json_schema=PERSONAL)]
PersonalName = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=PERSONAL)]
PersonalText = Annotated[str, Meta(max_length=2000, extra_json_schema=PERSONAL)]
PersonalDate = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra_json_schema=PERSONAL)]

Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
Locode = Annotated[str, Meta(pattern=r"^[A-Z]{2}[A-Z0-9]{3}$", description="UN/LOCODE, without the space")]
HsCode = Annotated[str, Meta(pattern=r"^\d{6}(\d{2}){0,2}$", description="Harmonized System, 6 to 10 digits")]
ControlPoint = Annotated[
    str, Meta(min_length=2, max_length=32, description="customs office of entry, a key of the policy")
]

Kilograms = Annotated[float, Meta(ge=0, le=1e9)]
Money = Annotated[float, Meta(ge=0, le=1e13)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Utc = Annotated[datetime, Meta(tz=True)]


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened: frozen, in the past tense, decodable whatever fields a later version adds."""


class Origin(Fact, frozen=True, kw_only=True):
    """Lineage for people and audits: the lodgement record that an item came from, and its place in it.

    `sent_ms` is when the lodgement was sent (CloudEvents `ce_time`, else the record's timestamp), milliseconds UTC.
    """

    topic: Code
    partition: int
    offset: int
    index: int = 0
    lodgement_id: Id
    sent_ms: int


class Upstream(Fact, frozen=True, kw_only=True):
    """The record between two steps that this one follows from; a redelivery carries the same mark."""

    topic: Code
    partition: int
    offset: int
    index: int = 0
