"""Bring a farm up, change it while it is up, and take it down: the one place where all parts meet."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from farm import command, firewall, health, preflight
from farm.config import Config, Machine
from farm.config.file import load_or_default
from farm.daemon.client import wait_until_seen
from farm.errors import FarmError
from farm.export import aoe
from farm.export.socket_buffer import allow_socket_buffer
from farm.healing import Report, wait_until_healthy
from farm.home import Home, locked, write_atomic
from farm.image.build import build
from farm.image.store import Store
from farm.image.users import note_user, noted
from farm.interfaces import check_interface
from farm.netboot import render
from farm.power import jobs_by_node, jobs_under_way
from farm.remains import config_of, own_namespaces, remove_network, require_own_namespace
from farm.running import Running
from farm.services import Service, Supervisor
from farm.ssh import farm_key
from farm.versions import versions_in_use
from farm.view.text import count
from farm.virtual import machine as virtual_machine
from farm.virtual import network as virtual_network
from farm.virtual.builds import forget_end, require_no_builds, under_way
from farm.virtual.namespace import (
    BIND_AGAIN_AND_RUN,
    ICECC_SOCKETS,
    enter,
    exec_prefix,
    icecc_folder,
    inside,
    namespace_name,
    namespace_path,
)
from farm.workstation.membership import submitter_name

ENVIRONMENTS = "environments"
"""Where this machine's iceccd keeps the toolchains it packs, beside its socket: user icecc gets there in any home."""


INTERFACE = "FARM_INTERFACE"
"""Environment variable of all services but machines: which interface they are bound to. Where one of the same name has
taken its place, their sockets are deaf."""


@dataclass(frozen=True)
class Request:
    """What `farm up` was asked for; ``virtual``: number of machines, None for a real lab."""

    virtual: int | None = None
    nic: str | None = None
    force: bool = False
    """Disturb builds and jobs that run."""


@contextlib.contextmanager
def exclusive(home: Home, *, wait: bool = False) -> Iterator[None]:
    """Held by whoever changes the running farm; when someone else does, raises FarmError or waits for its end."""
    home.create()
    with locked(home.state / ".changing", "Another command is bringing this farm up or down.", wait=wait):
        yield


def bring_up(home: Home, request: Request, report: Report) -> Running:
    """Make the farm be what its configuration says, from whatever state it is in; returns once every service answers.

    Repeating it converges: what is as it should be is left alone. Raises FarmError.
    """
    with exclusive(home):
        supervisor = Supervisor(home)
        supervisor.resume()
        old = Running.known(home)
        if old is None and request.virtual is None:
            _require_no_lab_left(home)
        virtual = request.virtual is not None or (old is not None and old.namespace is not None)
        config = load_or_default(home, virtual=virtual)
        _check_kind(request, old, config)
        report("checks", "programs, ports, interface")
        preflight.require_programs(virtual)
        preflight.require_short_path(home)
        preflight.require_space(home.state)
        version = _choose_image(home, config, report)
        running = _plan(config, request, old, version)
        preflight.require_addresses(running.config)
        if running.namespace is None:
            _check_real_lab(home, config)
        else:
            require_own_namespace(home, running.namespace)
        if old is None:
            _clear_remains(home, request, config, report)
        elif not request.force and supervisor.alive and not _is_cut_off(supervisor, running):
            _require_undisturbed(home, running, supervisor.disturbed(services(home, running)))
        report("network", running.interface)
        # Written before anything is made, so that `farm down` knows what to look for whatever happens now.
        running.save(home)
        _note_image(home, running)
        running = _set_up_network(home, running)
        report("boot files", f"image {version}")
        write_files(home, running)
        report("services", "starting")
        if running.namespace and supervisor.pid and not inside(running.namespace, supervisor.pid):
            # Somebody deleted the namespace: what runs in the old one is cut off for good.
            supervisor.shutdown()
        supervisor.converge(services(home, running), prefix=enter(running, home))
        forget_end(home)
        wait_until_healthy(home, running, report)
        wait_until_seen(home)
        return running


def running_or_none(home: Home) -> Running | None:
    """The record of the running farm, or None when it is not up (or the record is of no use)."""
    try:
        return Running.load(home)
    except FarmError:
        return None


def _check_kind(request: Request, old: Running | None, config: Config) -> None:
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
                "Nodes that run have their root and their scheduler there.",
                "Take it down first: sudo farm down",
            )


def _require_no_lab_left(home: Home) -> None:
    for name in own_namespaces(home, None, config_of(home)):
        raise FarmError(
            f"A virtual lab is up, or left, in the network namespace {name}, and its record is lost.",
            f"{Running.path(home)} and its copy cannot be read.",
            "Say how many machines it has: sudo farm up --virtual N — or take it down: sudo farm down",
        )


