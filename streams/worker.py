"""The app object for `faust -A streams.worker worker`, and `serve` for `borderflow worker`.

Importing this module does nothing: the app is built from the environment when `app` is first asked for.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from streams.settings import Settings

if TYPE_CHECKING:
    from streams.app import BorderApp


@functools.cache
def _app() -> BorderApp:
    return _built(Settings.from_environment())


def _built(settings: Settings) -> BorderApp:
    from streams.app import build_app
    from streams.topology import build_topology

    return build_app(settings, build_topology(settings))


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def serve(settings: Settings) -> None:
    """Host the steps of `settings.step_names` until SIGTERM, SIGINT (exit code 0) or a failure (1)."""
    from streams.app import run

    run(_built(settings))
