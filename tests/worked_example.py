"""The worked example of docs/images.md, as it stands there: what users type is what is tested."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_FILE = re.compile(r"^`/etc/farm/(?P<path>[^`]+)`:\n\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The files of the example, by their paths below /etc/farm."""
    return {found["path"]: found["text"] for found in _FILE.finditer((DOCS / "images.md").read_text())}


def write(folder: Path, more: str = "") -> None:
    """Write them below a folder; ``more`` stands before what farm.yaml holds."""
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(more + text if path == "farm.yaml" else text)
