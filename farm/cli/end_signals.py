"""Signals that end a process: what holds a terminal has to heed them all, or the terminal is left unusable."""

from __future__ import annotations

import signal

_FAULTS = {"ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS"}
"""The process itself is broken, and cannot tidy up."""
_HARMLESS = {"CHLD", "CONT", "URG", "WINCH", "TSTP", "TTIN", "TTOU"}
_NEVER_SEEN = {"KILL", "STOP", "PIPE", "XFSZ"}
"""The first two by anyone, the others by a Python program, which ignores them."""

ENDING = frozenset(map(int, signal.valid_signals())) - {
    int(signal.Signals[f"SIG{name}"]) for name in _FAULTS | _HARMLESS | _NEVER_SEEN
}
"""Numbers, those of real-time signals included (signal(7))."""
