"""Sticks at a thin client: in the user's home on the server, by real ssh, sshfs, sftp-server and mounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import until
from tests.login_room import USER
from tests.stick_room import StickRoom, stick_room


@pytest.fixture(scope="module")
def shared() -> Iterator[StickRoom]:
    with stick_room() as room:
        yield room


@pytest.fixture
def room(shared: StickRoom) -> Iterator[StickRoom]:
    """A room in which nobody is logged in and nothing is plugged in."""
    yield shared
    shared.clear()
    until(lambda: not shared.usb.exists(), f"{shared.usb} stays")
    until(lambda: not shared.logins.server.machine.processes(USER), "programs stay on the server")
    assert [] == shared.look()


def content(room: StickRoom, device: str) -> str:
    """What is on a stick, by debugfs."""
    return room.logins.client.machine.run("debugfs", "-R", "cat note", f"/dev/{device}").stdout


def size(room: StickRoom, file: str) -> str:
    """Bytes of a file, as its user sees it; empty when there is none."""
    return room.as_user("stat", "-c", "%s", f"/home/{USER}/USB/{file}", check=False).stdout


def test_a_stick_that_was_in_before_the_log_in_and_one_that_comes_after(room: StickRoom) -> None:
    room.make("first", label="PHOTOS")
    room.make("second", label="MUSIC")
    first = room.plug_in("first")
    assert {"label": "PHOTOS", "file_system": "ext4", "size": 16 << 20, "kind": "usb"}.items() <= room.wait_for(
        "waiting", first
    ).items()
    room.log_in()
    room.wait_for_folders("PHOTOS")
    second = room.plug_in("second")
    room.wait_for_folders("MUSIC", "PHOTOS")
    room.as_user("sh", "-c", "echo hello > ~/USB/PHOTOS/note")
    assert False is room.wait_for("shown", first)["read_only"]
    room.end_session()
    room.wait_for("waiting", first)
    assert "hello\n" == content(room, first)
    room.wait_for("waiting", second)
    assert [] == room.folders()


def test_what_serves_a_stick_sees_nothing_else(room: StickRoom) -> None:
    room.in_a_session()
    client = room.logins.client.machine
    pid = client.run("pgrep", "-x", "sftp-server").stdout.strip()
    seen = client.run(
        "sh", "-c", f"cd /proc/{pid}/root && find . -xdev ! -path './lib*' -type f && ls /proc/{pid}/root/stick"
    )
    assert {"./usr/lib/openssh/sftp-server", "./etc/passwd", "./dev/null"} >= set(seen.stdout.split()) - {"lost+found"}
    status = dict(line.split(":", 1) for line in client.run("cat", f"/proc/{pid}/status").stdout.splitlines())
    assert ["64000"] * 4 == status["Uid"].split()
    assert "" == status["Groups"].strip()
    assert "1" == status["NoNewPrivs"].strip()
    assert 0b1010 == int(status["CapEff"], 16) == int(status["CapPrm"], 16)
    links = client.run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-o", "link", "show", "up").stdout
    assert "" == links
    # Its root has no way out, and nothing can be written beside the stick.
    assert 0 != client.run("nsenter", f"--mount=/proc/{pid}/ns/mnt", "touch", "/mnt/file", check=False).returncode
    assert "/dev/loop" not in Path(f"/proc/{client.pid}/mounts").read_text()


def test_nothing_on_a_stick_runs_or_is_a_device(room: StickRoom) -> None:
    room.in_a_session()
    client = room.logins.client.machine
    pid = client.run("pgrep", "-x", "sftp-server").stdout.strip()
    mounts = client.run("grep", " /stick ", f"/proc/{pid}/mounts").stdout
    assert {"nosuid", "nodev", "noexec"} <= set(mounts.split()[3].split(","))


LABELS = {
    "a/../../b": "a_.._.._b",
    "$(touch x)": "touch x",
    "; rm -rf ~": "rm -rf",
    "-o allow_other": "o allow_other",
    "..": "USB stick",
    "BÜRO": "BÜRO",
}


def test_hostile_labels_and_two_of_one_name(room: StickRoom) -> None:
    room.make("plain")
    room.log_in()
    for label in LABELS:
        encoded = "".join(f"\\x{byte:02x}" for byte in label.encode())
        room.plug_in("plain", "--read-only", ID_FS_LABEL_ENC=encoded)
    room.plug_in("plain", "--read-only", ID_FS_LABEL_ENC="BÜRO")
    room.wait_for_folders(*LABELS.values(), "BÜRO 2")


def test_hostile_file_names(room: StickRoom) -> None:
    room.in_a_session()
    names = ["$(id)", "-rf", "a\nb", "x" * 200, " ; '\"`"]
    for name in names:
        room.as_user("sh", "-c", 'echo "$0" > ~/USB/STICK/"$0"', name)
    listed = room.as_user("find", f"/home/{USER}/USB/STICK", "-type", "f", "-printf", "%f\\0").stdout
    assert sorted(names) == sorted(listed.split("\0")[:-1])


def test_a_write_protected_stick_can_be_read(room: StickRoom) -> None:
    room.make("stick", label="STICK")
    room.logins.client.machine.run("debugfs", "-w", "-R", "write /etc/hostname note", "/tmp/stick.img")
    device = room.plug_in("stick", "--read-only")
    room.log_in()
    room.wait_for_folders("STICK")
    assert room.wait_for("shown", device)["read_only"]
    assert room.as_user("cat", f"/home/{USER}/USB/STICK/note").stdout
    assert 0 != room.as_user("touch", f"/home/{USER}/USB/STICK/new", check=False).returncode


def test_a_stick_from_windows(room: StickRoom) -> None:
    device = room.in_a_session("Windows", "ntfs")
    room.as_user("sh", "-c", "echo hello > ~/USB/Windows/note")
    room.put_away(device, "Windows")
    assert "hello\n" == room.logins.client.machine.run("ntfscat", "-f", "/tmp/stick.img", "note").stdout


def test_files_of_others_on_a_stick_are_the_users(room: StickRoom) -> None:
    room.make("stick", label="STICK")
    client = room.logins.client.machine
    client.run("debugfs", "-w", "-R", "write /etc/hostname note", "/tmp/stick.img")
    client.run("debugfs", "-w", "-R", "set_inode_field note mode 0100600", "/tmp/stick.img")
    room.plug_in("stick")
    room.log_in()
    room.wait_for_folders("STICK")
    room.as_user("sh", "-c", "cat ~/USB/STICK/note && echo more >> ~/USB/STICK/note")


def test_put_away_by_its_user(room: StickRoom) -> None:
    device = room.in_a_session()
    room.as_user("sh", "-c", "echo hello > ~/USB/STICK/note")
    room.put_away(device, "STICK")
    assert "hello\n" == content(room, device)
    assert not room.usb.exists()
    assert "STICK can be unplugged now." in room.logins.client.machine.log(device)
    room.unplug(device)
    room.plug_in("stick")
    room.wait_for_folders("STICK")


def test_what_was_written_is_on_the_stick_soon(room: StickRoom) -> None:
    device = room.in_a_session()
    room.as_user("sh", "-c", "echo hello > ~/USB/STICK/note")
    until(lambda: "hello\n" == content(room, device), "it stays in memory")
    room.wait_for("shown", device)


def test_pulled_out_while_it_is_written(room: StickRoom) -> None:
    device = room.in_a_session(megabytes=64)
    write = f"cd /home/{USER}/USB/STICK && cat /dev/zero > big; sleep 600"
    writing = room.logins.server.machine.start("writing", "runuser", "-u", USER, "--", "sh", "-c", write)
    until(lambda: int(size(room, "STICK/big") or 0) > 1 << 20, "nothing is written")
    room.unplug(device)
    until(lambda: not room.folders() and not room.usb.exists(), "the folder stays")
    assert [] == room.look()
    room.logins.server.machine.run("pkill", "-U", USER, "sleep", check=False)
    writing.wait()
    room.plug_in("stick")
    room.wait_for_folders("STICK")


def test_a_connection_that_ends(room: StickRoom) -> None:
    device = room.in_a_session()
    room.logins.client.ssh("-O", "exit")
    room.wait_for("waiting", device)
    until(lambda: not room.usb.exists(), "the folder stays")


@pytest.mark.parametrize(
    "lts, why",
    [
        ({"LOCALDEV": "False"}, "LOCALDEV is off."),
        ({"LOCALDEV_DENY_USB": "True"}, "LOCALDEV_DENY_USB is on."),
        ({"LOCALDEV_DENY": "ID_BUS:scsi,ID_BUS:usb+ID_FS_TYPE:ext4"}, "LOCALDEV_DENY names it."),
    ],
)
def test_what_lts_conf_denies(room: StickRoom, lts: dict[str, str], why: str) -> None:
    room.logins.client.set_lts(**lts)
    room.make("stick")
    assert why == room.wait_for("refused", room.plug_in("stick"))["why"]


def test_disks_of_the_machine_are_not_even_told_of(room: StickRoom) -> None:
    room.make("disk", label="WINDOWS")
    device = room.plug_in("disk", ID_BUS="ata")
    until(lambda: "LOCALDEV_DENY_INTERNAL_DISKS" in room.logins.client.machine.log(device), "it is not refused")
    assert [] == room.look()


def test_a_broken_stick(room: StickRoom) -> None:
    room.make("stick")
    with room.logins.client.machine.path("/tmp/stick.img").open("r+b") as image:
        image.seek(1024)
        image.write(b"\xff" * 512)
    room.log_in()
    device = room.plug_in("stick", ID_FS_TYPE="ext4")
    assert room.wait_for("failed", device)["why"].startswith("The stick can not be mounted: ")


def test_a_server_without_sshfs(room: StickRoom) -> None:
    server = room.logins.server.machine
    server.run("mv", "/usr/bin/sshfs", "/usr/bin/sshfs.away")
    try:
        room.make("stick", label="STICK")
        device = room.plug_in("stick")
        room.log_in()
        assert "The server lacks sshfs: sudo apt-get install sshfs" == room.wait_for("failed", device)["why"]
        assert room.logins.client.connected()
    finally:
        server.run("mv", "/usr/bin/sshfs.away", "/usr/bin/sshfs")


def test_a_home_that_can_not_be_written(room: StickRoom) -> None:
    server = room.logins.server.machine
    server.run("chown", "root:root", f"/home/{USER}")
    try:
        room.make("stick", label="STICK")
        device = room.plug_in("stick")
        room.log_in()
        assert "No folder can be made" in room.wait_for("failed", device)["why"]
    finally:
        server.run("chown", f"{USER}:", f"/home/{USER}")


def test_what_a_killed_server_left_is_taken_away(room: StickRoom) -> None:
    device = room.in_a_session()
    # Neither has time to put anything away.
    room.logins.server.machine.run("pkill", "-STOP", "-x", "sshfs")
    room.logins.server.machine.run("pkill", "-KILL", "-U", USER, "-x", "sh|sshfs")
    room.wait_for("waiting", device)
    assert ["STICK"] == room.folders()
    room.unplug(device)
    room.plug_in("stick")
    until(lambda: "" != size(room, "STICK/lost+found"), "the stick does not appear")
    room.wait_for_folders("STICK")
