"""Sticks and discs at the machine: they are in the user's home on the server, in USB, as long as the session lasts.

Each has a unit (farm-stick@) for as long as it is plugged in: see `farm.node.session.media.stick`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from farm.node.files import write
from farm.node.session.extras import Extra, RemoteFolder
from farm.node.session.lts_values import LtsValues
from farm.node.session.media.stick_state import SESSION, all_states

END_SECONDS, POLL_SECONDS = 10.0, 0.1
"""For the sticks to be put away after a session."""


class Sticks(Extra):
    """udev notices them; what shows them waits for a session."""

    @contextlib.contextmanager
    def during(self, lts: LtsValues, folder: RemoteFolder) -> Iterator[dict[str, str]]:
        """Let them be shown; at the end, wait until what was written is on them."""
        write(SESSION, "")
        try:
            yield {}
        finally:
            os.unlink(SESSION)
            end = time.monotonic() + END_SECONDS
            while any(each["state"] == "shown" for each in all_states()) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)

    def look(self) -> dict[str, object]:
        """``devices``: the fields of each `Stick`, and how it is doing.

        ``state`` is one of `State`, ``why`` a sentence when that needs one; ``read_only`` is known while it is shown.
        """
        devices = all_states()
        return {"devices": devices} if devices else {}


EXTRA = Sticks()
