"""Whatever stands in lts.conf for a variable that works: all who read it go on."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.node.lts.known import TOPICS, WORKS
from farm.node.lts.precedence import KnownMachine
from farm.node.session.local_app_list import local_apps
from farm.node.session.lts_screens import Screen, on_display, screens_of, shown_first
from farm.node.session.lts_screens.programs import program_of
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import ThinMachine, apply, log_sender, merged, themes
from farm.node.session.pam import desktop_choice, server_choice, unattended
from farm.node.session.printer_ports.printer_settings import configured, printer_at
from farm.node.session.session_settings import SessionServer, SessionSettings

PC = KnownMachine("pc01", "10.0.0.5", "52:54:00:00:00:01")
TOLD = SessionSettings((SessionServer("server", 22, ("ssh-ed25519 AAAA",)),))
NAMES = [
    each.name.replace("#", number).replace("*", "PCM")
    for topic in TOPICS.values()
    for each in topic
    if each.state == WORKS
    for number in ("0", "07", "999")
]
ODD = [
    *(
        "",
        " ",
        "\n",
        "x" * 4096,
        "a\nb",
        "a\x0bb\x85c\u2028d",
        "$(reboot)",
        "`id`",
        "' \" \\",
        "-oProxyCommand=x",
        "--",
    ),
    *("../../etc/passwd", "/", "é" * 300, "\u202e", "\x01", "0", "-1", "1e308", "9" * 5000, "٣", "(", "a/====", "true"),
    *(
        "host:" + "9" * 5000,
        "a,b,,c",
        ",",
        ":",
        ".",
        "..",
        "pc/",
        "/pc",
        "%n%s",
        "{0}",
        "kiosk",
        "xfreerdp",
        "rdesktop",
    ),
    *("ldm", "de,us", "UTC", "/dev/lp0", "/dev/ttyS0", "fe80::1%a b", "1920x1080", "12:30", "/dev/sda1 /mnt ext4"),
]


def read_by_all(lts: LtsValues) -> None:
    """Do all that is decided by lts.conf on a machine."""
    place = ThinMachine(lts, PC, os.path.exists)
    merged(theme(place) for theme in themes())
    for kind in ("", "autologin", "guest"):
        server_choice.choose(TOLD, lts, kind)
    unattended.offered(lts, "pc01")
    desktop_choice.refused(lts)
    desktop_choice.desktop_environment(lts)
    configured(lts)
    printer_at("/dev/usb/lp1", lts)
    local_apps(lts)
    screens, _ = screens_of(lts)
    shown_first(lts, screens)
    for kind in ("kiosk", "xfreerdp", "rdesktop", "xterm"):
        program_of(Screen(7, kind), lts, lambda name: f"/usr/bin/{name}")
    on_display.commands(lts, 7, ["VGA-1"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD) | st.text(max_size=30), max_size=30))
def test_no_value_keeps_a_machine_from_coming_up(found: dict[str, str]) -> None:
    with patch.object(server_choice, "understood", lambda option: True):  # a process for each option of each example
        read_by_all(LtsValues(found))


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_no_odd_value_does_so_alone(value: str) -> None:
    for name in NAMES:
        with patch.object(server_choice, "understood", lambda option: True):
            read_by_all(LtsValues({name: value}))


def test_a_long_file_that_lts_conf_adds_to_stays_whole(tmp_path: Path) -> None:
    long = "".join(f"10.1.{number // 250}.{number % 250} host-{number}\n" for number in range(5000))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text(long)
    apply(LtsValues({"HOSTS_1": "10.0.0.1 srv"}), PC, str(tmp_path))
    assert f"{long}10.0.0.1 srv\n" == (tmp_path / "etc/hosts").read_text()


def test_a_log_server_without_an_address_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    told = patch.object(log_sender, "told_values", lambda: LtsValues({"SYSLOG_HOST": "logs"}))
    with told, patch.object(socket, "getaddrinfo", side_effect=unknown):
        assert os.EX_TEMPFAIL == log_sender.main()
    assert "farm-node: SYSLOG_HOST: logs: Name or service not known\n" == capsys.readouterr().err
