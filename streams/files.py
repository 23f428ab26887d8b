"""Files and folders that hold what others should not read, and that last over a power cut."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def closed_to_others(path: str, flags: int) -> int:
    """Opens a file for `open`; one that is made by that may be written by its owner, read by his group, no others."""
    return os.open(path, flags, 0o640)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in, closed to others in the same way."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o750, exist_ok=True)


@contextmanager
def whole_file(file: Path, *, private: bool = False) -> Iterator[Path]:
    """Where to write so that `file` is there as a whole or not at all, with the rights that it had.

    A `private` one is its owner's alone from its first byte on, whatever rights it had.
    What is no regular file, a pipe say, is written to as it is.
    """
    file = file.resolve()
    if file.exists() and not file.is_file():
        yield file
        return
    temporary = file.with_name(file.name + ".writing")
    try:
        if private:
            temporary.unlink(missing_ok=True)
            temporary.touch(0o600)
        elif file.exists():
            temporary.touch(0o600)
            shutil.copymode(file, temporary)
        yield temporary
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_ours(file: BinaryIO) -> bool:
    """Whether nobody but this process's user can have written a file (the administrator apart)."""
    said = os.fstat(file.fileno())
    return said.st_uid == os.geteuid() and not said.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: of a file that was made or renamed."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
