"""Running other programs: to their end, line by line, or detached."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from farm.errors import CommandError, MissingProgramError

log = logging.getLogger(__name__)
NO_END = -1
"""In place of the exit code of a program that did not end in its time."""

PACKAGES = {
    "curl": "curl",
    "dnsmasq": "dnsmasq-base",
    "nginx": "nginx-light",
    "gcc": "gcc libc6-dev",
    "icecc": "icecc",
    "iceccd": "icecc",
    "icecc-scheduler": "icecc",
    "nft": "nftables",
    "ip": "iproute2",
    "lpadmin": "cups",
    "qemu-system-x86_64": "qemu-system-x86",
    "mksquashfs": "squashfs-tools",
    "rsync": "rsync",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "socat": "socat",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "veritysetup": "cryptsetup-bin",
    "xz": "xz-utils",
}
"""Program → Debian package, for everything that the farm runs whatever exports it has."""

LONGEST_LINE = 1 << 16
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(program: str) -> str:
    """The path of a program, also from the sbin folders that a user's PATH may lack.

    Raises MissingProgramError, which names the Debian package.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    found = shutil.which(program, path=path)
    if found is None:
        raise MissingProgramError(program, PACKAGES.get(program, ""))
    return found


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    fix: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output (both streams, as one text) is in ``stdout``.

    Raises CommandError with the output when it fails (or takes more than ``timeout`` seconds) and ``check`` is set,
    MissingProgramError when it is not installed.
    """
    full = [find(argv[0]), *argv[1:]]
    log.debug("run: %s", shlex.join(full))
    try:
        done = subprocess.run(
            full,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
        raise CommandError(list(argv), NO_END, f"{output}\nno end after {timeout} s", fix) from late
    log.debug("exit %s: %s", done.returncode, done.stdout[-2000:])
    if check and done.returncode:
        raise CommandError(list(argv), done.returncode, done.stdout, fix)
    return done


def output(argv: Sequence[str]) -> Iterator[bytes]:
    """What a program writes to its standard output, line by line as it comes; the program ends with the iteration.

    A line beyond LONGEST_LINE comes in pieces.
    """
    full = [find(argv[0]), *argv[1:]]
    log.debug("run: %s", shlex.join(full))
    with subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield from iter(lambda: process.stdout.readline(LONGEST_LINE), b"")  # type: ignore[union-attr]
        finally:
            process.terminate()


def start(argv: Sequence[str], seconds: float = 2.0) -> None:
    """Start a program that goes on when we end; it is watched for ``seconds``.

    Raises CommandError with its output when it fails within that time.
    """
    full = [find(argv[0]), *argv[1:]]
    log.debug("start: %s", shlex.join(full))
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            full, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            threading.Thread(target=process.wait, daemon=True).start()
            return
        if code:
            output.seek(0)
            raise CommandError(list(argv), code, output.read())
