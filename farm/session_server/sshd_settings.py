"""sshd's settings for thin clients: what it has, and a file of ours in /etc/ssh/sshd_config.d while a farm is up.

Debian's sshd serves thin clients as it is; ours makes three things better: an expired password is changed at the
greeter (keyboard-interactive), a client that was switched off is noticed, and the sockets of a session can be made
again. The file holds for connections to the lab's address alone, and says nothing where somebody else has said it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from farm import command
from farm.errors import CommandError, FarmError
from farm.home import write_atomic

DROP_INS = Path("/etc/ssh/sshd_config.d")
RUN = Path("/run/sshd")
"""sshd wants it even to check its settings; with its socket unit, it is there during connections alone."""
_ASKING = "KbdInteractiveAuthentication yes"
BETTER = {
    "kbdinteractiveauthentication": ("no", _ASKING),
    "clientaliveinterval": ("0", "ClientAliveInterval 15"),
    "streamlocalbindunlink": ("no", "StreamLocalBindUnlink yes"),
}
"""Setting → the value, sshd's or Debian's own, that is made better, and the line that does."""
UNSAID = "not in connection test specification"
"""Why sshd 9.2 does not tell what holds for everybody where something holds for a LocalPort alone (Match)."""
NOBODY = "user=UNKNOWN,host=UNKNOWN,addr=192.0.2.1,laddr=192.0.2.1,lport=1"
"""A connection that there is not (RFC 5737), for which nothing in particular holds."""
USUAL_PORT = "22"
"""That thin clients connect to, where sshd listens there."""
Effective = Mapping[str, str]
"""What sshd goes by: setting in small letters → value (sshd -T)."""


def effective(address: str = "") -> Effective:
    """The settings in force for connections to ``address`` of this computer; for none in particular without it.

    For root. Raises FarmError where there is no sshd, and where its settings have an error.
    """
    with contextlib.suppress(OSError):
        RUN.mkdir(mode=0o755, exist_ok=True)
    try:
        pairs = _said()
    except CommandError as error:
        if UNSAID not in error.output:
            raise
        pairs = _said("-C", NOBODY)
    if address:
        ports = [value for key, value in pairs if key == "port"]
        port = USUAL_PORT if USUAL_PORT in ports or not ports else ports[0]
        pairs = _said("-C", f"user=nobody,host=client,addr={address},laddr={address},lport={port}")
    return dict(pairs)


def _said(*options: str) -> list[tuple[str, str]]:
    """All settings and their values; some, such as Port, are there more than once."""
    said = command.run(["sshd", "-T", *options], fix="Correct it: sudo sshd -t").stdout
    pairs = (line.partition(" ") for line in said.splitlines())
    return [(key, value) for key, _, value in pairs]


def improve(farm: str, home: Path, address: str) -> str:
    """Write the file and make sshd read it; returns what was done, empty when nothing had to be.

    ``home``: farm.yaml's path, by which a farm knows its own file. Raises FarmError; all is then as it was.
    """
    path, before = _path(farm), effective()
    better = better_lines(before)
    if not better:
        return revert(farm, home)
    content, old = drop_in(farm, home, address, better), _content(path)
    written = old == content
    if not written:
        _require_own(path, home)
        write_atomic(path, content, mode=0o644)
    # One that is written already may be of a `farm up` that was killed before it checked it, or before sshd read it.
    try:
        _require_only_ours(path, before, effective(address))
    except FarmError:
        _put_back(path, "" if written else old)
        raise
    _reload(before)
    return "" if written else f"wrote {path}"


def revert(farm: str, home: Path) -> str:
    """Remove the file that this farm wrote, and make sshd read its settings; what was done. Raises FarmError.

    One that another farm of its name wrote is left, and that is said.
    """
    path = _path(farm)
    if not path.exists():
        return ""
    if not _is_own(path, home):
        return f"left {path}, whose first line does not name {home}"
    path.unlink()
    # Where somebody has broken sshd's settings meanwhile, it goes on with those that it has read.
    _reload(effective())
    return f"removed {path}"


def better_lines(base: Effective) -> list[str]:
    """What is to be said for the lab, where sshd has the settings ``base`` for everybody.

    What differs there from sshd's and Debian's own values is an administrator's wish, and stays. Without passwords,
    keyboard-interactive would let them in by another door.
    """
    lines = [line for key, (usual, line) in BETTER.items() if base.get(key) == usual]
    return lines if base.get("passwordauthentication") == "yes" else [line for line in lines if line != _ASKING]


def drop_in(farm: str, home: Path, address: str, lines: Iterable[str]) -> str:
    """The file that says so of connections to ``address``."""
    head = f"""{_mark(home)}
# Better log-ins at the thin clients of the farm {farm}, whose network this is (docs/thin-clients.md).
# What another file here, whose name comes before this one's, says of such connections wins.
Match LocalAddress {address}
"""
    return head + "".join(f"  {line}\n" for line in lines)


def _require_only_ours(path: Path, before: Effective, lab: Effective) -> None:
    """Raises FarmError where the file changes what holds for others, or nothing for the lab."""
    if effective() != before:
        raise FarmError(f"{path} would change more than connections of the lab.", "", "Look: sudo sshd -T")
    lines = _content(path).splitlines()
    if any(f"  {line}" in lines and lab.get(key) == usual for key, (usual, line) in BETTER.items()):
        why = "/etc/ssh/sshd_config does not include that folder, or another file says otherwise."
        raise FarmError(f"sshd does not go by {path}.", why, "See docs/thin-clients.md")


def _path(farm: str) -> Path:
    """Late among its like: of two files that say something of a connection, the first one counts for sshd."""
    return DROP_INS / f"zz-farm-{farm}.conf"


def _mark(home: Path) -> str:
    return f"# Written by `farm up` for {home}, and removed by `farm down`: changes here are lost."


def _is_own(path: Path, home: Path) -> bool:
    """Whether this farm wrote it, or one of its name whose farm.yaml is gone: it was moved, or removed."""
    first = _content(path).partition("\n")[0]
    before, after = _mark(Path("\n")).split("\n")
    written = first.removeprefix(before).removesuffix(after)
    return first == _mark(home) or (first == _mark(Path(written)) and not os.path.lexists(written))


def _require_own(path: Path, home: Path) -> None:
    if path.exists() and not _is_own(path, home):
        raise FarmError(f"{path} is not this farm's.", f"Its first line does not name {home}.", f"Look: cat {path}")


def _content(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _put_back(path: Path, old: str) -> None:
    if old:
        write_atomic(path, old, mode=0o644)
    else:
        path.unlink(missing_ok=True)


def _reload(settings: Effective) -> None:
    """Make the sshd that runs read its settings again, as its unit does; connections that there are go on.

    One that is started for each connection reads them anyway.
    """
    try:
        pid = int(_content(Path(settings.get("pidfile", "none"))))
        if psutil.Process(pid).name() == "sshd":
            os.kill(pid, signal.SIGHUP)
    except (ValueError, OSError, psutil.Error):
        return
