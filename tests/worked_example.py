"""The worked examples of docs/own-images.md, as they stand there: what users type is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
INCLUDING, ALONE = "/etc/farm", "/srv/images"
"""Where the files of the two examples lie: of the one that includes a built-in image, and the one that stands alone."""
_FILE = re.compile(r"^`(?P<path>/[^`]+)`:\n\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def files(top: str = INCLUDING) -> dict[str, str]:
    """The files of an example, by their paths below ``top``."""
    found = {match["path"]: match["text"] for match in _FILE.finditer((DOCS / "own-images.md").read_text())}
    return {path.removeprefix(f"{top}/"): text for path, text in found.items() if path.startswith(f"{top}/")}


def write(folder: Path, more: str = "", top: str = INCLUDING) -> None:
    """Write them below a folder; ``more`` stands before what farm.yaml holds."""
    for path, text in files(top).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(more + text if path == "farm.yaml" else text)
