"""The faults that befall workers: killed, stopped, frozen beyond the session timeout."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from typing import Protocol

FAULTS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)


class Workers(Protocol):
    """Worker processes by name, that can be sent signals and replaced."""

    @property
    def names(self) -> Sequence[str]:
        """Who works at present."""

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal."""

    def dismiss(self, name: str, number: signal.Signals) -> int | None:
        """Send SIGKILL or SIGTERM and wait for the end; the exit code."""

    def hire(self) -> str:
        """Start one more worker."""


def disturb(workers: Workers, dice: random.Random, session_timeout_s: float, longest_s: float) -> list[str]:
    """One fault of each kind, in random order, at random moments, on random workers; returns what they were."""
    suffered = []
    for fault in dice.sample(FAULTS, 3):
        time.sleep(dice.uniform(0.2, longest_s))
        victim = workers.names[dice.randrange(len(workers.names))]
        suffered.append(fault.name)
        if fault is signal.SIGSTOP:
            workers.send(victim, fault)
            time.sleep(session_timeout_s + dice.uniform(1.0, 4.0))
            workers.send(victim, signal.SIGCONT)
        else:
            code = workers.dismiss(victim, fault)
            assert code == (0 if fault is signal.SIGTERM else -signal.SIGKILL), f"{victim} ended with {code}"
            time.sleep(dice.uniform(0.0, 2.0))
            workers.hire()
    return suffered
