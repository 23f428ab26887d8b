"""Times as people give them: `2026-03-02`, `2026-03-02T12:00Z`, or how long ago, `90m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from agents.epoch import EPOCH

EARLIEST: Final = EPOCH
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)

_SPANS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO: Final = re.compile(r"^(\d+)([smhd])$")


def moment(text: str, now: datetime) -> datetime:
    """The time that `text` means, in UTC; without a zone it is UTC. Raises `ValueError` that quotes it."""
    try:
        if ago := _AGO.match(text):
            return now - timedelta(**{_SPANS[ago[2]]: int(ago[1])})
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is no time; write 2026-03-02T12:00Z, 2026-03-02, or how long ago: 24h, 7d"
        ) from None
