"""Commands that work on a farm's server alone, by root."""

from __future__ import annotations

from farm.home import Home
from farm.instance import Instance
from farm.serve.preflight import require_root
from farm.workstation.choice import instance_here


def server_instance(home: Home, command: str) -> Instance:
    """The farm that is up here, if root asks; who is not on the server is told that first. Raises FarmError."""
    found = instance_here(home)
    require_root(command)
    return found
