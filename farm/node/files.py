"""A node's small files."""

from __future__ import annotations

import os

from farm.node.contract import MAX_BYTES


def read(path: str, most: int = MAX_BYTES) -> str:
    """The beginning of a text file, at most so many characters; empty when it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read(most)
    except OSError:
        return ""


def write(path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file that others see whole or not at all, its folder too if there is none. Raises OSError."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    os.replace(path + ".new", path)
