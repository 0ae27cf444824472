"""Checks of a farm's server: what it stands on, what it serves, who else serves there."""

from __future__ import annotations

import ipaddress
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import psutil

from farm import command, export
from farm.config.interfaces import interface_flaw
from farm.config.lts_file import LTS_FILE, load_lts, lts_content, lts_lines, variable_lines
from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.server import clock
from farm.errors import FarmError
from farm.export.socket_buffer import RMEM_MAX
from farm.home import HOME_SPACE, Home
from farm.image.store import Store
from farm.instance import Instance
from farm.netboot.lts_copies import serve_lts, serves_lts
from farm.netboot.rival import find_dhcp_servers
from farm.netboot.tftp import find_tftp_servers
from farm.serve import firewall, health, preflight
from farm.supervisor import Supervisor
from farm.view.status import Status
from farm.view.wording import count
from farm.virtual.bridge import cut_off

LOW_SPACE = 2 << 30
JUMP_SECONDS = 1.0
MAX_LTS_FLAWS = 12
"""Of the warnings about lts.conf; `farm lts check` shows all."""

MISSING = Cause("Programs are missing.", "Install the packages that the message names")
NO_ADDRESS = Cause(
    "The interface {interface} lacks the server's address {address}.", "Bring the farm up again", "sudo farm up"
)
BAD_LINK = Cause(
    "The interface is down, or carries smaller frames than farm.yaml says.", "Bring it up", "sudo ip link set IF up"
)
CUT_OFF = Cause("The lab's bridge does not reach {machines}.", "Reconnect them", "sudo farm up")
TAKEN = Cause("Another program uses a port that the farm needs.", "Stop it; find it with", "sudo ss -lnp")
SICK = Cause("{services}: {why}.", "Look at the log, then run farm up again", "farm logs {first}")
NOT_RUNNING = Cause("The farm's services are not running.", "Start them", "sudo farm up")
DHCP = Cause(
    "Another DHCP server answers on {interface}: {rivals}. Nodes take the first answer, so many of them do not boot.",
    "Turn it off, or put the lab on a network of its own",
)
TFTP = Cause(
    "Another TFTP server answers on {interface}: {rivals}. This matters if a DHCP server there names it.",
    "Turn it off, or make sure that no DHCP server names it",
    warns=True,
)
NO_FILTER = Cause("The nftables table {table} is not in place: {what}.", "Restore it", "sudo farm up")
SMALL_BUFFER = Cause(
    "net.core.rmem_max is {value}, the exports need {wanted}: their actual buffers are smaller than they announce.",
    "Raise it",
    "sudo sysctl net.core.rmem_max={wanted}",
)
DISK = Cause(
    "The disk below {folder} is almost full: {free} MiB are free.", "Free some space", "sudo farm image remove VERSION"
)
DISK_LOW = Cause(
    "Little disk space is left below {folder}: {free} MiB.",
    "Remove old images",
    "sudo farm image remove VERSION",
    warns=True,
)
UNSYNCHRONISED = Cause(
    "This machine's clock is not synchronised: dates of objects and logs will drift apart.",
    "Turn time synchronisation on",
    "sudo timedatectl set-ntp true",
    warns=True,
)
JUMPED = Cause(
    "The clock was recently changed by {seconds} s.",
    "Find out what sets it",
    "timedatectl timesync-status",
    warns=True,
)
DAMAGED = Cause(
    "An image is damaged: a file is missing, or its hash has changed since it was built.",
    "Choose another, or build it again",
    "sudo farm image build --force",
)
NOT_EXPORTED = Cause("Image {version} has no running export by {export}.", "Bring the farm up again", "sudo farm up")
OLD_FILE = Cause(
    "The export of {version} serves a file that has been replaced or removed.", "Restart it", "sudo farm up"
)
LTS_UNREAD = Cause("{what}", "Machines get none; correct it, then", "sudo farm up", warns=True)
LTS_OLD = Cause("lts.conf was changed since it was last served.", "Serve it as it is now", "sudo farm up", warns=True)
LTS_FLAWS = Cause("lts.conf has {warnings}.", "Read all of them, and correct the file", "farm lts check", warns=True)