def _clear_remains(home: Home, request: Request, config: Config, report: Report) -> None:
    """Remove what a farm has left whose record is lost: nothing of it can be told from what is wanted now."""
    namespaces = own_namespaces(home, None, config)
    supervisor = Supervisor(home)
    if namespaces or supervisor.orphans():
        require_no_builds(namespaces, "up", request.force)
        report("services", "ending what an earlier farm has left")
        supervisor.shutdown()
        remove_network(home, None, config, namespaces)


def _is_cut_off(supervisor: Supervisor, running: Running) -> bool:
    """The lab's namespace or its interface was deleted, or is another by now: all that runs there is lost already."""
    if running.namespace is not None and not namespace_path(running.namespace).exists():
        return True
    bound = supervisor.values(INTERFACE)
    return bool(bound) and _interface_index(running) not in bound


def _require_undisturbed(home: Home, running: Running, disturbed: set[str]) -> None:
    """Raises FarmError when services that answer would end under users' builds, or machines under their jobs."""
    needed = disturbed & {"scheduler", "iceccd"}
    if needed and needed - _silent(home, running):
        if running.namespace is not None:
            require_no_builds([running.namespace], "up", force=False)
        elif jobs := jobs_under_way(home):
            raise under_way("Jobs are under way that would lose their scheduler.", [jobs], "up")
    busy = [f"{name}: {count(jobs, 'job')}" for name, jobs in jobs_by_node(home).items() if name in disturbed]
    if busy:
        raise under_way("Machines would end that run jobs.", busy, "up")


def _silent(home: Home, running: Running) -> set[str]:
    """Services that do not answer, so that nobody loses them."""
    try:
        return {answer.service for answer in health.check(home, running) if not answer.ok}
    except FarmError:
        return {"scheduler", "iceccd"}


def _check_real_lab(home: Home, config: Config) -> None:
    check_interface(config, home.config)
    preflight.require_interface_up(config)
    supervisor = Supervisor(home)
    preflight.require_free_ports(config, frozenset(process.pid for process in supervisor.orphans()))
    if not supervisor.alive:
        preflight.require_no_rival(config)


def _choose_image(home: Home, config: Config, report: Report) -> str:
    """The version next boots get; built when there is none. Raises FarmError when it is damaged."""
    store = Store(home.images)
    version = store.selection.current
    if version is None:
        manifest, _ = build(
            home,
            config,
            lambda stage, doing: report(f"image: {stage}" if stage else "", doing),
            in_use=lambda: versions_in_use(home),
        )
        version = manifest.version
    report("image", f"verifying {version}")
    store.verify(version)
    return version


def _plan(config: Config, request: Request, old: Running | None, version: str) -> Running:
    started = old.started if old else time.time()
    if request.virtual is None and (old is None or old.namespace is None):
        return Running(
            config=config,
            interface=config.interface,
            image=version,
            started=started,
            mtu=config.mtu,
            addresses_added=old.addresses_added if old else [],
        )
    number = request.virtual if request.virtual is not None else len(old.machines) if old else 0
    nic = request.nic or (old.machines[0].nic if old and old.machines else config.virtual.nic)
    machines = virtual_machine.machines(number, nic)
    listed = {machine.mac for machine in config.machines}
    named = [Machine(mac=machine.mac, name=machine.name) for machine in machines if machine.mac not in listed]
    return Running(
        config=msgspec.structs.replace(config, machines=[*config.machines, *named]),
        interface=virtual_network.BRIDGE,
        image=version,
        started=started,
        namespace=namespace_name(config.name),
        machines=machines,
        mtu=config.mtu,
    )


def _set_up_network(home: Home, running: Running) -> Running:
    config = running.config
    allow_socket_buffer(aoe.socket_buffer_needed(config.export.buffer, running.mtu), home.runtime)
    if running.namespace is not None:
        virtual_network.create(running.namespace, running.mtu, len(running.machines))
    prefix = _netns(running)
    present = command.run([*prefix, "ip", "-o", "addr", "show", "dev", running.interface]).stdout.split()
    wanted = (config.address, f"{render.ula_prefix(config.name)}::1/64")
    missing = [address for address in wanted if address not in present]
    added = sorted({*running.addresses_added, *missing})
    running = msgspec.structs.replace(running, addresses_added=added)
    running.save(home)
    for address in missing:
        # The broadcast address must be set: icecream uses it for discovery.
        options = ["nodad"] if ":" in address else ["brd", "+"]
        command.run([*prefix, "ip", "addr", "add", address, *options, "dev", running.interface])
    firewall.apply(config, running.interface, prefix)
    return running


