"""`farm node screen|type`: what a virtual machine shows, and typing on it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import rich_click as click

from farm.cli.node_access import virtual_machine
from farm.cli.output import err, out, show_json
from farm.cli.server_only import server_instance
from farm.command import find
from farm.errors import FarmError
from farm.home import Home
from farm.virtual.keyboard import chords, named_chord, press
from farm.virtual.qemu import qmp_socket, vnc_socket
from farm.virtual.qmp import Qmp
from farm.virtual.screen import picture

SCREEN_SCHEMA = 1
VNC_PORT = 5900
"""The first of VNC's ports; viewers count displays from it."""
LOOPBACK = "127.0.0.1"


@click.command()
@click.argument("name", metavar="NODE")
@click.argument("file", metavar="[FILE.png]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--vnc", is_flag=True, help="Offer the screen by VNC on this computer's loopback until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="TCP port for --vnc.  [default: 5900 and the machine's number]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the file's name and the picture's size as JSON.")
@click.pass_obj
def screen(home: Home, name: str, file: Path | None, vnc: bool, port: int | None, as_json: bool) -> None:
    """Save a picture of a virtual machine's screen, as NODE.png unless FILE.png is named."""
    if vnc and (file or as_json):
        raise click.UsageError("--vnc shows the screen, and saves no picture: leave out FILE.png and --json.")
    if port is not None and not vnc:
        raise click.UsageError("--port is for --vnc.")
    server_instance(home, "farm node screen")
    machine, number = virtual_machine(home, name, "screen")
    if vnc:
        _offer(machine.name, vnc_socket(home, machine.name), port or VNC_PORT + number)
    target = file or Path(f"{name}.png")
    shown = picture(home, machine.name)
    try:
        target.write_bytes(shown.data)
    except OSError as error:
        raise FarmError(f"{target} cannot be written.", f"{error.strerror}.", "Name another file.") from None
    if as_json:
        show_json(
            {
                "schema": SCREEN_SCHEMA,
                "node": machine.name,
                "file": str(target.absolute()),
                "width": shown.width,
                "height": shown.height,
            }
        )
    else:
        out.print(
            f"{target}: the screen of {machine.name}, {shown.width}x{shown.height}.", markup=False, soft_wrap=True
        )


def _offer(name: str, path: Path, port: int) -> None:
    """Become the program that passes VNC on; raises FarmError when the machine is off or the port taken."""
    _require_listener(name, path)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise FarmError(
                f"TCP port {port} cannot be used.", f"{error.strerror}.", "Choose another: --port PORT"
            ) from None
    err.print(
        f"The screen of {name}: vncviewer {LOOPBACK}::{port}\n"
        "All users of this computer can connect, and can type. End with Ctrl-C.",
        markup=False,
    )
    listener = f"TCP-LISTEN:{port},bind={LOOPBACK},reuseaddr,fork"
    os.execv(find("socat"), ["socat", listener, f"UNIX-CONNECT:{path}"])


def _require_listener(name: str, path: Path) -> None:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
    except OSError:
        raise FarmError(f"{name} is off.", f"No QEMU listens on {path}.", "Start it: sudo farm up") from None


@click.command("type")
@click.argument("name", metavar="NODE")
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@click.option(
    "--keys", is_flag=True, help="Take each TEXT as keys to press at the same time, by QEMU's names: ctrl-alt-f2, ret."
)
@click.option("--enter", is_flag=True, help="Press Enter at the end.")
@click.pass_obj
def type_(home: Home, name: str, words: tuple[str, ...], keys: bool, enter: bool) -> None:
    """Type TEXT on the keyboard of a virtual machine, which has a US layout."""
    pressed = [named_chord(word) for word in words] if keys else chords(" ".join(words))
    server_instance(home, "farm node type")
    machine, _ = virtual_machine(home, name, "keyboard")
    with Qmp(machine.name, qmp_socket(home, machine.name)) as connection:
        press(connection, [*pressed, *([("ret",)] if enter else [])])
