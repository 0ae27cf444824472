"""How many jobs a machine takes while somebody uses it."""

from __future__ import annotations


def slots_when_used(policy: str, slots: int) -> int:
    """Of ``slots``, those that stay while somebody uses the machine; ``policy``: one of `contract.WHEN_USED`."""
    match policy:
        case "full":
            return slots
        case "half":
            return max(1, slots // 2)
        case "one":
            return min(1, slots)
    return 0
