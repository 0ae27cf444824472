"""What a package has besides the code: manual pages, completion for three shells, and the unit.

`python -m farm.cli.package_files client|server DIR` writes them below DIR, each at its place in Debian's file system.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping
from pathlib import Path

from click.shell_completion import get_completion_class

from farm.cli import cli
from farm.cli.man_pages import ROOT, man_pages
from farm.serve.systemd_unit import UNIT_NAME, unit_text

COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/farm",
    "zsh": "usr/share/zsh/vendor-completions/_farm",
    "fish": "usr/share/fish/vendor_completions.d/farm.fish",
}
"""Shell → where it looks for completions that packages bring."""


def client_files() -> dict[str, bytes]:
    """Path → content, for each machine that has the command."""
    pages = {f"usr/share/man/man1/{name}.gz": _packed(text) for name, text in man_pages().items()}
    return pages | {path: completion(shell).encode() for shell, path in COMPLETIONS.items()}


def server_files() -> dict[str, bytes]:
    """Path → content, for a server."""
    return {f"lib/systemd/system/{UNIT_NAME}": unit_text().encode()}


def completion(shell: str) -> str:
    """The script that lets a shell complete the words of `farm`: it asks the command itself at each Tab."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    return kind(cli, {}, ROOT, "_FARM_COMPLETE").source()


def _packed(text: str) -> bytes:
    """As Debian keeps manual pages; the same text gives the same bytes."""
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def write(files: Mapping[str, bytes], top: Path) -> None:
    """Write the files below a folder."""
    for path, content in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)


if __name__ == "__main__":
    write({"client": client_files, "server": server_files}[sys.argv[1]](), Path(sys.argv[2]))
