"""Give images to other farms and take images from them, also while the farm is up and serves them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from farm import command, ssh_key
from farm.config import Config
from farm.errors import FarmError
from farm.export import facts, prepare, require_room
from farm.home import Home
from farm.image import recipe
from farm.image.prebuilt import archive, index, pull, statement
from farm.image.prebuilt.index import Index
from farm.image.prebuilt.publish import publish
from farm.image.prebuilt.signature import Signer, signer_of_key
from farm.image.prebuilt.signers import Ask, Signers
from farm.image.store import Manifest, Store
from farm.serve.healing import Report
from farm.serve.versions import versions_in_use


def publisher(config: Config) -> str:
    """How this farm calls itself where it publishes images."""
    host = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in ".-" else "-" for letter in _host())
    return f"{config.name}@{host}"


def _host() -> str:
    return socket.gethostname().split(".")[0] or "server"


def signing_key(home: Home) -> Path:
    """The key by which this farm signs images; made at first use."""
    path = home.state / "ssh" / "images_ed25519"
    ssh_key.made(path, "icecream-farm")
    return path


def own_signer(home: Home, key: Path | None = None) -> Signer:
    """Whom others know by signatures of a key; None: the farm's own. Raises FarmError."""
    path = key or signing_key(home)
    public = command.run(["ssh-keygen", "-y", "-f", str(path)], fix=f"Check the key: ssh-keygen -l -f {path}").stdout
    return signer_of_key(public)


def export_image(home: Home, config: Config, image: str, file: Path, key: Path | None, report: Report) -> Manifest:
    """Write a version to an archive, signed by ``key`` (None: the farm's own). Raises FarmError."""
    with Store(home.images).lock():
        return archive.write_archive(
            Store(home.images), image, publisher(config), key or signing_key(home), file, report
        )


def publish_images(
    home: Home, config: Config, names: Sequence[str], folder: Path, key: Path | None, *, unattended: bool = False
) -> tuple[Index, list[str]]:
    """Make a folder hold all versions of these images, none: of all; see `publish`. Raises FarmError."""
    store = Store(home.images)
    prepare(store)
    with store.lock(wait=unattended):
        for name in names:
            if not store.list(name):
                recipe.require_known(config, name)
                raise FarmError(f"There is no version of {name}.", "", f"Build one: sudo farm image build {name}")
        names = names or store.names()
        if not names:
            raise FarmError("There is no image to publish.", "The store is empty.", "Build one: sudo farm image build")
        return publish(
            store,
            names,
            folder,
            publisher(config),
            key or signing_key(home),
            lambda manifest: facts(store, manifest),
            unattended=unattended,
        )


def publish_again(home: Home, config: Config) -> None:
    """Bring what the farm's own web server gives to other servers up to date, if anything was published there."""
    if (home.published / index.INDEX).is_file():
        publish_images(home, config, [], home.published, None, unattended=True)


def import_image(home: Home, config: Config, file: Path, ask: Ask, report: Report) -> tuple[Manifest, bool]:
    """Take a version from an archive into the store, and choose it for next boots; whether it was not there before.

    Raises FarmError.
    """
    store, signers = Store(home.images), Signers(home)

    def believe(manifest: Manifest, signer: Signer, stated: bytes, signed: bytes) -> None:
        what = f"{statement.label(manifest)} in {file}"
        signers.require(manifest.publisher, signer, stated, signed, statement.NAMESPACE, what, ask)
        pull.require_space(store.directory / ".pull", manifest)

    with pull.pulling(store) as scratch, archive.read_archive(file, scratch, believe, report) as (folder, manifest):
        return manifest, _take(home, config, folder, manifest, choose=True)


def pull_images(
    home: Home, config: Config, url: str, names: list[str], ask: Ask, report: Report, *, choose: bool = True
) -> list[tuple[Manifest, bool]]:
    """Pull versions (NAME or NAME/VERSION; none: all that the publisher's machines boot), and choose them.

    Returns each, and whether it was not there before. Raises FarmError; those that came before stay.
    """
    store, signers = Store(home.images), Signers(home)
    report("fetching the index", url)
    with pull.pulling(store) as scratch:
        found, signer = pull.fetch_index(url, signers, ask)
        pulled = []
        for version in index.wanted(found, names, url):
            manifest = pull.fetch_manifest(url, found, signer, version)
            folder = scratch if store.has(manifest) else pull.fetch_files(url, manifest, scratch, report)
            pulled.append((manifest, _take(home, config, folder, manifest, choose=choose)))
            shutil.rmtree(scratch / version, ignore_errors=True)
        return pulled


def _take(home: Home, config: Config, folder: Path, manifest: Manifest, *, choose: bool) -> bool:
    store = Store(home.images)
    with store.lock():
        fresh = not store.has(manifest)
        if fresh:
            require_room(store)
            store.add(folder, manifest)
        if choose:
            store.use(manifest.image)
        store.prune(manifest.name, recipe.kept(config, manifest.name), {*versions_in_use(home), manifest.image})
    return fresh
