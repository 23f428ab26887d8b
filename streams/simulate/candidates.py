"""Candidates of a simulation: a policy, the criteria tried with it, and sweeps of one setting."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from agents.risk.policy import Policy, PolicyRefusedError, read_policy
from schemas.knowledge import CriterionPublished

ALIASES: Final = {"capacity": "capacity_share", "exploration": "layers.exploration"}
"""Short names of settings that are swept most."""

_SELECTION_ONLY: Final = frozenset((
    "version", "control_points", "capacity_share", "draw_key", "layers", "cold_start", "controller", "surge", "profile",
    "anomaly", "lanes", "deadlines", "lessons", "drift", "reports",
))  # fmt: skip
"""Settings that filtering does not read. What is not listed here makes candidates filter apart."""
_AS_RECORDED: Final = frozenset((
    "clock_ahead_minutes", "deadlines", "drift", "horizons.alerts_days", "lanes", "lessons", "reports",
))  # fmt: skip
"""Settings that change nothing that is counted here: what was screened and learnt stands as it was recorded, and an
inspection finds the same in any lane."""
_VALUE: Final = re.compile(r"^(?P<name>[a-z_.]+)=(?P<values>[^=]+)$")


@dataclass(frozen=True)
class Candidate:
    """One policy to be tried. `criteria` are in force over the whole history, in the place of those of their ids.

    `model` is the version of the models that score for it; None for the models as they learnt.
    """

    name: str
    policy: Policy
    criteria: tuple[CriterionPublished, ...] = ()
    value: float | None = None
    """Of the swept setting."""
    model: int | None = None

    @property
    def shares(self) -> tuple[bytes, int | None]:
        """Candidates with equal values share what filtering makes of an item, and its score."""
        return self.filters_as, self.model

    @property
    def filters_as(self) -> bytes:
        """Candidates with equal values filter alike."""
        settings = {
            name: value for name, value in msgspec.to_builtins(self.policy).items() if name not in _SELECTION_ONLY
        }
        return msgspec.json.encode([settings, self.criteria], order="sorted")


def swept(base: Candidate, asked: str) -> tuple[str, list[Candidate]]:
    """The setting and the candidates of `setting=value,value,...`. Raises `PolicyRefusedError` that quotes it."""
    read = _VALUE.match(asked)
    if read is None:
        raise PolicyRefusedError(f"--sweep: {asked!r} is not like capacity=0.01,0.02,0.05")
    path = ALIASES.get(read["name"], read["name"])
    candidates: list[Candidate] = []
    for text in read["values"].split(","):
        try:
            value = float(text)
        except ValueError:
            raise PolicyRefusedError(f"--sweep: {text!r} is not a number") from None
        name = f"{read['name']}={text.strip()}"
        try:
            policy = with_setting(base.policy, path, value)
        except PolicyRefusedError as why:
            raise PolicyRefusedError(f"--sweep: {name}: {why}") from None
        if stands_as_recorded(path):
            raise PolicyRefusedError(
                f"--sweep: {path} changes nothing in a simulation: what was screened and learnt stands as it was "
                "recorded, and an inspection finds the same in any lane"
            )
        if any(one.value == value for one in candidates):
            raise PolicyRefusedError(f"--sweep: {text.strip()} stands there twice")
        candidates.append(replace(base, name=name, policy=policy, value=value))
    return path, candidates


def with_setting(policy: Policy, path: str, value: float) -> Policy:
    """A policy with one number changed.

    A new `capacity_share` scales the control points' own shares alike; exploration is no less while nothing is learnt.
    """
    settings: dict[str, Any] = msgspec.to_builtins(policy)
    *sections, last = path.split(".")
    at = settings
    for section in sections:
        inner = at.get(section)
        if not isinstance(inner, dict):
            raise PolicyRefusedError(f"there is no setting {path}")
        at = inner
    held = at.get(last)
    if isinstance(held, bool) or not isinstance(held, int | float):
        raise PolicyRefusedError(f"there is no number {path} in a policy")
    if path == "capacity_share":
        for office in settings["control_points"].values():
            if office.get("capacity_share") is not None:
                office["capacity_share"] = min(1.0, office["capacity_share"] * value / held)
    if path == "layers.exploration":
        settings["cold_start"]["exploration"] = max(value, settings["cold_start"]["exploration"])
    at[last] = int(value) if isinstance(held, int) and value.is_integer() else value
    # Draws stay those of the policy that ran, so that candidates differ in their rules and not in their luck.
    settings["draw_key"] = policy.draws
    return read_policy(settings)


def stands_as_recorded(path: str) -> bool:
    """Whether a setting changes nothing in a simulation."""
    return path in _AS_RECORDED or path.partition(".")[0] in _AS_RECORDED


def not_tried(policy: Policy, other: Policy) -> list[str]:
    """The settings in which two policies differ and that change nothing in a simulation."""
    one, two = (dict(_settings("", msgspec.to_builtins(each))) for each in (policy, other))
    return sorted(
        path for path in one.keys() | two.keys() if stands_as_recorded(path) and one.get(path) != two.get(path)
    )


def _settings(path: str, held: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(held, dict):
        yield path, held
        return
    for name, inner in held.items():
        yield from _settings(f"{path}.{name}" if path else name, inner)


def of_same_draws(candidates: Sequence[Candidate]) -> bool:
    """Whether all candidates draw their audit samples with one key."""
    return len({one.policy.draws for one in candidates}) <= 1
