"""Asking the farmd of the farm that this machine belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from farm.errors import FarmError
from farm.home import Home
from farm.workstation.membership import Membership

if TYPE_CHECKING:
    from farm.api.client import ApiQuestion

TOKEN = "FARM_API_TOKEN"
ASKING_SECONDS = 2.0
Answer = TypeVar("Answer")


def within_reach(membership: Membership, environment: Mapping[str, str]) -> bool:
    """Whether farmd can be asked: on its server by its socket, elsewhere over the network with the token."""
    return membership.how == "server" or bool(membership.api and environment.get(TOKEN))


def ask(
    membership: Membership,
    home: Home,
    environment: Mapping[str, str],
    question: ApiQuestion[Answer],
    *,
    seconds: float = ASKING_SECONDS,
) -> Answer | None:
    """farmd's answer; None where it is out of reach, or says no, or does not answer within some ``seconds``.

    ``home``: of the farm on its server.
    """
    from farm.api import client  # `farm run` begins sooner without the API's records

    with contextlib.suppress(FarmError):
        if membership.how == "server":
            return client.ask(home, question, seconds)
        if within_reach(membership, environment):
            return client.ask_elsewhere(membership.api, environment[TOKEN], question, seconds)
    return None
