"""What lts.conf says of the machine itself: whatever stands in it, no value becomes another directive."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.node.lts.precedence import KnownMachine
from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import Change, ThinMachine, apply, merged, themes
from farm.node.session.machine_setup.host_names import own_name
from farm.node.session.machine_setup.key_map import xkb
from farm.node.session.machine_setup.log_sender import MAX_PACKET_BYTES, packet
from farm.node.session.machine_setup.mounts import LATER, escaped

PC = KnownMachine("pc01", "10.0.0.5", "52:54:00:00:00:01")
VARIABLES = [
    "HOSTNAME",
    "HOSTNAME_BASE",
    "HOSTNAME_EXTRA",
    "HOSTS_1",
    "DNS_SERVER",
    "SEARCH_DOMAIN",
    "LANG",
    "TIMEZONE",
    "TIMESERVER",
    "SHUTDOWN_TIME",
    "XKBLAYOUT",
    "XKBMODEL",
    "XKBVARIANT",
    "XKBOPTIONS",
    "XKBRULES",
    "CONSOLE_KEYMAP",
    "XSERVER",
    "X_MODE_0",
    "X_MODES",
    "X_HORZSYNC",
    "X_VERTREFRESH",
    "FSTAB_1",
    "USE_LOCAL_SWAP",
    "MODULE_01",
    "RM_SYSTEM_SERVICES",
    "KEEP_SYSTEM_SERVICES",
    "SYSLOG_HOST",
    "SCREEN_02",
    "SCREEN_07",
    "SCREEN_DEFAULT",
    "SCREEN_07_XKBLAYOUT",
    "X_NUMLOCK",
    "X_BLANKING",
    "XRANDR_MODE_0",
    "XRANDR_COMMAND_0",
]
SIGNS = "ab1 \t\n\r\"'[]=%#;\\$`/.,:-(){}\x00\x1b\x85\u2028é*"
PIECES = [
    "de",
    "10.0.0.1",
    "srv",
    "none",
    "swap",
    "/mnt",
    "nfs",
    "1024x768",
    "--",
    "-o",
    "\n[Seat:*]\n",
    '"\nSection "x"\n',
]
VALUES = st.text(SIGNS, max_size=40) | st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join)


def changed(has: bool = True, **values: str) -> Change:
    """What these variables change on a machine that has, or lacks, all files."""
    place = ThinMachine(LtsValues(values), PC, lambda path: has)
    return merged(theme(place) for theme in themes())


LINES = {
    "etc/hostname": r"[a-z0-9-]+",
    "etc/hosts": r"[0-9a-fA-F.:]+( [A-Za-z0-9_.-]+)+",
    "etc/resolv.conf": r"nameserver [0-9a-fA-F.:]+|search [A-Za-z0-9_. -]+",
    "etc/default/locale": r"LANG=[A-Za-z0-9_.@-]+",
    "etc/timezone": r"[A-Za-z0-9_+/-]+",
    "etc/systemd/timesyncd.conf.d/farm.conf": r"\[Time\]|NTP=[A-Za-z0-9. -]+|FallbackNTP=",
    "etc/systemd/system/farm-shutdown.timer": (
        r"(\[(Unit|Timer)\]|Description=SHUTDOWN_TIME of lts\.conf|OnCalendar=\*-\*-\* \d\d:\d\d:\d\d|AccuracySec=1s"
        r"|Unit=poweroff\.target|)"
    ),
    "etc/X11/xorg.conf.d/80-farm-keyboard.conf": (
        r'Section "InputClass"|EndSection'
        r'|  (Identifier "lts.conf"|MatchIsKeyboard "on"|Option "Xkb[A-Z][a-z]+" "[^"\\]*")'
    ),
    "etc/X11/xorg.conf.d/80-farm-monitor.conf": (
        r'Section "(Monitor|Device|Screen)"|EndSection|  EndSubSection|  SubSection "Display"'
        r'|  (  Modes|Identifier|Driver|Device|Monitor|Option "PreferredMode") "[\w.-]+"'
        r'|  (HorizSync|VertRefresh) [0-9., -]+|  Modeline "[\w.-]+" [\w.+ -]+'
    ),
    "etc/fstab": r"[!-~]+( [!-~]+){3} [0-9] [0-9]",
    "etc/udev/rules.d/91-farm-local-swap.rules": ".*",
    "etc/lightdm/lightdm.conf.d/70-farm-screens.conf": (
        r"\[LightDM\]|minimum-vt=\d+|\[Seat:\*\]"
        r"|display-setup-script=/usr/bin/python3 -I -m farm\.node\.session\.lts_screens\.on_display \d+"
    ),
    "run/farm/no-log-in": "",
}
"""Of each file: what each of its lines looks like."""
WORDS = {
    "hostname": "[a-z0-9-]+",
    "ln": r"-sfn|/usr/share/zoneinfo/[A-Za-z0-9_+/-]+|/etc/localtime",
    "loadkeys": r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    "modprobe": r"--|[A-Za-z0-9_][\w.,:=+-]*",
    "systemctl": r"--runtime|mask|--no-block|stop|--|[A-Za-z0-9_@:][\w@:.-]*",
    "udevadm": ".*",
}


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=8), st.booleans())
@example({"XKBLAYOUT": 'de"\nSection "Files"'}, True)
@example({"HOSTS_1": "10.0.0.1 srv\n10.0.0.2 bank"}, True)
@example({"FSTAB_1": "srv:/x /mnt nfs defaults\nevil / ext4"}, True)
@example({"SCREEN_07": "ldm\n[Seat:*]"}, True)
@example({"MODULE_01": "-r ext4"}, True)
@example({"RM_SYSTEM_SERVICES": "-H evil"}, True)
def test_no_value_becomes_another_directive(values: dict[str, str], has: bool) -> None:
    change = changed(has, **values)
    for path, text in [*change.files.items(), *change.added.items()]:
        lines = text.split("\n")
        assert "" == lines.pop() or not text, path
        for line in lines:
            assert re.fullmatch(LINES[path], line), (path, line)
    for program, *words in change.commands:
        for word in words:
            assert re.fullmatch(WORDS[program], word), (program, word)
    for unit in change.units:
        assert re.fullmatch(r"[A-Za-z0-9_:.\\-][A-Za-z0-9_:.\\@-]*\.(service|timer|mount|automount|swap)", unit)
    assert all(each.isprintable() for each in change.said)


def test_what_an_administrator_writes_is_done() -> None:
    change = changed(
        HOSTNAME="Room7",
        HOSTS_01="10.0.0.1 server  server.lan",
        DNS_SERVER="10.0.0.1, 10.0.0.2",
        SEARCH_DOMAIN="lan example.org",
        TIMEZONE="Europe/Athens",
        TIMESERVER="ntp.lan",
        SHUTDOWN_TIME="18:30",
        XKBLAYOUT="us, gr",
        XKBVARIANT=",polytonic",
        XKBOPTIONS="grp:alt_shift_toggle",
        X_MODE_0="1280x1024",
        X_HORZSYNC="30-64",
        XSERVER="vesa",
        FSTAB_1="server:/srv/share /home/share nfs4 ro",
        MODULE_01="snd-sb16 io=0x220",
        RM_SYSTEM_SERVICES="cups avahi-daemon",
        KEEP_SYSTEM_SERVICES="cups",
        SYSLOG_HOST="server.lan",
    )
    assert () == change.said
    assert "room7\n" == change.files["etc/hostname"]
    assert "127.0.1.1 room7\n10.0.0.1 server server.lan\n" == change.added["etc/hosts"]
    assert "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch lan example.org\n" == change.files["etc/resolv.conf"]
    options = "ro,nofail,nosuid,nodev,_netdev,x-systemd.automount,x-systemd.mount-timeout=15"
    assert f"server:/srv/share /home/share nfs4 {options} 0 0\n" == change.added["etc/fstab"]
    keyboard = change.files["etc/X11/xorg.conf.d/80-farm-keyboard.conf"]
    assert 'Option "XkbLayout" "us,gr"' in keyboard
    assert 'Option "XkbVariant" ",polytonic"' in keyboard
    assert ("ln", "-sfn", "/usr/share/zoneinfo/Europe/Athens", "/etc/localtime") in change.commands
    assert ("modprobe", "--", "snd-sb16", "io=0x220") in change.commands
    assert ("systemctl", "--runtime", "mask", "--", "avahi-daemon.service") in change.commands
    assert {"home-share.automount", "farm-shutdown.timer", "systemd-timesyncd.service", "farm-send-log.service"} == set(
        change.units
    )


def test_nothing_is_changed_where_nothing_is_said() -> None:
    assert Change() == changed()


@pytest.mark.parametrize(
    ("value", "options", "unit"),
    [
        ("/dev/sda1 /data ext4", "defaults,nofail,nosuid,nodev", "data.mount"),
        ("/dev/sda1 /data ext4 suid,nodev", "suid,nodev,nofail", "data.mount"),
        ("s:/x /opt/cad nfs4 ro,suid,dev", f"ro,suid,dev,nofail,{','.join(LATER)}", "opt-cad.automount"),
        ("s:/x /srv/a nfs x-systemd.automount", "x-systemd.automount,nofail,nosuid,nodev", "srv-a.automount"),
        ("s:/x /srv/a nfs noauto", "noauto,nofail,nosuid,nodev", ""),
        ("/dev/sda2 none swap sw", "sw", "dev-sda2.swap"),
    ],
)
def test_what_is_mounted_has_no_rights_and_waits_for_no_server(value: str, options: str, unit: str) -> None:
    change = changed(FSTAB_1=value)
    assert options == change.added["etc/fstab"].split()[3]
    assert (unit,) * bool(unit) == change.units


def test_udev_is_asked_again_when_lts_conf_says_which_disks_a_desktop_shows() -> None:
    asked = ("udevadm", "trigger", "--action=change", "--subsystem-match=block")
    assert (asked,) == changed(LOCALDEV_DENY_INTERNAL_DISKS="False").commands
    assert () == changed(False, LOCALDEV="False").commands


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("server:/x / nfs", "does not name a folder"),
        ("server:/x /etc/ssh ext4", "would cover"),
        ("server:/x /run/systemd/x ext4", "would cover"),
        ("server:/x /home/../etc ext4", "does not name a folder"),
        ("server:/x", "is no line"),
        ('"x /mnt ext4', "is no line"),
    ],
)
def test_what_is_not_mounted_is_said(value: str, why: str) -> None:
    change = changed(FSTAB_1=value)
    assert {} == change.added
    assert why in change.said[0]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONSOLE_KEYMAP", "de", "kbd and console-data"),
        ("TIMESERVER", "ntp", "systemd-timesyncd"),
        ("XKBLAYOUT", "xx", "there is no layout xx"),
        ("XSERVER", "nvidia", "no X driver nvidia"),
        ("TIMEZONE", "Mars/Base", "not below /usr/share/zoneinfo"),
        ("LANG", "de_DE.UTF-8", "locales-all"),
        ("FSTAB_0", "s:/x /mnt nfs", "nfs-common"),
    ],
)
def test_what_the_image_lacks_is_said(variable: str, value: str, said: str) -> None:
    change = changed(False, **{variable: value})
    assert said in " ".join(change.said)
    assert () == change.commands


@pytest.mark.parametrize(
    ("language", "folder"),
    [("de_DE.UTF-8", "de_DE.utf8"), ("ca_ES.UTF-8@valencia", "ca_ES.utf8@valencia"), ("de_DE", "de_DE")],
)
def test_a_language_is_there_whichever_package_has_brought_it(language: str, folder: str) -> None:
    for place in (f"/usr/lib/locale/{folder}", "/usr/lib/locale/locale-archive"):
        change = merged(theme(ThinMachine(LtsValues({"LANG": language}), PC, place.__eq__)) for theme in themes())
        assert () == change.said
        assert f"LANG={language}\n" == change.files["etc/default/locale"]


def test_names_are_made_up_as_in_ltsp() -> None:
    def name(**values: str) -> str:
        return own_name(ThinMachine(LtsValues(values), PC, lambda path: True))

    assert "ltsp5" == name(HOSTNAME_BASE="ltsp")
    assert "ltsp525400000001" == name(HOSTNAME_BASE="ltsp", HOSTNAME_EXTRA="mac")
    assert "x" == name(HOSTNAME="x", HOSTNAME_BASE="ltsp")
    assert "" == name(HOSTNAME="-x y")


def test_services_of_the_farm_are_not_stopped() -> None:
    change = changed(RM_SYSTEM_SERVICES="farm-node-agent systemd-networkd dbus lightdm")
    assert () == change.commands
    assert 4 == len(change.said)


@settings(max_examples=50)
@given(st.lists(st.text("ab.-_:9é+ ", min_size=1, max_size=6), min_size=1, max_size=3))
def test_units_of_mounts_are_named_as_by_systemd(words: list[str]) -> None:
    path = "/" + "/".join(words)
    if not path.isascii() or {".", ".."} & set(words):
        return
    done = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == escaped(path)


def test_layouts_of_this_system_are_known() -> None:
    """Each that localectl's table lists is one that X finds."""
    table = Path("/usr/share/X11/xkb/rules/base.lst").read_text().partition("! layout")[2].partition("! variant")[0]
    layouts = [line.split()[0] for line in table.splitlines() if line.strip()]
    assert 90 < len(layouts)
    for layout in layouts:
        found, said = xkb(ThinMachine(LtsValues({"XKBLAYOUT": layout}), PC, os.path.exists))
        assert ({"XKBLAYOUT": layout}, ()) == (found, said) or layout == "custom"


def test_it_is_done_and_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    said = apply(LtsValues({"HOSTS_1": "10.0.0.1 srv", "XKBLAYOUT": "xx"}), PC, str(tmp_path))
    assert "127.0.0.1 localhost\n10.0.0.1 srv\n" == (tmp_path / "etc/hosts").read_text()
    assert "farm-node: lts.conf: XKBLAYOUT is left out: there is no layout xx\n" == capsys.readouterr().err
    assert 1 == len(said)


@given(
    st.dictionaries(
        st.sampled_from(["MESSAGE", "SYSLOG_IDENTIFIER", "PRIORITY", "SYSLOG_FACILITY", "_PID"]),
        st.text(SIGNS, max_size=30) | st.lists(st.integers(0, 300), max_size=9) | st.none() | st.text(max_size=2000),
    )
)
def test_a_line_of_the_log_is_one_short_packet(entry: dict[str, object]) -> None:
    try:
        sent = packet(json.loads(json.dumps(entry)), "pc01")
    except ValueError:
        return
    assert len(sent) <= MAX_PACKET_BYTES
    assert not {b"\n", b"\r", b"\0", b"\x1b"} & {bytes([each]) for each in sent}
    assert re.match(rb"<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d pc01 ", sent)
