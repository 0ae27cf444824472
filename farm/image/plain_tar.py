"""Reading a tar file that a stranger may have made: plain files only, each the one that is to come next."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

CHUNK_BYTES = 1 << 20


def read_member(raw: IO[bytes], name: str, most: int, exact: int | None = None) -> Iterator[bytes]:
    """The content of the next member, which must have this name and at most ``most`` bytes; ``exact``: so many.

    Links, devices, folders and other names are refused before anything is read of them. tarfile's own reader is not
    used, as it takes long names and extended headers of any size into memory. Raises tarfile.TarError.
    """
    info = tarfile.TarInfo.frombuf(raw.read(tarfile.BLOCKSIZE), "utf-8", "replace")
    plain = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and info.name == name
    if not plain or not 0 <= info.size <= most or (exact is not None and info.size != exact):
        raise tarfile.ReadError(f"{name} should come next, as a plain file of at most {most} bytes")
    remaining = info.size
    while remaining:
        if not (chunk := raw.read(min(CHUNK_BYTES, remaining))):
            raise tarfile.ReadError(f"the file ends in {name}")
        remaining -= len(chunk)
        yield chunk
    raw.read(-info.size % tarfile.BLOCKSIZE)