def _netns(running: Running) -> list[str]:
    return exec_prefix(running.namespace) if running.namespace else []


def write_files(home: Home, running: Running) -> None:
    """Write what dnsmasq and nginx read and serve, and the folder where icecc meets iceccd."""
    config = running.config
    extra = virtual_machine.KERNEL_OPTIONS if running.namespace else ""
    key = farm_key(home)
    render.write_boot_files(home, config, Store(home.images), running.image, mtu=running.mtu, farm_key=key, extra=extra)
    write_atomic(home.runtime / "dnsmasq.conf", render.dnsmasq_conf(config, home, running.interface))
    write_atomic(home.runtime / "nginx.conf", render.nginx_conf(config, home))
    sockets = icecc_folder(home) if running.namespace else Path(ICECC_SOCKETS)
    for folder in (sockets, sockets / ENVIRONMENTS):
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, "icecc")


def _note_image(home: Home, running: Running) -> None:
    """Tell whoever else uses the image store what nodes may run from now on."""
    store = Store(home.images)
    user = noted(store, home)
    note_user(store, home, kept=user.kept, served=[*user.served, running.image])


def services(home: Home, running: Running) -> list[Service]:
    """Everything that supervisord keeps running for this farm."""
    bound = {INTERFACE: _interface_index(running)}
    return [
        replace(service, environment={**service.environment, **bound}) if service.restart else service
        for service in _services(home, running)
    ]


def _interface_index(running: Running) -> str:
    """The kernel's number of the lab's interface; empty when there is none."""
    found = command.run([*_netns(running), "cat", f"/sys/class/net/{running.interface}/ifindex"], check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def _services(home: Home, running: Running) -> list[Service]:
    config = running.config
    store = Store(home.images)
    exports = [
        aoe.vblade_service(
            manifest,
            store.path(manifest.version) / "root.squashfs",
            shelf=config.export.shelf,
            interface=running.interface,
            buffer=config.export.buffer,
        )
        for manifest in store.list()
    ]
    machines = [
        virtual_machine.service(machine, number, home, config.virtual)
        for number, machine in enumerate(running.machines, 1)
    ]
    return [*_core_services(home, running), *exports, *machines]


def _core_services(home: Home, running: Running) -> list[Service]:
    config, conf = running.config, home.runtime
    nginx, dnsmasq = render.nginx_conf(config, home), render.dnsmasq_conf(config, home, running.interface)
    settings = msgspec.json.encode(msgspec.structs.replace(running, started=0, image="", addresses_added=[]))
    scheduler = ["icecc-scheduler", "-n", config.netname, "-p", str(config.scheduler.port), "-r", "-v"]
    scheduler += ["-i", running.interface]
    submitter = [
        "iceccd",
        "-s",
        f"{config.server}:{config.scheduler.port}",
        "-n",
        config.netname,
        "-N",
        submitter_name(config),
    ]
    submitter += ["-m", "0", "--no-remote", "-b", f"{ICECC_SOCKETS}/{ENVIRONMENTS}", "-u", "icecc", "-v"]
    submitter += ["-i", running.interface]
    if running.namespace is not None:
        # supervisord sees the folder that was there when it started: that may have been deleted since.
        submitter = ["unshare", "--mount", "sh", "-c", BIND_AGAIN_AND_RUN, str(icecc_folder(home)), *submitter]
    return [
        # nginx and dnsmasq read their files at start: what is in them is part of what the service is.
        Service(
            "nginx",
            ["nginx", "-c", str(conf / "nginx.conf")],
            capabilities=[],
            order=10,
            environment=_digest(nginx),
        ),
        Service(
            "dnsmasq",
            ["dnsmasq", "--keep-in-foreground", f"--conf-file={conf / 'dnsmasq.conf'}"],
            capabilities=["net_admin", "net_raw", "net_bind_service", "setgid"],
            order=40,
            environment=_digest(dnsmasq),
            # dnsmasq writes dnsmasq.log itself, with time stamps; this is for what it says before that.
            log="dnsmasq-output",
        ),
        Service("scheduler", scheduler, order=20),
        Service(
            "farmd",
            [sys.executable, "-m", "farm.daemon", *home.options],
            order=25,
            environment={"FARM_SETTINGS": hashlib.sha256(settings).hexdigest()},
        ),
        Service("iceccd", submitter, order=50),
    ]


def _digest(text: str) -> dict[str, str]:
    return {"FARM_SETTINGS": hashlib.sha256(text.encode()).hexdigest()}