@dataclass
class ServerFacts:
    """What the checks of a farm's server look at."""

    home: Home
    instance: Instance
    jumps: clock.Jumps = field(default_factory=clock.Jumps)
    status: Status | None = None

    @property
    def supervisor(self) -> Supervisor:
        """The supervisord that runs the farm's services."""
        return Supervisor(self.home)


def _programs(facts: ServerFacts) -> Outcome:
    preflight.require_programs(facts.instance.namespace is not None, facts.instance.exports)
    return fine("All programs that the farm runs are installed.")


def _interface(facts: ServerFacts) -> Outcome:
    instance = facts.instance
    name, address = instance.interface, instance.config.server
    if flaw := interface_flaw(name, instance.mtu, cable=instance.namespace is None):
        raise flaw if instance.namespace is None else FarmError(flaw.what, flaw.why, "Repair it: sudo farm up")
    addresses = [each.address for each in psutil.net_if_addrs().get(name, [])]
    stats = psutil.net_if_stats().get(name)
    if address not in addresses:
        return NO_ADDRESS.found(f"Its addresses: {', '.join(addresses) or 'none'}.", interface=name, address=address)
    if instance.namespace and (lost := cut_off(instance.namespace, len(instance.machines))):
        taps = ", ".join(f"tap{number}" for number in lost)
        machines = ", ".join(instance.machines[number - 1].name for number in lost)
        return CUT_OFF.found(f"{taps}: missing, down, or not in {name}.", machines=machines)
    return fine(f"{name} has {address}, frames of {stats.mtu if stats else '?'} bytes")


def _ports(facts: ServerFacts) -> Outcome:
    if os.geteuid() != 0:
        return skip("Only root can see which programs use the ports.")
    own = frozenset(process.pid for process in facts.supervisor.orphans())
    preflight.require_free_ports(facts.instance, own)
    return fine("No other program uses the ports of DHCP, TFTP, HTTP, the scheduler or iceccd.")


def _services(facts: ServerFacts) -> Outcome:
    machines = {machine.name for machine in facts.instance.machines}
    answers = [answer for answer in health.probe_all(facts.home, facts.instance) if answer.service not in machines]
    seen = [f"{answer.service}: {answer.detail}" for answer in answers]
    sick = [answer for answer in answers if not answer.ok]
    if sick:
        names = ", ".join(answer.service for answer in sick)
        return SICK.found(*seen, services=names, why=sick[0].detail, first=sick[0].service)
    return fine(*seen)


def _start_services(facts: ServerFacts) -> str:
    """Start again what supervisord has given up; what runs is left alone."""
    machines = {machine.name for machine in facts.instance.machines}
    down = [s.name for s in facts.supervisor.status() if s.state in ("FATAL", "EXITED", "STOPPED")]
    started = [name for name in down if name not in machines]
    for name in started:
        facts.supervisor.start(name)
    return f"Started: {', '.join(started)}" if started else ""


def _rival_dhcp(facts: ServerFacts) -> Outcome:
    if os.geteuid() != 0:
        return skip("Only root can ask for DHCP servers.")
    name = facts.instance.interface
    found = find_dhcp_servers(name, seconds=4.0)
    rivals = sorted(found - {*facts.instance.config.boot_servers})
    seen = f"Answered: {', '.join(sorted(found)) or 'none (the farm does not answer its own server)'}."
    return DHCP.found(seen, interface=name, rivals=", ".join(rivals)) if rivals else fine(seen)


def _rival_tftp(facts: ServerFacts) -> Outcome:
    config = facts.instance.config
    broadcast = ipaddress.ip_interface(config.address).network.broadcast_address
    own = {each.address for addresses in psutil.net_if_addrs().values() for each in addresses}
    rivals = sorted(find_tftp_servers(str(broadcast)) - own - {*config.boot_servers})
    if rivals:
        return TFTP.found(interface=facts.instance.interface, rivals=", ".join(rivals))
    return fine("No other server answers a broadcast; servers that ignore broadcasts are not found.")


