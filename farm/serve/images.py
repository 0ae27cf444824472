"""Build, choose and remove image versions, also while the farm is up and serves them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from farm.config import Config
from farm.errors import FarmError
from farm.export import prepare
from farm.home import Home
from farm.image.apt_sources import host_sources
from farm.image.build import build, current_inputs
from farm.image.store import Manifest, Store
from farm.image.uses import note_user, noted
from farm.serve import preflight
from farm.serve.healing import Report
from farm.serve.up import exclusive, instance_or_none, services, write_files
from farm.serve.versions import versions_in_use
from farm.supervisor import Supervisor
from farm.virtual.namespace import enter


def image_is_outdated(home: Home, config: Config) -> bool:
    """Whether what next boots get was built from other inputs than a build would use now."""
    store = Store(home.images)
    current = store.selection.current
    return current is not None and store.get(current).inputs != current_inputs(config, host_sources()).all


def build_image(home: Home, config: Config, report: Report, *, force: bool, refresh: bool) -> tuple[Manifest, bool]:
    """Build the image unless it is up to date, and let a farm that is up serve it to next boots."""
    home.create()
    manifest, built = build(home, config, report, in_use=lambda: versions_in_use(home), force=force, refresh=refresh)
    with exclusive(home, wait=True):
        _serve_selected(home)
    return manifest, built


def switch_image(home: Home, choose: Callable[[Store], str]) -> str:
    """Change which version next boots get, in the store and in a farm that is up; returns the version."""
    preflight.require_root("farm image")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            version = choose(store)
        _serve_selected(home)
    return version


def remove_image(home: Home, version: str) -> None:
    """Delete a version that no node of any farm runs, and end its export."""
    preflight.require_root("farm image remove")
    store = Store(home.images)
    with exclusive(home, wait=True):
        with store.lock():
            in_use = versions_in_use(home)
            if version in in_use and version != store.selection.current:
                raise FarmError(f"{version} is in use.", in_use[version].why, in_use[version].mend)
            store.remove(version, in_use=in_use)
        _serve_selected(home)


def _serve_selected(home: Home) -> None:
    """Let the exports get ready for what is in the store now, and a farm that is up serve the selected version.

    To be called under the lock of `exclusive`: else a farm that is taken down meanwhile would be noted as up.
    """
    store = Store(home.images)
    prepare(store)
    old, selected = instance_or_none(home), store.selection.current
    if old is None or selected is None:
        return
    instance = msgspec.structs.replace(old, image=selected)
    instance.save(home)
    user = noted(store, home)
    note_user(store, home, kept=user.kept, served=[*user.served, selected])
    write_files(home, instance)
    supervisor = Supervisor(home)
    if supervisor.alive:
        supervisor.converge(services(home, instance), prefix=enter(instance, home), power_on=False)
