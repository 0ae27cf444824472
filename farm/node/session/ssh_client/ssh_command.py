"""ssh's command lines for a log-in; pure functions, and the paths that they share with what runs them.

What a user or server has said is never part of an option: the user's name is the word after ``-l``, checked by
`user_name`, and the host comes last, checked by `session_settings`. Options of lts.conf are those of `ssh_options`.
"""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:  # what ssh asks by (`askpass`) and each session wait for this module
    from collections.abc import Iterable

    from farm.node.session.session_settings import SessionServer

SESSION_USER = "farm-session"
"""Owns the connection and all that a session runs here. ssh checks that who uses a connection has its owner's uid."""
RUN = "/run/farm"
FOLDER = f"{RUN}/login"
"""Of the session user: new for each log-in, as ssh goes on without a master when the socket exists."""
CONTROL = f"{FOLDER}/ctl"
HOME = f"{RUN}/home"
QUESTIONS = f"{RUN}/questions"
"""Socket at which the askpass program passes on what ssh wants to know."""
KNOWN_HOSTS = f"{RUN}/known_hosts"
ASKPASS = "/usr/lib/farm/askpass"
CONNECT_SECONDS = 10
ALIVE_SECONDS, ALIVE_COUNT = 5, 3
"""A connection is given up when the server has been silent for so long, so often."""
FAT_ALIVE_COUNT = 24
"""The same where programs run here: they can wait while a cable is out."""
UNUSED_SECONDS = 60
"""After which a connection without a session ends, whatever became of the one that opened it."""

# The first of an option counts for ssh, and none of the image's own files does.
_BARE = ["ssh", "-F", "none"]
SFTP = f"ssh -F none -S {CONTROL} -o ProxyCommand=false"
"""By what sshfs reaches the server over the connection."""
HOME_ROAD = "/usr/bin/python3 -I -m farm.node.session.fat.home_road"
"""The same for a home that is to outlive the connection."""
_PLACEHOLDER = "server"
"""Where ssh wants a host's name and the connection is there already."""


def known_hosts(servers: Iterable[SessionServer]) -> str:
    """The file in which ssh looks for the servers' keys."""
    return "".join(f"{_alias(server)} {key}\n" for server in servers for key in server.host_keys)


def probe(server: SessionServer, user: str) -> list[str]:
    """Ask for the methods of authentication, by trying none of them."""
    return [*_trusting(server, "none"), "-o", "BatchMode=yes", "-l", user, server.host, "true"]


def once(server: SessionServer, user: str, method: str) -> list[str]:
    """Log in, do nothing, and leave: it succeeds when the server takes what the user types."""
    return [*_trusting(server, method), "-T", "-x", "-l", user, server.host, "true"]


def master(server: SessionServer, user: str, method: str, alive_count: int = ALIVE_COUNT) -> list[str]:
    """Open the connection, and go to the background when the user is authenticated.

    ``-Y`` is here because a session's own is not heard. That no command is run is for the cookie: ssh keeps the first
    one that it reads, and there is none before the desktop starts.
    """
    return [
        *_trusting(server, method),
        *("-M", "-N", "-Y", "-S", CONTROL, "-o", f"ControlPersist={UNUSED_SECONDS}"),
        *("-o", f"ServerAliveInterval={ALIVE_SECONDS}", "-o", f"ServerAliveCountMax={alive_count}"),
        *("-l", user, server.host),
    ]


def master_by_key(server: SessionServer, user: str, key: str) -> list[str]:
    """Open the connection again, with a private key that lies in a file."""
    ssh, *options = master(server, user, "publickey", FAT_ALIVE_COUNT)
    first = ("IdentitiesOnly=yes", "PubkeyAuthentication=yes", "BatchMode=yes")
    return [ssh, "-i", key, *(word for option in first for word in ("-o", option)), *options]


def terminal(server: SessionServer, user: str, keys: str) -> list[str]:
    """Log in on a terminal, which ssh asks for the password; ``keys``: a file of the server's host keys."""
    return [*_trusting(server, "keyboard-interactive,password", keys), "-t", "-l", user, server.host]


def over_master(command: str, *options: str) -> list[str]:
    """Run a command over the connection; with none it fails, and connects to nobody."""
    return [*_BARE, "-S", CONTROL, "-o", "ProxyCommand=false", *options, _PLACEHOLDER, *([command] if command else [])]


def by_sh(script: str) -> str:
    """A command that has sh run a script on the server, whatever the user's shell is."""
    return f"exec sh -c {shlex.quote(script)}"


def _alias(server: SessionServer) -> str:
    return f"[{server.host}]:{server.port}"


def _trusting(server: SessionServer, method: str, keys: str = KNOWN_HOSTS) -> list[str]:
    options = (
        *server.options,
        f"Port={server.port}",
        f"ConnectTimeout={CONNECT_SECONDS}",
        f"PreferredAuthentications={method}",
        "PubkeyAuthentication=no",
        "NumberOfPasswordPrompts=1",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=none",
        f"GlobalKnownHostsFile={keys}",
        f"HostKeyAlias={_alias(server)}",
        "UpdateHostKeys=no",
    )
    return [*_BARE, *(word for option in options for word in ("-o", option))]