def _filter(facts: ServerFacts) -> Outcome:
    if os.geteuid() != 0:
        return skip("Only root can see the filter.")
    instance = facts.instance
    found = [
        NO_FILTER.found(f"nft list table {table}: not as it was made", table=table, what=danger)
        for table, danger in firewall.flaws(instance.config, instance.interface, instance.exports)
    ]
    return together(found) if found else fine(f"The tables {firewall.table(instance.config)} are in force.")


def _apply_filter(facts: ServerFacts) -> str:
    instance = facts.instance
    firewall.apply(instance.config, instance.interface, instance.exports)
    return f"Made the nftables tables again: {firewall.table(instance.config)}."


def _buffer(facts: ServerFacts) -> Outcome:
    wanted = _buffer_wanted(facts.instance)
    value = _rmem_max()
    if value is None:
        return skip("net.core.rmem_max is not visible in this network namespace.")
    seen = f"net.core.rmem_max = {value}, wanted {wanted}"
    return SMALL_BUFFER.found(seen, value=value, wanted=wanted) if value < wanted else fine(seen)


def _buffer_wanted(instance: Instance) -> int:
    return export.socket_buffer_needed(instance.config, instance.exports, instance.mtu)


def _rmem_max() -> int | None:
    """It belongs to the machine's own network namespace; a lab's may not show it."""
    try:
        return int(RMEM_MAX.read_text())
    except (OSError, ValueError):
        pass
    try:
        done = command.run(["nsenter", "--target=1", "--net", "cat", str(RMEM_MAX)], check=False)
    except FarmError:
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdecimal() else None


def _raise_buffer(facts: ServerFacts) -> str:
    wanted = _buffer_wanted(facts.instance)
    command.run(["nsenter", "--target=1", "--net", "sysctl", f"net.core.rmem_max={wanted}"])
    return f"net.core.rmem_max={wanted}"


def _disk(facts: ServerFacts) -> Outcome:
    found = []
    for folder in dict.fromkeys([facts.home.state, facts.home.images, facts.home.logs]):
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        names = {"folder": folder, "free": free >> 20}
        if free < HOME_SPACE:
            found.append(DISK.found(**names))
        elif free < LOW_SPACE:
            found.append(DISK_LOW.found(**names))
        else:
            found.append(fine(f"{folder}: {free / (1 << 30):.1f} GiB free"))
    return together(found)


def _clock(facts: ServerFacts) -> Outcome:
    jumped = facts.jumps.seconds()
    if abs(jumped) > JUMP_SECONDS:
        return JUMPED.found(seconds=f"{jumped:+.1f}")
    right = clock.synchronised()
    seen = f"The clock shows {time.strftime('%Y-%m-%d %H:%M:%S %Z')}."
    if right is False:
        return UNSYNCHRONISED.found(seen, "The kernel says that it is not synchronised (adjtimex).")
    return fine(
        seen,
        "The kernel says that it is synchronised." if right else "The kernel does not say whether it is synchronised.",
    )


def _images(facts: ServerFacts) -> Outcome:
    store = Store(facts.home.images)
    manifests = store.list()
    for manifest in manifests:
        store.verify(manifest.image)
    checked = ((manifest.image, count(len(manifest.files), "file")) for manifest in manifests)
    return fine(*(f"{image}: as it was built, by the hashes of {files}" for image, files in checked))


def _exports(facts: ServerFacts) -> Outcome:
    store = Store(facts.home.images)
    services = {service.name: service for service in facts.supervisor.status()}
    found = []
    for manifest, way in product(store.list(), export.chosen(facts.instance.exports)):
        root = export.root_of(store, manifest)
        service = services.get(way.service(root))
        if service is None or not service.up:
            found.append(NOT_EXPORTED.found(version=manifest.image, export=way.name))
        elif os.geteuid() == 0 and not way.serves(service.pid, root):
            found.append(OLD_FILE.found(f"pid {service.pid} does not serve {root.file}.", version=manifest.image))
        else:
            argument = export.root_argument(facts.instance.config, store, manifest, way.name)
            found.append(fine(f"{manifest.image}: {service.name}, {argument}"))
    if said := export.remark(facts.instance.exports, facts.instance.mtu):
        found.append(fine(said))
    return together(found)


