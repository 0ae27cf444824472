"""Machines for tests of log-ins: each with a root of its own, laid over this machine's, in a test's namespace."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from farm.virtual.own_root import OwnRoot
from tests.lab import Namespace

TOP = Path(__file__).parents[1]


class Diskless(OwnRoot):
    """A machine in a network namespace that a test has made."""

    def __init__(self, namespace: Namespace, name: str, base: Path = Path("/")) -> None:
        super().__init__(namespace.name, namespace.folder, name, base)
        self.namespace = namespace


@contextlib.contextmanager
def diskless(namespace: Namespace, name: str, base: Path = Path("/")) -> Iterator[Diskless]:
    """A machine that has booted; its root is laid over the one in ``base``."""
    machine = Diskless(namespace, name, base)
    try:
        machine.boot()
        yield machine
    finally:
        machine.shut_down()


def copy_into(machine: OwnRoot, source: Path, target: str) -> None:
    """Copy a folder's content into one of the machine, as root's and readable by all, as an image is made."""
    options = ["--owner=0", "--group=0", "--mode=u+rw,go=rX", "--exclude=__pycache__"]
    packed = subprocess.run(["tar", "-C", str(source), *options, "-c", "."], check=True, capture_output=True).stdout
    machine.run("mkdir", "-p", target)
    subprocess.run(machine.argv("tar", "-C", target, "--no-overwrite-dir", "-x"), input=packed, check=True)
