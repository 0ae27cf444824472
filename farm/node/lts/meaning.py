"""What a written value means: truth, quotation marks that the shell took away, and what is secret."""

from __future__ import annotations

import re

from farm.node.lts.parts import folded

TRUE = ("true", "yes", "y")
"""What LTSP 5 takes for true, in any case; all else is false to it."""
MEANT_TRUE = (*TRUE, "t", "on", "1")
"""What is taken for true here: the rest was false to LTSP 5, and nobody meant that."""
FALSE = ("false", "no", "n", "f", "off", "0", "")
DOTS = "••••••"

_ESCAPED = re.compile(r'\\(["$`\\])')
_SECRET_KEY = re.compile(r"PASSW(OR)?D|PWD|SECRET")
_QUOTED = r"""\"[^"]*\"|'[^']*'"""
_SECRET_PART = re.compile(
    rf"(?i)((?:^|\s)(?:-p\s*|/p:))({_QUOTED}|\S+)|((?:^|[\s,])pass(?:w(?:or)?d)?=)({_QUOTED}|[^\s,]+)"
)
"""What programs of remote desktops and mount take for a password."""


def plain(written: str) -> str:
    r"""The value as LTSP 5's scripts had it: the shell took \ away before ``" $ ` \``. Nothing is expanded."""
    return _ESCAPED.sub(r"\1", written)


def is_true(written: str) -> bool:
    """Whether a boolean is set."""
    return folded(plain(written)) in MEANT_TRUE


def boolean_flaw(written: str) -> str:
    """What is wrong with a boolean's value; empty when nothing is."""
    value = folded(plain(written))
    if value in TRUE or value in FALSE:
        return ""
    return f"{written} was false to LTSP 5, and is true here" if value in MEANT_TRUE else f"{written} counts as false"


def shell_flaw(written: str) -> str:
    """What LTSP 5's shell made of a value that is taken here as it stands; empty when that is the same."""
    rest = _ESCAPED.sub("", written)
    if "$" in rest or "`" in rest:
        return "LTSP 5's shell replaced $ and `…`; here they stay as they are"
    if '"' in rest:
        return 'a quotation mark inside needs a backslash (\\") in LTSP 5'
    return ""


def is_secret(key: str) -> bool:
    """Whether a variable's whole value is a password."""
    return bool(_SECRET_KEY.search(key))


def shown(key: str, written: str) -> str:
    """The value to print: passwords as dots."""
    if is_secret(key):
        return DOTS
    return _SECRET_PART.sub(lambda found: f"{found[1] or found[3]}{DOTS}", plain(written))
