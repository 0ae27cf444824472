"""Bring a farm up, change it while it is up, and take it down: the one place where all parts meet."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from farm import command, export
from farm.api.client import fetch_status, wait_until_seen
from farm.config import VIRTUAL_NAME, Config, MachineConfig, NamedImageConfig
from farm.config.file import kiwi_warnings, load_or_default
from farm.config.interfaces import check_interface
from farm.config.known_hosts import KNOWN_FILE
from farm.config.lts_file import LTS_FILE, lts_lines
from farm.config.named_servers import look_at_servers
from farm.errors import FarmError
from farm.errors.hints import hint
from farm.export.socket_buffer import allow_socket_buffer
from farm.home import Home, locked, write_atomic
from farm.image import recipe
from farm.image.build import build
from farm.image.store import Store
from farm.image.uses import note_user, noted
from farm.instance import Instance
from farm.netboot import agreement, render
from farm.nodes.power import jobs_by_node, jobs_under_way, who_sits_there
from farm.nodes.ssh import farm_key
from farm.serve import firewall, health, preflight
from farm.serve.backup.swap import require_no_interrupted
from farm.serve.healing import Report, wait_until_healthy
from farm.serve.image_transfer import publish_again, pull_images
from farm.serve.mirror import mirror
from farm.serve.remains import config_of, own_namespaces, remove_network, require_own_namespace
from farm.serve.service_list import ENVIRONMENTS, INTERFACE, in_namespace, interface_index, keep_mac_address, services
from farm.serve.versions import versions_in_use
from farm.session_server import sshd_settings
from farm.supervisor import Supervisor
from farm.view.wording import count
from farm.virtual import bridge as virtual_network
from farm.virtual import qemu as virtual_machine
from farm.virtual.namespace import (
    ICECC_SOCKETS,
    enter,
    icecc_folder,
    inside,
    namespace_name,
    namespace_path,
)
from farm.virtual.user_commands import forget_end, require_no_builds, under_way


@dataclass(frozen=True)
class Request:
    """What `farm up` was asked for; ``virtual``: number of machines, None for a real lab."""

    virtual: int | None = None
    nic: str | None = None
    force: bool = False
    """Disturb builds and jobs that run."""
    wait: bool = False
    """Wait while another command changes the farm, rather than fail."""


@contextlib.contextmanager
def exclusive(home: Home, *, wait: bool = False) -> Iterator[None]:
    """Held by whoever changes the running farm; when someone else does, raises FarmError or waits for its end."""
    home.create()
    with locked(home.state / ".changing", "Another command is bringing this farm up or down.", wait=wait):
        yield


def bring_up(home: Home, request: Request, report: Report) -> Instance:
    """Make the farm be what its configuration says, from whatever state it is in; returns once every service answers.

    Repeating it converges: what is as it should be is left alone. Raises FarmError.
    """
    with exclusive(home, wait=request.wait):
        require_no_interrupted(home)
        Instance.require_own_release(home)
        supervisor = Supervisor(home)
        supervisor.resume()
        old = Instance.known(home)
        if old is None and request.virtual is None:
            _require_no_lab_left(home)
        virtual = request.virtual is not None or (old is not None and old.namespace is not None)
        # A lab that is up keeps the name it came up with.
        config = load_or_default(home, virtual, old.config.name if old else VIRTUAL_NAME)
        _check_kind(request, old, config)
        for line in kiwi_warnings(home.config):
            report("kiwi", str(line))
        if flaws := lts_lines(home.config.with_name(LTS_FILE)):
            report(LTS_FILE, hint(f"{count(len(flaws), 'warning')}, see: farm lts check"))
        if flaws := look_at_servers(home.config.parent, config.server).lines:
            report(KNOWN_FILE, hint(f"{count(len(flaws), 'warning')}, see: farm config check"))
        report("checks", "programs, ports, interface")
        # Nodes that were left on wait for what they booted by.
        exports = export.needed(config, old.exports if old else noted(Store(home.images), home).exports)
        preflight.require_programs(virtual, exports)
        preflight.require_short_path(home)
        preflight.require_space(home.state)
        preflight.require_trees(config)
        images = {name: _choose_image(home, name, config, report) for name in recipe.booted(config)}
        export.prepare(Store(home.images))
        planned = _plan(config, request, old, images)
        store = Store(home.images)
        roles = {role for image in images.values() for role in recipe.roles(store.get(image).kind)}
        instance = msgspec.structs.replace(planned, exports=exports, unverified=unverified(store), roles=sorted(roles))
        preflight.require_addresses(instance.config)
        if instance.namespace is None:
            _check_real_lab(home, instance)
        else:
            require_own_namespace(home, instance.namespace)
        if old is None:
            _clear_remains(home, request, config, report)
        elif not request.force and supervisor.alive and not _is_cut_off(supervisor, instance):
            _require_undisturbed(home, instance, supervisor.disturbed(services(home, instance)))
        report("network", instance.interface)
        # Written before anything is made, so that `farm down` knows what to look for whatever happens now.
        instance.save(home)
        # Before a node can boot from the image: what is noted, `farm image remove` of no other farm deletes.
        _note_image(home, instance)
        instance = _set_up_network(home, instance)
        _settle_sshd(home, instance, report)
        report("boot files", f"image {', '.join(images.values())}")
        write_files(home, instance)
        report("services", "starting")
        if instance.namespace and supervisor.pid and not inside(instance.namespace, supervisor.pid):
            # Somebody deleted the namespace: what runs in the old one is cut off for good.
            supervisor.shutdown()
        supervisor.converge(services(home, instance), prefix=enter(instance, home))
        forget_end(home)
        wait_until_healthy(home, instance, report)
        wait_until_seen(home)
        if wrong := agreement.disagreements(instance.config, Store(home.images), instance.images):
            report("other server", hint(f"{wrong[0]}; see: sudo farm doctor --only other-server"))
        return instance


def instance_or_none(home: Home) -> Instance | None:
    """The record of the running farm, or None when it is not up (or the record is of no use)."""
    try:
        return Instance.load(home)
    except FarmError:
        return None


def unverified(store: Store) -> list[str]:
    """Versions of before there was a tree of hashes: nodes do not check what they read of them."""
    return [manifest.image for manifest in store.list() if manifest.verity is None]


def _check_kind(request: Request, old: Instance | None, config: Config) -> None:
    if old is None:
        return
    if request.virtual is not None and old.namespace is None:
        raise FarmError(
            "A real lab is up in this home.",
            "",
            "Take it down first (sudo farm down), or give the virtual lab a home of its own: farm --home DIR up",
        )
    for what in ("name", "interface", "address"):
        was, wanted = getattr(old.config, what), getattr(config, what)
        if was != wanted:
            raise FarmError(
                f"The farm is up with {what} {was}, farm.yaml now says {wanted}.",
                "Running nodes use its root file system and scheduler.",
                "Take it down first: sudo farm down",
            )


def _require_no_lab_left(home: Home) -> None:
    for name in own_namespaces(home, None, config_of(home)):
        raise FarmError(
            f"There is a virtual lab in the network namespace {name}, but its record is lost.",
            f"{Instance.path(home)} and its copy cannot be read.",
            "Run farm up with its number of machines: sudo farm up --virtual N. Or take it down: sudo farm down",
        )


def _clear_remains(home: Home, request: Request, config: Config, report: Report) -> None:
    """Remove what a farm has left whose record is lost: nothing of it can be told from what is wanted now."""
    namespaces = own_namespaces(home, None, config)
    supervisor = Supervisor(home)
    if namespaces or supervisor.orphans():
        require_no_builds(namespaces, "up", request.force)
        report("services", "removing the remains of an earlier farm")
        supervisor.shutdown()
        remove_network(home, None, config, namespaces)


def _is_cut_off(supervisor: Supervisor, instance: Instance) -> bool:
    """The lab's namespace or its interface was deleted, or is another by now: all that runs there is lost already."""
    if instance.namespace is not None and not namespace_path(instance.namespace).exists():
        return True
    bound = supervisor.values(INTERFACE)
    return bool(bound) and interface_index(instance) not in bound


