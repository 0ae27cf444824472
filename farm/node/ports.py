"""TCP ports that icecream, LTSP and the farm use unless they are told others; the scheduler's is its UDP port too."""

from __future__ import annotations

ICECCD_PORT = 10245
SPARE_ICECCD_PORT = 10246
"""Of a machine at which people sit: the iceccd whose slots go when somebody comes."""
SCHEDULER_PORT = 8765
TELEMETRY_PORT = 9105
LDMINFO_PORT = 9571
"""LTSP's, where a server tells thin clients which sessions it offers."""
