"""Runs one screen, as root, until its program ends; its unit starts it again then.

A text screen is the shell or ssh on its console. A screen with windows is an X server with one program: both end
together, and nothing of what the program wrote is left.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

from farm.node.contract import SettingsError
from farm.node.files import write
from farm.node.session.lts_screens import CONSOLE, Screen, for_screen, on_display, screens_of
from farm.node.session.lts_screens.programs import Program, program_of
from farm.node.session.lts_values import LtsValues, told_values
from farm.node.session.pam.user_name import why_not
from farm.node.session.session_settings import HOST, SessionServer, read_session
from farm.node.session.ssh_client.ssh_command import known_hosts, terminal

USER = "farm-screen"
"""Runs the programs of all screens but those that are root's."""
FOLDER = "/run/farm/screens"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/games"
READY_SECONDS = 60.0
"""In which an X server has to come up; a slow machine's takes half of it."""


def main(number: int) -> int:
    """Run the screen of this number; the exit code is for systemd, which starts it again in any case."""
    screens, _ = screens_of(told_values())
    screen = next((each for each in screens if each.number == number), None)
    if screen is None:
        return os.EX_CONFIG
    lts = for_screen(told_values(), number)
    with _folder(number) as folder:
        if screen.kind in CONSOLE:
            return _shell() if screen.kind == "shell" else _ssh(screen, lts, folder)
        program = program_of(screen, lts, shutil.which)
        if program.why_not:
            return _say_on_console(number, program.why_not)
        return windowed(number, program, folder)


@contextlib.contextmanager
def _folder(number: int) -> Iterator[str]:
    """A new home for the programs of a screen."""
    account = pwd.getpwnam(USER)
    folder = f"{FOLDER}/{number}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    os.chown(folder, account.pw_uid, account.pw_gid)
    os.chmod(FOLDER, 0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shell() -> int:
    environment = {"HOME": "/root", "TERM": os.environ.get("TERM", "linux"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(["/bin/bash", "--login"], cwd="/root", env=environment, check=False).returncode


def _ssh(screen: Screen, lts: LtsValues, folder: str) -> int:
    """Ask for a name and log in to a server whose host keys the machine was told."""
    try:
        server = ssh_server(screen.words[0] if screen.words else lts.text("SSH_HOST"), read_session().servers)
    except SettingsError as error:
        return _say_here(str(error))
    try:
        name = input(f"\nLog in to {server.host} as: ").strip()
    except (EOFError, UnicodeDecodeError):
        return 1
    if not name or (flaw := why_not(name, ())):
        sys.stdout.write(f"{flaw}\n" if name else "")
        return 1
    keys = f"{folder}/known_hosts"
    write(keys, known_hosts([server]))
    return subprocess.run(_as_user(terminal(server, name, keys)), env=_environment(folder), check=False).returncode


def ssh_server(wanted: str, servers: tuple[SessionServer, ...]) -> SessionServer:
    """The server of an ssh screen, which is one of those for sessions; raises SettingsError."""
    if not wanted:
        return servers[0]
    found = next((each for each in servers if HOST.fullmatch(wanted.lower()) and each.host == wanted.lower()), None)
    if found is None:
        raise SettingsError(f"The host keys of {wanted[:60]!r} are not known: name it in LDM_SERVER as well.")
    return found


def windowed(number: int, program: Program, folder: str) -> int:
    """Run an X server and the program on it until one of them ends."""
    display, cookie = f":{number}", f"{folder}/.Xauthority"
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ended_with(signal.SIGTERM))
        _write_cookie(display, cookie)
        server = stack.enter_context(_x_server(number, cookie))
        os.environ.update(DISPLAY=display, XAUTHORITY=cookie)
        on_display.main(number)
        environment = _environment(folder) | {"DISPLAY": display, "XAUTHORITY": cookie}
        if program.manager:
            stack.enter_context(_running(_as_user([program.manager]), environment))
        argv = list(program.argv) if program.as_root else _as_user(list(program.argv))
        own = {"HOME": "/root"} if program.as_root else {}
        client = stack.enter_context(_running(argv, environment | own, program.typed))
        ended = {client.pid, server.pid}
        while os.wait()[0] not in ended:
            pass
    return 0


@contextlib.contextmanager
def _x_server(number: int, cookie: str) -> Iterator[subprocess.Popen[bytes]]:
    """An X server on the terminal of this number, which has come up; nobody reaches it over the network."""
    reader, writer = os.pipe()
    argv = ["X", f":{number}", f"vt{number}", "-novtswitch", "-noreset", "-nolisten", "tcp", "-auth", cookie]
    with subprocess.Popen([*argv, "-displayfd", str(writer)], stdin=subprocess.DEVNULL, pass_fds=[writer]) as server:
        os.close(writer)
        try:
            signal.alarm(int(READY_SECONDS))
            with open(reader, "rb") as told:  # to its end: the server ends if it cannot write all of its line
                up = told.readline()
            signal.alarm(0)
            if not up:
                raise SystemExit("farm-node: the X server of this screen does not start")
            yield server
        finally:
            server.terminate()


@contextlib.contextmanager
def _running(argv: list[str], environment: dict[str, str], typed: str = "") -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert process.stdin
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(typed.encode())
                process.stdin.close()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


@contextlib.contextmanager
def _ended_with(number: signal.Signals) -> Iterator[None]:
    """A signal ends this program as an exception does: what it has started ends as well."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(number, end), signal.signal(signal.SIGALRM, end)
    try:
        yield
    finally:
        signal.signal(number, before[0])
        signal.signal(signal.SIGALRM, before[1])


def _write_cookie(display: str, file: str) -> None:
    """Readable by the user of the screens; the cookie itself is in no command line."""
    said = f"add {display} . {secrets.token_hex(16)}\n"
    subprocess.run(["xauth", "-q", "-f", file, "source", "-"], input=said, text=True, check=True)
    account = pwd.getpwnam(USER)
    os.chown(file, account.pw_uid, account.pw_gid)


def _as_user(argv: list[str]) -> list[str]:
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--", *argv]


def _environment(folder: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("LANG", "TERM") if key in os.environ}
    return {"PATH": PATH, "HOME": folder, "XDG_RUNTIME_DIR": folder, "USER": USER, **kept}


def _say_on_console(number: int, text: str) -> int:
    """On the terminal whose X server has no program; and once in the log."""
    sys.stderr.write(f"farm-node: {text}\n")
    with open(f"/dev/tty{number}", "w") as console:
        console.write(f"\r\n{text}\r\n")
    return _wait()


def _say_here(text: str) -> int:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()
    return _wait()


def _wait() -> int:
    """Nothing changes before the machine is booted again: to start again would only say the same."""
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
