"""The process of `borderflow shadow start --detach`: `python -m streams.shadow FOLDER NAME CPU WARM_ITEMS`."""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from streams.commands import loud_stop
from streams.logging import configure_logging
from streams.settings import Settings
from streams.shadow.folder import ShadowFolder
from streams.shadow.following import Follower
from streams.stopping import told_to_stop


def main(root: str, name: str, cpu: str, warm_items: str) -> None:
    """Follow until told to stop."""
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    held = ShadowFolder(Path(root), name)
    log = structlog.get_logger("borderflow.shadow")
    stopped = told_to_stop(log)
    with loud_stop(log, "the shadow stops; what it chose stays", OSError, told=stopped.is_set), held.held():
        Follower(settings, held, cpu=float(cpu), warm_items=int(warm_items)).run(stopped.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
