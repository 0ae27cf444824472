"""SCREEN_nn of lts.conf: which screens a machine has, and the command lines of their programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.contract import SettingsError
from farm.node.session.lts_screens import NO_LOG_IN, Screen, for_screen, screens_change, screens_of, shown_first
from farm.node.session.lts_screens.on_display import FLAGS, commands
from farm.node.session.lts_screens.programs import Program, program_of, without_password
from farm.node.session.lts_screens.run import ssh_server
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import ThinMachine
from farm.node.session.session_settings import SessionServer
from farm.node.session.ssh_client.ssh_command import terminal
from tests.unit.test_machine_settings import PC, VALUES, changed

SERVER = SessionServer("10.0.0.1", 22, ())


def kinds(**values: str) -> list[tuple[int, str]]:
    return [(each.number, each.kind) for each in screens_of(LtsValues(values))[0]]


def installed(*programs: str):  # type: ignore[no-untyped-def]
    return lambda name: f"/usr/bin/{name}" if name in programs else None


def test_the_log_in_is_where_nothing_else_is_said() -> None:
    assert [(7, "ldm")] == kinds()
    assert [(7, "ldm")] == kinds(SCREEN_07="menu", SCREEN_02="telnet srv", SCREEN_20="shell")
    assert [(2, "shell"), (6, "ldm"), (8, "kiosk")] == kinds(SCREEN_08="kiosk", SCREEN_06="LDM", SCREEN_02="shell")


def test_there_is_one_log_in() -> None:
    screens, said = screens_of(LtsValues({"SCREEN_07": "ldm", "SCREEN_08": "ldm"}))
    assert [Screen(7, "ldm")] == screens
    assert "SCREEN_08" in said[0]


def test_other_screens_are_units_and_lightdm_is_told_its_own() -> None:
    change = changed(SCREEN_02="shell", SCREEN_08="xfreerdp", SCREEN_06="ldm", X_NUMLOCK="True")
    assert ("farm-screen-text@2.service", "farm-screen-x@8.service") == change.units
    conf = change.files["etc/lightdm/lightdm.conf.d/70-farm-screens.conf"]
    assert "[LightDM]\nminimum-vt=6\n[Seat:*]\ndisplay-setup-script=" in conf


def test_a_machine_without_a_log_in_starts_no_greeter() -> None:
    change = changed(SCREEN_07="xfreerdp")
    assert {NO_LOG_IN: ""} == change.files
    assert ("farm-screen-x@7.service", "farm-screen-first@7.service") == change.units


def test_the_first_screen_is_the_default_the_log_in_or_one_with_windows() -> None:
    def first(**values: str) -> int:
        lts = LtsValues(values)
        return shown_first(lts, screens_of(lts)[0]).number

    assert 7 == first(SCREEN_02="shell", SCREEN_07="ldm")
    assert 2 == first(SCREEN_02="shell", SCREEN_07="ldm", SCREEN_DEFAULT="02")
    assert 8 == first(SCREEN_02="shell", SCREEN_08="kiosk")
    assert 7 == first(SCREEN_02="shell", SCREEN_07="ldm", SCREEN_DEFAULT="11")


def test_a_value_for_one_screen_is_of_that_one() -> None:
    lts = LtsValues({"XKBLAYOUT": "de", "SCREEN_08_XKBLAYOUT": "fr", "SCREEN_08_X_BLANKING": "0"})
    assert ("fr", "de") == (for_screen(lts, 8).text("XKBLAYOUT"), for_screen(lts, 7).text("XKBLAYOUT"))
    assert [["setxkbmap", "-layout", "fr"], ["xset", "s", "off"], ["xset", "-dpms"]] == commands(lts, 8, [])
    assert [] == commands(lts, 7, [])


def test_xrandr() -> None:
    lts = LtsValues(
        {
            "XRANDR_MODE_0": "1024x768",
            "XRANDR_RATE_0": "60",
            "XRANDR_OUTPUT_1": "VGA-1 --left-of HDMI-1",
            "XRANDR_ROTATE_1": "left",
            "XRANDR_COMMAND_0": "xrandr --output DP-1 --off",
        }
    )
    assert [
        ["xrandr", "--output", "HDMI-1", "--mode", "1024x768", "--rate", "60"],
        ["xrandr", "--output", "VGA-1", "--left-of", "HDMI-1", "--rotate", "left"],
        ["xrandr", "--output", "DP-1", "--off"],
    ] == commands(lts, 7, ["HDMI-1", "VGA-1"])
    assert [] == commands(LtsValues({**lts.found, "XRANDR_DISABLE": "True"}), 7, ["HDMI-1"])
    assert [] == commands(LtsValues({"XRANDR_COMMAND_0": "--display evil:0 --off"}), 7, [])


NAMES = ["XRANDR_COMMAND_0", "XRANDR_OUTPUT_0", "XRANDR_MODE_0", "XRANDR_RATE_0", "XRANDR_ROTATE_0", "X_BLANKING"]


@given(st.dictionaries(st.sampled_from([*NAMES, "SCREEN_07_XKBLAYOUT", "SCREEN_07_XKBOPTIONS"]), VALUES))
def test_no_value_is_another_option(values: dict[str, str]) -> None:
    for argv in commands(LtsValues(values), 7, ["VGA-1"]):
        assert argv[0] in ("xrandr", "xset", "setxkbmap")
        if argv[0] == "xrandr":
            assert {word for word in argv if word.startswith("--")} <= FLAGS
        if argv[0] == "setxkbmap":
            assert {"-layout", "-option"} >= set(argv[1::2])


def test_a_kiosk_fills_the_screen_with_its_page() -> None:
    lts = LtsValues({})
    found = program_of(Screen(7, "kiosk", ("https://intranet/",)), lts, installed("chromium", "openbox"))
    assert ("chromium", "https://intranet/", "openbox") == (found.argv[0], found.argv[-1], found.manager)
    assert "--kiosk" in found.argv
    assert "about:blank" == program_of(Screen(7, "kiosk", ("--load-extension=x",)), lts, installed("chromium")).argv[-1]


@pytest.mark.parametrize(
    ("kind", "package"), [("kiosk", "firefox-esr"), ("xfreerdp", "freerdp2-x11"), ("xterm", "xterm")]
)
def test_a_screen_without_its_program_says_what_to_add(kind: str, package: str) -> None:
    program = program_of(Screen(8, kind), LtsValues({"RDP_SERVER": "srv"}), installed())
    assert program.why_not.startswith(f"SCREEN_08={kind} needs a program that the image lacks: add {package}")
    assert "images.thin-client.packages" in program.why_not


def test_a_password_is_typed_where_the_program_reads_one() -> None:
    def program(kind: str, options: str) -> Program:
        return program_of(
            Screen(7, kind), LtsValues({"RDP_SERVER": "Win", "RDP_OPTIONS": options}), installed("xfreerdp", "rdesktop")
        )

    argv = ("xfreerdp", "/f", "/u:anna", "/v:win", "/from-stdin:force")
    assert Program(argv, "a b\n") == program("xfreerdp", "/u:anna '/p:a b'")
    assert Program(("rdesktop", "-f", "-u", "anna", "-p", "-", "win"), "x\n") == program("rdesktop", "-u anna -p x")
    assert Program(("xfreerdp", "/f", "/v:win")) == program("xfreerdp", "")
    assert "a quotation mark is open" in program("xfreerdp", "'").why_not
    assert "set RDP_SERVER" in program_of(Screen(7, "rdesktop"), LtsValues({}), installed("rdesktop")).why_not


@given(st.lists(st.text(max_size=8) | st.sampled_from(["-p", "/p:x", "-px", "-plugin"])))
def test_no_password_stays_among_the_options(options: list[str]) -> None:
    rest, _ = without_password(options)
    assert not any(word == "-p" or word.startswith("/p:") for word in rest)


@given(VALUES)
def test_no_server_of_a_remote_desktop_is_an_option(value: str) -> None:
    program = program_of(Screen(7, "rdesktop"), LtsValues({"RDP_SERVER": value}), installed("rdesktop"))
    assert program.why_not or not program.argv[-1].startswith("-")


def test_ssh_goes_only_to_servers_whose_keys_are_known() -> None:
    assert SERVER == ssh_server("", (SERVER,))
    assert SERVER == ssh_server("10.0.0.1", (SERVER,))
    with pytest.raises(SettingsError, match="host keys"):
        ssh_server("-oProxyCommand=x", (SERVER,))
    argv = terminal(SERVER, "bob", "/keys")
    assert ["-l", "bob", "10.0.0.1"] == argv[-3:]
    assert {"StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/keys"} <= set(argv)


@given(st.dictionaries(st.sampled_from(["SCREEN_02", "SCREEN_07", "SCREEN_7", "SCREEN_DEFAULT"]), VALUES))
def test_a_machine_always_has_a_screen(values: dict[str, str]) -> None:
    lts = LtsValues(values)
    screens, _ = screens_of(lts)
    assert shown_first(lts, screens) in screens
    screens_change(ThinMachine(lts, PC, lambda path: True))
