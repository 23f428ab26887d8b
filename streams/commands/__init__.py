"""The command groups of `borderflow`, one module each, imported only when their command is called.

A command that is refused exits with 2; so does one that asks brokers a question and gets no answer. One that runs
until it is told to stop exits with 1 when it has to stop by itself, so that a supervisor starts it again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class CommandRefusedError(Exception):
    """What the user asked for cannot be done; the message is one line that names the setting, field or file.

    The command line prints the message without a traceback and exits with 2.
    """


def output(file: IO[str] | None = None, *, soft_wrap: bool = False) -> Console:
    """Where a command prints: standard output, or a file. That and a pipe have no width to cut or fold a table to."""
    from rich.console import Console

    bounded = file is None and sys.stdout.isatty()
    return Console(file=file, highlight=False, soft_wrap=soft_wrap, width=None if bounded else 2_000)


def shown(text: str) -> str:
    """Text from outside, for a terminal: control characters are shown, not obeyed. A line break is none."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def refuse_unwritable(option: str, file: Path | None) -> None:
    """Raise `CommandRefusedError` when a file that is to be written at the end of a run cannot be a file."""
    if file is None:
        return
    if file.is_dir():
        raise CommandRefusedError(f"{option}: {file} is a folder")
    if not file.resolve().parent.is_dir():
        raise CommandRefusedError(f"{option}: there is no folder {file.resolve().parent}")


def broker_errors() -> tuple[type[Exception], ...]:
    """What the Kafka clients that are in use raise when brokers are away or refuse."""
    clients = (sys.modules.get(name) for name in ("kafka.errors", "aiokafka.errors"))
    return tuple(one.KafkaError for one in clients if one is not None)


@contextmanager
def loud_stop(log: Any, said: str, *errors: type[Exception]) -> Iterator[None]:
    """Around what runs until it is told to stop: log one of `errors`, or that brokers are away, and exit with 1."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*errors, *broker_errors())):
            raise
        log.critical(said, error=str(error) or type(error).__name__)
        sys.exit(1)
