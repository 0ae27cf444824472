"""The farm's services under supervisord: render its configuration, start it, ask it, stop it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import signal
import sys
import time
import xmlrpc.client
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from farm import command
from farm.errors import FarmError
from farm.home import Home, remove, write_atomic
from farm.processes import ENVIRONMENT_MARK, end_processes, processes_with_environment
from farm.unix_http import UnixHTTPConnection

SUPERVISOR_SECONDS = 20.0
"""Seconds that supervisord has to carry out an order."""
SUPERVISOR_LOOK_SECONDS = 5.0
"""Seconds that supervisord has to say how its services are."""


@dataclass(frozen=True)
class Service:
    """A program that supervisord keeps running.

    ``restart``: start it again when it ends; a virtual machine that powers itself off stays off.
    ``order``: lower starts earlier and stops later.
    """

    name: str
    argv: Sequence[str]
    capabilities: Sequence[str] | None = None
    """All that it may do as root (capabilities(7), without cap_); None: everything, for what drops it itself."""
    order: int = 100
    restart: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 10
    stop_signal: str = ""
    """The signal that ends it, as `KILL`; empty: TERM."""
    log: str = ""
    """Name of the log of what it prints; its own name unless set."""


@dataclass(frozen=True)
class ServiceState:
    """What supervisord says of a service; ``since`` is Unix time, ``pid`` 0 when it does not run."""

    name: str
    state: str
    pid: int
    since: float
    detail: str

    @property
    def up(self) -> bool:
        """It runs, and has done so for a moment."""
        return self.state == "RUNNING"


def confined(service: Service) -> list[str]:
    """The command of a service, with no more rights than it needs (setpriv(1))."""
    if service.capabilities is None:
        return list(service.argv)
    bounds = ",".join(["-all", *(f"+{name}" for name in service.capabilities)])
    return ["setpriv", "--no-new-privs", f"--bounding-set={bounds}", "--inh-caps=-all", "--", *service.argv]


def render(home: Home, services: Sequence[Service]) -> str:
    """Configuration of supervisord (supervisord.org/configuration.html); ``%`` is doubled as its parser wants.

    Raises FarmError for what its format cannot say: a comment's mark after a space, a line break.
    """
    socket_path = home.supervisor_socket
    head = f"""[unix_http_server]
file={socket_path}
chmod=0700

