"""What a server asks during a log-in, answered with what the user has typed already or passed on to the user."""

from __future__ import annotations

import re
from typing import Protocol

PASSWORD = "Password: "
"""The greeter's first question; lightdm-gtk-greeter shows any other text above its entry."""
_PREFIX = re.compile(r"\([^()\s]{1,320}\) ")
"""``(user@host) ``, which ssh puts before a server's question."""
_NEW = re.compile(r"\b(new|retype|again)\b", re.IGNORECASE)
_CURRENT = re.compile(r"\b(current|old)\b", re.IGNORECASE)
_SECRET = re.compile(r"pass(word|phrase)", re.IGNORECASE)
MAX_QUESTION = 600
"""Characters that a user is shown of a question."""


class Person(Protocol):
    """Who sits at the machine, as the greeter lets us speak with them."""

    def ask(self, text: str) -> str | None:
        """What they type without its being shown, or None when they give up."""

    def tell(self, text: str) -> None:
        """Say what is going on, or what went wrong."""


class Interview:
    """A log-in's questions; the password is asked before there is a connection, which would else wait for typing."""

    def __init__(self, person: Person, password: str) -> None:
        self.person = person
        self.password = password
        self.chosen: str | None = None
        """The new password, once the server has asked for one."""
        self._given: set[str] = set()
        self._told: list[str] = []

    def answer(self, asked: str) -> str | None:
        """The answer to a question: lines that explain, and the prompt last; None: the user gave up."""
        *explained, prompt = _printable(_PREFIX.sub("", asked, count=1)) or [PASSWORD]
        self._told += explained
        kind = "new" if _NEW.search(prompt) else "current" if _CURRENT.search(prompt) else "first"
        if kind != "new" and _SECRET.search(prompt) and kind not in self._given:
            self._given.add(kind)
            return self.password
        # One text for each question, as the greeter shows only the last one that comes.
        text, self._told = " ".join([*self._told, prompt]), []
        typed = self.person.ask(text[-MAX_QUESTION:])
        if kind == "new":
            self.chosen = typed
        return typed


def _printable(text: str) -> list[str]:
    lines = ("".join(each if each.isprintable() else " " for each in line).strip() for line in text.splitlines())
    return [line for line in lines if line]
