"""Whether the two boot servers of a lab agree: each serves a file that says what its nodes are told.

Everybody on the lab's network can read it, and can answer in a server's place: what it says is compared for people, and
decides nothing.
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from farm import export
from farm.config import Config
from farm.errors import NOT_JSON
from farm.image.store import Store
from farm.printable import printable

FILE = "farm.json"
"""Its name below what is served."""
ANSWER_SECONDS = 3.0
MAX_BYTES = 256 * 1024


class ServedVersion(Struct, frozen=True):
    """A version of an image: the SHA-256 of its root, and what nodes find it by, for each export."""

    sha256: str
    exports: dict[str, dict[str, str | int]] = {}


class ServedHere(Struct, frozen=True, kw_only=True):
    """What a server says of itself; schema 1."""

    schema: int = 1
    farm: str
    address: str
    other_server: str
    """The address that it has for the other one."""
    dhcp: tuple[str, str]
    """The whole range, of which each server lends a half."""
    shelf: int
    netname: str
    images: dict[str, str]
    """The version that next boots get, by the name of the image."""
    versions: dict[str, ServedVersion]


def told(config: Config, store: Store, images: Mapping[str, str]) -> ServedHere:
    """What this server says of itself."""
    versions = {
        manifest.image: ServedVersion(manifest.files["root.squashfs"].sha256, export.facts(store, manifest))
        for manifest in store.list()
    }
    return ServedHere(
        farm=config.name,
        address=config.server,
        other_server=config.other_server,
        dhcp=(config.dhcp.first, config.dhcp.last),
        shelf=config.export.shelf,
        netname=config.netname,
        images={**images},
        versions=versions,
    )


def fetch(config: Config) -> ServedHere:
    """What the other server says of itself; blocks for some seconds at most. Raises OSError."""
    url = f"http://{config.other_server}:{config.http_port}/{FILE}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            content = answer.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise OSError(f"more than {MAX_BYTES} bytes")
        return msgspec.json.decode(content, type=ServedHere)
    except (http.client.HTTPException, *NOT_JSON) as error:
        raise OSError(f"{url}: {printable(str(error), 200)}") from None


def disagreements(config: Config, store: Store, images: Mapping[str, str]) -> list[str]:
    """What keeps the lab's two servers from serving it, a sentence each; nothing when no other one answers."""
    if not config.other_server:
        return []
    try:
        theirs = fetch(config)
    except OSError:
        return []
    return conflicts(told(config, store, images), theirs)


def conflicts(ours: ServedHere, theirs: ServedHere) -> list[str]:
    """What keeps the two from serving one lab, a sentence each; empty: nothing."""
    found = [
        f"{key} is {printable(str(there), 64)} there and {here} here"
        for key, here, there in (
            ("name", ours.farm, theirs.farm),
            ("other_server", ours.address, theirs.other_server),
            ("dhcp", "-".join(ours.dhcp), "-".join(theirs.dhcp)),
            ("export.shelf", ours.shelf, theirs.shelf),
            ("scheduler.netname", ours.netname, theirs.netname),
        )
        if here != there
    ]
    for name, version in ours.versions.items():
        if _sha256(theirs, name) not in ("", version.sha256):
            found.append(f"version {name} is another file there")
    return [*found, *_taken(ours, theirs)]


def lacks(ours: ServedHere, theirs: ServedHere) -> list[str]:
    """Why a machine would not find at one server what it boots by the other, a sentence each; empty: it does."""
    found = []
    for where, images, versions in (("there", ours.images, theirs.versions), ("here", theirs.images, ours.versions)):
        missing = sorted({version for version in images.values() if version not in versions})
        found += [f"version {printable(version, 128)} is not {where}" for version in missing]
    for name in sorted(ours.images.keys() & theirs.images.keys()):
        if ours.images[name] != theirs.images[name]:
            there = printable(theirs.images[name], 128)
            found.append(f"next boots of {name} get {ours.images[name]} here and {there} there")
    return found


def _taken(ours: ServedHere, theirs: ServedHere) -> Iterable[str]:
    """Places by which nodes would find one version here and another one there."""
    there = {place: name for name, version in theirs.versions.items() for place in _places(version)}
    for name, version in ours.versions.items():
        for place in _places(version):
            if there.get(place, name) != name:
                yield f"{place} holds {name} here and {printable(there[place], 128)} there"
        elsewhere = [*_places(theirs.versions[name])] if name in theirs.versions else []
        if elsewhere and elsewhere != [*_places(version)]:
            yield f"version {name} is {', '.join(_places(version))} here and {', '.join(elsewhere)} there"


def _places(version: ServedVersion) -> Iterable[str]:
    """What nodes find it by, in words: AoE's slot 3."""
    for name, facts in sorted(version.exports.items()):
        for key, value in sorted(facts.items()):
            yield printable(f"{name} {key} {value}", 64)


def _sha256(server: ServedHere, name: str) -> str:
    """The hash of a version's root; empty when the server has no such version."""
    return server.versions[name].sha256 if name in server.versions else ""
