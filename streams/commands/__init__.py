"""The command groups of `borderflow`, one module each, imported only when their command is called.

A command that is refused exits with 2; so does one that asks brokers a question and gets no answer. One that runs
until it is told to stop exits with 1 when it has to stop by itself, so that a supervisor starts it again.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from rich.console import Console


DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What the system says of a disk, and of no pipe or connection."""


READ_ENOUGH: Final = 141
"""As a shell has it of what SIGPIPE ended."""

_JUST_S: Final = 30.0
"""A client tries again every second: what refused it longer ago than this has let it in since."""


class CommandRefusedError(Exception):
    """What the user asked for cannot be done; the message is one line that names the setting, field or file.

    The command line prints the message without a traceback and exits with 2.
    """


def output(file: IO[str] | None = None, *, soft_wrap: bool = False) -> Console:
    """Where a command prints: standard output, or a file. That and a pipe have no width to cut or fold a table to."""
    from rich.console import Console

    bounded = file is None and sys.stdout.isatty()
    console = Console(file=file, highlight=False, soft_wrap=soft_wrap, width=None if bounded else 2_000)
    # Rich would end with 1, which says that something was found.
    console.on_broken_pipe = nobody_reads  # type: ignore[method-assign]
    return console


def nobody_reads() -> NoReturn:
    """End because whoever read standard output has read enough (`| head`): no failure, and nothing more can be said."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is in the buffer is written at the end
    sys.exit(READ_ENOUGH)


def shown(text: str) -> str:
    """Text from outside, for a terminal: control characters are shown, not obeyed. A line break is none."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table that may be long, as they are: rich takes two milliseconds to draw a row."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip() + "\n"


@contextmanager
def progress_over(totals: Mapping[str, int | None]) -> Iterator[Callable[[str, int], None]]:
    """Progress bars with the time that is left, on standard error; nothing where that is no terminal.

    A total of None is one that nobody knows.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}
    with bars:
        yield lambda name, count: bars.advance(tasks[name], count)


def refuse_unwritable(option: str, file: Path | None) -> None:
    """Raise `CommandRefusedError` when a file that is to be written at the end of a run cannot be a file."""
    if file is None:
        return
    if file.is_dir():
        raise CommandRefusedError(f"{option}: {file} is a folder")
    if not file.resolve().parent.is_dir():
        raise CommandRefusedError(f"{option}: there is no folder {file.resolve().parent}")


def refuse_at_a_border(environ: Mapping[str, str]) -> None:
    """Raise `CommandRefusedError` in production: what is simulated would be decided, and alerted, like what is real."""
    if environ.get("BORDERFLOW_ENVIRONMENT") == "production":
        raise CommandRefusedError("BORDERFLOW_ENVIRONMENT: production takes no simulated goods")


def broker_errors() -> tuple[type[Exception], ...]:
    """What the Kafka clients that are in use raise when brokers are away or refuse."""
    clients = (sys.modules.get(name) for name in ("kafka.errors", "aiokafka.errors"))
    return tuple(one.KafkaError for one in clients if one is not None)


def said_of(error: Exception) -> str:
    """What to say of an error: of one of the brokers' clients first that they refuse this process, if they just did."""
    said, refused = str(error) or type(error).__name__, refused_by_brokers(error)
    return said if refused is None else f"{refused} ({said})"


def refused_by_brokers(error: BaseException) -> str | None:
    """That brokers refuse this process, if this is an error of one of their clients and they just did.

    The clients say no more than that nobody answered.
    """
    reconnecting = sys.modules.get("streams.reconnecting")
    refusal = reconnecting.latest_refusal() if reconnecting is not None else None
    if refusal is None or not isinstance(error, broker_errors()) or time.monotonic() - refusal.at > _JUST_S:
        return None
    return f"the brokers do not let it in ({refusal.said}): correct the file of its password or certificate"


@contextmanager
def loud_stop(
    log: Any, said: str, *errors: type[Exception], told: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Around what runs until it is told to stop: log one of `errors`, or that brokers are away, and exit with 1.

    What brokers did not answer to something that was `told` to stop is no failure: nothing waits for them any more.
    """
    try:
        yield
    except Exception as error:
        if told() and isinstance(error, broker_errors()):
            log.warning("told to stop, and brokers do not answer", error=str(error) or type(error).__name__)
            sys.exit(0)
        if not isinstance(error, (*errors, *broker_errors())):
            raise
        log.critical(said, error=said_of(error))
        sys.exit(1)
