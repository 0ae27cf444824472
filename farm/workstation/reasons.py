"""Why a compiler call did not go to a node: stable codes, a sentence each, and what to change.

`farm explain`, `farm run` and `farm doctor` speak in these; docs/troubleshooting.md has them as a table.
"""

from __future__ import annotations

from msgspec import Struct


class Reason(Struct, frozen=True):
    """One cause. ``code`` never changes; ``mend`` is empty where nothing is wrong (a link is local by nature)."""

    code: str
    sentence: str
    mend: str = ""
