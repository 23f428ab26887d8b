"""What options such as `--since` and `--until` ask of time."""

from __future__ import annotations

from datetime import UTC, datetime

from streams.archive.times import EARLIEST, LATEST, moment
from streams.commands import CommandRefusedError


def moment_of(option: str, text: str, now: datetime | None = None) -> datetime:
    """The time that is given with an option. Raises `CommandRefusedError`."""
    try:
        return moment(text, now or datetime.now(UTC))
    except ValueError as error:
        raise CommandRefusedError(f"{option}: {error}") from None


def span(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    """From when, and until before when: all that there can be, unless it is said. Raises `CommandRefusedError`."""
    now = datetime.now(UTC)
    begin = EARLIEST if since is None else moment_of("--since", since, now)
    end = LATEST if until is None else moment_of("--until", until, now)
    if end <= begin:
        raise CommandRefusedError("--until: is not after --since")
    return begin, end
