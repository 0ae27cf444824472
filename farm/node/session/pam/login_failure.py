"""Why a log-in failed, read from what ssh says, and the sentence about it for the greeter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_NO_SESSION, _SSH_FAILED = 254, 255
"""Exit codes: of sshd when PAM refuses a session, as it does when there are too many; of ssh when there is none."""
MAX_SAID = 160
"""Characters of a server's own text in a sentence."""


EXPIRED = "Password change required but no TTY available"
"""What sshd says of a password that is right, and has to be changed."""


class FailureKind(Enum):
    """What was the case."""

    PASSWORD = "password"
    """The server does not accept name and password."""
    EXPIRED = "expired"
    """The password has to be changed first, and the server does not ask for a new one by itself."""
    UNCHANGED = "unchanged"
    """The password has to be changed, and that failed."""
    SILENT = "silent"
    """The server does not answer."""
    BUSY = "busy"
    """The server takes no further connection at the moment."""
    CHANGED_KEY = "changed key"
    UNKNOWN_KEY = "unknown key"
    TURNED_AWAY = "turned away"
    """The server does not let the user in, and says why in its own words."""
    CLOSED = "closed"
    """The server ended the connection: full, closed for maintenance, not for this user."""
    LOGGED_IN = "logged in"
    """The user has another session there, and keeps it."""
    NOT_ENDED = "not ended"
    """The user's other session does not end."""
    SHELL = "shell"
    """The account's shell runs no commands."""
    ACCOUNT = "account"
    """The account can not be used on this machine, where its session would run."""
    HOME = "home"
    """The account's home can not be used here."""
    ASKPASS = "askpass"
    """ssh on this machine can not ask for the password."""
    NOT_ALONE = "not alone"
    """Another log-in goes on at this machine."""
    SOMEBODY_HERE = "somebody here"
    """Somebody's session is on this machine."""
    OTHER = "other"


ELSEWHERE = {
    FailureKind.SILENT,
    FailureKind.BUSY,
    FailureKind.CHANGED_KEY,
    FailureKind.UNKNOWN_KEY,
    FailureKind.CLOSED,
    FailureKind.NOT_ALONE,
    FailureKind.OTHER,
}
"""With which another server can still let the user in. A wrong password is not shown to a second one."""

_SENTENCES = {
    FailureKind.PASSWORD: "Wrong user name or password.",
    FailureKind.EXPIRED: "Your password has expired, and {host} does not let you change it here.",
    FailureKind.UNCHANGED: "Your password has expired and was not changed.",
    FailureKind.SILENT: "The server {host} does not answer.",
    FailureKind.BUSY: "The server {host} is too busy for a log-in; try again.",
    FailureKind.CHANGED_KEY: "{host} shows a host key this machine was not told to trust; your password was not sent.",
    FailureKind.UNKNOWN_KEY: "This machine was not told the host key of {host}; your password was not sent.",
    FailureKind.TURNED_AWAY: "The server {host} does not let you in.",
    FailureKind.CLOSED: "The server {host} does not let you in now.",
    FailureKind.LOGGED_IN: "You are logged in on {host} already; that session goes on.",
    FailureKind.NOT_ENDED: "Your other session on {host} could not be ended; try again.",
    FailureKind.SHELL: "Your account on {host} has no shell that runs programs.",
    FailureKind.ACCOUNT: "Your account on {host} can not be used on this machine.",
    FailureKind.HOME: "Your home on {host} can not be opened here.",
    FailureKind.ASKPASS: "The log-in failed because of this machine itself, where ssh can not ask for your password.",
    FailureKind.NOT_ALONE: "Somebody else is logging in at this machine; try again.",
    FailureKind.SOMEBODY_HERE: "Somebody is logged in at this machine, and has to log out first.",
    FailureKind.OTHER: "The log-in on {host} failed.",
}


