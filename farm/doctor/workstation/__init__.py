"""All checks of a workstation, in their order."""

from __future__ import annotations

from farm.doctor.check import Check
from farm.doctor.workstation import compiling, network, nodes, shell
from farm.doctor.workstation.facts import Workstation

CHECKS: tuple[Check[Workstation], ...] = (*shell.CHECKS, *network.CHECKS, *nodes.CHECKS, *compiling.CHECKS)
