"""All checks there are, by the kind of machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farm.doctor import workstation
from farm.doctor.check import Check

PLACES: Mapping[str, tuple[Check[Any], ...]] = {
    "Workstation": workstation.CHECKS,
}
