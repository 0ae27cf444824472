"""A machine at which somebody may sit, and which compiles: how many jobs it takes, and what they may use.

Two iceccds run on it, since the number of slots of one is fixed when it starts and a restart ends its jobs: the first
has the slots that stay while somebody uses the machine, the spare one has the others, and comes and goes.
"""

from __future__ import annotations

FOLDER = "run/farm/desk"
STATE = f"{FOLDER}/state.json"
"""What `keep_slots` notes for the agent."""
