"""What is signed of a version: its manifest, without what concerns only the server that built it.

It names the hash of every file, and the hash by which nodes check their root, so that all of the version is signed.
A statement comes from elsewhere: each value in it is checked before a path or a command line is made of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from farm.config import FIRST_KIND
from farm.errors import NOT_JSON, FarmError
from farm.image.kinds import KINDS
from farm.image.store import FILES, Manifest
from farm.image.verity import BLOCK

NAMESPACE = "farm-image"
"""What its signature is for."""
MOST_BYTES = 1 << 20
"""The most of a statement; 500 packages take 20 KB."""

SCHEMA = 1
PUBLISHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,127}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_VERSION = re.compile(r"[0-9]{8}\.[1-9][0-9]{0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9.+~:_-]{0,128}")


def statement(manifest: Manifest, publisher: str) -> bytes:
    """What is to be signed of a version; ``publisher``: who signs it, as others are to call them."""
    local = msgspec.structs.replace(
        manifest, publisher=publisher, signer="", description=Path(manifest.description).name
    )
    return msgspec.json.format(_ascii(msgspec.to_builtins(local)))


def read_statement(content: bytes, what: str) -> Manifest:
    """The manifest in a statement from elsewhere. Raises FarmError; ``what`` names the statement in it."""
    if len(content) > MOST_BYTES:
        raise _not_one(what, f"The file is larger than {MOST_BYTES >> 10} KiB.")
    try:
        found = msgspec.json.decode(content, type=Manifest)
    except NOT_JSON as error:
        raise _not_one(what, str(error)) from None
    if found.schema > SCHEMA or found.kind not in KINDS:
        raise FarmError(
            f"{what} was made by a newer release of the farm.",
            f"Its manifest has schema {found.schema} and describes an image of the kind {found.kind[:32]!r}.",
            "Install that release, then try again.",
        )
    require_checked(found, what)
    if flaw := _flaw(found):
        raise _not_one(what, f"Its {flaw} cannot be right.")
    return found


def require_checked(manifest: Manifest, what: str) -> None:
    """Raise FarmError when nodes could not check what they read of a version: what was signed would be of no use."""
    if manifest.verity is None:
        raise FarmError(
            f"Nodes can not check what they read of {what}.",
            "Images that were built before the farm could do that are not given away.",
            "On the server that built it, build it again: farm image build --force",
        )


def _flaw(found: Manifest) -> str:
    """The first value that no build makes; empty: all are well."""
    verity, root = found.verity, found.files.get("root.squashfs")
    limits = KINDS[found.kind].limits
    checks = {
        "schema": found.schema == SCHEMA,
        "name": _NAME.fullmatch(found.name),
        "version": _VERSION.fullmatch(found.version),
        "publisher": PUBLISHER.fullmatch(found.publisher),
        "time of building": 0 < found.built < 1 << 40 and 0 <= found.seconds < 1 << 32,
        "hashes of inputs": all(_WORD.fullmatch(text) for text in (found.inputs, found.base)),
        "kernel": _WORD.fullmatch(found.kernel),
        "description": len(found.description) <= 64 and found.description.isprintable(),
        "packages": all(map(_WORD.fullmatch, [*found.packages, *found.packages.values(), *found.extra_packages])),
        "list of files": sorted(found.files) == sorted(FILES),
        "files": all(
            0 < entry.size <= limits.get(name, 0) and _SHA256.fullmatch(entry.sha256)
            for name, entry in found.files.items()
        ),
        "root hash": verity is not None
        and root is not None
        and _SHA256.fullmatch(verity.root_hash)
        and _SHA256.fullmatch(verity.salt)
        and 0 < verity.blocks * BLOCK < root.size,
    }
    return next((name for name, good in checks.items() if not good), "")


def label(manifest: Manifest) -> str:
    """NAME/VERSION, also of the built-in image: so archives and published folders call a version."""
    return f"{manifest.name or FIRST_KIND}/{manifest.version}"


def _ascii(plain: object) -> bytes:
    """JSON that every locale passes through unchanged: ssh-keygen gets it as text."""
    return json.dumps(plain).encode("ascii")


def _not_one(what: str, why: str) -> FarmError:
    return FarmError(f"{what} is not a manifest of an image.", why, "Get it again, or another version.")
