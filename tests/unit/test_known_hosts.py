"""Host keys of other servers: the file beside farm.yaml, what machines are told of it, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from farm.cli import cli
from farm.config import Config, NodesConfig
from farm.config.known_hosts import MAX_TOLD, parse_known_hosts, read_known_hosts
from farm.config.named_servers import look_at_servers
from farm.netboot.settings import machine_settings
from farm.node.roles import load
from farm.node.session.session_settings import parse_session

KEY, OTHER = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Cb0aYQ3X{each}" for each in "ab")


def test_names_addresses_and_ports_have_their_keys() -> None:
    text = (
        f"# from ssh-keyscan\n\nBig.lan,10.0.0.2 {KEY} root@big\n10.0.0.2 {OTHER}\n[b.lan]:2222 {KEY}\n[c]:22 {KEY}\n"
    )
    assert ({"big.lan": [KEY], "10.0.0.2": [KEY, OTHER], "[b.lan]:2222": [KEY], "c": [KEY]}, []) == parse_known_hosts(
        text
    )


@pytest.mark.parametrize(
    "line, flaw",
    [
        (f"|1|abc=|def= {KEY}", "the host's name is hashed"),
        (f"@cert-authority *.lan {KEY}", "@cert-authority is not supported"),
        (f"*.lan {KEY}", "*.lan is no host name"),
        (f"!a.lan {KEY}", "!a.lan is no host name"),
        (f"10.0.0.300 {KEY}", "10.0.0.300 is no host name"),
        (f"-oProxyCommand=x {KEY}", "-oproxycommand=x is no host name"),
        (f"fe80::1 {KEY}", "fe80::1 is no host name"),
        ("a.lan", "no valid key"),
        ("a.lan ssh-rsa x", "no valid key"),
        ("a.lan 1024 35 1234", "no valid key"),
    ],
)
def test_lines_that_are_not_used_are_told(line: str, flaw: str) -> None:
    keys, flaws = parse_known_hosts(f"b.lan {KEY}\n{line}\n")
    assert {"b.lan": [KEY]} == keys
    assert f"ssh_known_hosts:2: {flaw}" in flaws[0]
    assert 1 == len(flaws)


@given(st.text(), st.lists(st.sampled_from(["a.lan", "10.0.0.1", "[a]:22", ",", " ", "\n", KEY, "@x", "|1|"])))
def test_whatever_it_holds_a_machine_takes_what_it_is_told(text: str, words: list[str]) -> None:
    for each in (text, "".join(words), " ".join(words)):
        keys, _ = parse_known_hosts(each)
        parse_session({"servers": [{"host": "a"}], "known": keys})


def test_what_is_too_long_for_a_machine_is_left_out_and_told(tmp_path: Path) -> None:
    file = tmp_path / "ssh_known_hosts"
    file.write_text("".join(f"host{number} {KEY}{'A' * 500}\n" for number in range(40)))
    keys, flaws = read_known_hosts(file)
    assert 40 == len(keys) + len(flaws)
    assert len(json.dumps(keys)) <= MAX_TOLD
    assert "machines are not told this key of host39" in flaws[-1]
    assert ({}, []) == read_known_hosts(tmp_path / "none")
    file.write_bytes(b"a" * 300_000)
    assert "is not used" in read_known_hosts(file).flaws[0]


def test_a_machine_is_told_the_keys() -> None:
    config = Config(nodes=NodesConfig(image="thin-client"))
    told = machine_settings(config, "ssh-ed25519 AAAAC3Nz farm", host_keys=[KEY], known={"big.lan": [OTHER]})
    settings = parse_session(load("session").parse(json.loads(json.dumps(told["default.json"]))))
    assert ({"big.lan": (OTHER,)}, (KEY,)) == (settings.known, settings.servers[0].host_keys)
    assert "session" not in machine_settings(Config(), "ssh-ed25519 AAAAC3Nz farm", known={"a": [KEY]})["default.json"]


def test_servers_of_lts_conf_without_a_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "lts.conf").write_text(
        '[default]\nSERVER=10.0.0.1\nLDM_SERVER="server big.lan other.lan"\n'
        "[pc1]\nLDM_GUEST_SERVER=a_b\nLDM_SERVER=NONE\n"
    )
    (tmp_path / "ssh_known_hosts").write_text(f"[big.lan]:2222 {KEY}\n")

    found = look_at_servers(tmp_path, "10.0.0.1")

    assert ["other.lan"] == found.without_key
    assert [
        "lts.conf:3: machines are not told the host key of other.lan, named by LDM_SERVER.",
        "lts.conf:5: a_b is no host name or IPv4 address.",
    ] == found.lines
    assert ([], []) == look_at_servers(tmp_path / "none", "10.0.0.1")


def test_config_check_says_how_to_add_a_key(tmp_path: Path) -> None:
    (tmp_path / "farm.yaml").write_text("name: lab\ninterface: eno2\n")
    (tmp_path / "lts.conf").write_text("[default]\nLDM_SERVER=big.lan\n")

    done = CliRunner().invoke(cli, ["--home", str(tmp_path), "config", "check", "--virtual"])

    assert "lts.conf:2: machines are not told the host key of big.lan, named by LDM_SERVER." in done.stderr
    assert "compare its fingerprint" in done.stderr
    assert "ssh-keyscan big.lan >> ssh_known_hosts" in done.stderr
