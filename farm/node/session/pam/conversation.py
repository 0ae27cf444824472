"""Speaking with the person at the screen, through PAM."""

from __future__ import annotations

import textwrap
from typing import Any

from farm.node.session.pam.interview import PASSWORD

COLUMNS = 60
"""Of a text: the greeter's window grows with its longest line."""


class Conversation:
    """The person at the greeter or at a locked screen."""

    def __init__(self, pamh: Any) -> None:
        self._pamh = pamh

    def ask(self, text: str, *, shown: bool = False) -> str | None:
        """What they type, by default without its being shown, or None when they give up.

        A question of the server is told as well: the greeter shows none as long as it shows something else.
        """
        if text != PASSWORD:
            self.tell(text)
        kind = self._pamh.PAM_PROMPT_ECHO_ON if shown else self._pamh.PAM_PROMPT_ECHO_OFF
        typed = self._pamh.conversation(self._pamh.Message(kind, text)).resp
        return None if typed is None else str(typed)

    def tell(self, text: str) -> None:
        """Say what is going on, or what went wrong.

        Never as an error: lightdm-gtk-greeter 2.0.8 puts a sentence of its own in its place.
        """
        self._pamh.conversation(self._pamh.Message(self._pamh.PAM_TEXT_INFO, textwrap.fill(text, COLUMNS)))
