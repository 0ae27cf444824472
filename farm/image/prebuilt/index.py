"""The index of a published folder: which versions there are, with the hash of what is stated of each.

URL/index.json, index.json.sig          signed; the serial grows with each publication
URL/NAME/VERSION/manifest.json          the statement of a version
URL/NAME/VERSION/root.squashfs, kernel, initrd
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.image.prebuilt.statement import PUBLISHER

NAMESPACE = "farm-index"
"""What its signature is for."""
INDEX = "index.json"
SIGNATURE = f"{INDEX}.sig"
MANIFEST = "manifest.json"
MOST_BYTES = 1 << 20
"""The most of an index: a store holds 254 versions, an entry takes some 150 bytes."""

SCHEMA = 1
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?/[0-9]{8}\.[1-9][0-9]{0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PublishedVersion(Struct, frozen=True):
    """What an index says of a version."""

    manifest: str
    """SHA-256 of its statement."""
    exports: dict[str, dict[str, str | int]] = {}
    """How the publisher exports it, for a server that stands in for that one."""


class Index(Struct, frozen=True, kw_only=True):
    """All that is published in a folder; versions are called NAME/VERSION."""

    schema: int = SCHEMA
    publisher: str
    serial: int
    versions: dict[str, PublishedVersion]
    selected: dict[str, str]
    """The version of each image that the publisher's own machines boot."""


def read_index(content: bytes, url: str) -> Index:
    """An index that came from elsewhere. Raises FarmError."""
    if len(content) > MOST_BYTES:
        raise _not_one(url, f"The file is larger than {MOST_BYTES >> 10} KiB.")
    try:
        found = msgspec.json.decode(content, type=Index)
    except NOT_JSON as error:
        raise _not_one(url, str(error)) from None
    if found.schema > SCHEMA:
        raise FarmError(
            f"The index at {url} was made by a newer release of the farm.",
            f"Its schema is {found.schema}.",
            "Install that release, then try again.",
        )
    good = (
        found.schema == SCHEMA
        and PUBLISHER.fullmatch(found.publisher)
        and 0 < found.serial < 1 << 53
        and all(
            _LABEL.fullmatch(label) and _SHA256.fullmatch(entry.manifest) for label, entry in found.versions.items()
        )
        and all(label in found.versions and label.startswith(f"{name}/") for name, label in found.selected.items())
    )
    if not good:
        raise _not_one(url, "There are values in it that no publication makes.")
    return found


def wanted(index: Index, names: list[str], url: str) -> list[str]:
    """The versions that are meant by ``names``, each NAME or NAME/VERSION; without any, all that are selected.

    A name alone stands for the version that the publisher's own machines boot. Raises FarmError.
    """
    if not names:
        return list(index.selected.values())
    return [_wanted(index, name, url) for name in names]


def _wanted(index: Index, name: str, url: str) -> str:
    label = name if "/" in name else index.selected.get(name, name)
    if label not in index.versions:
        there = ", ".join([*index.selected, *index.versions]) or "nothing"
        raise FarmError(f"There is no image {name} at {url}.", f"There is: {there}.", "Name one of these.")
    return label


def _not_one(url: str, why: str) -> FarmError:
    return FarmError(
        f"There is no valid index at {url}.",
        why,
        "Check the address; what is published there says, on the publisher's server: sudo farm image publish",
    )
