"""What a verification found: counts, and differences that name the record, the field and no value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

Kind = Literal["differs", "altered", "unreadable", "missing", "unexpected"]

SHOWN: Final = 1000
"""Differences that are kept one by one; more are only counted."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One record that is not what follows from what is recorded.

    `differs`: other bytes follow. `altered`: it is not the record that was archived (its digest), whatever follows.
    `unreadable`: its value is no event. `missing`: a record should be there and is not. `unexpected`: nothing leads to
    it. `fields` are the top-level fields that differ, empty where that cannot be told. `software` is the version of
    borderflow that decided, where a decision names it.
    """

    kind: Kind
    topic: str
    partition: int
    offset: int
    ce_id: str
    fields: tuple[str, ...] = ()
    software: str | None = None

    def __str__(self) -> str:
        fields = f" in {', '.join(self.fields)}" if self.fields else ""
        return f"{self.topic}[{self.partition}] offset {self.offset} {self.kind}{fields} ({self.ce_id})"


@dataclass(slots=True)
class Findings:
    """Counts of one step: recorded outputs that were recomputed, and what came of it.

    `refused` are inputs without an output that a dead letter speaks for, `others` outputs that another version of
    borderflow made, by a policy of which this one has other settings.
    """

    step: str
    checked: int = 0
    differing: int = 0
    redelivered: int = 0
    in_flight: int = 0
    refused: int = 0
    unchecked: int = 0
    others: int = 0
    differences: list[Difference] = field(default_factory=list)

    def note(self, difference: Difference) -> None:
        """Count a difference, and keep it while there are not too many."""
        self.differing += 1
        if len(self.differences) < SHOWN:
            self.differences.append(difference)


def differing_fields(recorded: bytes | None, recomputed: bytes) -> tuple[str, ...]:
    """The top-level fields in which two JSON objects differ; empty when one is none."""
    try:
        one, other = msgspec.json.decode(recorded or b"null"), msgspec.json.decode(recomputed)
    except msgspec.DecodeError:
        return ()
    if not isinstance(one, dict) or not isinstance(other, dict):
        return ()
    absent: Any = object()
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name, absent) != other.get(name, absent)))
