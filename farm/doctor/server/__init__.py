"""All checks of a farm's server, in their order."""

from __future__ import annotations

from farm.doctor.check import Check
from farm.doctor.server import (
    alert_receivers,
    client_printing,
    fleet,
    log_in_servers,
    other_server,
    serving,
    session_needs,
)
from farm.doctor.server.serving import ServerFacts

CHECKS: tuple[Check[ServerFacts], ...] = (
    *serving.CHECKS,
    *log_in_servers.CHECKS,
    *other_server.CHECKS,
    *fleet.CHECKS,
    *session_needs.CHECKS,
    *client_printing.CHECKS,
    *alert_receivers.CHECKS,
)
