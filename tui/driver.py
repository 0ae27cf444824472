"""The terminal's input. A lone escape is a key as soon as nothing follows it.

Textual looks for that every tenth of a second, and again after it: escape alone was answered later than all else.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

POLL_SECONDS = 0.1
CHUNK = 4096


class PromptDriver(LinuxDriver):
    """Textual's driver, but for when it looks whether an escape was all: after ESCDELAY milliseconds."""

    def run_input_thread(self) -> None:
        """Read, and look again as soon as a sequence that has begun must have come to its end."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            patience = POLL_SECONDS
            while not self.exit_event.is_set():
                if selector.select(patience):
                    data = os.read(self.fileno, CHUNK)
                    if not data:  # The terminal is gone.
                        return
                    patience = constants.ESCAPE_DELAY
                    for event in parser.feed(decode(data)):
                        self.process_message(event)
                else:
                    patience = POLL_SECONDS
                for event in parser.tick():
                    self.process_message(event)
