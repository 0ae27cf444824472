"""What supervisord keeps running for a farm."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

import msgspec

from farm import command, export
from farm.export.aoe import SENDER_MAC
from farm.home import Home
from farm.image.store import Store
from farm.instance import Instance
from farm.netboot import render
from farm.supervisor import Service
from farm.virtual import qemu as virtual_machine
from farm.virtual.namespace import (
    BIND_AGAIN_AND_RUN,
    ICECC_SOCKETS,
    exec_prefix,
    icecc_folder,
)

ENVIRONMENTS = "environments"
"""Where this machine's iceccd keeps the toolchains it packs, beside its socket: user icecc gets there in any home."""


INTERFACE = "FARM_INTERFACE"
"""Environment variable of all services but machines: which interface they are bound to. Where one of the same name has
taken its place, their sockets are deaf."""
OUTLIVES_INTERFACE = frozenset({"iceccd"})
"""Services that listen on no interface. A call that meets no iceccd at its end fails (`iceccd-lost`): it goes on."""


def in_namespace(instance: Instance) -> list[str]:
    """What goes before a command that is to be run in the farm's network namespace; nothing where it has none."""
    return exec_prefix(instance.namespace) if instance.namespace else []


def services(home: Home, instance: Instance) -> list[Service]:
    """Everything that supervisord keeps running for this farm."""
    # supervisord restarts a service whose environment has changed. One that is bound to an interface must restart when
    # the interface is made again under the same name. Virtual machines go on: they are plugged into the new one.
    bound = {INTERFACE: interface_index(instance)}
    return [
        replace(service, environment={**service.environment, **bound})
        if service.restart and service.name not in OUTLIVES_INTERFACE
        else service
        for service in _services(home, instance)
    ]


def interface_index(instance: Instance) -> str:
    """The kernel's number of the lab's interface; empty when there is none."""
    found = command.run([*in_namespace(instance), "cat", f"/sys/class/net/{instance.interface}/ifindex"], check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def mac_address(instance: Instance) -> str:
    """That of the lab's interface; empty when there is none."""
    found = command.run([*in_namespace(instance), "cat", f"/sys/class/net/{instance.interface}/address"], check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def keep_mac_address(instance: Instance) -> None:
    """Have a bridge keep the MAC address that it has, also when ports are added or taken away.

    One that nobody gave an address has the lowest of its ports': when that port goes, nodes send to nobody.
    """
    prefix, name = in_namespace(instance), instance.interface
    is_bridge = command.run([*prefix, "test", "-d", f"/sys/class/net/{name}/bridge"], check=False).returncode == 0
    if is_bridge and (address := mac_address(instance)):
        command.run([*prefix, "ip", "link", "set", "dev", name, "address", address])


def _services(home: Home, instance: Instance) -> list[Service]:
    store = Store(home.images)
    known = {SENDER_MAC: mac_address(instance)}
    exports = [
        replace(each, environment={**each.environment, **known}) if "net_raw" in (each.capabilities or ()) else each
        for each in export.services(instance, store, home.runtime)
    ]
    return [*_core_services(home, instance), *exports, *virtual_machine.services(home, instance, store)]


def _core_services(home: Home, instance: Instance) -> list[Service]:
    config, conf = instance.config, home.runtime
    nginx, dnsmasq = render.nginx_conf(config, home), render.dnsmasq_conf(config, home, instance.interface)
    # Of the record's facts, those that farmd reads again when they change.
    fixed = msgspec.structs.replace(instance, started=0, images={}, unverified=[], addresses_added=[])
    settings = msgspec.json.encode(fixed)
    scheduler = ["icecc-scheduler", "-n", config.netname, "-p", str(config.scheduler.port), "-r", "-v"]
    scheduler += ["-i", instance.interface]
    submitter = [
        "iceccd",
        "-s",
        f"{config.scheduler_host}:{config.scheduler.port}",
        "-n",
        config.netname,
        "-N",
        config.submitter,
    ]
    submitter += ["-m", "0", "--no-remote", "-b", f"{ICECC_SOCKETS}/{ENVIRONMENTS}", "-u", "icecc", "-v"]
    submitter += ["-i", instance.interface]
    if instance.namespace is not None:
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
        *([_ldminfod(config.server)] if instance.has_sessions else []),
        *([] if config.mirror else [Service("scheduler", scheduler, order=20)]),
        Service(
            "farmd",
            [sys.executable, "-P", "-m", "farm.daemon", *home.options],
            order=25,
            environment={"FARM_SETTINGS": hashlib.sha256(settings).hexdigest()},
        ),
        Service("iceccd", submitter, order=50),
        *(
            [Service("mirror", [sys.executable, "-P", "-m", "farm", *home.options, "image", "mirror", "--follow"])]
            if config.mirror
            else []
        ),
    ]


def _ldminfod(address: str) -> Service:
    argv = [sys.executable, "-P", "-m", "farm.session_server.ldminfod", address]
    return Service("ldminfod", argv, capabilities=["setuid", "setgid"])


def _digest(text: str) -> dict[str, str]:
    return {"FARM_SETTINGS": hashlib.sha256(text.encode()).hexdigest()}
