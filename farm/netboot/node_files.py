"""Files for nodes (`files` in farm.yaml): read on the server, and served under the names of their hashes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

from farm.config import Config
from farm.errors import FarmError
from farm.home import write_atomic
from farm.node.contract import MAX_FILE_BYTES


def read_sources(config: Config, folder: Path) -> dict[str, bytes]:
    """The content of each file that any machine gets, by its source. Raises FarmError.

    ``folder``: that of farm.yaml, from which sources count.
    """
    sources = {file.source for machine in (None, *config.listed) for file in config.files_of(machine)}
    return {source: _read(folder / source) for source in sorted(sources)}


def hashes(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Their SHA-256, in hex digits."""
    return {source: hashlib.sha256(content).hexdigest() for source, content in contents.items()}


def serve(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write what nodes fetch: a changed file has a new name, so that a node gets what its settings mean, or nothing."""
    for source, name in hashes(contents).items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != contents[source]:
            write_atomic(folder / name, contents[source])


def remove_others(contents: Mapping[str, bytes], folder: Path) -> None:
    """Remove the files that no machine gets any more."""
    kept = set(hashes(contents).values())
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in kept:
            path.unlink()


def _read(path: Path) -> bytes:
    mend = "Correct `files` in farm.yaml, or that file, then: sudo farm up"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FarmError(f"{path} is not a regular file.", "Nodes are to get it (`files` in farm.yaml).", mend)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FarmError(f"{path} cannot be read.", f"{error.strerror}; nodes are to get this file.", mend) from None
    if len(content) > MAX_FILE_BYTES:
        raise FarmError(f"{path} is too large.", f"A node accepts files of at most {MAX_FILE_BYTES} bytes.", mend)
    if b"PRIVATE KEY-----" in content:
        why = "Every machine on the lab's network can read the files for nodes, and a private key must stay secret."
        raise FarmError(f"{path} contains a private key.", why, mend)
    return content