def _lts_conf(facts: ServerFacts) -> Outcome:
    path = facts.home.config.with_name(LTS_FILE)
    if path.exists() and not os.access(path, os.R_OK):
        return skip(f"Only root can read {path}.")
    try:
        if not serves_lts(path, facts.home.http):
            return LTS_OLD.found()
        if lts_content(path) is None:
            return fine(f"There is no {path}.")
        variables = variable_lines(load_lts(path))
    except FarmError as error:
        return LTS_UNREAD.found(error.why, what=error.what)
    flaws = lts_lines(path)
    if flaws:
        return LTS_FLAWS.found(*flaws[:MAX_LTS_FLAWS], *variables, warnings=count(len(flaws), "warning"))
    return fine(f"{path} is served.", *variables)


def _serve_lts_conf(facts: ServerFacts) -> str:
    path = facts.home.config.with_name(LTS_FILE)
    if serves_lts(path, facts.home.http):
        return ""
    serve_lts(path, facts.home.http)
    return f"Served {path} as it is now."


def _check(
    code: str,
    title: str,
    why: str,
    look: Callable[[ServerFacts], Outcome],
    *causes: Cause,
    needs: tuple[str, ...] = (),
    fix: Callable[[ServerFacts], str] | None = None,
) -> Check[ServerFacts]:
    return Check(code, title, why, look, causes, needs, fix=fix)


CHECKS: tuple[Check[ServerFacts], ...] = (
    _check("programs", "All programs are installed", "The farm runs these programs from PATH.", _programs, MISSING),
    _check(
        "interface", "The lab's interface is up and has the server's address",
        "The farm serves everything there.", _interface, NO_ADDRESS, BAD_LINK, CUT_OFF,
    ),
    _check("ports", "The farm's ports are not taken", "Another program would answer instead.", _ports, TAKEN),
    _check(
        "services", "Every service answers a client",
        "A process that runs may still serve nothing.", _services, SICK, NOT_RUNNING, fix=_start_services,
    ),
    _check(
        "rival-dhcp", "No other DHCP server is on the lab's network",
        "A node uses the first answer.", _rival_dhcp, DHCP, needs=("interface",),
    ),
    _check(
        "rival-tftp", "No other TFTP server is on the lab's network",
        "A loader from another server boots something else.", _rival_tftp, TFTP, needs=("interface",),
    ),
    _check(
        "filter", "The firewall tables are in place",
        "Neither the exports nor the scheduler's control port have access control of their own.", _filter, NO_FILTER,
        needs=("interface",), fix=_apply_filter,
    ),
    _check(
        "images", "Image files are undamaged",
        "A damaged root file system can boot and then fail anywhere.", _images, DAMAGED,
    ),
    _check(
        "exports", "Every image is exported",
        "Without its export a node has no root file system.", _exports, NOT_EXPORTED, OLD_FILE,
    ),
    _check(
        "socket-buffer", "The kernel allows the export's socket buffer",
        "With a smaller buffer, some nodes starve when many boot at once.", _buffer, SMALL_BUFFER, fix=_raise_buffer,
    ),
    _check(
        "lts-conf", "lts.conf is served and has no faults", "LTSP stops reading at the first fault.", _lts_conf,
        LTS_UNREAD, LTS_OLD, LTS_FLAWS, fix=_serve_lts_conf,
    ),
    _check("disk", "The disk has free space", "The farm writes logs, leases and images.", _disk, DISK, DISK_LOW),
    _check("clock", "The clock is synchronised", "Build tools compare file dates.", _clock, UNSYNCHRONISED, JUMPED),
)  # fmt: skip
