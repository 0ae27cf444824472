"""The log-in of a fat client: the account and the home of the server are there while a session runs on the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fat_room import AS_USER, HOME, as_user, emptied, fat_room, home_is_mounted
from tests.lab import until
from tests.login_room import CLIENT, PASSWORD, USER, LoginRoom

WRITER = "trap 'echo last word; exit' TERM; exec >> ~/written; echo first word; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    with fat_room() as room:
        yield room


@pytest.fixture
def room(shared: LoginRoom) -> LoginRoom:
    return emptied(shared)


def test_the_user_has_the_servers_numbers_and_home(room: LoginRoom) -> None:
    room.server.machine.run("sh", "-c", f"echo letter > {HOME}/letter; chown {USER} {HOME}/letter")
    uid = room.server.machine.run("id", "-u", USER).stdout.strip()

    entered, said = room.client.log_in(USER, PASSWORD)

    assert entered, said
    assert f"{USER}:*:{uid}:" in room.client.users()
    assert home_is_mounted(room.client)
    assert "letter\n" == as_user(room, "cat", f"{HOME}/letter")
    as_user(room, "sh", "-c", "echo mine > ~/new")
    assert (
        f"{USER} {USER} mine"
        == room.server.machine.run("sh", "-c", f"echo $(stat -c '%U %G' {HOME}/new) $(cat {HOME}/new)").stdout.strip()
    )


def test_nothing_is_left_of_a_session(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]
    room.client.machine.start("writer", *AS_USER, "sh", "-c", WRITER)
    until(lambda: room.server.machine.path(f"{HOME}/written").exists(), "nothing is written")
    as_user(
        room, "sh", "-c", "mkdir -p /tmp/mine/deep /dev/shm/mine; echo x > /var/tmp/mine; ln -s /etc /tmp/mine/link"
    )

    room.client.log_out()

    left = room.client.machine.run("sh", "-c", "ls -d /tmp/mine /var/tmp/mine /dev/shm/mine", check=False)
    assert ("", True) == (left.stdout, room.client.machine.path("/etc/passwd").exists())

    assert ["last word"] == room.server.machine.path(f"{HOME}/written").read_text().splitlines()[-1:]
    assert not home_is_mounted(room.client)
    assert [] == list(room.client.machine.path("/home").iterdir())
    assert "" == room.client.users()
    assert [] == room.client.machine.processes("farm-session")
    assert not room.client.machine.path("/run/farm/cache/x").exists()
    until(lambda: not room.server.machine.processes(USER), "the server still has the connection")
    assert not room.server.machine.path(f"{HOME}/.ssh/authorized_keys").exists()


def test_caches_are_in_ram_and_have_a_bound(room: LoginRoom) -> None:
    room.server.machine.run("rm", "-rf", f"{HOME}/.cache")
    assert room.client.log_in(USER, PASSWORD)[0]

    filled = as_user(room, "dd", "if=/dev/zero", "of=/run/farm/cache/x", "bs=1M", "count=300", check=False)

    assert "No space left on device" in filled
    as_user(room, "sh", "-c", "echo more > ~/more")
    room.client.log_out()
    assert room.server.machine.path(f"{HOME}/more").exists()


@pytest.mark.parametrize(
    ("change", "undo", "said"),
    [
        (f"mv {HOME} /gone", f"mv /gone {HOME}", "can not be opened here: there is none."),
        (f"chown root {HOME}", f"chown {USER} {HOME}", "nothing can be written in it (Permission denied)"),
        (
            f"usermod --uid 500 {USER}",
            f"usermod --uid 1234 {USER}",
            "can not be used on this machine: its number 500 is not between",
        ),
        (
            f"usermod --uid 64000 {USER}",
            f"usermod --uid 1234 {USER}",
            "its number 64000 is that of an account of this machine",
        ),
        (f"groupmod --gid 29 {USER} -o", f"groupmod --gid 1234 {USER}", "its group's number 29 is that of a group"),
        ("mv /usr/lib/openssh/sftp-server /", "mv /sftp-server /usr/lib/openssh/", "Your home on"),
    ],
)
def test_without_a_home_nobody_is_let_in(room: LoginRoom, change: str, undo: str, said: str) -> None:
    room.server.machine.run("sh", "-c", change)

    entered, seen = room.client.log_in(USER, PASSWORD)

    room.server.machine.run("sh", "-c", undo)
    assert not entered
    assert said in seen
    assert not home_is_mounted(room.client)
    assert [] == list(room.client.machine.path("/home").iterdir())
    assert "" == room.client.users()
    assert not room.client.connected()


def test_a_full_home_lets_its_user_in_to_empty_it(room: LoginRoom) -> None:
    small = f"mount -t tmpfs -o size=64k,mode=700,uid=$(id -u {USER}) full {HOME}"
    keys = f"mkdir {HOME}/.ssh; echo ssh-ed25519 OWN > {HOME}/.ssh/authorized_keys; chown -R {USER} {HOME}"
    fill = f"head -c 1M /dev/zero > {HOME}/much; chown {USER} {HOME}/much"
    room.server.machine.run("sh", "-c", f"{small}; {keys}; {fill}")

    entered, said = room.client.log_in(USER, PASSWORD)

    assert entered, said
    # No key of the session, and the user's own are untouched.
    assert "ssh-ed25519 OWN\n" == as_user(room, "cat", f"{HOME}/.ssh/authorized_keys")
    assert "write error" in as_user(room, "sh", "-c", "cat /etc/services > ~/new", check=False)
    as_user(room, "rm", f"{HOME}/much")
    as_user(room, "sh", "-c", "cat /etc/services > ~/new")
    room.client.log_out()
    room.server.machine.run("cmp", f"{HOME}/new", "/etc/services")
    room.server.machine.run("umount", HOME)


def unlock(room: LoginRoom, password: str, name: str = USER) -> tuple[bool, str]:
    """Unlock the screen as the locker of the image does: by PAM, as the user; whether it is open, and what was said."""
    typed = f"{password}\n"
    done = room.client.machine.run(
        *AS_USER, "pamtester", "xscreensaver", name, "authenticate", input=typed, check=False
    )
    return done.returncode == 0, f"{done.stdout} {done.stderr}"


def test_a_locked_screen_asks_the_server_and_leaves_the_session_alone(room: LoginRoom) -> None:
    room.server.add_user("carol", "pw")
    assert room.client.log_in(USER, PASSWORD)[0]

    assert unlock(room, PASSWORD)[0]
    opened, said = unlock(room, "wrong")
    assert not opened
    assert "Wrong user name or password." in said
    # Nobody else opens it, with a password that is right.
    assert not unlock(room, "pw", "carol")[0]

    assert home_is_mounted(room.client)
    assert room.client.connected()
    assert [] == [each.name for each in room.client.machine.path("/tmp").iterdir() if "questions" in each.name]


def test_a_locked_screen_stays_so_while_the_server_is_away(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]
    room.server.stop()

    opened, said = unlock(room, PASSWORD)

    room.server.start()
    assert not opened
    assert "does not answer" in said


def test_with_fat_clients_off_the_session_is_a_thin_one(room: LoginRoom) -> None:
    room.client.set_lts(LTSP_FATCLIENT="no")

    assert room.client.log_in(USER, PASSWORD)[0]

    assert f"{USER}:*:64000:" in room.client.users()
    assert not home_is_mounted(room.client)


def test_the_users_own_program_cannot_use_the_connection(room: LoginRoom) -> None:
    assert room.client.log_in(USER, PASSWORD)[0]

    over = ("ssh", "-F", "none", "-S", "/run/farm/login/ctl", "-o", "ProxyCommand=false", "x", "echo through")

    assert "through\n" not in as_user(room, *over, check=False)
    assert "Permission denied" in as_user(room, "cat", "/run/farm/login/key", check=False)


def test_the_key_of_a_session_stands_beside_the_users_own(room: LoginRoom) -> None:
    keys = room.server.machine.path(f"{HOME}/.ssh/authorized_keys")
    # The comment of a key may be in any encoding, and the server's language UTF-8.
    lines = "ssh-ed25519 LEFT farm-session@pc99\\nssh-ed25519 OWN m\\374ller"
    own = f"mkdir -p {HOME}/.ssh; printf '{lines}' > {HOME}/.ssh/authorized_keys"
    room.server.machine.run("sh", "-c", f"{own}; chown -R {USER} {HOME}/.ssh")
    assert room.client.log_in(USER, PASSWORD)[0]

    first, second = keys.read_bytes().splitlines()
    assert b"ssh-ed25519 OWN m\xfcller" == first
    assert second.startswith(f'restrict,from="{CLIENT}",expiry-time="'.encode())
    assert second.endswith(b" farm-session@pc01")

    room.client.log_out()
    assert b"ssh-ed25519 OWN m\xfcller\n" == keys.read_bytes()
    assert ["authorized_keys"] == [each.name for each in keys.parent.iterdir()]
    room.server.machine.run("rm", "-r", f"{HOME}/.ssh")


def test_where_a_user_may_have_several_sessions_their_keys_stay(room: LoginRoom) -> None:
    room.client.set_lts(LDM_LIMIT_ONE_SESSION="False")
    keys = room.server.machine.path(f"{HOME}/.ssh/authorized_keys")
    own = f"mkdir -p {HOME}/.ssh; echo ssh-ed25519 THERE farm-session@pc99 > {HOME}/.ssh/authorized_keys"
    room.server.machine.run("sh", "-c", f"{own}; chown -R {USER} {HOME}/.ssh")

    assert room.client.log_in(USER, PASSWORD)[0]
    assert ["farm-session@pc99", "farm-session@pc01"] == [line.split()[-1] for line in keys.read_text().splitlines()]
    room.client.log_out()
    assert "ssh-ed25519 THERE farm-session@pc99\n" == keys.read_text()
    room.server.machine.run("rm", "-r", f"{HOME}/.ssh")
