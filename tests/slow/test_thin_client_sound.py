"""What a session's program on the server plays comes out of the sound card of a thin client that has booted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from farm.home import Home
from farm.virtual.own_root import OwnRoot
from farm.virtual.qemu import played
from tests.e2e.conftest import Lab
from tests.lab import until
from tests.slow.test_thin_client import NAME, USER, log_in, server, told
from tests.tone import has_tone, wav

__all__ = ["server"]

CARD_RATE, HEADER = 44_100, 44
"""QEMU's: frames in a second, of two channels, and bytes before the first."""
TONE, SECONDS = 440, 300
BEGINNING = 30
"""Seconds that are looked at: an emulated machine falls behind."""


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[Lab]:
    """A lab with one thin client, whose sound is recorded, and whose volume is neither all nor nothing."""
    virtual = "virtual: {memory: 1024, sound: recorded}"
    (lab.home / "farm.yaml").write_text(f"name: {lab.name}\n{virtual}\nnodes: {{image: thin-client}}\n")
    (lab.home / "lts.conf").write_text("[default]\nVOLUME = 80\nMIC_VOLUME = 50\n")
    lab.farm("image", "build", "thin-client")
    lab.farm("up", "--virtual", "1")
    yield lab


def sound(lab: Lab) -> dict[str, Any]:
    """What the machine tells of its sound."""
    said: dict[str, Any] = told(lab).get("extras", {}).get("sound", {})
    return said


def on_client(lab: Lab, command: str) -> str:
    """What a command prints on the machine."""
    return lab.farm("node", "ssh", NAME, "--", command).stdout


def in_session(host: OwnRoot, *argv: str) -> list[str]:
    """The command line that runs a program on the server as those of the session run there."""
    pid = host.run("pgrep", "-x", "-u", USER, "xterm").stdout.split()[0]
    lines = host.path(f"/proc/{pid}/environ").read_text().split("\0")
    pulse = next(line for line in lines if line.startswith("PULSE_SERVER="))
    return ["runuser", "-u", USER, "--", "env", f"HOME=/home/{USER}", pulse, *argv]


def test_a_tone_of_the_server_comes_out_of_the_card_and_nowhere_else(client: Lab, server: OwnRoot) -> None:
    assert {} == sound(client)
    for channel, volume in (("Master", 80), ("Capture", 50)):
        assert re.search(rf"\[{volume}%\].*\[on\]", on_client(client, f"amixer -c 0 sget {channel}")), channel
    log_in(client)
    until(lambda: any("xterm" in line for line in server.processes(USER)), "the session does not start")
    until(lambda: sound(client).get("output"), "no output is told of")
    told_of = sound(client)
    assert (True, "", 80, False) == tuple(told_of[key] for key in ("running", "failed", "volume", "muted"))
    assert "Analog Stereo" in told_of["output"] and "Analog Stereo" in told_of["microphone"]

    server.path("/tmp/tone.wav").write_bytes(wav(TONE, SECONDS))
    server.path("/tmp/tone.wav").chmod(0o644)
    server.start("paplay", *in_session(server, "paplay", "/tmp/tone.wav"))
    file = played(Home.at(client.home), NAME)

    def comes_out() -> bool:
        recorded = file.read_bytes()[HEADER:] if file.exists() else b""
        return has_tone(recorded[: BEGINNING * CARD_RATE * 4], TONE, CARD_RATE, channels=2)

    until(comes_out, "the tone does not come out")

    # A program of the session that wants to let the network listen gets no port.
    tcp = ["pactl", "load-module", "module-native-protocol-tcp", "port=4713", "auth-anonymous=1"]
    assert 1 == server.run(*in_session(server, *tcp), check=False).returncode
    assert ":4713" not in on_client(client, "ss -H -l -t -n")
