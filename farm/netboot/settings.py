"""What each machine is told when it asks: a document by the grammar of farm/node/contract.py, which its node reads.

A role takes its settings from the same document; what `SETTINGS` holds for it is merged in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from farm.config import Config, MachineConfig
from farm.config.lts_file import LTS_FILE
from farm.image.recipe import roles
from farm.node import contract
from farm.node.contract import LTS_CONF

Document = dict[str, object]
SSH_PORT = 22


class SshKeys(NamedTuple):
    """Public keys of sshd: of this computer, and of others by their hosts."""

    own: Sequence[str] = ()
    known: Mapping[str, Sequence[str]] = MappingProxyType({})


NO_KEYS = SshKeys()


def machine_settings(
    config: Config,
    farm_key: str,
    kinds: Mapping[str, str] = MappingProxyType({}),
    hashes: Mapping[str, str] = MappingProxyType({}),
    host_keys: Sequence[str] = (),
    known: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Document]:
    """File name → what a machine is told: default.json, and one for each machine that differs.

    ``kinds``: the built-in kind that an image is made from, by its name, where that is another. ``hashes``: the SHA-256
    of each file for nodes, by its source, and of lts.conf, where there is one. ``host_keys``: the public keys of this
    computer's sshd. ``known``: those of others, by host.
    """

    def document(machine: MachineConfig | None) -> Document:
        image = config.image_of(machine)
        image_roles = roles(kinds.get(image, image))
        told = machine_document(config, machine, farm_key, image_roles, SshKeys(host_keys, known))
        files = config.files_of(machine)
        entries = [{"path": file.path, "sha256": hashes[file.source], "mode": file.mode} for file in files]
        if "session" in image_roles and LTS_FILE in hashes and LTS_CONF not in {file.path for file in files}:
            entries.insert(0, {"path": LTS_CONF, "sha256": hashes[LTS_FILE], "mode": "0644"})
        return {**told, "files": entries} if entries else told

    own = {f"{hyphens(machine.mac)}.json": document(machine) for machine in config.listed}
    return {"default.json": document(None), **own}


def machine_document(
    config: Config, machine: MachineConfig | None, farm_key: str, roles: Sequence[str], ssh_keys: SshKeys = NO_KEYS
) -> Document:
    """What one machine is told (None: one that is not listed); ``roles``: what it is for."""
    document: Document = {
        "schema": contract.SCHEMA,
        "farm": config.name,
        "name": machine.name if machine else None,
        "telemetry_port": config.nodes.telemetry_port,
        "authorized_keys": [farm_key, *config.nodes.authorized_keys],
        "roles": list(roles),
    }
    for role in roles:
        if role in SETTINGS:
            document |= SETTINGS[role](config, machine, ssh_keys)
    return document


def _compile(config: Config, machine: MachineConfig | None, ssh_keys: SshKeys) -> Document:
    """At the top: a node from before roles looks for them there, and for nothing else."""
    return {
        "netname": config.netname,
        "scheduler": f"{config.scheduler_host}:{config.scheduler.port}",
        "slots": config.slots_of(machine),
        "when_used": config.when_used_of(machine),
        "free_after": config.nodes.free_after,
    }


def _session(config: Config, machine: MachineConfig | None, ssh_keys: SshKeys) -> Document:
    """The server to log in to is this computer: it serves the root file system, so it is trusted already.

    Of other servers, which lts.conf may name, it tells the keys.
    """
    server = {"host": config.server, "port": SSH_PORT, "host_keys": list(ssh_keys.own)}
    known = {"known": {host: list(keys) for host, keys in ssh_keys.known.items()}} if ssh_keys.known else {}
    return {"session": {"servers": [server], **known}}


SETTINGS: Mapping[str, Callable[[Config, MachineConfig | None, SshKeys], Document]] = {
    "compile": _compile,
    "session": _session,
}
"""By role, what it is told; a role that needs nothing has no entry."""


def hyphens(mac: str) -> str:
    """A MAC as files for machines are named by it: 52-54-00-12-34-56."""
    return mac.replace(":", "-")