@dataclass(frozen=True)
class LoginFailure:
    """A log-in that failed."""

    kind: FailureKind
    host: str
    said: str = ""
    """The server's own words, or ssh's: one printable line."""
    offered: tuple[str, ...] = ()
    """How the server would let somebody in who has shown nothing."""

    @property
    def sentence(self) -> str:
        """What the greeter says about it."""
        sentence = _SENTENCES[self.kind].format(host=self.host)
        if self.kind is FailureKind.PASSWORD or not self.said:
            return sentence
        return f"{sentence[:-1]}: {self.said.rstrip('.')}."


_LAST_LINES = (
    (re.compile(r"Host key verification failed\."), FailureKind.UNKNOWN_KEY),
    (re.compile(r"\S+: Permission denied \(([a-z0-9,@.-]*)\)\."), FailureKind.PASSWORD),
    (re.compile(r"ssh: (connect to host|Could not resolve hostname) .*"), FailureKind.SILENT),
    (
        re.compile(r"Connection (timed out|to .* timed out).*|.*(Operation timed out|banner exchange).*"),
        FailureKind.SILENT,
    ),
    (re.compile(r"(Received disconnect|Disconnected) from .*|Connection (to .* )?closed by .*"), FailureKind.CLOSED),
)
"""What ssh's last line is, in its own words: a server's banner comes before it."""
_OWN = re.compile(
    "(Warning: |@|IT IS POSSIBLE|Someone could |It is also possible |The fingerprint |SHA256:|Please contact |Host key "
    r"|Add correct |Offending |remove with:|ssh-keygen |\S+ host key |No \S+ host key |kex_exchange|Connection "
    "|Received disconnect from |Disconnected from |Shared connection |mux_client|Control ?[Ss]ocket |Timeout, server "
    "|client_loop: ).*"
)
"""Lines of ssh itself that say nothing to a user."""


def of_connection(host: str, stderr: str) -> LoginFailure:
    """Why no connection came about, of what ssh wrote."""
    lines = _lines(stderr)
    last = lines[-1] if lines else ""
    found = ((match, kind) for pattern, kind in _LAST_LINES if (match := pattern.fullmatch(last)))
    match, kind = next(found, (None, FailureKind.OTHER))
    if any(line.startswith("kex_exchange_identification: ") for line in lines):
        return LoginFailure(FailureKind.BUSY, host)
    if any(line.startswith("ssh_askpass: ") for line in lines):
        return LoginFailure(FailureKind.ASKPASS, host)
    if kind is FailureKind.UNKNOWN_KEY and "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr:
        return LoginFailure(FailureKind.CHANGED_KEY, host)
    if kind is FailureKind.PASSWORD and match:
        said = _server_words(lines[:-1])
        return LoginFailure(kind, host, said, offered=tuple(match[1].split(",")))
    if kind is FailureKind.CLOSED:
        return LoginFailure(kind, host, _server_words(lines))
    return LoginFailure(kind, host, last[:MAX_SAID] if kind is FailureKind.OTHER else "")


def of_command(host: str, code: int, stdout: str, stderr: str) -> LoginFailure:
    """Why a first command failed on a connection that is open."""
    if EXPIRED in stderr:
        return LoginFailure(FailureKind.EXPIRED, host)
    said = _server_words(_lines(stderr) + _lines(stdout))
    if code in (_NO_SESSION, _SSH_FAILED):
        return LoginFailure(FailureKind.CLOSED, host, said)
    return LoginFailure(FailureKind.SHELL, host, said)


def last_words(text: str) -> str:
    """The last line of it that is not ssh's own."""
    return _server_words(_lines(text))


def _lines(text: str) -> list[str]:
    """Its lines without control characters."""
    lines = ("".join(each if each.isprintable() else " " for each in line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _server_words(lines: list[str]) -> str:
    said = [line for line in lines if not _OWN.fullmatch(line)]
    return said[-1][:MAX_SAID] if said else ""
