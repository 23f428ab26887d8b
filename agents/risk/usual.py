"""What a kilogram of a heading is usually declared at, among the items that were inspected."""

from __future__ import annotations

from agents.risk.moments import note, spread

_LEAST = 8.0
_MOST = 200.0
_CAPACITY = 2_000


class UsualValue:
    """Mean and spread of log(US dollars per kg) by heading (HS4), over some 200 latest inspected items of each."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, list[float]] = {}  # [items, mean, sum of squared distances]

    def __len__(self) -> int:
        return len(self._held)

    def note(self, features: dict[str, float]) -> None:
        """Take in an inspected item, if it has a heading and a value per kg."""
        value = features.get("log-value-per-kg")
        heading = next((name[4:] for name in features if name.startswith("hs4=")), None)
        if value is None or heading is None:
            return
        held = self._held.pop(heading, None) or [0.0, 0.0, 0.0]
        note(held, value, _MOST)
        self._held[heading] = held  # last: the longest untouched stand first
        if len(self._held) > _CAPACITY:
            del self._held[next(iter(self._held))]

    def words(self, heading: str, log_value_per_kg: float) -> str:
        """`far below what is usual for heading 8517`, or nothing when that is not known."""
        held = self._held.get(heading)
        if held is None or held[0] < _LEAST:
            return ""
        deviation = max(spread(held), 0.1)
        off = (log_value_per_kg - held[1]) / deviation
        size = "far " if abs(off) >= 2.0 else ""
        if abs(off) < 1.0:
            return f"as is usual for heading {heading}"
        return f"{size}{'below' if off < 0 else 'above'} what is usual for heading {heading}"
