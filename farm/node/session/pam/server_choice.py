"""The servers on which a log-in is tried: those of lts.conf, or else the farm's own; with the host keys known of them.

A server that is named here and has no known key gets no password: lts.conf can come from anybody, a key cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from farm.node.contract import MAX_PORT
from farm.node.session.lts_values import LtsValues
from farm.node.session.session_settings import MAX_SERVERS, SessionServer, SessionSettings, valid_host
from farm.node.session.ssh_client.ssh_options import ssh_options, understood

OWN = "server"
"""LTSP's name for the server that the machine has booted from."""
NAMED = ("LDM_SERVER", "SERVER")
"""The first of these that is set counts."""
NAMED_UNATTENDED = {
    "autologin": ("LDM_AUTOLOGIN_SERVER", "LDM_GUEST_SERVER", *NAMED),
    "guest": ("LDM_GUEST_SERVER", "LDM_AUTOLOGIN_SERVER", *NAMED),
}
"""The same for a log-in for which nobody types a password."""


class ServerChoice(NamedTuple):
    """Where to log in."""

    servers: tuple[SessionServer, ...]
    """In the order in which they are tried."""
    refused: tuple[str, ...] = ()
    """Sentences for the machine's log: what of lts.conf is not used."""


def choose(settings: SessionSettings, lts: LtsValues, unattended: str = "") -> ServerChoice:
    """The servers of a log-in; ``unattended``: autologin or guest."""
    variables = NAMED_UNATTENDED.get(unattended, NAMED)
    variable = next((each for each in variables if lts.words(each)), "")
    names = [name.lower() for name in lts.words(variable)][:MAX_SERVERS] if variable else [OWN]
    wrong = [name for name in names if not valid_host(name)]
    refused = [f"{variable}: {name} is no host name or IPv4 address." for name in wrong]
    hosts = [name for name in names if name not in wrong] or [OWN]
    options, more = _options(lts)
    servers = {(each.host, each.port): each for host in hosts for each in _servers(settings, lts, host)}
    chosen = tuple(replace(each, options=options) for each in servers.values())
    return ServerChoice(chosen[:MAX_SERVERS], (*refused, *more))


def all_hosts(settings: SessionSettings, lts: LtsValues) -> set[str]:
    """The hosts on which a session of this machine can run."""
    return {server.host for each in ("", *NAMED_UNATTENDED) for server in choose(settings, lts, each).servers}


def _servers(settings: SessionSettings, lts: LtsValues, host: str) -> Iterable[SessionServer]:
    own = {server.host: server for server in settings.servers}
    if host == OWN and host not in own and host not in settings.known:
        return [each for name in own for each in _servers(settings, lts, name)]
    told = own.get(host, SessionServer(host, 22, ()))
    port = lts.number("SSH_OVERRIDE_PORT", 1, MAX_PORT, told.port)
    # As ssh does: keys of that port, or else those of the host.
    known = settings.known.get(f"[{host}]:{port}") or settings.known.get(host, ())
    return [SessionServer(host, port, tuple(dict.fromkeys((*told.host_keys, *known))))]


def _options(lts: LtsValues) -> tuple[tuple[str, ...], list[str]]:
    taken, refused = ssh_options(lts.text("LDM_SSHOPTIONS"))
    unknown = [option for option in taken if not understood(option)]
    sentences = [f"LDM_SSHOPTIONS: {each} is not among the options that are taken." for each in refused]
    sentences += [f"LDM_SSHOPTIONS: ssh on this machine does not know {each}." for each in unknown]
    return tuple(option for option in taken if option not in unknown), sentences
