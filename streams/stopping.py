"""SIGTERM and Ctrl-C for what runs until it is told to stop: heard at once, obeyed within two seconds.

Clients of the brokers do not hear of it. To connect, to ask for an offset and to close they wait for half a minute
each while brokers are away, a thread that resolves a name holds up the interpreter's own end, and a disk may hang. So
none of them is waited for: what uses this may be killed at any moment without losing or doubling a record, and goes on
from there at its next start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 1.5
"""Seconds to finish in good order; what waits then is interrupted."""
LAST_S: Final = 2.0
"""Seconds after which the process ends, interrupted or not."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def told_to_stop(log: Any) -> threading.Event:
    """An event that SIGTERM and Ctrl-C set. `PATIENCE_S` later, or when told again, the main thread raises `SystemExit`
    wherever it is; `LAST_S` later the process ends, both with exit code 0."""
    stopped, main = threading.Event(), threading.get_ident()

    def told(*_: object) -> None:
        if stopped.is_set():
            sys.exit(0)
        stopped.set()
        end_soon(log)
        _later(PATIENCE_S, lambda: signal.pthread_kill(main, signal.SIGTERM))

    for number in _SIGNALS:
        signal.signal(number, told)
    return stopped


def told_to_stop_loop(log: Any) -> asyncio.Event:
    """The same for what runs in the event loop that calls it and can be cancelled there: nothing is raised."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        if not stopped.is_set():
            stopped.set()
            end_soon(log)

    for number in _SIGNALS:
        loop.add_signal_handler(number, told)
    return stopped


def end_soon(log: Any) -> None:
    """End this process with exit code 0 in `LAST_S` seconds, unless it has ended by itself."""

    def end() -> None:
        log.warning("told to stop, and not waited for brokers or disks: what was in hand comes again at the next start")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    _later(LAST_S, end)


def _later(seconds: float, call: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
