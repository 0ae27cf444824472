"""`farm image`: build, list, show, use, rollback, remove; image_transfers.py has the rest."""

from __future__ import annotations

import time

import msgspec
import rich_click as click
from rich.table import Table
from rich.text import Text

from farm.cli.lazy import LazyGroup
from farm.cli.output import err, out, show_json, step_display
from farm.config import FIRST_KIND
from farm.config.file import load_or_default
from farm.errors import ConfigError, FarmError
from farm.errors.hints import hint
from farm.export import facts
from farm.home import Home
from farm.image.kinds import KINDS, build_command
from farm.image.recipe import names, require_known
from farm.image.store import Manifest, Store

_NAME = click.argument("name", required=False, default=FIRST_KIND, metavar="[NAME]")
_IMAGE = click.argument("image", metavar="[NAME/]VERSION")


COMMANDS = {
    "build": "farm.cli.image",
    "list": "farm.cli.image:list_",
    "show": "farm.cli.image",
    "use": "farm.cli.image",
    "rollback": "farm.cli.image",
    "remove": "farm.cli.image",
    "export": "farm.cli.image_transfers:export_",
    "import": "farm.cli.image_transfers:import_",
    "publish": "farm.cli.image_transfers",
    "pull": "farm.cli.image_transfers",
    "mirror": "farm.cli.image_transfers:mirror_",
    "signers": "farm.cli.image_transfers",
}


@click.group(cls=LazyGroup, places=COMMANDS)
def image() -> None:
    """Build node images or get them from elsewhere, and choose the version for next boots.

    NAME is a built-in image or one of `images` in farm.yaml; without it, icecream-node is meant.
    """


@click.command()
@_NAME
@click.option("--force", is_flag=True, help="Pack the image again even if nothing has changed.")
@click.option("--refresh", is_flag=True, help="Install all packages again, to get their updates.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.pass_obj
def build(home: Home, name: str, force: bool, refresh: bool, as_json: bool) -> None:
    """Build an image if any of its inputs has changed, and choose it for next boots."""
    from farm.serve.images import build_image
    from farm.serve.preflight import require_root

    require_root("farm image build")
    with step_display() as report:
        config = load_or_default(home, virtual=True)
        manifest, built = build_image(home, name, config, report, force=force, refresh=refresh)
    if as_json:
        show_json(_plain(Store(home.images), manifest))
    elif built:
        out.print(f"Image {manifest.image} built in {manifest.seconds:.0f} s; next boots get it.")
    else:
        out.print(f"Image {manifest.image} is up to date; nothing was built.")


@click.command(name="list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def list_(home: Home, name: str | None, as_json: bool) -> None:
    """List all versions, or those of NAME, oldest first; * marks those for next boots."""
    store = Store(home.images)
    if name and not store.list(name):
        require_known(load_or_default(home, virtual=True), name)
    manifests, selected = store.list(name), store.selections()
    if as_json:
        current = store.selection(name or FIRST_KIND).current
        images = [{**_plain(store, manifest), "packages": len(manifest.packages)} for manifest in manifests]
        unverified = [manifest.image for manifest in manifests if manifest.verity is None]
        plain = {"current": current, "selected": selected, "unverified": unverified, "images": images}
        show_json({"schema": 1, **plain})
        return
    if manifests:
        out.print(_table(store, manifests, selected))
    else:
        err.print(hint(f"No image was built yet. Build one: {build_command(name or FIRST_KIND)}"), soft_wrap=True)
    for manifest in manifests:
        if manifest.verity is None and manifest.image in selected.values():
            text = f"{manifest.image}, for next boots, is not verified: nodes do not check what they read of it."
            err.print(hint(f"{text} Build it again: {build_command(manifest.name)}"), soft_wrap=True)
    listed, stored = _listed(home), store.names()
    for each in [name] if name else [*dict.fromkeys([*stored, *listed])]:
        if listed and each not in listed:
            text = f"{each} is not in farm.yaml. Remove all of it: sudo farm image remove {each}"
            err.print(hint(text), soft_wrap=True)
        elif manifests and each in listed and each not in (*KINDS, *stored):
            err.print(hint(f"{each} was not built yet. Build it: {build_command(each)}"), soft_wrap=True)


def _listed(home: Home) -> list[str]:
    """The images that farm.yaml lists and those built in; none where farm.yaml has mistakes."""
    try:
        return names(load_or_default(home, virtual=True))
    except ConfigError:
        return []


def _table(store: Store, manifests: list[Manifest], selected: dict[str, str]) -> Table:
    table = Table(box=None, header_style="bold")
    # On a narrow screen other columns are shortened: other commands are given what stands here.
    table.add_column("", min_width=1, no_wrap=True)
    table.add_column("version", min_width=max(len(manifest.image) for manifest in manifests), no_wrap=True)
    # A column in which all is well would only take room.
    some_believed = any(manifest.verity is None for manifest in manifests)
    for column in ("built", "kernel", "root", "initrd", *(["verified"] if some_believed else []), "export"):
        table.add_column(column, justify="right" if column in ("root", "initrd") else "left", no_wrap=True)
    for manifest in manifests:
        table.add_row(
            "*" if manifest.image in selected.values() else "",
            manifest.image,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(manifest.built)),
            manifest.kernel,
            *(f"{manifest.files[name].size / 1e6:.0f} MB" for name in ("root.squashfs", "initrd")),
            *([Text("yes") if manifest.verity else Text("no", style="yellow")] if some_believed else []),
            _export(store, manifest),
        )
    return table


@click.command()
@click.argument("image", required=False, metavar="[NAME | [NAME/]VERSION]")
@click.option("--packages", is_flag=True, help="List the packages too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def show(home: Home, image: str | None, packages: bool, as_json: bool) -> None:
    """Show what VERSION consists of, and what it was built from (default: the one for next boots)."""
    store = Store(home.images)
    name = image or FIRST_KIND
    versions = not image or name in store.names() or name in _listed(home)
    manifest = store.get(_chosen(store, name) if versions else name)
    if as_json:
        show_json(_plain(store, manifest))
        return
    known = (f"kernel {manifest.kernel}", _export(store, manifest), f"{len(manifest.packages)} packages")
    out.print(f"[bold]{manifest.image}[/]  {', '.join(filter(None, known))}")
    built = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.built))
    out.print(f"built {built} in {manifest.seconds:.0f} s from inputs {manifest.inputs[:12]}")
    if manifest.publisher:
        out.print(f"by {manifest.publisher}, signed with {manifest.signer}", soft_wrap=True)
    if manifest.description:
        more = f" and the packages {' '.join(manifest.extra_packages)}" if manifest.extra_packages else ""
        out.print(f"from the description {manifest.description}{more}", soft_wrap=True)
    if manifest.verity:
        out.print(f"nodes check what they read by root hash {manifest.verity.root_hash}", soft_wrap=True)
    else:
        out.print(hint(f"nodes believe what they read; build it again: {build_command(manifest.name)}"), soft_wrap=True)
    for name, entry in manifest.files.items():
        out.print(f"  {name:<14} {entry.size / 1e6:8.1f} MB  sha256 {entry.sha256}")
    if packages:
        for name, number in sorted(manifest.packages.items()):
            out.print(Text(f"  {name} {number}"))


