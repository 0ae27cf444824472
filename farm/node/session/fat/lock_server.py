"""Who is logged in on which server: what the screen lock needs, which runs as the user. Nothing of it is secret."""

from __future__ import annotations

import json

from farm.node.contract import SettingsError
from farm.node.files import read, write
from farm.node.session.pam.user_name import USER_NAME
from farm.node.session.session_settings import SessionServer, parse_session
from farm.node.session.ssh_client.ssh_command import RUN

FILE = f"{RUN}/lock-server.json"


def tell(user: str, server: SessionServer, unattended: bool) -> None:
    """Leave it for the lock, as root at a log-in; ``unattended``: nobody there has a password."""
    told = {"host": server.host, "port": server.port, "host_keys": server.host_keys}
    write(FILE, json.dumps({"user": user, "options": server.options, "servers": [told], "open": unattended}))


def opens_by_itself(file: str = FILE) -> bool:
    """Whether a locked screen asks nobody: the password of a guest, or of the machine itself, is known to no person."""
    try:
        return json.loads(read(file))["open"] is True
    except (ValueError, KeyError, TypeError):
        return False


def told_server(file: str = FILE) -> tuple[str, SessionServer | None]:
    """The user and the server; None where nobody has logged in to a session of this machine's own."""
    try:
        said = json.loads(read(file))
        server = parse_session({"servers": said["servers"]}).servers[0]
        user, options = str(said["user"]), tuple(map(str, said["options"]))
    except (ValueError, KeyError, TypeError, SettingsError):
        return "", None
    if not USER_NAME.fullmatch(user):
        return "", None
    return user, SessionServer(server.host, server.port, server.host_keys, options)
