"""dm-verity: a hash tree behind a root file system, by which a node refuses each block that is not what was built.

The tree stands in the same file: nothing else has to be exported, and an initrd that knows nothing of it mounts the
file as before. The hash at its top and the salt are in the manifest and go to the kernel's command line
(Linux Documentation/admin-guide/device-mapper/verity.rst; veritysetup(8)).
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from farm import command
from farm.errors import FarmError

BLOCK = 4096
"""Bytes of a block of data, and of one of hashes; mksquashfs pads its file to a multiple of it."""


class Verity(Struct, frozen=True):
    """What a node needs to check a root file system; hex, and the number of blocks of data before the tree."""

    root_hash: str
    salt: str
    blocks: int

    @property
    def argument(self) -> str:
        """The value of ``farm.verity`` on the kernel's command line."""
        return f"{self.root_hash}:{self.salt}:{self.blocks}"


def append_tree(root: Path, salt: str) -> Verity:
    """Append the tree to a root file system; ``salt``: 64 hex digits. Raises FarmError."""
    size = root.stat().st_size
    blocks, rest = divmod(size, BLOCK)
    if rest:
        raise FarmError(f"The root file system's size is not a multiple of {BLOCK} bytes: {size}.", f"{root}", "")
    argv = ["veritysetup", "format", f"--data-block-size={BLOCK}", f"--hash-block-size={BLOCK}", "--hash=sha256"]
    # Without a superblock, which has nothing that the manifest does not say, the same root gives the same bytes.
    argv += ["--no-superblock", f"--salt={salt}", f"--hash-offset={size}", f"--data-blocks={blocks}"]
    said = command.run([*argv, str(root), str(root)]).stdout
    found = re.search(r"^Root hash:\s*([0-9a-f]{64})$", said, re.MULTILINE)
    if found is None:
        raise FarmError("veritysetup does not say a root hash.", said.strip(), "See: veritysetup --version")
    return Verity(found[1], salt, blocks)
