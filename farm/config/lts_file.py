"""lts.conf beside farm.yaml, the configuration of LTSP's clients: read on the server, and what is wrong with it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from farm.errors import FarmError
from farm.node.lts.known import BOOLEAN, IGNORED, LATER, NOT_YET, WORKS, by_state, variable
from farm.node.lts.meaning import boolean_flaw, shell_flaw
from farm.node.lts.parts import LtsConf, LtsRemark
from farm.node.lts.reading import MAX_LTS_BYTES, read_lts
from farm.printable import printable

LTS_FILE = "lts.conf"
"""Its name beside farm.yaml."""
STATES = {
    WORKS: "Works",
    NOT_YET: "Read, but nothing acts on them yet",
    LATER: "Read, and to come later",
    IGNORED: "Ignored",
    "": "Not known",
}
"""State of a variable → what is said of those in a file."""


def lts_content(path: Path) -> bytes | None:
    """The bytes of an lts.conf, at most MAX_LTS_BYTES; None when there is none. Raises FarmError."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FarmError(f"{path} is not a file.", "lts.conf must be a regular file.", f"Look: ls -ld {path}")
        with path.open("rb") as file:
            content = file.read(MAX_LTS_BYTES + 1)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise FarmError(f"{path} cannot be read.", "Permission denied.", "Try again with sudo.") from None
    except OSError as error:
        raise FarmError(f"{path} cannot be read.", f"{error.strerror}.", f"Look: ls -l {path}") from None
    if len(content) > MAX_LTS_BYTES:
        why = f"Machines read {MAX_LTS_BYTES} bytes at most."
        raise FarmError(f"{path} is too large.", why, "Shorten it: give several machines one section, by LIKE.")
    return content


def load_lts(path: Path) -> LtsConf:
    """Read an lts.conf, with all that is noticeable about it. Raises FarmError when there is none to read."""
    content = lts_content(path)
    if content is None:
        fix = "Copy that of an LTSP server there, or write one: docs/lts-conf.md"
        raise FarmError(f"There is no {path}.", "The file is optional.", fix)

    def include(name: str) -> str | None:
        try:
            found = lts_content(path.parent / name)
        except (FarmError, ValueError):
            return None
        return None if found is None else found.decode(errors="replace")

    conf = read_lts(content, path.name, include)
    remarks = [*conf.remarks, *_included(conf, path.name), *_values(conf)]
    return conf._replace(remarks=sorted(remarks, key=lambda each: (each.file != path.name, each.file, each.line)))


def lts_lines(path: Path) -> list[str]:
    """What is noticeable about an lts.conf, a line for each; nothing when there is no such file."""
    try:
        return [] if lts_content(path) is None else [remark_line(remark) for remark in load_lts(path).remarks]
    except FarmError as error:
        return [f"{error.what} {error.why}"]


def remark_line(remark: LtsRemark) -> str:
    """A remark for people: ``lts.conf:3: …``."""
    return f"{printable(remark.file)}:{remark.line}: {printable(remark.text, 300)}"


def variable_lines(conf: LtsConf) -> list[str]:
    """Every variable of a file once, a line for each state; those that are ignored by the reason."""
    found = by_state(each.key for each in conf.assignments)
    return [f"{title}: {_listed(found[state])}." for state, title in STATES.items() if state in found]


def _listed(keys: list[str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for key in keys:
        known = variable(key)
        reason = known.instead if known and known.state == IGNORED else ""
        by_reason.setdefault(reason, []).append(printable(key, 64))
    return "; ".join(", ".join(names) + f" ({why})" * bool(why) for why, names in by_reason.items())


def _included(conf: LtsConf, file: str) -> Iterator[LtsRemark]:
    for name in dict.fromkeys(section.file for section in conf.sections if section.file != file):
        yield LtsRemark(name, 1, f"machines get {file} alone, and do not see this file")


def _values(conf: LtsConf) -> Iterator[LtsRemark]:
    """Values that LTSP 5 understood in another way than they are written, or that mean nothing."""
    for each in () if conf.ltsp23 else conf.assignments:
        known = variable(each.key)
        flaw = boolean_flaw(each.written) if known and known.kind == BOOLEAN else shell_flaw(each.written)
        if flaw:
            yield LtsRemark(each.file, each.line, f"{each.key}: {flaw}")
