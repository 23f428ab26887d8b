"""`borderflow broker`: the embedded broker in the foreground, until Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from typing import Annotated, NoReturn

from cyclopts import App, Parameter
from cyclopts.validators import Number

from streams.embedded import EmbeddedBroker

app = App(name="broker", help="Run the embedded broker in the foreground (memory only: demo and tests).")


@app.default
def broker(
    *,
    port: Annotated[
        int, Parameter(help="Port on 127.0.0.1; 0 takes a free one.", validator=Number(gte=0, lte=65_535))
    ] = 9092,
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print one JSON object: bootstrap, pid and settings.")
    ] = False,
) -> int:
    """Start it, print where it listens and the settings that suit it, and hold it until Ctrl-C or SIGTERM.

    The exit code is the broker's own when it ends by itself.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), EmbeddedBroker(port or None) as held:
        if as_json:
            print(  # noqa: T201
                json.dumps({"bootstrap": held.bootstrap, "pid": held.pid, "environment": held.environment()}),
                flush=True,
            )
        else:
            for name, value in held.environment().items():
                print(f"export {name}={value}", flush=True)  # noqa: T201
            print(f"broker on {held.bootstrap}; it forgets everything when it ends (Ctrl-C)", file=sys.stderr)  # noqa: T201
        return held.wait()
    return 0


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough: the broker is being stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
