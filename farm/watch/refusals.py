"""Machines that asked for an address or a loader and were given none: who, what, when; pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

NO_ADDRESS = "no address"
MOST = 64
"""Machines that are remembered."""
REFUSAL_SECONDS = 600.0
"""So long after a machine last asked in vain is that no news any more: firmware gives up, or asks again sooner."""


class Refusal(Struct, frozen=True):
    """What a machine could not be given: NO_ADDRESS, or a loader for the firmware that is named here."""

    what: str
    time: float
    """Unix time of the last such answer."""


Refusals = Mapping[str, Refusal]
"""MAC address → why its node refuses its settings."""


def noted(refusals: Refusals, mac: str, refusal: Refusal) -> Refusals:
    """With one more; the oldest give way when there are too many."""
    kept = sorted(refusals.items(), key=lambda item: item[1].time)[max(0, len(refusals) + 1 - MOST) :]
    return {**dict(kept), mac: refusal}


def answered(refusals: Refusals, mac: str, *, loader: bool) -> Refusals:
    """Without what a machine was refused and has got now: an address, or a loader (and so an address) too."""
    refusal = refusals.get(mac)
    if refusal is None or (refusal.what != NO_ADDRESS and not loader):
        return refusals
    return {each: other for each, other in refusals.items() if each != mac}


def recent(refusals: Refusals, now: float) -> Refusals:
    """Without those that are no news at Unix time ``now``."""
    if all(now - refusal.time <= REFUSAL_SECONDS for refusal in refusals.values()):
        return refusals
    return {mac: refusal for mac, refusal in refusals.items() if now - refusal.time <= REFUSAL_SECONDS}
