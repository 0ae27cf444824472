"""Files that a command line names for a command to write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from farm.errors import FarmError
from farm.home import write_atomic


def write_named(path: Path, content: bytes) -> None:
    """Write the file that somebody has named: whole or not at all, with the mode that it has, else as umask wants it.

    What is no file of its own (/dev/stdout, a pipe, /dev/null for root) is written to and stays what it is. Raises
    FarmError.
    """
    try:
        mode = _mode(path)
        if mode is None:
            with path.open("ab") as there:
                there.write(content)
        else:
            write_atomic(path.resolve(), content, mode)
    except OSError as error:
        raise FarmError(f"{path} cannot be written.", error.strerror or str(error), "Name another file.") from error


def _mode(path: Path) -> int | None:
    """The mode that a file has, or is to have; None when it is no file."""
    if any(path.absolute().is_relative_to(folder) for folder in ("/dev", "/proc")):
        return None  # /dev/stdout may be a file, to which others write as well
    try:
        status = path.stat()
    except FileNotFoundError:
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask
    return stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None
