"""Errors of our own making, told by their place in the code and in the log, never by their text.

The text of an exception often is the value that it stumbled over (`KeyError: 'HONG'`), and that may be about a person.
"""

from __future__ import annotations

import traceback
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PLACES = 4


class DefectError(RuntimeError):
    """A step or a book raised what it never should. `what` says which, and on which records."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(f"{what}: {type(error).__name__} at {places(error)}")


def places(error: BaseException) -> str:
    """The innermost places of a traceback, the innermost first: `agents/screening.py:88 (_party) <- ...`."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    return " <- ".join(f"{_short(one.filename)}:{one.lineno} ({one.name})" for one in reversed(frames)) or "no place"


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else "/".join(path.parts[-2:])
