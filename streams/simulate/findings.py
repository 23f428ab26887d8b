"""What a simulation says, as it is written to JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.simulate.estimate import Estimate, Figure


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Items of one group (a control point, a stream, a layer): how many, how many selected, what is known."""

    name: str
    items: int
    selected: int
    known: int
    seizures: int
    estimate: Figure | None = None
    """The expected seizure rate, where it was asked for."""


class Assessed(msgspec.Struct, kw_only=True):
    """One candidate. `shared` of its selected items were selected by the policy that ran, too; `seizure_rate_known` is
    that of its selected items whose outcome is known."""

    name: str
    policy: str
    items: int
    selected: int
    coverage: float
    shared: int
    known: int
    seizures_known: int
    seizure_rate_known: float | None
    unknown_share: float
    estimate: Estimate
    by_layer: list[Counted]
    by_control_point: list[Counted]
    by_stream: list[Counted]
    by_day: list[Counted]
    value: float | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What the policies that ran did. `audit_rate` is the seizure rate of all items as the audit sample tells it, each
    drawn item weighted by one over its probability; `audit_effective` is how many equal draws the sample is worth."""

    policies: tuple[str, ...]
    items: int
    selected: int
    coverage: float
    inspected: int
    seizures: int
    seizure_rate: float | None
    audit_inspected: int
    audit_seizures: int
    audit_rate: Figure
    audit_effective: float


class Overlap(msgspec.Struct, frozen=True):
    """Items on which another criterion fired, too."""

    criterion_id: str
    items: int
    share: float


class Projected(msgspec.Struct, kw_only=True):
    """What a criterion would have done, before it is in force. `worst` names the control point of the largest share."""

    criterion_id: str
    version: int
    action: str
    hits: int
    hits_per_day: float
    share: float
    cap: float
    worst: str
    worst_share: float
    capped: int
    by_control_point: list[Counted]
    overlaps: list[Overlap]
    selected_already: int
    known: int
    seizures: int
    hit_rate: Estimate | None = None


class Simulated(msgspec.Struct, kw_only=True):
    """The whole answer."""

    command: str
    software: dict[str, str]
    archive: str
    since: str
    until: str
    warm_since: str
    items: int
    model: str
    recorded: Recorded
    candidates: list[Assessed]
    baseline: str
    swept: str | None = None
    criteria: list[Projected] = []
    cautions: list[str] = []

    def as_data(self) -> Any:
        """Plain dictionaries and lists."""
        return msgspec.to_builtins(self)
