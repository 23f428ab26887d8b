"""Sums of numbers that something is decided by."""

from __future__ import annotations

from collections.abc import Iterable


def added(amounts: Iterable[float]) -> float:
    """The amounts, added one after the other.

    Python's own `sum` makes up for what rounding loses from 3.12 on: a worker on 3.11 and another on 3.12, or a replay
    of what one of them decided, would come to other bits.
    """
    total = 0.0
    for amount in amounts:
        total += amount
    return total
