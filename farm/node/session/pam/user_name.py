"""The name that somebody types: which ones go to a server."""

from __future__ import annotations

import re
from collections.abc import Collection

USER_NAME = re.compile("[a-z_][a-z0-9._-]{0,31}")
"""No option to ssh, no path, nothing to a shell, and no line of /etc/passwd."""


def why_not(name: str, local: Collection[str], allowed: Collection[str] = ()) -> str | None:
    """Why the name is not sent to a server, a sentence for the greeter, or None.

    ``local``: this machine's own accounts. ``allowed``: the only users of this machine; empty: everybody.
    """
    if not USER_NAME.fullmatch(name):
        return (
            "A user name has up to 32 small letters, digits, dots, hyphens and underscores, and begins with a letter."
        )
    if name in local:
        return f"{name} is an account of this machine itself and can not log in here."
    if allowed and name not in allowed:
        return f"{name} is not among the users of this machine."
    return None
