"""How rarely a process that decides looks for cycles of objects that nobody needs.

Its states are large and hold none, and Python's default costs it 8 to 10% of an item. Each look at what is new is
short, because it holds everything up: looking at 100,000 new objects at once took 50 ms, three times in 20 s.
"""

from __future__ import annotations

import gc

_NEW, _YOUNG, _ALL = 5_000, 5, 20_000
"""New objects to look at at once; such looks until those that stayed are looked at again; those until all are."""


def look_rarely() -> None:
    """Set it for this process."""
    gc.set_threshold(_NEW, _YOUNG, _ALL)