[supervisord]
logfile={home.logs}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=2
pidfile={home.runtime}/supervisord.pid
childlogdir={home.logs}
umask=022
# Of each service, too: nginx needs two for each PC that boots, dnsmasq one, and most systems give it 1024.
minfds=8192

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket_path}
"""
    programs = []
    for service in sorted(services, key=lambda s: (s.order, s.name)):
        environment = ",".join(f'{key}="{value}"' for key, value in service.environment.items())
        lines = [
            f"[program:{service.name}]",
            f"command={shlex.join(confined(service))}",
            f"priority={service.order}",
            "autostart=true",
            f"autorestart={'true' if service.restart else 'false'}",
            "startsecs=1",
            "startretries=30" if service.restart else "startretries=0",
            f"stopwaitsecs={service.stop_seconds}",
            "stopasgroup=true",
            "killasgroup=true",
            # Of all values this one is expanded twice.
            f"stdout_logfile={home.logs}/{service.log or service.name}.log".replace("%", "%%"),
            "stdout_logfile_maxbytes=4MB",
            "stdout_logfile_backups=1",
            "redirect_stderr=true",
        ]
        if service.stop_signal:
            lines.append(f"stopsignal={service.stop_signal}")
        if environment:
            lines.append(f"environment={environment}")
        programs.append(lines)
    for line in [line for lines in programs for line in lines]:
        if re.search(r"\s[;#]|[\r\n]", line):
            raise FarmError(
                "supervisord could not read this setting.",
                f"supervisord reads text after a space and ; or # as a comment: {line!r}",
                "Remove these characters from the values in farm.yaml and from the path of the farm's home.",
            )
    text = "\n\n".join([head, *("\n".join(lines) for lines in programs)])
    return text.replace("%", "%%") + "\n"


class _UnixTransport(xmlrpc.client.Transport):
    # supervisor has a transport of its own for this, which waits for ever.
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self.socket_path = path
        self.timeout = timeout
        self._connection = None, None

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = self._connection[1] or UnixHTTPConnection(self.socket_path, timeout=self.timeout)
        self._connection = host, connection
        return connection


class Supervisor:
    """The farm's supervisord, whether or not it runs."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.config_path = home.runtime / "supervisord.conf"
        self.pid_path = home.runtime / "supervisord.pid"

    @contextlib.contextmanager
    def _rpc(self, timeout: float = SUPERVISOR_SECONDS) -> Iterator[Any]:
        transport = _UnixTransport(self.home.supervisor_socket, timeout)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            yield server.supervisor

    @property
    def pid(self) -> int | None:
        """Process id of supervisord, if it lives: its pid file and its argv must agree, since pids are used again.

        Where the file is lost or says something else, it is looked for by its argv.
        """
        named = self._named_pid()
        return named if named is not None else self._found_pid()

    def _named_pid(self) -> int | None:
        try:
            pid = int(self.pid_path.read_text())
            argv = psutil.Process(pid).cmdline()
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if str(self.config_path) in argv else None

    def _found_pid(self) -> int | None:
        wanted = self.argv()[1:]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[1:] == wanted:
                    return process.pid
        return None

    @property
    def alive(self) -> bool:
        """It runs and answers."""
        if self.pid is None:
            return False
        try:
            with self._rpc() as rpc:
                rpc.getState()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False
        return True

    def argv(self) -> list[str]:
        """The command that starts it; it goes to the background by itself."""
        return [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config_path)]

    def disturbed(self, services: Sequence[Service]) -> set[str]:
        """Names of the services that `converge` would end or start again."""
        try:
            old = _programs(self.config_path.read_text())
        except OSError:
            return set()
        new = _programs(render(self.home, services))
        return {name for name, text in old.items() if new.get(name) != text}

    def values(self, variable: str) -> set[str]:
        """What a variable is in the environments of the services as they were started last."""
        try:
            return set(re.findall(rf'\b{re.escape(variable)}="([^"]*)"', self.config_path.read_text()))
        except OSError:
            return set()

    def converge(self, services: Sequence[Service], prefix: Sequence[str] = (), *, power_on: bool = True) -> None:
        """Make these services run, and no others: start supervisord, or tell a running one what has changed.

        ``prefix``: an argv put before supervisord's, to enter a namespace. ``power_on``: also start machines that
        have powered themselves off.
        """
        write_atomic(self.config_path, render(self.home, services))
        self.resume()
        if not self.alive:
            self._kill_leftover()
            # Python must not look for modules in the folder where `farm up` was typed, which may hold anything. Not by
            # the option -P: by its argv a supervisord of an earlier release is found, too.
            environment = {ENVIRONMENT_MARK: str(self.config_path), "PYTHONSAFEPATH": "1"}
            command.run([*prefix, *self.argv()], timeout=30, env=environment)
            self._wait_until_alive()
            return
        try:
            self._write_pid()
            left_off = set() if power_on else {service.name for service in services if not service.restart}
            with self._rpc() as rpc:
                _apply_changes(rpc, left_off)
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise FarmError(
                "supervisord refused the new configuration.", str(error), "See: farm logs supervisord"
            ) from error

    def resume(self) -> None:
        """Let a supervisord go on that somebody stopped (SIGSTOP): to start another would end the machines."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).resume()

    def _write_pid(self) -> None:
        """Mend a pid file that was lost, for whoever else reads it."""
        if self._named_pid() is None:
            write_atomic(self.pid_path, f"{self.pid}\n")

    def _wait_until_alive(self) -> None:
        for _ in range(100):
            if self.alive:
                return
            time.sleep(0.1)
        raise FarmError(
            "supervisord did not start within 10 s.",
            f"Its log is {self.home.logs}/supervisord.log.",
            "Look at the log, then run again: sudo farm up",
        )

    def _kill_leftover(self) -> None:
        """End services whose supervisord was killed: they would hold its ports."""
        pid = self.pid
        if pid is not None:
            end_processes([psutil.Process(pid)])
        end_processes(self.orphans())
        remove(self.home.supervisor_socket)  # whatever has taken its place

    def orphans(self) -> list[psutil.Process]:
        """Processes that a supervisord of this home started: they inherit the mark in its environment."""
        return processes_with_environment(ENVIRONMENT_MARK, str(self.config_path))

    def status(self) -> list[ServiceState]:
        """All services, in the order they start; raises FarmError when supervisord does not answer."""
        try:
            with self._rpc(SUPERVISOR_LOOK_SECONDS) as rpc:
                infos = rpc.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise FarmError("The farm's services are not running.", str(error), "Start them: sudo farm up") from error
        return [
            ServiceState(info["name"], info["statename"], info["pid"], float(info["start"]), info["description"])
            for info in infos
        ]

    def stop(self, name: str) -> None:
        """Stop one service and wait for its end; nothing happens when it does not run."""
        with contextlib.suppress(xmlrpc.client.Fault), self._rpc() as rpc:
            rpc.stopProcess(name)

    def start(self, name: str) -> None:
        """Start one service; nothing happens when it runs."""
        with contextlib.suppress(xmlrpc.client.Fault), self._rpc() as rpc:
            rpc.startProcess(name)

    def signal(self, name: str, number: str) -> None:
        """Send one service a signal (``USR1``); nothing happens when it, or supervisord, does not run."""
        with contextlib.suppress(OSError, xmlrpc.client.Error, http.client.HTTPException), self._rpc() as rpc:
            rpc.signalProcess(name, number)

    def restart(self, name: str) -> None:
        """Stop and start one service. Raises FarmError when supervisord does not answer, or it does not start."""
        try:
            self.stop(name)
            with self._rpc() as rpc:
                rpc.startProcess(name)
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise FarmError(f"{name} was not restarted.", str(error), "Start it: sudo farm up") from error

    def shutdown(self) -> None:
        """Stop all services and supervisord itself; returns when none of them is left."""
        pid = self.pid
        if pid is not None:
            self.resume()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).wait(timeout=60)
        self._kill_leftover()


def _programs(configuration: str) -> dict[str, str]:
    """The sections of supervisord's configuration that are services, by name."""
    sections = configuration.split("\n\n")
    found = (re.match(r"\[program:(.+)\]\n", section) for section in sections)
    return {match[1]: match.string.strip() for match in found if match}


def _apply_changes(rpc: Any, left_off: Collection[str]) -> None:
    ((added, changed, removed),) = rpc.reloadConfig()
    # First what is no longer wanted: what is added may need its port.
    for name in removed:
        rpc.stopProcessGroup(name)
        rpc.removeProcessGroup(name)
    for name in changed:
        # One after the other, started at once: a compiler call that meets no iceccd at the end of a job which it did
        # itself fails, by a fault of icecc 1.4 (client/local.cpp waits again for a child that it has waited for).
        rpc.stopProcessGroup(name)
        rpc.removeProcessGroup(name)
        rpc.addProcessGroup(name)
        with contextlib.suppress(xmlrpc.client.Fault):  # supervisord tries again by itself
            rpc.startProcess(name, False)
    for name in added:
        rpc.addProcessGroup(name)
    for process in rpc.getAllProcessInfo():
        if process["statename"] in ("STOPPED", "FATAL", "EXITED") and process["name"] not in left_off:
            rpc.startProcess(process["name"], False)
