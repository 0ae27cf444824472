"""Files that a node is given by its server: fetched at boot, checked, and written before its roles start.

Imported while a machine boots; hashlib is imported only when there are files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from farm.node.contract import MAX_FILE_BYTES
from farm.node.files import write

TRIES = 2
FETCH_SECONDS = 5.0
"""Time for one answer."""
TOTAL_SECONDS = 20.0
"""For all files; a machine that waits longer compiles nothing for want of a file."""

Get = Callable[[str, float], bytes]
"""Asks the server for a path, for so many seconds; raises OSError."""


def fetch_files(root: str, files: list[dict[str, str]], get: Get) -> dict[str, str]:
    """Fetch and write the files below ``root``; returns path → why it was not written.

    ``files``: each with ``path``, ``sha256`` and ``mode``, as `farm.node.settings.parse_settings` has checked them.
    """
    end = time.monotonic() + TOTAL_SECONDS
    failed = {}
    for file in files:
        try:
            content = _fetch(file["sha256"], get, end)
            _put(root, file["path"], content, int(file["mode"], 8))
        except OSError as error:
            failed[file["path"]] = (error.strerror or str(error))[:128]
    return failed


def _fetch(sha256: str, get: Get, end: float) -> bytes:
    """The content with this hash; the last failure is raised as an OSError."""
    import hashlib

    failure = OSError("no time was left to fetch it")
    for _ in range(TRIES):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            content = get(f"/files/{sha256}", min(FETCH_SECONDS, left))
        except OSError as error:
            failure = error
            continue
        if len(content) > MAX_FILE_BYTES:
            failure = OSError(f"more than {MAX_FILE_BYTES} bytes")
        elif hashlib.sha256(content).hexdigest() != sha256:
            failure = OSError("the server's file has another SHA-256")
        else:
            return content
    raise failure


def _put(root: str, path: str, content: bytes, mode: int) -> None:
    """Write one file. A link in the image must not lead to another folder than the one that was allowed."""
    target = os.path.join(os.path.realpath(root), path.lstrip("/"))
    folder = os.path.dirname(target)
    if os.path.realpath(folder) != folder:
        raise OSError("its folder is a link in this image")
    write(target, content, mode)
    os.chmod(target, mode)
