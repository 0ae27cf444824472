"""The program of `farm join --share` that root runs at each boot: a copy that nobody else can change.

The farm itself may lie in a folder of somebody's, who would be root with it.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
from pathlib import Path

from farm import node
from farm.errors import FarmError

PROGRAM = Path("/etc/farm/desk.pyz")
"""All that a node runs, which needs nothing but Python's own library."""
MAIN = "import sys\nfrom farm.node.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of each file: the same files are the same bytes."""


def packed() -> bytes:
    """The program, as `python3 FILE desk` runs it."""
    top = Path(node.__path__[0]).parent
    files = {path.relative_to(top.parent).as_posix(): path.read_bytes() for path in (top / "node").rglob("*.py")}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in sorted({**files, f"{top.name}/__init__.py": b"", "__main__.py": MAIN.encode()}.items()):
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def interpreter(running: str = sys.executable) -> str:
    """The Python behind the one that runs now, which is in no virtual environment. Raises FarmError."""
    found = os.path.realpath(running)
    for path in map(str, (Path(found), *Path(found).parents)):
        status = os.stat(path)
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FarmError(
                "Slots cannot be shared with this Python.",
                f"Root would run {found} at each boot, but others than root can change {path}.",
                "Make farm's virtual environment with the system's Python (/usr/bin/python3 -m venv), and join again.",
            )
    return found
