"""Mean and spread of numbers as they come, over some latest of them (Welford 1962, with what is old let go)."""

from __future__ import annotations

from math import sqrt

Moments = list[float]
"""[how many, mean, sum of squared distances from it]."""


def note(held: Moments, value: float, most: float) -> None:
    """Take in a number; at `most` numbers, the older ones together count one less."""
    if held[0] >= most:
        held[2] *= (most - 1.0) / held[0]
        held[0] = most - 1.0
    held[0] += 1.0
    step = value - held[1]
    held[1] += step / held[0]
    held[2] += step * (value - held[1])


def take_back(held: Moments, value: float) -> None:
    """Undo `note`, exactly if no other number came since and none was let go."""
    if held[0] <= 1.0:
        held[:] = [0.0, 0.0, 0.0]
        return
    step = value - held[1]
    held[1] -= step / (held[0] - 1.0)
    held[2] = max(0.0, held[2] - step * (value - held[1]))
    held[0] -= 1.0


def spread(held: Moments) -> float:
    """The standard deviation, 0 of a single number."""
    return sqrt(held[2] / held[0]) if held[0] else 0.0


class Scale:
    """Standardises quantities by what was learnt of each, as River's `StandardScaler` does."""

    MOST = 10_000.0

    __slots__ = ("_held", "known")

    def __init__(self) -> None:
        self._held: dict[str, Moments] = {}
        self.known: dict[str, tuple[float, float]] = {}
        """(mean, 1 / standard deviation) by quantity; 0 for the latter of one that was always the same."""

    def note(self, quantities: dict[str, float]) -> None:
        """Take in the quantities of one lesson."""
        for name, value in quantities.items():
            held = self._held.setdefault(name, [0.0, 0.0, 0.0])
            note(held, value, self.MOST)
            self._know(name, held)

    def take_back(self, quantities: dict[str, float]) -> None:
        """Undo `note`."""
        for name, value in quantities.items():
            held = self._held.get(name)
            if held is not None:
                take_back(held, value)
                self._know(name, held)

    def standard(self, name: str, value: float) -> float:
        """How many standard deviations a quantity is from its mean; 0 while nothing is known of it."""
        mean, per = self.known.get(name, _UNKNOWN)
        return (value - mean) * per

    def _know(self, name: str, held: Moments) -> None:
        deviation = spread(held)
        self.known[name] = (held[1], 1.0 / deviation if deviation > 1e-9 else 0.0)


_UNKNOWN = (0.0, 0.0)