def _require_undisturbed(home: Home, instance: Instance, disturbed: set[str]) -> None:
    """Raises FarmError when services that answer would end under users' builds, or machines under their jobs."""
    needed = disturbed & {"scheduler", "iceccd"}
    if needed and needed - _silent(home, instance):
        if instance.namespace is not None:
            require_no_builds([instance.namespace], "up", force=False)
        elif jobs := jobs_under_way(home):
            raise under_way("Running jobs would lose their scheduler.", [jobs], "up")
    busy = [f"{name}: {count(jobs, 'job')}" for name, jobs in jobs_by_node(home).items() if name in disturbed]
    if busy:
        raise under_way("Machines that run jobs would end.", busy, "up")
    if seats := [line for line in _seats(home) if line.partition(":")[0] in disturbed]:
        raise under_way("Machines at which users are logged in would end.", seats, "up")


def _seats(home: Home) -> list[str]:
    try:
        return who_sits_there(fetch_status(home).nodes)
    except FarmError:
        return []


def _silent(home: Home, instance: Instance) -> set[str]:
    """Services that do not answer, so that nobody loses them."""
    try:
        return {answer.service for answer in health.check(home, instance) if not answer.ok}
    except FarmError:
        return {"scheduler", "iceccd"}


def _check_real_lab(home: Home, instance: Instance) -> None:
    config = instance.config
    check_interface(config, home.config)
    preflight.require_interface_up(config)
    supervisor = Supervisor(home)
    preflight.require_free_ports(instance, frozenset(process.pid for process in supervisor.orphans()))
    if not supervisor.alive:
        preflight.require_no_rival(config)


