"""All checks of a workstation, in their order."""

from __future__ import annotations

from farm.doctor.check import Check
from farm.doctor.workstation import compiling, farm_nodes, icecream_network, shell
from farm.doctor.workstation.facts import WorkstationFacts

CHECKS: tuple[Check[WorkstationFacts], ...] = (
    *shell.CHECKS,
    *icecream_network.CHECKS,
    *farm_nodes.CHECKS,
    *compiling.CHECKS,
)
