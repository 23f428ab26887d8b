"""Moments as milliseconds since the epoch: how records are stamped, windows counted and horizons compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(at: datetime) -> int:
    """Milliseconds since the epoch, rounded down; exact in every year."""
    since = at - EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
