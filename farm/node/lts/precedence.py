"""Which values of lts.conf a machine gets, and from which line each comes.

LTSP 5 (getltscfg): the section of the machine's name, or else that of its address, or else that of its MAC; then the
sections that it is LIKE, breadth first; then for name, address and MAC each the first section whose name fits as a
pattern, with those that it is LIKE; [default] last, whose own LIKE counts only if another section is LIKE [default].
Of several sections of one name the first counts. What is nearer to the beginning of this chain wins.

LTSP 23 (55-config.sh): what stands above all sections, [clients], [common], MAC, address, name, each the first section
that fits; what is read later wins, and INCLUDE is read where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from farm.node.lts.parts import Assignment, LtsConf, LtsRemark, LtsSection, folded
from farm.node.lts.section_globs import compiled, is_pattern, matches

NOTHING = "none"
"""A value that takes away what a weaker section says, in any case."""


class KnownMachine(NamedTuple):
    """What is known of a machine; what is not known is empty."""

    name: str = ""
    address: str = ""
    mac: str = ""


def values(conf: LtsConf, machine: KnownMachine) -> dict[str, Assignment]:
    """Variable → the line that wins, also one that takes a value away (`is_unset`)."""
    return _ltsp23(conf, machine) if conf.ltsp23 else _ltsp5(conf, machine)


def is_unset(assignment: Assignment) -> bool:
    """Whether the line takes a value away instead of giving one."""
    return folded(assignment.written) == NOTHING


def reference_remarks(conf: LtsConf) -> list[LtsRemark]:
    """The sections that LIKE or INCLUDE name and that are not there, and those that lead into a circle."""
    word, by_name = _word(conf), _by_name(conf)
    endless = _endless(conf, word, by_name)
    hangs = "" if conf.ltsp23 else "LTSP 5's reader hangs; here "
    remarks = []
    for section in conf.sections:
        for each in (each for each in section.assignments if each.key == word):
            target = by_name.get(folded(each.written))
            if target is None:
                text = f"{word}: there is no section [{each.written}]"
                remarks.append(LtsRemark(each.file, each.line, text, lost=True))
            elif id(target) in endless:
                text = f"{word}={each.written} leads into a circle: {hangs}each section counts once"
                remarks.append(LtsRemark(each.file, each.line, text))
    return remarks


def _endless(conf: LtsConf, word: str, by_name: Mapping[str, LtsSection]) -> set[int]:
    """The sections (their ids) that lead into a circle: what is left when those that end are taken away."""
    callers: dict[int, list[int]] = {id(section): [] for section in conf.sections}
    open_ends = dict.fromkeys(callers, 0)
    for section in conf.sections:
        for target in _targets(section, word, by_name):
            callers[id(target)].append(id(section))
            open_ends[id(section)] += 1
    ending = [each for each, number in open_ends.items() if not number]
    for each in ending:  # it grows meanwhile
        for caller in callers[each]:
            open_ends[caller] -= 1
            if not open_ends[caller]:
                ending.append(caller)
    return open_ends.keys() - set(ending)


def _targets(section: LtsSection, word: str, by_name: Mapping[str, LtsSection]) -> list[LtsSection]:
    """The sections that a section names, as far as they are there."""
    named = (by_name.get(folded(each.written)) for each in section.assignments if each.key == word)
    return [target for target in named if target]


def _word(conf: LtsConf) -> str:
    return "INCLUDE" if conf.ltsp23 else "LIKE"


def _by_name(conf: LtsConf) -> Mapping[str, LtsSection]:
    """The section that counts of each name: the first, in LTSP 23 the last."""
    order = conf.sections if conf.ltsp23 else reversed(conf.sections)
    return {folded(section.name): section for section in order}


def _ltsp5(conf: LtsConf, machine: KnownMachine) -> dict[str, Assignment]:
    found: dict[str, Assignment] = {}
    unnamed = [section for section in conf.sections if not section.name]
    for section in [*unnamed, *reversed(_chain(conf, machine))]:
        found |= {each.key: each for each in section.assignments if each.key != "LIKE"}
    return found


def _chain(conf: LtsConf, machine: KnownMachine) -> list[LtsSection]:
    """The sections that hold for a machine, the strongest first; each once, as a second time changes nothing."""
    by_name = _by_name(conf)
    named = (by_name.get(folded(each)) for each in machine if each)
    chain = _followed([section for section in named if section][:1], by_name)
    for each in filter(None, machine):
        chain = _followed([*chain, *_fitting(conf.sections, each)], by_name)
    default = by_name.get("default")
    return [*chain, default] if default else chain


def _followed(begin: list[LtsSection], by_name: Mapping[str, LtsSection]) -> list[LtsSection]:
    """These sections, those that they name with LIKE, those that these name, and so on."""
    chain: list[LtsSection] = []
    known: set[int] = set()
    waiting = list(begin)
    for section in waiting:  # it grows meanwhile
        if id(section) not in known:
            known.add(id(section))
            chain.append(section)
            waiting.extend(_targets(section, "LIKE", by_name))
    return chain


def _fitting(sections: list[LtsSection], name: str) -> Iterator[LtsSection]:
    """The first section whose name fits as a pattern, and is not the very name."""
    fits = (each for each in sections if folded(each.name) != folded(name) and matches(each.name, name))
    if first := next(fits, None):
        yield first


def _ltsp23(conf: LtsConf, machine: KnownMachine) -> dict[str, Assignment]:
    reading = _Ltsp23(conf)
    for name in ("", "clients", "common", machine.mac, machine.address):
        reading.section(name)
    hostname = reading.found.get("HOSTNAME")
    reading.section(hostname.written if hostname else machine.name)
    return reading.found


class _Ltsp23:
    """Reads sections in the order in which they are called; each once."""

    def __init__(self, conf: LtsConf) -> None:
        self.found: dict[str, Assignment] = {}
        self._names = [section.name for section in conf.sections]
        parts = [(at, part) for at, name in enumerate(self._names) for part in name.split("|")]
        self._plain = {part: at for at, part in reversed(parts)}
        self._wild = [(at, compiled(part)) for at, part in parts if is_pattern(part)]
        self._last = _by_name(conf)
        self._read: set[str] = set()

    def section(self, name: str) -> None:
        """Read the first section that fits a name, and those that it includes where it does."""
        open_sections = [self._lines(name)]
        while open_sections:
            line = next(open_sections[-1], None)
            if line is None:
                open_sections.pop()
            elif line.key == "INCLUDE":
                open_sections.append(self._lines(line.written))
            else:
                self.found[line.key] = line

    def _lines(self, name: str) -> Iterator[Assignment]:
        """The lines of the first section that fits; of several that are called the same, the last one's."""
        wanted = folded(name)
        end = len(self._names)
        by_pattern = (at for at, pattern in self._wild if wanted and pattern.fullmatch(wanted))
        first = min(self._plain.get(wanted, end), next(by_pattern, end))
        called = self._names[first] if first < end else None
        if called is None or called in self._read:
            return iter(())
        self._read.add(called)
        return iter(self._last[called].assignments)
