"""Telling farmd what this machine builds, so that the farm's history has a name for it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence

from farm.errors import FarmError
from farm.home import Home
from farm.workstation.explain.last_run import legible
from farm.workstation.membership import Membership

TAGGING_SECONDS = 2.0
MAX_DEFAULT = 80
TOKEN = "FARM_API_TOKEN"


def default_tag(argv: Sequence[str]) -> str:
    """A command line, shortened."""
    line = " ".join(legible(shlex.join(argv)).split())
    return line if len(line) <= MAX_DEFAULT else line[: MAX_DEFAULT - 1] + "…"


def tag_build(membership: Membership, home: Home, text: str, environment: Mapping[str, str]) -> bool:
    """Name the build; whether that worked. It does not where farmd is out of reach, or wants a token that is not there.

    ``home``: of the farm on its server; elsewhere farmd is asked over the network, with the token in FARM_API_TOKEN.
    """
    # Imported when a build has jobs, by the thread that tells: `farm run` begins sooner without the API's records.
    from farm.api import client
    from farm.api.answers import Tag
    from farm.history.builds import MAX_TAG

    question = client.tag(Tag(membership.submitter, legible(text)[:MAX_TAG]))
    with contextlib.suppress(FarmError):
        if membership.how == "server":
            client.ask(home, question, TAGGING_SECONDS)
            return True
        if membership.api and environment.get(TOKEN):
            client.ask_elsewhere(membership.api, environment[TOKEN], question, TAGGING_SECONDS)
            return True
    return False
