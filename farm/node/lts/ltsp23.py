"""LTSP 23's ltsp.conf: plain ``KEY=value`` lines and sections. The file is shell to LTSP; here nothing of it is run.

Source: ltsp/ltsp, common/ltsp/55-config.sh (ini2sh) and ltsp.conf(5).
"""

from __future__ import annotations

import re

from farm.node.lts.parts import Assignment, LtsConf, LtsRemark, LtsSection, capitals, folded

_SPECIAL = re.compile(r"^ *\[(server|common|clients)\]", re.MULTILINE | re.IGNORECASE)
_DEFAULT = re.compile(r"^[ \t]*\[[ \t]*default[ \t]*\]", re.MULTILINE | re.IGNORECASE)
_SECTION = re.compile(r" *\[([^\]]*)\].*")
_ASSIGNMENT = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*) *= *(.*)")
_PLAIN = re.compile(r"""(?:"([^"$`\\]*)"|'([^']*)'|([^\s"'#$`\\;&|<>()]*))[ \t]*(?:#.*)?""")
_OPENED = re.compile(r"""[^"']*(?:"[^"]*"[^"']*|'[^']*'[^"']*)*(["'])[^"']*""")


def speaks_ltsp23(text: str) -> bool:
    """Whether a file is one of LTSP 23: it has one of its special sections, and not LTSP 5's [default]."""
    return bool(_SPECIAL.search(text)) and not _DEFAULT.search(text)


def parse_ltsp23(text: str, file: str) -> LtsConf:
    """The sections of a file; what is not plain gets a remark and is left out."""
    sections = [LtsSection("", file, 1, [])]
    remarks: list[LtsRemark] = []
    closing = ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:  # a value of several lines, which may hold whatever looks like a line of this file
            closing = "" if closing in line else closing
        elif found := _SECTION.fullmatch(line):
            name = re.sub("[^-*./:?@_|0-9a-z]", "", folded(found[1]))
            remarks += _section_remarks(name, sections, LtsRemark(file, number, ""))
            sections.append(LtsSection(name, file, number, []))
        elif found := _ASSIGNMENT.fullmatch(line):
            key, value = capitals(found[1]), _PLAIN.fullmatch(found[2].rstrip())
            if value:
                written = next((part for part in value.groups() if part), "")
                sections[-1].assignments.append(Assignment(key, written, sections[-1].name, file, number))
            else:
                opened = _OPENED.fullmatch(found[2])
                closing = opened[1] if opened else ""
                remarks.append(LtsRemark(file, number, f"{key}: only plain values of one line are read", True))
        elif line.strip() and not line.lstrip().startswith("#"):
            remarks.append(LtsRemark(file, number, "this is shell, which is not run", True))
    return LtsConf(True, sections, remarks)


def _section_remarks(name: str, before: list[LtsSection], where: LtsRemark) -> list[LtsRemark]:
    if name == "server":
        return []
    if "/" in name:
        return [where._replace(text=f"[{name}] is for one program of LTSP, and not used", lost=True)]
    same = next((each for each in before if each.name == name), None)
    text = f"[{name}] replaces the one of line {same.line}" if same else ""
    return [where._replace(text=text, lost=True)] if same else []
