"""TCP ports that icecream and the farm use unless they are told others; the scheduler's is its UDP port too."""

from __future__ import annotations

ICECCD_PORT = 10245
SCHEDULER_PORT = 8765
TELEMETRY_PORT = 9105
