"""What a thin client's log-in makes of settings, names, and what ssh and servers say."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.contract import SettingsError
from farm.node.session.direct_x import X_PORTS, lightdm_conf
from farm.node.session.lts_values import LtsValues
from farm.node.session.pam import login_failure
from farm.node.session.pam.desktop_choice import desktop_environment, refused
from farm.node.session.pam.interview import Interview
from farm.node.session.pam.login_failure import FailureKind
from farm.node.session.pam.user_name import why_not
from farm.node.session.port_filter import closed_ports
from farm.node.session.session_settings import SessionServer, SessionSettings, parse_session, read_session
from farm.node.session.ssh_client import ssh_command
from farm.node.session.thin_session import remote_command

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Cb0aYQ3X9"
SERVER = SessionServer("10.0.0.1", 22, (KEY,))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
)


class Typist:
    """Types what it was told, and remembers what it was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask(self, text: str) -> str | None:
        self.asked.append(text)
        return self.answers.pop(0)

    def tell(self, text: str) -> None: ...


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "etc/farm").mkdir(parents=True)
    said = {
        "servers": [{"host": "server.lan", "host_keys": [KEY]}, {"host": "10.0.0.1", "port": 2222}],
    }
    (tmp_path / "etc/farm/session.json").write_text(json.dumps(said))

    expected = SessionSettings((SessionServer("server.lan", 22, (KEY,)), SessionServer("10.0.0.1", 2222, ())))
    assert expected == read_session(str(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"servers": []},
        {"servers": [{"host": "-oProxyCommand=x"}]},
        {"servers": [{"host": "10.0.0.300"}]},
        {"servers": [{"host": "a b"}]},
        {"servers": [{"host": "a", "port": 0}]},
        {"servers": [{"host": "a", "host_keys": ["ssh-rsa AAAA\n* ssh-rsa AAAAB"]}]},
        {"servers": ["a"]},
    ],
)
def test_settings_that_are_not_valid_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        parse_session({"servers": [{"host": "a"}], **changes})


@given(st.dictionaries(st.sampled_from(["servers", "known"]), JSON))
def test_any_settings_are_taken_or_refused(said: dict[str, object]) -> None:
    try:
        parse_session(said)
    except SettingsError:
        return
    assert said["servers"]


@given(st.text(max_size=40))
def test_a_name_that_is_sent_is_one_harmless_word(name: str) -> None:
    if why_not(name, {"root"}) is None:
        assert name == shlex.quote(name)
        assert not name.startswith("-")
        assert "root" != name


@pytest.mark.parametrize(
    "stderr, kind, said",
    [
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused\r\n", FailureKind.SILENT, ""),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host\n", FailureKind.SILENT, ""),
        ("ssh: Could not resolve hostname a: Name or service not known\n", FailureKind.SILENT, ""),
        (
            "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out\n",
            FailureKind.SILENT,
            "",
        ),
        ("\nConnection timed out\n", FailureKind.SILENT, ""),
        (
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22\n",
            FailureKind.BUSY,
            "",
        ),
        ("No ED25519 host key is known for x and ….\nHost key verification failed.\n", FailureKind.UNKNOWN_KEY, ""),
        ("@  REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nHost key verification failed.\n", FailureKind.CHANGED_KEY, ""),
        ("Be nice.\nbob@a: Permission denied (publickey,password).\n", FailureKind.PASSWORD, "Be nice."),
        (
            "Permission denied (password).\nConnection closed by 10.0.0.1 port 22\n",
            FailureKind.CLOSED,
            "Permission denied (password).",
        ),
        ("Unable to negotiate with 10.0.0.1 port 22: no matching host key type found.", FailureKind.OTHER, None),
        ("", FailureKind.OTHER, ""),
    ],
)
def test_what_ssh_says(stderr: str, kind: FailureKind, said: str | None) -> None:
    failure = login_failure.of_connection("10.0.0.1", stderr)

    assert kind is failure.kind
    assert said is None or said == failure.said
    assert failure.sentence.endswith((".", "!"))


@given(st.text(), st.text(), st.integers(0, 255))
def test_whatever_a_server_says_is_one_bounded_printable_sentence(stderr: str, stdout: str, code: int) -> None:
    for failure in (
        login_failure.of_connection("a", stderr),
        login_failure.of_connection("a", f"{stderr}\nConnection closed by 10.0.0.1 port 22\n"),
        login_failure.of_command("a", code, stdout, stderr),
    ):
        assert failure.sentence.isprintable()
        assert len(failure.sentence) < 300


