"""What lts.conf says of log-ins: which servers, which of ssh's options, which users."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.contract import SettingsError
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam import client_account, ldminfo
from farm.node.session.pam.open_question import open_question
from farm.node.session.pam.server_choice import choose
from farm.node.session.pam.unattended import (
    AUTOLOGIN,
    GUEST,
    LISTED,
    Last,
    Unattended,
    account,
    first_pause,
    invitation,
    mapped,
    offered,
    password_of,
    read_last,
)
from farm.node.session.pam.user_name import why_not
from farm.node.session.session_settings import SessionServer, SessionSettings, parse_session
from farm.node.session.ssh_client import ssh_command
from farm.node.session.ssh_client.ssh_options import OPTIONS, quick, ssh_options

KEY, OTHER, THIRD = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Cb0aY{each}" for each in "abc")
OWN = SessionServer("10.0.0.1", 22, (KEY,))
SETTINGS = SessionSettings((OWN,), known={"big.lan": (OTHER,), "[10.0.0.2]:2222": (THIRD,), "10.0.0.2": (OTHER,)})


def chosen(unattended: str = "", **lts: str) -> list[tuple[str, int, tuple[str, ...]]]:
    servers = choose(SETTINGS, LtsValues(lts), unattended).servers
    return [(each.host, each.port, each.host_keys) for each in servers]


def test_without_lts_conf_the_farms_server_is_asked() -> None:
    assert (OWN,) == choose(SETTINGS, LtsValues({})).servers


def test_the_servers_of_lts_conf_are_asked_with_the_keys_that_are_known_of_them() -> None:
    assert [("big.lan", 22, (OTHER,)), ("10.0.0.1", 22, (KEY,)), ("10.0.0.9", 22, ())] == chosen(
        LDM_SERVER="Big.lan 10.0.0.1, 10.0.0.9 big.lan", SERVER="10.0.0.8"
    )
    assert [("10.0.0.2", 22, (OTHER,))] == chosen(SERVER="10.0.0.2")


def test_ltsps_name_for_its_own_server_is_the_farms() -> None:
    assert [("10.0.0.1", 22, (KEY,)), ("big.lan", 22, (OTHER,))] == chosen(LDM_SERVER="server big.lan")


def test_another_port_of_ssh_has_its_own_keys_or_those_of_the_host() -> None:
    assert [("10.0.0.2", 2222, (THIRD,)), ("big.lan", 2222, (OTHER,)), ("10.0.0.1", 2222, (KEY,))] == chosen(
        LDM_SERVER="10.0.0.2 big.lan 10.0.0.1", SSH_OVERRIDE_PORT="2222"
    )
    assert [("10.0.0.1", 22, (KEY,))] == chosen(SSH_OVERRIDE_PORT="99999")


def test_a_log_in_without_anybody_can_have_a_server_of_its_own() -> None:
    lts = {"LDM_SERVER": "a", "LDM_GUEST_SERVER": "b", "LDM_AUTOLOGIN_SERVER": "c"}
    assert ["a", "b", "c"] == [chosen(each, **lts)[0][0] for each in ("", "guest", "autologin")]
    del lts["LDM_AUTOLOGIN_SERVER"]
    assert "b" == chosen("autologin", **lts)[0][0]
    del lts["LDM_GUEST_SERVER"]
    assert "a" == chosen("guest", **lts)[0][0]


def test_what_is_no_server_is_said_and_left_out() -> None:
    choice = choose(SETTINGS, LtsValues({"LDM_SERVER": "-oProxyCommand=x 10.0.0.300 big.lan"}))
    assert ["big.lan"] == [each.host for each in choice.servers]
    assert "LDM_SERVER: 10.0.0.300 is no host name or IPv4 address." in choice.refused
    assert [OWN.host] == [each[0] for each in chosen(LDM_SERVER="%LOADBALANCER%")]


@given(st.dictionaries(st.sampled_from(["LDM_SERVER", "SERVER", "SSH_OVERRIDE_PORT", "LDM_GUEST_SERVER"]), st.text()))
def test_any_values_name_servers_that_ssh_can_be_given(lts: dict[str, str]) -> None:
    for server in choose(SETTINGS, LtsValues(lts), "guest").servers:
        assert ssh_command.master(server, "bob", "password")[-1] == server.host
        assert not server.host.startswith("-")
        assert server.host_keys in ((KEY,), (OTHER,), (THIRD,), ())


@pytest.mark.parametrize(
    "text, taken",
    [
        ("-o Ciphers=aes128-ctr", ["Ciphers=aes128-ctr"]),
        ("-oHostKeyAlgorithms=+ssh-rsa -oKexAlgorithms=^curve25519-sha256", [
            "HostKeyAlgorithms=+ssh-rsa", "KexAlgorithms=^curve25519-sha256",
        ]),
        ("-o 'connecttimeout 3' -C -4", ["ConnectTimeout=3", "Compression=yes", "AddressFamily=inet"]),
        ("-c aes128-ctr,aes256-ctr -m hmac-sha2-256", ["Ciphers=aes128-ctr,aes256-ctr", "MACs=hmac-sha2-256"]),
    ],
)  # fmt: skip
def test_harmless_options_of_ssh_are_taken(text: str, taken: list[str]) -> None:
    assert (taken, []) == ssh_options(text)


@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyCommand=x",
        "-oStrictHostKeyChecking=no",
        "-o UserKnownHostsFile=/dev/null",
        "-o LocalCommand=x",
        "-o ForwardAgent=yes",
        "-o Ciphers",
        "-o",
        "-R 9000:localhost:80",
        "-F file",
        "-o 'Ciphers=a\nProxyCommand x'",
        "-o 'Ciphers=a' 'b",
        "host",
    ],
)
def test_other_options_of_ssh_are_refused(text: str) -> None:
    taken, refused = ssh_options(text)
    assert [] == taken
    assert refused


@given(st.text())
def test_whatever_is_said_ssh_gets_options_of_the_list_alone(text: str) -> None:
    taken, _ = ssh_options(text)
    for option in taken:
        key, _, value = option.partition("=")
        assert key in OPTIONS.values()
        assert value.isprintable()


def test_ciphers_that_are_gone_are_said_and_left_out() -> None:
    choice = choose(SETTINGS, LtsValues({"LDM_SSHOPTIONS": "-c arcfour -o Compression=yes -o ProxyCommand=x"}))
    assert ("Compression=yes",) == choice.servers[0].options
    assert (
        "LDM_SSHOPTIONS: -o ProxyCommand=x is not among the options that are taken.",
        "LDM_SSHOPTIONS: ssh on this machine does not know Ciphers=arcfour.",
    ) == choice.refused


def test_the_options_are_what_ssh_goes_by() -> None:
    (server,) = choose(SETTINGS, LtsValues({"LDM_SSHOPTIONS": "-o ConnectTimeout=3 -c aes128-ctr"})).servers
    asked = [*ssh_command.master(server, "bob", "password"), "-G"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"connecttimeout 3", "ciphers aes128-ctr", "stricthostkeychecking true"} <= set(found)


@pytest.mark.parametrize(
    "processor, options, expected",
    [
        ("flags\t\t: fpu aes sse\n", (), "aes128-gcm@openssh.com"),
        ("flags\t\t: fpu aes sse\n", ("Ciphers=aes128-ctr",), "aes128-ctr"),
        ("flags\t\t: fpu vaes sse\n", (), "chacha20-poly1305@openssh.com"),
    ],
)
def test_the_cipher_is_the_one_that_is_quickest_here(processor: str, options: tuple[str, ...], expected: str) -> None:
    server = replace(OWN, options=quick(options, processor))
    asked = [*ssh_command.master(server, "bob", "password"), "-G"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert re.search(f"^ciphers {expected}(,|$)", found, re.MULTILINE)


def test_only_the_users_of_a_machine_are_let_in() -> None:
    assert why_not("bob", set(), ["alice", "bob"]) is None
    assert why_not("bob", set(), []) is None
    assert "carol is not among the users of this machine." == why_not("carol", set(), ["alice", "bob"])


@pytest.mark.parametrize(
    "said, rating",
    [
        (b"language:de_DE.UTF-8\nsession:xfce\nrating:73\n", 73),
        (b"rating:0", 0),
        (b"rating:1\nrating:2\n", 2),
        (b"rating:-5\n", None),
        (b"ERROR: x\n", None),
        (b"\xff\x00rating:9\n", None),
        (b"", None),
    ],
)
def test_a_rating_is_read(said: bytes, rating: int | None) -> None:
    assert rating == ldminfo.rating(said)


@given(st.binary())
def test_whatever_ldminfod_says_is_a_rating_or_none(said: bytes) -> None:
    found = ldminfo.rating(said)
    assert found is None or 0 <= found <= 9999


def test_ldminfod_is_read_until_it_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with door.accept()[0] as peer:
                peer.sendall(b"session:xfce\n")
                peer.sendall(b"rating:7\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert b"session:xfce\nrating:7\n" == ldminfo.ask("127.0.0.1", door.getsockname()[1])
        thread.join()
    assert b"" == ldminfo.ask("127.0.0.1", 1)


@pytest.mark.parametrize(
    "known",
    [[], {"-x": [KEY]}, {"10.0.0.300": [KEY]}, {"[a]:99999": [KEY]}, {"a": KEY}, {"a": ["ssh-rsa x"]}, {"A": []}],
)
def test_keys_of_hosts_that_cannot_be_are_refused(known: object) -> None:
    with pytest.raises(SettingsError):
        parse_session({"servers": [{"host": "a"}], "known": known})


def test_keys_of_other_hosts_are_told() -> None:
    said = {"servers": [{"host": "a"}], "known": {"[a]:22": [KEY], "b.lan": [KEY, OTHER]}}
    assert {"[a]:22": (KEY,), "b.lan": (KEY, OTHER)} == parse_session(said).known


# -- log-ins without anybody


def own(host: str = "pc01", **lts: str) -> Unattended | None:
    return offered(LtsValues(lts), host)


def test_without_lts_conf_nobody_is_logged_in_unasked() -> None:
    assert own() is None
    assert own(LDM_USERNAME="bob", LDM_PASSWORD="x", LDM_AUTOLOGIN="no") is None


def test_a_machine_logs_itself_in_as_what_it_is_called() -> None:
    assert Unattended(AUTOLOGIN, "pc01", "pc01", 0.0) == own(LDM_AUTOLOGIN="True")
    assert Unattended(AUTOLOGIN, "bob", "bob", 20.0) == own(
        LDM_AUTOLOGIN="y", LDM_USERNAME="bob", LDM_LOGIN_TIMEOUT="20", LDM_GUESTLOGIN="y"
    )
    assert Unattended(AUTOLOGIN, "bob", " p w ", 0.0) == own(
        LDM_AUTOLOGIN="y", LDM_USERNAME="bob", LDM_PASSWORD=" p w "
    )


def test_a_guest_is_logged_in_when_asked_or_after_a_while() -> None:
    assert Unattended(GUEST, "pc01", "pc01", None) == own(LDM_GUESTLOGIN="True")
    assert Unattended(GUEST, "pc01", "pc01", 5.0) == own(LDM_GUESTLOGIN="True", LDM_LOGIN_TIMEOUT="5")


def test_what_the_greeter_says_meanwhile() -> None:
    auto, guest = Unattended(AUTOLOGIN, "bob", "x", 0.0), Unattended(GUEST, "bob", "x", None)
    down = Last("The server a does not answer.", 1.0)
    assert "bob is logged in automatically." == invitation(auto, Last())
    assert "bob is logged in automatically after 20 seconds." == invitation(auto._replace(after=20.0), Last())
    assert "The server a does not answer. Trying again; type a name to log in yourself." == invitation(auto, down)
    assert "It ended. Press Enter to log in as a guest." == invitation(guest, Last(), "It ended.")
    assert "by itself after 5 seconds." in invitation(guest._replace(after=5.0), Last())


@given(st.text())
def test_a_guest_of_any_name_is_one_account_without_a_uid_of_its_own(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_account, "SESSION_USER", "nobody")
        line = account(Unattended(GUEST, name, "x", None))
    assert line in ("", f"{LISTED}:*:65534:65534:Guest:/run/farm/home:/bin/sh\n")
    assert ":" not in name or line == ""


def test_names_of_hosts_make_names_of_users() -> None:
    rule = {"LDM_AUTOLOGIN": "True", "HOST_TO_USERNAME": "pc/guest"}
    found = [own(host, **rule) for host in ("pc01", "pc", "lab-pc01", "notebook")]
    assert ["guest01", "pc", "lab-pc01", "notebook"] == [each and each.user for each in found]
    assert Unattended(AUTOLOGIN, "guest01", "guest01", 0.0) == found[0]
    assert Unattended(AUTOLOGIN, "bob", "bob", 0.0) == own(LDM_USERNAME="bob", **rule)
    assert own("", **rule) is None


def test_the_names_of_ltsp23_mean_the_same() -> None:
    lists = {"PASSWORDS_A": "teacher/cXdlcjEyMzQK guest[0-9]*/MTIzNAo=", "PASSWORDS_B": "[/x guest01/eA== admin/%"}
    assert Unattended(AUTOLOGIN, "guest01", "1234", 0.0) == own(AUTOLOGIN="pc/guest", **lists)
    assert Unattended(AUTOLOGIN, "teacher", "qwer1234", 0.0, once=True) == own(
        AUTOLOGIN="teacher", RELOGIN="0", **lists
    )
    assert Unattended(AUTOLOGIN, "admin", "admin", 0.0) == own(AUTOLOGIN="admin", **lists)
    assert own("notebook", AUTOLOGIN="pc/guest") is None


def test_once_is_not_again_after_a_log_out() -> None:
    once = Unattended(AUTOLOGIN, "bob", "x", 0.0, once=True)
    assert once.begins_with(None, Last())
    assert once.begins_with(None, Last("The server a does not answer.", 5.0))
    assert not once.begins_with(None, Last("", 5.0))
    assert not once.begins_with("bob", Last())


@given(st.text(), st.text())
def test_any_list_of_passwords_is_read(listed: str, user: str) -> None:
    assert isinstance(password_of(LtsValues({"PASSWORDS_X": listed}), user), str)


@given(st.text(), st.text())
def test_any_rule_makes_some_name(rule: str, host: str) -> None:
    assert isinstance(mapped(rule, host), str)


def test_log_ins_by_themselves_do_not_follow_one_another_at_once() -> None:
    auto, guest = Unattended(AUTOLOGIN, "a", "a", 0.0), Unattended(GUEST, "a", "a", None)
    assert 0.0 == first_pause(auto, Last(), 1000.0)
    assert 14.0 == first_pause(auto, Last("", 999.0), 1000.0)
    assert 0.0 == first_pause(auto, Last("", 900.0), 1000.0)
    assert 5.0 == first_pause(auto, Last("The server a does not answer.", 999.0), 1000.0)
    assert 30.0 == first_pause(auto._replace(after=30.0), Last(), 1000.0)
    assert first_pause(guest, Last("x", 999.0), 1000.0) is None


@given(st.text())
def test_whatever_was_left_of_the_last_one_is_tolerated(content: str) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "last").write_text(content, errors="replace")
        assert isinstance(read_last(f"{folder}/last"), Last)


def test_a_question_waits_beside_the_log_in_and_ends_with_it() -> None:
    with open_question(lambda: time.sleep(1000)) as question:
        assert not question.wait(0.0)
    with open_question(lambda: None) as question:
        assert question.wait(None)
    reading, writing = os.pipe()
    with open_question(lambda: os.read(reading, 1)) as question:
        assert not question.wait(0.0)
        os.write(writing, b"x")
        assert question.wait(None)
    for each in (reading, writing):
        os.close(each)
