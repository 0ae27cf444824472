"""Pull versions from a published folder."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from farm.errors import FarmError
from farm.home import locked
from farm.image.prebuilt import signature
from farm.image.prebuilt.fetch import fetch_file, fetch_small, require_address
from farm.image.prebuilt.index import INDEX, MANIFEST, MOST_BYTES, NAMESPACE, SIGNATURE, Index, read_index
from farm.image.prebuilt.signature import Signer, signer_of
from farm.image.prebuilt.signers import Ask, Signers
from farm.image.prebuilt.statement import MOST_BYTES as MOST_STATED
from farm.image.prebuilt.statement import label, read_statement
from farm.image.store import FILES, Manifest, Store

RESERVE = 256 << 20
"""Bytes that are to be left on the disk."""
PUBLISHING = 3
"""Tries to read an index and its signature, which are replaced one after the other."""

Progress = Callable[[str, str], None]


def fetch_index(url: str, signers: Signers, ask: Ask) -> tuple[Index, Signer]:
    """The index of a published folder, whose signer is believed, and is not older than one before. Raises FarmError."""
    url = require_address(url)
    what = f"the index at {url}"
    for remaining in range(PUBLISHING - 1, -1, -1):
        content = fetch_small(f"{url}/{INDEX}", MOST_BYTES)
        signed = fetch_small(f"{url}/{SIGNATURE}", signature.MOST_BYTES)
        try:
            signer = signer_of(content, signed, NAMESPACE, what)
            break
        except FarmError:
            if not remaining:
                raise
            time.sleep(1)
    index = read_index(content, url)
    signers.require(index.publisher, signer, content, signed, NAMESPACE, f"The index at {url}", ask)
    signers.require_newer(index.publisher, url, index.serial)
    return index, signer


@contextlib.contextmanager
def pulling(store: Store) -> Iterator[Path]:
    """Held by whoever pulls into a store; the folder for what has not come whole yet. Raises FarmError."""
    folder = store.directory / ".pull"
    with locked(folder / ".lock", "Another command is pulling images."):
        yield folder


def fetch_manifest(url: str, index: Index, signer: Signer, version: str) -> Manifest:
    """The manifest of a version, NAME/VERSION, as the index has signed it. Raises FarmError."""
    what = f"{require_address(url)}/{version}/{MANIFEST}"
    stated = fetch_small(what, MOST_STATED)
    if hashlib.sha256(stated).hexdigest() != index.versions[version].manifest:
        raise FarmError(
            f"{what} is not what was signed.",
            "Its hash is not the one that the index states.",
            "A new publication may have begun: try again. If that does not help, tell its publisher.",
        )
    manifest = read_statement(stated, what)
    if label(manifest) != version:
        raise FarmError(
            f"{what} belongs to another version.", f"The file there describes {label(manifest)}.", "Tell its publisher."
        )
    return msgspec.structs.replace(manifest, publisher=index.publisher, signer=signer.fingerprint)


def fetch_files(url: str, manifest: Manifest, scratch: Path, progress: Progress) -> Path:
    """Fetch the files of a version below ``scratch``; returns their folder. Raises FarmError.

    What came before a connection broke is kept there, and used by the next call.
    """
    version = label(manifest)
    folder = scratch / version
    folder.mkdir(parents=True, exist_ok=True)
    require_space(scratch, manifest, sum(path.stat().st_size for path in folder.iterdir()))
    for name in FILES:
        entry = manifest.files[name]

        def tell(have: int, name: str = name, size: int = entry.size) -> None:
            progress(f"fetching {version}", f"{name}, {have >> 20} of {size >> 20} MiB")

        tell(0)
        fetch_file(f"{require_address(url)}/{version}/{name}", folder / name, entry, tell)
    return folder


def require_space(scratch: Path, manifest: Manifest, there: int = 0) -> None:
    """Raise FarmError unless a version has room below ``scratch``, of which ``there`` bytes are there already."""
    needed = sum(entry.size for entry in manifest.files.values()) - there + RESERVE
    free = shutil.disk_usage(scratch).free
    if free < needed:
        raise FarmError(
            f"Too little room for {label(manifest)}: {free >> 20} MiB free, {needed >> 20} MiB needed.",
            f"The image store is {scratch.parent}; {RESERVE >> 20} MiB are left free for logs.",
            "Free some space, or remove old versions: farm image remove VERSION",
        )
