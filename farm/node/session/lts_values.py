"""The variables of lts.conf that hold for this machine, as all that acts on them reads them.

The server gives a machine with the role session its lts.conf (/etc/lts.conf); the role settles at boot what of it holds
for this machine, and leaves that here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from farm.node.contract import LTS_CONF
from farm.node.files import read, write
from farm.node.lts.meaning import MEANT_TRUE, is_secret, plain
from farm.node.lts.parts import LtsConf, folded
from farm.node.lts.precedence import KnownMachine, is_unset, values
from farm.node.lts.reading import MAX_LTS_BYTES, read_lts

FILE = "etc/farm/lts.json"
"""Variable → value, for all programs."""
SECRETS = "etc/farm/lts-secrets.json"
"""The same of passwords, for root alone."""
MOST = 12 * MAX_LTS_BYTES
"""Characters of one of them: JSON writes a character of lts.conf with up to 6, one above U+FFFF with 12."""


class LtsValues:
    """Variables and their values, without quotation marks; one that is not set has the value that its reader says."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self.found = found

    def text(self, key: str, default: str = "") -> str:
        """A text, without spaces around it."""
        return self.found.get(key, default).strip()

    def is_on(self, key: str, default: bool = False) -> bool:
        """Whether a boolean is set, and to true."""
        return folded(self.text(key)) in MEANT_TRUE if key in self.found else default

    def number(self, key: str, low: int, high: int, default: int) -> int:
        """A whole number; what is none, or is not from ``low`` to ``high``, counts as not set."""
        written = self.text(key)
        return int(written) if re.fullmatch("-?[0-9]{1,9}", written) and low <= int(written) <= high else default

    def words(self, key: str) -> list[str]:
        """A list, whose items stand between spaces or commas."""
        return re.split(r"[\s,]+", self.text(key)) if self.text(key) else []

    def numbered(self, name: str) -> dict[int, str]:
        """Number → value of the variables that such a name stands for (``SCREEN_#``), in their order."""
        pattern = re.compile(re.escape(name).replace(r"\#", "([0-9]{1,3})"))
        found = ((pattern.fullmatch(key), key) for key in self.found)
        return dict(sorted((int(match[1]), self.text(key)) for match, key in found if match))


def settle(root: str, machine: KnownMachine) -> None:
    """Work out which values hold for this machine, below ``root``, and leave them for `told_values`."""
    conf = read_lts(_bytes(os.path.join(root, LTS_CONF.lstrip("/"))))
    found = values_for(conf, machine).found
    for file, secret, mode in ((FILE, False, 0o644), (SECRETS, True, 0o600)):
        some = {key: value for key, value in found.items() if is_secret(key) == secret}
        write(os.path.join(root, file), json.dumps(some), mode)


def values_for(conf: LtsConf, machine: KnownMachine) -> LtsValues:
    """What a file says for a machine."""
    return LtsValues({key: plain(each.written) for key, each in values(conf, machine).items() if not is_unset(each)})


def told_values(root: str = "/") -> LtsValues:
    """What `settle` left, passwords only for root; nothing is set where there is no lts.conf."""
    found: dict[str, str] = {}
    for file in (FILE, SECRETS):
        text = read(os.path.join(root, file), MOST)
        found |= json.loads(text) if text else {}
    return LtsValues(found)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_LTS_BYTES + 1)
    except OSError:
        return b""
