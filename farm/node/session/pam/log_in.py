"""A log-in: one server after the other is asked, and the connection to the first that lets the user in stays open."""

from __future__ import annotations

import syslog
import time
from collections.abc import Callable, Iterable

from farm.node.retry import pauses
from farm.node.session.pam import client_account, log_ins, login_failure
from farm.node.session.pam.interview import PASSWORD, Interview, Person
from farm.node.session.pam.login_failure import ELSEWHERE, EXPIRED, FailureKind, LoginFailure
from farm.node.session.pam.one_session import LOOK
from farm.node.session.session_settings import SessionServer
from farm.node.session.ssh_client import ssh_command
from farm.node.session.ssh_client.ssh_run import run, run_in_terminal

SENTINEL = "FARM-OK"
BUSY_TRIES = 8
"""At a server which takes no further connection at the moment: sshd's MaxStartups, when a whole room logs in."""
BUSY_PAUSES = 0.2, 2.0
"""Seconds between them, at first and in the end."""
_METHODS = ("keyboard-interactive", "password")
"""The better one first: it can ask for a new password. Only one is used, as a wrong password would be sent twice."""


Outcome = SessionServer | LoginFailure | None
"""The server to which there is a connection now, why there is none, or None when the user gave up."""
Limit = Callable[[str, str], LoginFailure | None]


class LogIn:
    """A user who wants to log in, on a machine whose display has a name (``:0``).

    ``repeats``: whether a failure is noted that is the same as before. ``limit``: says of a host, once the user is in,
    why a session must not begin there; it is told what LOOK has printed. ``alive_count``: how long a server may be
    silent (ALIVE_COUNT).
    """

    def __init__(
        self,
        user: str,
        person: Person,
        display: str,
        *,
        repeats: bool = True,
        limit: Limit = lambda host, looked: None,
        alive_count: int = ssh_command.ALIVE_COUNT,
    ) -> None:
        self.user = user
        self.person = person
        self.display = display
        self.repeats = repeats
        self.limit = limit
        self.alive_count = alive_count
        self.password: str | None = None
        self._banner = ""
        """What a server says to everybody."""
        self._looked = ""
        """What the first command has printed."""

    def try_all(self, servers: Iterable[SessionServer]) -> Outcome:
        """Ask one after the other."""
        failures = []
        for server in servers:
            failed = self._try(server)
            if failed is None:
                return server if self.password is not None else None
            self.note(failed)
            if failed.kind not in ELSEWHERE:
                return failed
            failures.append(failed)
        return failures[0] if failures else None

    def note(self, failed: LoginFailure) -> None:
        """Leave word of a failure for those who look after this machine."""
        syslog.syslog(syslog.LOG_AUTH | syslog.LOG_NOTICE, f"{self.user} at {failed.host}: {failed.sentence}")
        log_ins.note(self.user, failed.host, failed.sentence, repeats=self.repeats)

    def _try(self, server: SessionServer) -> LoginFailure | None:
        """Log in on a server, with or without success."""
        method = self._method(server)
        if isinstance(method, LoginFailure):
            return method
        if self.password is None:
            # Before the connection that it is for: an idle greeter must not keep one of the server's few places.
            self.password = "" if method == "none" else self.person.ask(PASSWORD)
        if self.password is None:
            return None
        self.person.tell(f"Logging in on {server.host} …")
        argv = ssh_command.master(server, self.user, method, self.alive_count)
        failed = self._open(server, argv) or self._look(server)
        if failed and failed.kind is FailureKind.EXPIRED:
            failed = self._change(server) or self._open(server, argv) or self._look(server)
        failed = failed or self.limit(server.host, self._looked)
        if failed:
            client_account.end_processes()
        return failed

    def _method(self, server: SessionServer) -> str | LoginFailure:
        """How to log in there. Also tells before a password is typed that a server is down or not the right one."""
        if not server.host_keys:
            return LoginFailure(FailureKind.UNKNOWN_KEY, server.host)
        said = self._patiently(server, ssh_command.probe(server, self.user))
        if isinstance(said, LoginFailure) and said.kind is not FailureKind.PASSWORD:
            return said
        if not isinstance(said, LoginFailure):
            return "none"
        offered, self._banner = said.offered, said.said
        method = next((method for method in _METHODS if method in offered), None)
        return method or LoginFailure(FailureKind.OTHER, server.host, f"it offers {', '.join(offered) or 'nothing'}")

    def check(self, server: SessionServer) -> LoginFailure | None:
        """Whether the server takes the user's password, without a connection that stays; why not."""
        method = self._method(server)
        if isinstance(method, LoginFailure):
            return method
        self.password = self.person.ask(PASSWORD)
        if self.password is None or method == "none":
            return LoginFailure(FailureKind.PASSWORD, server.host)
        failed = self._open(server, ssh_command.once(server, self.user, method))
        return None if failed and EXPIRED in failed.said else failed

    def _open(self, server: SessionServer, argv: list[str]) -> LoginFailure | None:
        """Open the connection, with the password or what the server asks."""
        interview = Interview(self.person, self.password or "")
        said = self._patiently(server, argv, interview)
        if said and said.kind is FailureKind.PASSWORD and interview.chosen is not None:
            return LoginFailure(FailureKind.UNCHANGED, server.host)
        if said and said.kind is FailureKind.PASSWORD and said.said != self._banner:
            return LoginFailure(FailureKind.TURNED_AWAY, server.host, said.said)
        if not said and interview.chosen is not None:
            self.password = interview.chosen
        return said

    def _patiently(
        self, server: SessionServer, argv: list[str], interview: Interview | None = None
    ) -> LoginFailure | None:
        """Run ssh, again when the server is busy; why it failed."""
        waits = pauses(*BUSY_PAUSES)
        for _ in range(BUSY_TRIES):
            said = run(argv, self.display, interview.answer if interview else lambda asked: None)
            if said.code == 0:
                return None
            failed = login_failure.of_connection(server.host, said.stderr)
            if failed.kind is not FailureKind.BUSY:
                break
            time.sleep(next(waits))
        return failed

    def _look(self, server: SessionServer) -> LoginFailure | None:
        """Run a first command: only that shows an expired password, or a shell that runs nothing.

        It looks for the user's other sessions by the way: each command is a time in which the user waits.
        """
        command = ssh_command.by_sh(f"{LOOK}; echo {SENTINEL}")
        said = run(ssh_command.over_master(command, "-x", "-T"), self.display)
        self._looked = said.stdout
        if f"{SENTINEL}\n" in said.stdout:
            return None
        return login_failure.of_command(server.host, said.code, said.stdout, said.stderr)

    def _change(self, server: SessionServer) -> LoginFailure | None:
        """Change an expired password where the server has no way to ask for it but a terminal, and disconnect."""
        interview = Interview(self.person, self.password or "")
        said = run_in_terminal(ssh_command.over_master("", "-x", "-tt"), self.display, interview.answer)
        client_account.end_processes()
        if said.code or interview.chosen is None:
            return LoginFailure(FailureKind.UNCHANGED, server.host, login_failure.last_words(said.stdout))
        self.password = interview.chosen
        return None