@click.command()
@_IMAGE
@click.pass_obj
def use(home: Home, image: str) -> None:
    """Choose VERSION for next boots; running nodes keep theirs."""
    from farm.serve.images import switch_image

    switch_image(home, lambda store: store.use(image))
    out.print(f"Next boots get {image}.")


@click.command()
@_NAME
@click.pass_obj
def rollback(home: Home, name: str) -> None:
    """Choose the previously chosen version for next boots."""
    from farm.serve.images import switch_image

    if not Store(home.images).list(name):
        require_known(load_or_default(home, virtual=True), name)
    out.print(f"Next boots get {switch_image(home, lambda store: store.rollback(name))}.")


@click.command()
@click.argument("image", metavar="[NAME/]VERSION | NAME")
@click.pass_obj
def remove(home: Home, image: str) -> None:
    """Delete VERSION from the store, unless a node runs it or it is chosen for next boots.

    NAME alone stands for all versions of an image that is not in farm.yaml any more.
    """
    from farm.serve.images import remove_image, remove_name

    if image in Store(home.images).names():
        removed = remove_name(home, load_or_default(home, virtual=True), image)
        out.print(f"Removed {', '.join(removed)}.")
        return
    remove_image(home, image)
    out.print(f"Removed {image}.")


def _chosen(store: Store, name: str) -> str:
    """The version of an image for next boots. Raises FarmError when none was chosen."""
    chosen = store.selected(name)
    if chosen is None:
        versions = store.list(name)
        fix = f"Build one: {build_command(name)}"
        if versions:
            newest = versions[-1].image
            fix = f"Choose one: sudo farm image use {newest}. Or name the one to show: farm image show {newest}"
        raise FarmError(f"No version of {name} is chosen for next boots.", "", fix)
    return chosen


def _export(store: Store, manifest: Manifest) -> str:
    """What is to be known of its exports, in a few words."""
    known = facts(store, manifest).items()
    return ", ".join(f"{name} {what} {value}" for name, found in known for what, value in found.items())


def _plain(store: Store, manifest: Manifest) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(manifest)
    for found in facts(store, manifest).values():
        plain |= found
    return {**plain, "image": manifest.image}
