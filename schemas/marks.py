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
END = r"$(?!\n)"
"""The end of a text: in Python `$` alone also stands before a last newline, in other languages it does not."""

Id = Annotated[str, Meta(min_length=1, max_length=96)]
Code = Annotated[str, Meta(min_length=1, max_length=32)]
Text = Annotated[str, Meta(max_length=512)]

PersonalId = Annotated[str, Meta(min_length=1, max_length=96, extra_json_schema=PERSONAL)]
PersonalName = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=PERSONAL)]
PersonalText = Annotated[str, Meta(max_length=2000, extra_json_schema=PERSONAL)]
PersonalFullName = Annotated[
    str, Meta(min_length=1, max_length=401, description="given and family names", extra_json_schema=PERSONAL)
]
PersonalDate = Annotated[str, Meta(pattern=rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{END}", extra_json_schema=PERSONAL)]

Country = Annotated[str, Meta(pattern=rf"^[A-Z]{{2}}{END}", description="ISO 3166-1 alpha-2")]
Currency = Annotated[str, Meta(pattern=rf"^[A-Z]{{3}}{END}", description="ISO 4217")]
Locode = Annotated[str, Meta(pattern=rf"^[A-Z]{{2}}[A-Z0-9]{{3}}{END}", description="UN/LOCODE, without the space")]
HsCode = Annotated[
    str, Meta(pattern=rf"^[0-9]{{6}}([0-9]{{2}}){{0,2}}{END}", description="Harmonized System, 6, 8 or 10 digits")
]
Heading = Annotated[str, Meta(pattern=rf"^[0-9]{{2,10}}{END}", description="the first digits of an HS code")]
ControlPoint = Annotated[
    str, Meta(min_length=2, max_length=32, description="customs office of entry, a key of the policy")
]

# Between the steps codes are as screening has checked them, against code lists; nobody looks at their shape again
# (patterns were 40% of reading an item).
CheckedCountry = Annotated[str, Meta(description="ISO 3166-1 alpha-2, checked by screening")]
CheckedLocode = Annotated[str, Meta(description="UN/LOCODE, without the space, checked by screening")]

Kilograms = Annotated[float, Meta(ge=0, le=1e9)]
TotalKilograms = Annotated[float, Meta(ge=0, description="kilograms, summed over lines")]
Money = Annotated[float, Meta(ge=0, le=1e13)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
TotalCount = Annotated[int, Meta(ge=0, description="summed over lines")]
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
