"""A virtual machine's screen and keyboard: the lab's QEMU command, and a boot sector that says what is typed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner, Result

from farm.cli.node_screen import screen, type_
from farm.config import FIRST_KIND, Config, VirtualConfig
from farm.errors import FarmError
from farm.home import Home
from farm.instance import Instance
from farm.virtual import bridge, qemu
from farm.virtual.keyboard import chords, press
from farm.virtual.namespace import exec_prefix
from farm.virtual.qmp import Qmp
from farm.virtual.screen import picture, read
from tests.lab import until

NAME = f"ft-{os.getpid()}-scr"
# mov al, '>'; out 0xe9, al; then for ever: xor ax, ax; int 0x16 (a key); out 0xe9, al; mov ah, 0x0e; int 0x10 (shown)
ECHO = bytes.fromhex("b03ee6e9 31c0cd16e6e9b40ecd10ebf4").ljust(510, b"\0") + b"\x55\xaa"
TYPED = string.punctuation + "aZ09 "


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A farm whose only machine runs the boot sector; what it hears is in the file ``heard``."""
    folder = tmp_path_factory.mktemp("screen")
    home = Home.at(folder)
    for path in (home.logs, home.runtime):
        path.mkdir(parents=True)
    machines = qemu.machines(2, "virtio")
    Instance(config=Config(), interface="farm0", images={FIRST_KIND: "1"}, started=1.0, machines=machines).save(home)
    (folder / "disk").write_bytes(ECHO.ljust(1 << 16, b"\0"))
    argv = [*qemu.service(machines[0], 1, home, VirtualConfig(memory=64, cpus=1)).argv]
    argv += ["-drive", f"format=raw,file={folder / 'disk'}", "-boot", "order=c"]
    argv += ["-chardev", f"file,id=heard,path={folder / 'heard'}", "-device", "isa-debugcon,iobase=0xe9,chardev=heard"]
    bridge.create(NAME, 1500, 1)
    process = subprocess.Popen([*exec_prefix(NAME), *argv], stdin=subprocess.DEVNULL)
    try:
        until(lambda: heard(home) == ">", "the boot sector does not run")
        yield home
    finally:
        process.kill()
        process.wait()
        bridge.remove(NAME)


def heard(home: Home) -> str:
    path = home.runtime.parent / "heard"
    return path.read_bytes().decode() if path.exists() else ""


def invoke(command: Command, home: Home, *words: str) -> str:
    """What it prints; raises what it raises."""
    done: Result = CliRunner().invoke(command, words, obj=home, catch_exceptions=False, standalone_mode=False)
    return done.output


def test_what_is_typed_is_heard_and_seen(home: Home) -> None:
    before, said = picture(home, "virtual-1"), heard(home)

    with Qmp("virtual-1", qemu.qmp_socket(home, "virtual-1")) as machine:
        press(machine, chords(TYPED))

    until(lambda: heard(home) == said + TYPED, f"{TYPED} is not heard")
    after = picture(home, "virtual-1")
    assert (before.width, before.height) == (after.width, after.height)
    assert min(before.width, before.height) >= 200
    assert before.data != after.data
    assert not list(qemu.qmp_socket(home, "virtual-1").parent.glob("*.png"))


def test_the_commands_save_a_picture_and_type(home: Home, tmp_path: Path) -> None:
    said, target = heard(home), tmp_path / "shown.png"

    shown = json.loads(invoke(screen, home, "52:54:00:fa:00:01", str(target), "--json"))
    invoke(type_, home, "virtual-1", "two", "words", "--enter")
    invoke(type_, home, "virtual-1", "--keys", "shift-a", "spc")

    assert {"schema": 1, "node": "virtual-1", "file": str(target)}.items() <= shown.items()
    saved = read(target.read_bytes())
    assert (saved.width, saved.height) == (shown["width"], shown["height"])
    until(lambda: heard(home) == said + "two words\rA ", "it is not heard")
    assert f"{target}: the screen of virtual-1" in invoke(screen, home, "virtual-1", str(target))


def test_keys_that_there_are_not_are_refused(home: Home) -> None:
    with pytest.raises(FarmError, match="virtual-1 refuses the command send-key"):
        invoke(type_, home, "virtual-1", "--keys", "ctrl-any")
    with pytest.raises(FarmError, match="'é' cannot be typed"):
        invoke(type_, home, "virtual-1", "é")


def test_the_screen_is_offered_by_vnc_on_loopback_alone(home: Home) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(FarmError, match=f"TCP port {port} cannot be used"):
            probe.listen()
            invoke(screen, home, "virtual-1", "--vnc", "--port", str(port))
    argv = [sys.executable, "-m", "farm", "--home", str(home.runtime.parent), "node", "screen", "virtual-1"]
    process = subprocess.Popen([*argv, "--vnc", "--port", str(port)], stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: greeting("127.0.0.1", port) == b"RFB ", "no VNC server answers")
        assert b"" == greeting("127.0.0.2", port)
    finally:
        process.terminate()
        _, said = process.communicate()
    assert f"vncviewer 127.0.0.1::{port}" in said


def greeting(address: str, port: int) -> bytes:
    """The first bytes that a server says; empty when there is none."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 5) as connection:
        return connection.recv(4, socket.MSG_WAITALL)
    return b""


def test_a_machine_that_is_off_has_no_screen(home: Home, tmp_path: Path) -> None:
    for command, words in ((screen, [str(tmp_path / "x.png")]), (screen, ["--vnc"]), (type_, ["text"])):
        with pytest.raises(FarmError, match="virtual-2 is off") as caught:
            invoke(command, home, "virtual-2", *words)
        assert "Start it: sudo farm up" == caught.value.fix
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("said", [b"", b"hello\n", b"[1]\n"])
def test_what_does_not_answer_as_qemu_does_is_named(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            connection.sendall(said)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FarmError, match="virtual-1 does not answer"), Qmp("virtual-1", tmp_path / "qmp"):
            pass
        thread.join()


def test_a_folder_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(FarmError, match=r"gone/x\.png cannot be written"):
        invoke(screen, home, "virtual-1", str(tmp_path / "gone/x.png"))


def test_a_pcs_screen_is_where_it_stands(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.runtime.mkdir()
    home.state.mkdir()
    Instance(config=Config(), interface="eno2", images={FIRST_KIND: "1"}, started=1.0).save(home)
    for command, part in ((screen, "screen"), (type_, "keyboard")):
        with pytest.raises(FarmError, match=f"Only virtual machines have a {part} here"):
            invoke(command, home, "pc01", "text")