def _choose_image(home: Home, name: str, config: Config, report: Report) -> str:
    """The version of an image that next boots get; built or pulled when there is none. Raises FarmError."""
    store = Store(home.images)
    image = store.selected(name)
    if image is None and config.mirror:
        mirror(home, config, lambda *_: False, report)
        image = store.selected(name)
    if image is None and (url := config.images.get(name, NamedImageConfig()).pull):
        pull_images(home, config, url, [name], lambda *_: False, report)
        image = store.selected(name)
    if image is None:
        manifest, _ = build(
            home,
            recipe.recipe(config, name, home.config.parent),
            lambda stage, doing: report(f"image: {stage}" if stage else "", doing),
            in_use=lambda: versions_in_use(home),
            require_room=export.require_room,
        )
        image = manifest.image
    report("image", f"verifying {image}")
    store.verify(image)
    return image


def _plan(config: Config, request: Request, old: Instance | None, images: dict[str, str]) -> Instance:
    started = old.started if old else time.time()
    if request.virtual is None and (old is None or old.namespace is None):
        return Instance(
            config=config,
            interface=config.interface,
            images=images,
            started=started,
            mtu=config.mtu,
            addresses_added=old.addresses_added if old else [],
        )
    number = request.virtual if request.virtual is not None else len(old.machines) if old else 0
    nic = request.nic or (old.machines[0].nic if old and old.machines else config.virtual.nic)
    machines = virtual_machine.machines(number, nic)
    listed = {machine.mac for machine in config.machines}
    # So the farm knows virtual machines as if farm.yaml listed them: they get their names, and are no strangers.
    named = [MachineConfig(mac=machine.mac, name=machine.name) for machine in machines if machine.mac not in listed]
    return Instance(
        config=msgspec.structs.replace(config, machines=[*config.machines, *named]),
        interface=virtual_network.BRIDGE,
        images=images,
        started=started,
        namespace=namespace_name(config.name),
        machines=machines,
        mtu=config.mtu,
    )


def _set_up_network(home: Home, instance: Instance) -> Instance:
    config = instance.config
    allow_socket_buffer(export.socket_buffer_needed(config, instance.exports, instance.mtu), home.runtime)
    if instance.namespace is not None:
        virtual_network.create(instance.namespace, instance.mtu, len(instance.machines))
    keep_mac_address(instance)
    prefix = in_namespace(instance)
    present = command.run([*prefix, "ip", "-o", "addr", "show", "dev", instance.interface]).stdout.split()
    wanted = (config.address, f"{render.ula_prefix(config.name)}::{2 if config.mirror else 1}/64")
    missing = [address for address in wanted if address not in present]
    added = sorted({*instance.addresses_added, *missing})
    instance = msgspec.structs.replace(instance, addresses_added=added)
    instance.save(home)
    for address in missing:
        # The broadcast address must be set: icecream uses it for discovery. nodad: the IPv6 prefix is our own,
        # and while the kernel looks for a duplicate, for a second or more, the address cannot be used.
        options = ["nodad"] if ":" in address else ["brd", "+"]
        command.run([*prefix, "ip", "addr", "add", address, *options, "dev", instance.interface])
    firewall.apply(config, instance.interface, instance.exports, prefix)
    return instance


def _settle_sshd(home: Home, instance: Instance, report: Report) -> None:
    """Make this computer's sshd better for thin clients, or as it was; a farm comes up without it, too."""
    if instance.namespace is not None:
        return
    config = instance.config
    try:
        if instance.has_sessions:
            done = sshd_settings.improve(config.name, home.config, config.server)
        else:
            done = sshd_settings.revert(config.name, home.config)
    except (FarmError, OSError) as error:
        done = f"left as it is: {' '.join(str(error).split())}"
    if done:
        report("sshd", done)


def write_files(home: Home, instance: Instance) -> None:
    """Write what dnsmasq and nginx read and serve, and the folder where icecc meets iceccd."""
    config = instance.config
    extra = virtual_machine.EMULATED_KERNEL_OPTIONS if instance.namespace else ""
    key = farm_key(home)
    render.write_boot_files(
        home, config, Store(home.images), instance.images, mtu=instance.mtu, farm_key=key, extra=extra
    )
    write_atomic(home.runtime / "dnsmasq.conf", render.dnsmasq_conf(config, home, instance.interface))
    write_atomic(home.runtime / "nginx.conf", render.nginx_conf(config, home))
    sockets = icecc_folder(home) if instance.namespace else Path(ICECC_SOCKETS)
    for folder in (sockets, sockets / ENVIRONMENTS):
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, "icecc")
    publish_again(home, config)


def _note_image(home: Home, instance: Instance) -> None:
    """Tell whoever else uses the image store what nodes may run from now on."""
    store = Store(home.images)
    user = noted(store, home)
    note_user(store, home, kept=user.kept, served=[*user.served, *instance.images.values()])