def test_the_methods_are_those_of_the_last_line() -> None:
    said = "x@y: Permission denied (none).\nbob@a: Permission denied (publickey,password,keyboard-interactive)."

    assert ("publickey", "password", "keyboard-interactive") == login_failure.of_connection("a", said).offered


def test_the_password_that_was_typed_answers_the_first_question() -> None:
    typist = Typist()

    assert "pw" == Interview(typist, "pw").answer("(bob@10.0.0.1) Password: ")
    assert "pw" == Interview(typist, "pw").answer("bob@10.0.0.1's password: ")
    assert [] == typist.asked


def test_a_new_password_is_asked_of_the_user_with_all_that_explains_it() -> None:
    typist = Typist("new1", "new1")
    interview = Interview(typist, "old")

    assert "old" == interview.answer("(bob@a) Password: ")
    assert "old" == interview.answer("(bob@a) You are required to change your password.\nCurrent password: ")
    assert "new1" == interview.answer("(bob@a) New password: ")
    assert "new1" == interview.answer("(bob@a) Retype new password: ")

    assert ["You are required to change your password. New password:", "Retype new password:"] == typist.asked
    assert "new1" == interview.chosen


def test_other_questions_go_to_the_user_and_a_second_password_too() -> None:
    typist = Typist("123456", None)
    interview = Interview(typist, "pw")

    assert "123456" == interview.answer("(bob@a) Verification code: ")
    assert "pw" == interview.answer("(bob@a) Password: ")
    assert interview.answer("(bob@a) Password: ") is None


@given(st.text())
def test_any_question_is_asked_printable(asked: str) -> None:
    typist = Typist("x", "x")
    Interview(typist, "pw").answer(asked)

    assert all(text.isprintable() for text in typist.asked)


def test_no_option_of_ssh_comes_from_what_was_said() -> None:
    for argv in (ssh_command.probe(SERVER, "bob"), ssh_command.master(SERVER, "bob", "password")):
        assert ["-l", "bob", "10.0.0.1"] == [word for word in argv if word != "true"][-3:]
        assert "StrictHostKeyChecking=yes" in argv
    assert f"[10.0.0.1]:22 {KEY}\n" == ssh_command.known_hosts([SERVER])


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40))
def test_what_is_told_reaches_the_server_as_data(session: str) -> None:
    words = shlex.split(
        remote_command(desktop_environment(LtsValues({}), session), {"name": "$(id)", "mac": "x"}, ":7.0")
    )

    assert ["exec", "env"] == words[:2]
    assert {f"FARM_SESSION={session}", "FARM_NAME=", "FARM_MAC=", "FARM_DISPLAY=7"} <= set(words)


def test_x_is_open_to_the_servers_alone() -> None:
    assert "xserver-allow-tcp=false" in lightdm_conf(LtsValues({}))
    assert "xserver-allow-tcp=true" in lightdm_conf(LtsValues({"LDM_DIRECTX": "Yes"}))
    rules = closed_ports("farm_session", X_PORTS, {"10.0.0.2", "10.0.0.1", "fd00::1"})
    assert "ip saddr { 10.0.0.1, 10.0.0.2 } accept" in rules
    assert "ip6 saddr { fd00::1 } accept" in rules
    for addresses in (set[str](), {"10.0.0.1"}, {"10.0.0.1", "fd00::1"}):
        check = ["unshare", "--net", "nft", "--check", "--file", "-"]
        subprocess.run(check, input=closed_ports("farm_session", X_PORTS, addresses), text=True, check=True)


@given(st.text(max_size=40))
def test_of_lts_conf_only_names_and_paths_reach_the_server(text: str) -> None:
    keys = ("LDM_SESSION", "LDM_FORCE_SESSION", "LDM_LANGUAGE", "LDM_FORCE_LANGUAGE", "LDM_XSESSION")
    lts = LtsValues(dict.fromkeys(keys, text))

    for value in desktop_environment(lts).values():
        assert value in ("", text.strip())
        assert value.isascii() and value.isprintable() and not set("$`;&|'\"\\") & set(value)
    assert len(keys) == len(refused(lts)) + sum(map(bool, desktop_environment(lts).values())) or not text.strip()
