"""What a simulated farm has done, exactly: what a monitor of its scheduler must have seen."""

from __future__ import annotations

from msgspec import Struct


class SimulatedCounts(Struct):
    """Jobs by what became of them; counted as the message leaves, or when the connection that held them is lost."""

    requested: int = 0
    """A submitter asked for a node."""
    begun: int = 0
    """A node began, or the submitter itself when the scheduler told it to."""
    done: int = 0
    """Ended, in whatever way: failed and lost ones are among them."""
    failed: int = 0
    """Ended with exit code 1."""
    lost: int = 0
    """Ended because a node or the scheduler went away; the scheduler says exit code 255."""
    own: int = 0
    """Given back to the submitter by the scheduler."""
    local: int = 0
    """Begun by a submitter without asking."""
    local_done: int = 0
    fallback: int = 0
    """Those among the local ones that were failed or lost before."""
    unfinished: int = 0
    """Not ended when the simulation did, local ones among them."""
