"""Bring a farm up, change it while it is up, and take it down: the one place where all parts meet."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from farm import command, firewall, health, preflight
from farm.config import Config, Machine
from farm.config.file import load_or_default
from farm.daemon.client import fetch_status, wait_until_seen
from farm.errors import CommandError, FarmError
from farm.export import aoe
from farm.home import Home, locked, write_atomic
from farm.image.build import build, current_inputs
from farm.image.sources import host_sources
from farm.image.store import Manifest, Store
from farm.interfaces import check_interface
from farm.netboot import render
from farm.power import power_off_all, wait_for_jobs
from farm.running import Running
from farm.services import Service, Supervisor
from farm.ssh import farm_key
from farm.virtual import machine as virtual_machine
from farm.virtual import network as virtual_network
from farm.virtual.namespace import ICECC_SOCKETS, enter, exec_prefix, icecc_folder, inside
from farm.workstation.membership import submitter_name

Report = Callable[[str, str], None]
"""Called with the step and what is being done in it."""

ENVIRONMENTS = "environments"
"""Where this machine's iceccd keeps the toolchains it packs, beside its socket: user icecc gets there in any home."""

HEALTH_PATIENCE = 60.0
"""Seconds that services have to become healthy."""


@dataclass(frozen=True)
class Request:
    """What `farm up` was asked for; ``virtual``: number of machines, None for a real lab."""

    virtual: int | None = None
    nic: str | None = None


@contextlib.contextmanager
def exclusive(home: Home) -> Iterator[None]:
    """Held by whoever changes the running farm; raises FarmError when someone else does."""
    home.create()
    with locked(home.state / ".changing", "Another command is bringing this farm up or down."):
        yield


def bring_up(home: Home, request: Request, report: Report) -> Running:
    """Make the farm be what its configuration says, from whatever state it is in; returns once every service answers.

    Repeating it converges: what is as it should be is left alone. Raises FarmError.
    """
    with exclusive(home):
        old = running_or_none(home)
        virtual = request.virtual is not None or (old is not None and old.namespace is not None)
        config = load_or_default(home, virtual=virtual)
        _check_kind(request, old, config)
        report("checks", "programs, ports, interface")
        preflight.require_programs(virtual)
        preflight.require_space(home.state)
        version = _choose_image(home, config, report)
        running = _plan(config, request, old, version)
        preflight.require_addresses(running.config)
        if running.namespace is None:
            _check_real_lab(home, config)
        report("network", running.interface)
        # Written before anything is made, so that `farm down` knows what to look for whatever happens now.
        running.save(home)
        running = _set_up_network(home, running)
        report("boot files", f"image {version}")
        _write_files(home, running)
        report("services", "starting")
        supervisor = Supervisor(home)
        if running.namespace and supervisor.pid and not inside(running.namespace, supervisor.pid):
            # Somebody deleted the namespace: what runs in the old one is cut off for good.
            supervisor.shutdown()
        supervisor.converge(services(home, running), prefix=enter(running, home))
        _wait_until_healthy(home, running, report)
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
        manifest, _ = build(home, config, lambda stage, doing: report(f"image: {stage}" if stage else "", doing))
        version = manifest.version
    report("image", f"verifying {version}")
    store.verify(version)
    return version


def image_is_outdated(home: Home, config: Config) -> bool:
    """Whether what next boots get was built from other inputs than a build would use now."""
    store = Store(home.images)
    current = store.selection.current
    return current is not None and store.get(current).inputs != current_inputs(config, host_sources()).all


def build_image(home: Home, config: Config, report: Report, *, force: bool, refresh: bool) -> tuple[Manifest, bool]:
    """Build the image unless it is up to date, and let a farm that is up serve it to next boots."""
    home.create()
    manifest, built = build(home, config, report, in_use=versions_in_use(home), force=force, refresh=refresh)
    serve_selected(home)
    return manifest, built


def switch_image(home: Home, choose: Callable[[Store], str]) -> str:
    """Change which version next boots get, in the store and in a farm that is up; returns the version."""
    preflight.require_root("farm image")
    store = Store(home.images)
    with store.lock():
        version = choose(store)
    serve_selected(home)
    return version


def remove_image(home: Home, version: str) -> None:
    """Delete a version that no node runs, and end its export."""
    preflight.require_root("farm image remove")
    store = Store(home.images)
    with store.lock():
        store.remove(version, in_use=versions_in_use(home))
    serve_selected(home)


def serve_selected(home: Home) -> None:
    """Let a farm that is up serve the version that is selected now; nothing happens when it is not up."""
    old, selected = running_or_none(home), Store(home.images).selection.current
    if old is None or selected is None:
        return
    with exclusive(home):
        running = msgspec.structs.replace(old, image=selected)
        running.save(home)
        _write_files(home, running)
        Supervisor(home).converge(services(home, running), prefix=enter(running, home))


