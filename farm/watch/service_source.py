"""The farm's processes as supervisord has them, as an event."""

from __future__ import annotations

import time

from farm.errors import FarmError
from farm.supervisor import Supervisor
from farm.watch.events import ServicesSeen, WatchedService


def ask_supervisor(supervisor: Supervisor) -> ServicesSeen:
    """Ask supervisord once; blocks."""
    try:
        states = supervisor.status()
    except FarmError as error:
        return ServicesSeen((), time.time(), error.why or error.what)
    found = (WatchedService(state.name, state.state, state.pid, state.since, state.detail) for state in states)
    return ServicesSeen(tuple(found), time.time())
