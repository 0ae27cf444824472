"""Build, choose and remove image versions, also while the farm is up and serves them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from farm.config import Config
from farm.errors import FarmError
from farm.export import prepare, require_room
from farm.home import Home
from farm.image.apt_sources import host_sources
from farm.image.build import build, current_inputs
from farm.image.recipe import names, recipe
from farm.image.store import Manifest, Store
from farm.image.uses import note_user, noted
from farm.instance import Instance
from farm.serve import notices, preflight
from farm.serve.healing import Report
from farm.serve.service_list import services
from farm.serve.up import exclusive, instance_or_none, unverified, write_files
from farm.serve.versions import versions_in_use
from farm.supervisor import Supervisor
from farm.virtual.namespace import enter


def outdated_images(home: Home, instance: Instance) -> list[str]:
    """Of the images that next boots get, those built from other inputs than a build would use now, by name."""
    store, sources, folder = Store(home.images), host_sources(), home.config.parent

    def inputs(name: str) -> str:
        """Those of now; none where the description cannot be read, which a build tells more of."""
        try:
            return current_inputs(recipe(instance.config, name, folder), sources).all
        except FarmError:
            return ""

    built = {name: manifest for name, image in instance.images.items() if not (manifest := store.get(image)).publisher}
    return [name for name, manifest in built.items() if manifest.inputs != inputs(name)]


def build_image(
    home: Home, name: str, config: Config, report: Report, *, force: bool, refresh: bool
) -> tuple[Manifest, bool]:
    """Build an image unless it is up to date, and let a farm that is up serve it to next boots."""
    home.create()
    try:
        manifest, built = build(
            home,
            recipe(config, name, home.config.parent),
            report,
            in_use=lambda: versions_in_use(home),
            require_room=require_room,
            force=force,
            refresh=refresh,
        )
    except FarmError as error:
        notices.leave(home, "image-failed", name, f"The image {name} was not built. {error.what}", error.fix)
        raise
    if built:
        notices.leave(home, "image-built", manifest.image, f"The image {manifest.image} was built; next boots get it.")
    with exclusive(home, wait=True):
        _serve_selected(home)
    return manifest, built


def switch_image(home: Home, choose: Callable[[Store], str]) -> str:
    """Change which image next boots of an image get, in the store and in a farm that is up; returns the version."""
    preflight.require_root("farm image")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            image = choose(store)
        _serve_selected(home)
    return image


def serve_images(home: Home) -> None:
    """Let a farm that is up serve what has come into the store, and what was chosen of it."""
    with exclusive(home, wait=True):
        _serve_selected(home)


def remove_image(home: Home, image: str) -> None:
    """Delete a version that no node of any farm runs, and end its export."""
    preflight.require_root("farm image remove")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            in_use = versions_in_use(home)
            if image in in_use:
                raise FarmError(f"{image} is in use.", in_use[image].why, in_use[image].mend)
            store.remove(image, in_use=in_use)
        _serve_selected(home)


def remove_name(home: Home, config: Config, name: str) -> list[str]:
    """Delete all of an image that is not in farm.yaml any more; returns its versions."""
    preflight.require_root("farm image remove")
    if name in names(config):
        where = "is built in" if name not in config.images else "is in farm.yaml"
        raise FarmError(
            f"{name} {where}.",
            "All versions of an image can be removed together only when farm.yaml does not have it any more.",
            f"Remove single versions: farm image list {name}",
        )
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            in_use = versions_in_use(home)
            for image in (manifest.image for manifest in store.list(name)):
                if image in in_use:
                    raise FarmError(f"{image} is in use.", in_use[image].why, in_use[image].mend)
            removed = store.remove_all(name, in_use)
        _serve_selected(home)
    return removed


def _serve_selected(home: Home) -> None:
    """Let the exports get ready for what is in the store now, and a farm that is up serve the selected images.

    To be called under the lock of `exclusive`: else a farm that is taken down meanwhile would be noted as up.
    """
    store = Store(home.images)
    prepare(store)
    old = instance_or_none(home)
    if old is None:
        return
    selected = {name: store.selected(name) or image for name, image in old.images.items()}
    instance = msgspec.structs.replace(old, images=selected, unverified=unverified(store))
    instance.save(home)
    user = noted(store, home)
    note_user(store, home, kept=user.kept, served=[*user.served, *selected.values()])
    write_files(home, instance)
    supervisor = Supervisor(home)
    if supervisor.alive:
        supervisor.converge(services(home, instance), prefix=enter(instance, home), power_on=False)
