"""What a fat client makes of a server's word about an account: nobody becomes root there, or a user of the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.node.session.fat.fat_log_in import why_no_home
from farm.node.session.fat.server_account import group_line, parse_account, passwd_line, why_not

SAID = """Welcome to the server
FARM-passwd=bob:x:1001:1002:Bob Builder,,,:/home/staff/bob:/bin/zsh
FARM-group=staff
FARM-client=10.0.0.7
FARM-language=de_DE.UTF-8
FARM-zone=/usr/share/zoneinfo/Europe/Berlin
FARM-home=yes
FARM-why=
"""


def test_an_account_is_as_at_the_server() -> None:
    account = parse_account("bob", SAID)

    assert account
    assert "bob:*:1001:1002:Bob Builder:/home/staff/bob:/bin/bash\n" == passwd_line(account)
    assert "staff:*:1002:\n" == group_line(account, {"audio": 29})
    assert ("10.0.0.7", "de_DE.UTF-8", "Europe/Berlin") == (account.client, account.language, account.zone)
    assert "" == why_not(account, {0, 64000}, {0, 29}) == why_no_home(account)


@pytest.mark.parametrize(
    "home", ["/root", "/home/../root", "/home/.ssh", "/home", "/", "/etc", "/home/a b", "/srv/bob"]
)
def test_a_home_never_covers_what_is_the_machines(home: str) -> None:
    account = parse_account("bob", SAID.replace("/home/staff/bob", home))

    assert account
    assert ("/home/bob", home) == (account.home, account.server_home)


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ("0:1002", "its number 0 is not between"),
        ("999:1002", "its number 999 is not between"),
        ("4294967295:1002", "its number 4294967295 is not between"),
        ("64000:1002", "that of an account of this machine"),
        ("1001:0", "its group's number 0 is"),
        ("1001:29", "its group's number 29 is"),
        ("1001:64000", "its group's number 64000 is"),
        ("1001:100", ""),
    ],
)
def test_numbers_of_the_machine_itself_are_refused(numbers: str, reason: str) -> None:
    account = parse_account("bob", SAID.replace("1001:1002", numbers))

    assert account
    found = why_not(account, {0, 64000}, {0, 29, 64000})
    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize("said", ["", "FARM-passwd=", "FARM-passwd=bob:x:-1:1:::", "FARM-passwd=bob:x:1 001:1002:::\n"])
def test_without_numbers_there_is_no_account(said: str) -> None:
    assert parse_account("bob", said) is None


def test_a_group_that_is_here_has_no_second_line() -> None:
    account = parse_account("bob", SAID.replace("staff\n", "audio\n"))

    assert account
    assert "" == group_line(account, {"audio": 29})


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("mktemp: failed to create file via template '/home/bob/x': Permission denied", "(Permission denied)"),
        ("mktemp: failed to create file via template '/home/bob/x': Read-only file system", "(Read-only file system)"),
        ("mktemp: failed to create file via template '/home/bob/x': No space left on device", ""),
        ("mktemp: failed to create file via template '/home/bob/x': Disk quota exceeded", ""),
    ],
)
def test_only_a_full_home_is_opened_when_nothing_can_be_written_in_it(why: str, reason: str) -> None:
    account = parse_account("bob", SAID.replace("FARM-why=", f"FARM-why={why}"))

    assert account
    found = why_no_home(account)
    assert reason in found
    assert bool(reason) == bool(found)


@given(st.text())
def test_nothing_that_is_said_makes_a_second_line(said: str) -> None:
    text = SAID.replace("Bob Builder", said).replace("staff", said)

    account = parse_account("bob", text)

    if account:
        assert 1 == passwd_line(account).count("\n")
        assert 7 == len(passwd_line(account).split(":"))
        assert 1 >= group_line(account, {}).count("\n")
