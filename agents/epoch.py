"""Moments as milliseconds since the epoch: how records are stamped, windows counted and horizons compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def epoch_ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down; exact in every year."""
    return (at - EPOCH) // _MILLISECOND
