"""All checks there are, by the kind of machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farm.doctor import node, server, workstation
from farm.doctor.check import Check

CHECKS_BY_PLACE: Mapping[str, tuple[Check[Any], ...]] = {
    "Server": server.CHECKS,
    "Workstation": workstation.CHECKS,
    "Node": node.CHECKS,
}
