"""Microseconds of CPU for one call, as steady as a shared machine allows: the best of several rounds."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time_ns


def microseconds(call: Callable[[], object], *, rounds: int = 7, at_least_ms: float = 40.0) -> float:
    """CPU time of one `call` in microseconds, the least of `rounds`, each at least `at_least_ms` long."""
    number, best = 1, float("inf")
    while True:
        took = _nanoseconds(call, number)
        if took >= at_least_ms * 1e6:
            break
        number = max(number * 2, int(number * at_least_ms * 1e6 / max(took, 1)) + 1)
    for _ in range(rounds):
        best = min(best, _nanoseconds(call, number) / number)
    return best / 1000.0


def _nanoseconds(call: Callable[[], object], number: int) -> int:
    began = process_time_ns()
    for _ in range(number):
        call()
    return process_time_ns() - began
