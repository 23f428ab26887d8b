"""Files and folders that hold what others should not read, and that last over a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def closed_to_others(path: str, flags: int) -> int:
    """Opens a file for `open`; one that is made by that may be written by its owner, read by his group, no others."""
    return os.open(path, flags, 0o640)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in, closed to others in the same way."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o750, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: of a file that was made or renamed."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
