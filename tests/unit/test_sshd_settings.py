"""What is set for thin clients in sshd, and what its settings mean to them: decisions alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.doctor.check import State
from farm.doctor.server.session_needs import settings_outcome
from farm.session_server.sshd_settings import better_lines, drop_in

DEBIANS = {
    "passwordauthentication": "yes",
    "kbdinteractiveauthentication": "no",
    "clientaliveinterval": "0",
    "streamlocalbindunlink": "no",
    "x11forwarding": "yes",
    "disableforwarding": "no",
    "allowstreamlocalforwarding": "yes",
}
"""As `sshd -T` of Debian 12 says."""
BETTER = ["KbdInteractiveAuthentication yes", "ClientAliveInterval 15", "StreamLocalBindUnlink yes"]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, BETTER),
        ({"clientaliveinterval": "300"}, [BETTER[0], BETTER[2]]),
        ({"kbdinteractiveauthentication": "yes"}, BETTER[1:]),
        ({"passwordauthentication": "no"}, BETTER[1:]),
        ({"passwordauthentication": "no", "clientaliveinterval": "9", "streamlocalbindunlink": "yes"}, []),
    ],
)
def test_only_what_nobody_has_set_is_set(changes: dict[str, str], lines: list[str]) -> None:
    assert lines == better_lines({**DEBIANS, **changes})


def test_the_file_says_whose_it_is_and_for_whom_it_holds() -> None:
    text = drop_in("lab", Path("/etc/farm/farm.yaml"), "10.77.0.1", BETTER[:1]).splitlines()
    assert "/etc/farm/farm.yaml" in text[0]
    assert ["Match LocalAddress 10.77.0.1", "  KbdInteractiveAuthentication yes"] == text[-2:]
    assert all(line.startswith("#") for line in text[:-2])


@pytest.mark.parametrize(
    ("changes", "state", "cause"),
    [
        ({}, State.OK, ""),
        ({"passwordauthentication": "no"}, State.FAIL, "sshd takes no passwords"),
        ({"passwordauthentication": "no", "kbdinteractiveauthentication": "yes"}, State.OK, ""),
        ({"x11forwarding": "no"}, State.FAIL, "sshd has x11forwarding no"),
        ({"disableforwarding": "yes"}, State.FAIL, "sshd has disableforwarding yes"),
        ({"allowstreamlocalforwarding": "local"}, State.WARN, "sshd has allowstreamlocalforwarding local"),
        ({"allowstreamlocalforwarding": "remote"}, State.OK, ""),
    ],
)
def test_what_settings_mean_to_thin_clients(changes: dict[str, str], state: State, cause: str) -> None:
    found = settings_outcome(DEBIANS, {**DEBIANS, **changes}, "10.77.0.1")
    assert (state, cause) == (found.state, found.cause[: len(cause)])


def test_what_farm_up_has_set_and_is_lost_is_named() -> None:
    found = settings_outcome(DEBIANS, {**DEBIANS, "clientaliveinterval": "15"}, "10.77.0.1", BETTER)
    assert State.WARN is found.state
    assert "sshd lacks KbdInteractiveAuthentication yes, StreamLocalBindUnlink yes," in found.cause