def versions_in_use(home: Home) -> set[str]:
    """Versions that nodes run; all of the exported ones when farmd cannot say."""
    running = running_or_none(home)
    if running is None:
        return set()
    try:
        nodes = fetch_status(home).nodes
    except FarmError:
        return {manifest.version for manifest in Store(home.images).list()}
    return {running.image, *(node.image for node in nodes if node.image)}


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
    count = request.virtual if request.virtual is not None else len(old.machines) if old else 0
    nic = request.nic or (old.machines[0].nic if old and old.machines else config.virtual.nic)
    machines = virtual_machine.machines(count, nic)
    listed = {machine.mac for machine in config.machines}
    named = [Machine(mac=machine.mac, name=machine.name) for machine in machines if machine.mac not in listed]
    return Running(
        config=msgspec.structs.replace(config, machines=[*config.machines, *named]),
        interface=virtual_network.BRIDGE,
        image=version,
        started=started,
        namespace=f"farm-{config.name}",
        machines=machines,
        mtu=config.mtu,
    )


def _set_up_network(home: Home, running: Running) -> Running:
    config = running.config
    aoe.allow_socket_buffer(aoe.socket_buffer_needed(config.export.buffer, running.mtu))
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


def _write_files(home: Home, running: Running) -> None:
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


def services(home: Home, running: Running) -> list[Service]:
    """Everything that supervisord keeps running for this farm."""
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
    # They are bound to the interface: one that was removed and made again is another one, of the same name.
    bound = {"FARM_INTERFACE": _interface_index(running)}
    served = [
        replace(service, environment={**service.environment, **bound})
        for service in (*_core_services(home, running), *exports)
    ]
    return [*served, *machines]


def _interface_index(running: Running) -> str:
    """The kernel's number of the lab's interface; empty when there is none."""
    shown = command.run([*_netns(running), "ip", "-o", "link", "show", "dev", running.interface], check=False)
    return shown.stdout.partition(":")[0]


def _core_services(home: Home, running: Running) -> list[Service]:
    config, conf = running.config, home.runtime
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
    return [
        # nginx and dnsmasq read their files at start: what is in them is part of what the service is.
        Service(
            "nginx",
            ["nginx", "-c", str(conf / "nginx.conf")],
            capabilities=[],
            order=10,
            environment=_digest(conf / "nginx.conf"),
        ),
        Service(
            "dnsmasq",
            ["dnsmasq", "--keep-in-foreground", f"--conf-file={conf / 'dnsmasq.conf'}"],
            capabilities=["net_admin", "net_raw", "net_bind_service", "setgid"],
            order=40,
            environment=_digest(conf / "dnsmasq.conf"),
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


def _digest(path: Path) -> dict[str, str]:
    return {"FARM_SETTINGS": hashlib.sha256(path.read_bytes()).hexdigest()}


def _wait_until_healthy(home: Home, running: Running, report: Report) -> None:
    machines = {machine.name for machine in running.machines}
    deadline = time.monotonic() + HEALTH_PATIENCE
    while True:
        answers = [answer for answer in health.check(home, running) if answer.service not in machines]
        sick = [answer for answer in answers if not answer.ok]
        if not sick:
            return
        report("services", "waiting for " + ", ".join(answer.service for answer in sick))
        if time.monotonic() > deadline:
            raise FarmError(
                f"Not all services came up: {', '.join(answer.service for answer in sick)}.",
                "\n".join(f"{answer.service}: {answer.detail}" for answer in sick),
                f"Look: farm logs {sick[0].service} — then repeat: sudo farm up",
            )
        time.sleep(0.5)


def bring_down(home: Home, report: Report, *, keep_nodes: bool = False) -> None:
    """Stop everything and leave nothing behind: no process, namespace, mount, filter or address.

    ``keep_nodes``: nodes are not powered off; they wait for their root until the farm is up again. Works on what is
    left of a farm too, whatever was killed.
    """
    with exclusive(home):
        running = running_or_none(home)
        supervisor = Supervisor(home)
        if running is not None and supervisor.alive:
            report("jobs", "waiting for those that run")
            wait_for_jobs(home, report)
            if not keep_nodes and running.namespace is None:
                report("nodes", "powering off")
                power_off_all(home, running, report)
        report("services", "stopping")
        supervisor.shutdown()
        if running is not None:
            report("network", "removing")
            _remove_network(running)
        for path in home.runtime.glob("*"):
            _remove(path)


def _remove_network(running: Running) -> None:
    if running.namespace is not None:
        virtual_network.remove(running.namespace)
        return
    firewall.remove(running.config)
    for address in running.addresses_added:
        with contextlib.suppress(CommandError):
            command.run(["ip", "addr", "del", address, "dev", running.interface])
    # What the kernel made itself from the farm's router advertisements.
    prefix = f"{render.ula_prefix(running.config.name)}::/64"
    command.run(["ip", "-6", "addr", "flush", "dev", running.interface, "to", prefix], check=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            _remove(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
