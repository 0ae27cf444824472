"""What a thin client is told of its sessions: the servers to log in to; all else is in lts.conf."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from farm.node.contract import ADDRESS, MAX_PORT, SettingsError, number_of, text_of
from farm.node.files import read

FILE = "etc/farm/session.json"
MAX_SERVERS = 16
MAX_HOST_KEYS = 16
"""That one server can have."""
MAX_KNOWN = 64
"""Hosts of which keys are told besides those of the servers."""
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
"""A host name or an IPv4 address, in lower case."""
HOST_AND_PORT = re.compile(r"\[([^\[\]]{1,253})\]:([1-9][0-9]{0,4})")
"""How ssh_known_hosts names a host whose sshd has another port than 22."""
HOST_KEY = re.compile("(ssh|ecdsa|sk)-[a-z0-9@.-]{1,60} AAAA[A-Za-z0-9+/]{1,8188}={0,3}")
"""A server's public key as in ssh_known_hosts, without a comment."""


@dataclass(frozen=True)
class SessionServer:
    """A host with sshd and xauth on which sessions run."""

    host: str
    port: int
    host_keys: tuple[str, ...]
    """Its public keys: a server that shows another one gets no password."""
    options: tuple[str, ...] = ()
    """Of ssh for it, each as ``Key=value``: those that `ssh_options` lets through."""


@dataclass(frozen=True)
class SessionSettings:
    """All that a thin client needs to know."""

    servers: tuple[SessionServer, ...]
    """In the order in which they are tried."""
    known: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The keys of other hosts, which lts.conf may name: by host, or by ``[host]:port``."""


def read_session(root: str = "/") -> SessionSettings:
    """The settings of this machine; raises SettingsError when there are none or they are not valid."""
    text = read(os.path.join(root, FILE))
    if not text:
        raise SettingsError("this machine was not told a server to log in to")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError("not JSON") from None
    if not isinstance(said, dict):
        raise SettingsError("not an object")
    return parse_session(said)


def parse_session(said: dict[str, object]) -> SessionSettings:
    """Check the settings of a session; raises SettingsError."""
    servers = said.get("servers")
    if not isinstance(servers, list) or not 1 <= len(servers) <= MAX_SERVERS:
        raise SettingsError(f"servers is not a list of 1 to {MAX_SERVERS}")
    return SessionSettings(servers=tuple(_server(each) for each in servers), known=_known(said.get("known", {})))


def valid_host(host: str) -> bool:
    """Whether it is a host name or an IPv4 address, in lower case."""
    return bool(HOST.fullmatch(host) and (not re.fullmatch("[0-9.]+", host) or ADDRESS.fullmatch(host)))


def valid_host_and_port(name: str) -> bool:
    """Whether it is a valid host, or ``[host]:port``."""
    match = HOST_AND_PORT.fullmatch(name)
    return valid_host(match[1]) and int(match[2]) <= MAX_PORT if match else valid_host(name)


def _known(said: object) -> Mapping[str, tuple[str, ...]]:
    if not isinstance(said, dict) or len(said) > MAX_KNOWN or not all(map(valid_host_and_port, said)):
        raise SettingsError(f"known does not have at most {MAX_KNOWN} hosts")
    return MappingProxyType({host: _keys(keys) for host, keys in said.items()})


def _keys(keys: object) -> tuple[str, ...]:
    if not isinstance(keys, list) or len(keys) > MAX_HOST_KEYS:
        raise SettingsError(f"host_keys is not a list of at most {MAX_HOST_KEYS}")
    return tuple(text_of({"host_keys": key}, "host_keys", HOST_KEY) for key in keys)


def _server(said: object) -> SessionServer:
    if not isinstance(said, dict):
        raise SettingsError("a server is not an object")
    host = text_of(said, "host", HOST)
    if not valid_host(host):
        raise SettingsError("invalid value for host")
    port = number_of({"port": said.get("port", 22)}, "port", 1, MAX_PORT)
    return SessionServer(host, port, _keys(said.get("host_keys", [])))
