"""`farm image export|import|publish|pull|signers`: images that go to other farms, and come from them."""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import rich_click as click

from farm.cli.output import err, out, show_error, show_json, step_display
from farm.config import FIRST_KIND, Config
from farm.config.file import load_or_default
from farm.errors import FarmError, UsageError
from farm.home import Home
from farm.image.prebuilt.signature import Signer
from farm.image.prebuilt.signers import Ask, Signers
from farm.image.store import Manifest
from farm.node.retry import pauses
from farm.serve.preflight import require_root

if TYPE_CHECKING:  # imported when it is called, so that `farm --help` stays quick
    from farm.serve.mirror import Mirrored

T = TypeVar("T")
FOLLOW_SECONDS = 90.0
"""Between two looks at the other server, at most."""

_KEY = click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Private ssh key to sign with, instead of the farm's own.",
)
_TRUST = click.option(
    "--trust", metavar="SHA256:...", help="Fingerprint of a signer to believe from now on, without being asked."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command("export")
@click.argument("words", nargs=-1, required=True, metavar="[NAME/]VERSION FILE.tar")
@_KEY
@_JSON
@click.pass_obj
def export_(home: Home, words: tuple[str, ...], key: Path | None, as_json: bool) -> None:
    """Write VERSION to an archive, signed, for `farm image import` on another server."""
    from farm.serve.image_transfer import export_image, own_signer

    require_root("farm image export")
    if len(words) not in (2, 3):
        raise UsageError("Name a version and a file: farm image export [NAME/]VERSION FILE.tar")
    image, file = "/".join(words[:-1]).removeprefix(f"{FIRST_KIND}/"), Path(words[-1])
    if not file.parent.is_dir():
        raise FarmError(f"There is no folder {file.parent}.", "", "Make it first, or name another one.")
    if file.is_dir():
        raise FarmError(f"{file} is a folder.", "", f"Name a file in it: {file}/{image.replace('/', '-')}.tar")
    with step_display() as report:
        manifest = export_image(home, _config(home), image, file, key, report)
    size = file.stat().st_size
    if as_json:
        show_json({"schema": 1, "image": manifest.image, "file": str(file), "size": size})
        return
    out.print(f"Wrote {manifest.image} to {file}, {size / 1e6:.0f} MB.", soft_wrap=True)
    out.print(f"Signed with {own_signer(home, key).fingerprint}.", soft_wrap=True)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_TRUST
@_JSON
@click.pass_obj
def import_(home: Home, file: Path, trust: str | None, as_json: bool) -> None:
    """Take the version in an archive into the store, and choose it for next boots."""
    from farm.serve.image_transfer import import_image
    from farm.serve.images import serve_images

    require_root("farm image import")
    home.create()
    config = _config(home)

    def take(ask: Ask) -> tuple[Manifest, bool]:
        with step_display() as report:
            taken = import_image(home, config, file, ask, report)
            serve_images(home)
        return taken

    _tell(config, [_believing(trust, take)], as_json, chosen=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]", required=False)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_KEY
@_JSON
@click.pass_obj
def publish(home: Home, folder: Path | None, names: tuple[str, ...], key: Path | None, as_json: bool) -> None:
    """Make DIR a folder of static files, signed, from which other servers can pull all versions of NAME.

    Without NAME, it holds all images. Any web server can serve DIR; run the command again after each build.
    Without DIR, the farm's own web server gives them to the lab's network, and follows each build by itself.
    """
    from farm.image.recipe import names as known_images
    from farm.serve.image_transfer import own_signer, publish_images

    require_root("farm image publish")
    config = _config(home)
    if folder and "/" not in str(folder) and str(folder) in known_images(config):
        raise UsageError(f"{folder} is an image.", "", f"Name a folder first: sudo farm image publish DIR {folder}")
    index, gone = publish_images(home, config, names, folder or home.published, key)
    fingerprint = own_signer(home, key).fingerprint
    if as_json:
        show_json({**msgspec.to_builtins(index), "signer": fingerprint, "removed": gone})
        return
    where = folder or f"http://{config.server}:{config.http_port}/published"
    out.print(f"{where} holds {', '.join(index.versions)}.", soft_wrap=True)
    if gone:
        out.print(f"No longer in it: {', '.join(gone)}.", soft_wrap=True)
    out.print(f"Publisher {index.publisher}, signed with {fingerprint}.", soft_wrap=True)


@click.command()
@click.argument("words", nargs=-1, metavar="[URL] [NAME[/VERSION]]...")
@click.option("--keep-choice", is_flag=True, help="Leave the choice for next boots as it is.")
@_TRUST
@_JSON
@click.pass_obj
def pull(home: Home, words: tuple[str, ...], keep_choice: bool, trust: str | None, as_json: bool) -> None:
    """Pull versions from the published folder at URL, and choose them for next boots.

    NAME alone is the version that the publisher's own machines boot; without NAME, all such versions are pulled.
    Without URL, farm.yaml says where the image comes from (images.NAME.pull). What was interrupted is continued.
    """
    from farm.serve.image_transfer import pull_images
    from farm.serve.images import serve_images

    require_root("farm image pull")
    home.create()
    config = _config(home)

    def pull_from(url: str, names: list[str], ask: Ask) -> list[tuple[Manifest, bool]]:
        with step_display() as report:
            pulled = pull_images(home, config, url, names, ask, report, choose=not keep_choice)
            serve_images(home)
        return pulled

    sources = _sources(config, list(words))
    pulled = [each for url, names in sources for each in _believing(trust, partial(pull_from, url, names))]
    _tell(config, pulled, as_json, chosen=not keep_choice)


@click.command("mirror")
@click.option("--follow", is_flag=True, help="Go on, and look again each minute; the service `mirror` does this.")
@_TRUST
@_JSON
@click.pass_obj
def mirror_(home: Home, follow: bool, trust: str | None, as_json: bool) -> None:
    """Hold the images of another boot server (`mirror` in farm.yaml), exported and chosen as there."""
    from farm.serve.images import serve_images
    from farm.serve.mirror import mirror

    require_root("farm image mirror")
    home.create()

    def once(ask: Ask, last: int = 0) -> Mirrored:
        with step_display() as report:
            done = mirror(home, _config(home), ask, report, last=last)
            if done.changed:
                serve_images(home)
        return done

    last = 0
    while follow:
        try:
            done = once(lambda *_: False, last)
            if done.serial != last:
                _tell_mirrored(done, as_json)
            last = done.serial
        except FarmError as error:
            show_error(error)
        time.sleep(next(pauses(FOLLOW_SECONDS, FOLLOW_SECONDS)))
    _tell_mirrored(_believing(trust, once), as_json)


@click.command()
@click.option("--forget", metavar="NAME", help="Believe this signer no more.")
@_JSON
@click.pass_obj
def signers(home: Home, forget: str | None, as_json: bool) -> None:
    """List the signers whose images this farm takes, and by which key it signs its own."""
    from farm.serve.image_transfer import own_signer, publisher

    require_root("farm image signers")
    known = Signers(home)
    if forget:
        known.forget(forget)
        out.print(f"{forget} is forgotten: at the next import or pull you are asked again.")
        return
    own, name = own_signer(home).fingerprint, publisher(_config(home))
    listed = [{"name": each.name, "fingerprint": each.fingerprint} for each in known.list()]
    if as_json:
        show_json({"schema": 1, "own": {"name": name, "fingerprint": own}, "signers": listed})
        return
    out.print(f"This farm signs as {name} with {own}.", soft_wrap=True)
    for each in listed:
        out.print(f"Believed: {each['name']}  {each['fingerprint']}", soft_wrap=True)


def _config(home: Home) -> Config:
    return load_or_default(home, virtual=True)


def _sources(config: Config, words: list[str]) -> list[tuple[str, list[str]]]:
    """Where to pull which images from. Raises FarmError."""
    if words and "://" in words[0]:
        return [(words[0], words[1:])]
    known = {name: image.pull for name, image in config.images.items() if image.pull}
    names = words or list(known)
    if unknown := [name for name in names if name.partition("/")[0] not in known]:
        raise FarmError(
            f"Where to pull {unknown[0]} from is not known.",
            "farm.yaml has no address for it.",
            f"Give one: sudo farm image pull URL {unknown[0]}. Or set images.{unknown[0].partition('/')[0]}.pull",
        )
    if not names:
        raise UsageError("Name an address, or an image that has `pull` in farm.yaml: farm image pull URL")
    return [(known[name.partition("/")[0]], [name]) for name in names]


def _believing(trust: str | None, take: Callable[[Ask], T]) -> T:
    """Take something; a signer who is not known is believed by ``--trust``, or when people at a terminal say so."""
    unknown: list[tuple[str, Signer]] = []

    def note(name: str, signer: Signer) -> bool:
        unknown.append((name, signer))
        return trust == signer.fingerprint

    try:
        return take(note)
    except FarmError as error:
        if not unknown or trust is not None or not (sys.stdin.isatty() and err.is_terminal):
            raise
        name, signer = unknown[-1]
        err.print(f"{name} signs with a key that this farm does not know yet:")
        err.print(f"  {signer.fingerprint}", style="bold", soft_wrap=True)
        err.print("Compare it with what this says on the publisher's server: sudo farm image signers", soft_wrap=True)
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before the question could be read is no answer
        if not click.confirm("Take images with this signature from now on?", default=False, err=True):
            raise error from None
    return take(lambda _, found: found == signer)


def _tell_mirrored(done: Mirrored, as_json: bool) -> None:
    if as_json:
        show_json({"schema": 1, **msgspec.to_builtins(done)})
        return
    for what, images in (("Fetched", done.fetched), ("Removed", done.removed), ("Next boots get", done.chosen)):
        if images:
            out.print(f"{what} {', '.join(images)}.", soft_wrap=True)
    if not done.changed:
        out.print(f"This server holds what {done.publisher} publishes.", soft_wrap=True)


def _tell(config: Config, pulled: list[tuple[Manifest, bool]], as_json: bool, *, chosen: bool) -> None:
    from farm.image.recipe import names

    if as_json:
        images = [
            {"image": manifest.image, "new": fresh, "publisher": manifest.publisher, "signer": manifest.signer}
            for manifest, fresh in pulled
        ]
        show_json({"schema": 1, "images": images, "chosen": chosen})
        return
    for manifest, fresh in pulled:
        what = "is in the store now" if fresh else "was in the store already"
        served = "; next boots get it" if chosen else ""
        out.print(f"Image {manifest.image} of {manifest.publisher} {what}{served}.", soft_wrap=True)
        if manifest.name not in names(config):
            err.print(
                f"Machines can boot it once farm.yaml has it: images: {{{manifest.name}: {{}}}} (docs/prebuilt.md)",
                soft_wrap=True,
            )
