"""LTSP 5's grammar of lts.conf: what its reader getltscfg reads is read here with the same result.

That reader gives up at the first error, and everything after it is lost without a word. Here a line with an error is
read by itself, with a remark, and reading goes on with the next.

Words may stand on lines of their own: ``KEY``, ``=`` and the value are three words, a section's name in brackets is
one thing, and after a value the next thing may begin on the same line. Source: kvaps/ltsp5, client/getltscfg.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from farm.node.lts.parts import Assignment, LtsConf, LtsRemark, LtsSection, capitals, folded

Include = Callable[[str], "str | None"]
"""Reads an included file by its path as written; None when it cannot be read."""

MAX_FILES = 10
"""The file itself and those that it includes."""
SPACE = " \t\n\v\f\r"
STOPS = "LTSP 5 stops reading here"

_TOKEN = re.compile(
    r"""
      (?:^[ \t]*include[ \t]++(?P<include>"[^\n]*"|[^=\n\[\]"'\#]+)[ \t]*)
    | (?P<nothing>[ \t]+(?=[=\n\[\]"'\#])|\#[^\n]*\n|\n)
    | (?P<sign>[=\[\]])
    | "(?P<quoted>[^\n]*)"
    | (?P<bare>[^=\n\[\]"'\#]+)
    | (?P<odd>["'])
    """,
    re.VERBOSE | re.MULTILINE,
)
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_SECTION = re.compile(r"\[([^\]]+)\][ \t]*(?:#.*)?")
_SINGLE = re.compile(r"'([^']*)'[ \t]*(?:#.*)?")


class _Token(NamedTuple):
    """A word; ``kind`` is a sign, or one of ``text``, ``include``, ``odd``."""

    kind: str
    text: str
    start: int
    line: int


def parse_ltsp5(text: str, file: str, include: Include) -> LtsConf:
    """The sections of a file whose lines end with a line feed, the last one too."""
    parser = _Parser(include)
    parser.files.append(file)
    pending: tuple[str, str] | None = (file, text)
    while pending:
        parser.pending = None
        parser.read(*pending)
        pending = parser.pending
    return LtsConf(False, parser.sections, parser.remarks)


def _tokens(text: str) -> list[_Token]:
    found, line, at = [], 1, 0
    while match := _TOKEN.match(text, at):
        kind = match.lastgroup or ""
        word = match[kind]
        if kind == "bare":
            word = word.strip(SPACE)
        if kind != "nothing":
            name = {"sign": word, "quoted": "text", "bare": "text"}.get(kind, kind)
            found.append(_Token(name, word, at, line))
        line += text.count("\n", at, match.end())
        at = match.end()
    return found


class _Parser:
    """Reads one file after the other: an included one follows the rest of the file that includes it."""

    def __init__(self, include: Include) -> None:
        self._include_text = include
        self.files: list[str] = []
        self.sections: list[LtsSection] = []
        self.remarks: list[LtsRemark] = []
        self.pending: tuple[str, str] | None = None
        self._included = False
        self._named: dict[str, int] = {}
        self._set: dict[str, int] = {}

    def read(self, file: str, text: str) -> None:
        self._file, self._text, self._value_line = file, text, 0
        tokens = _tokens(text)
        at = 0
        while at < len(tokens):
            at += self._statement(tokens[at : at + 4]) or self._rescue(tokens, at)

    def _remark(self, line: int, text: str, lost: bool = False) -> None:
        self.remarks.append(LtsRemark(self._file, line, text, lost))

    def _statement(self, tokens: list[_Token]) -> int:
        """The number of words of the statement that begins here; 0: it is none."""
        first, kinds = tokens[0], [token.kind for token in tokens]
        if kinds[0] == "include":
            self._include(first)
            return 1
        if kinds[:3] == ["[", "text", "]"]:
            if first.line == self._value_line:
                self._remark(first.line, f"[{tokens[1].text}] begins a section after a value, as in LTSP 5")
            self._open(tokens[1].text, first.line)
            return 3
        if kinds[:3] != ["text", "=", "text"] or self._runs_on(tokens):
            return 0
        self._assign(first.text, tokens[2].text, first.line)
        self._value_line = tokens[2].line
        if tokens[2].line > first.line:
            self._remark(first.line, f"{first.text} gets its value from line {tokens[2].line}")
        return 3

    @staticmethod
    def _runs_on(tokens: list[_Token]) -> bool:
        """Whether what follows an assignment makes an error of it: its value goes on, or was the next line's key."""
        if len(tokens) < 4:
            return False
        key, _, value, after = tokens
        same_line = after.line == value.line and after.kind in ("=", "]", "odd")
        return same_line or (after.kind == "=" and value.line > key.line)

    def _include(self, token: _Token) -> None:
        path = token.text.strip(SPACE)
        if path.startswith('"'):
            path = path[1:-1].strip(SPACE)
        text = self._include_text(path)
        if self.sections and not self.sections[-1].assignments:
            self._remark(token.line, f"an include stands between a section and what the section sets: {STOPS}")
        if text is None:
            self._remark(token.line, f"{path} cannot be read: LTSP 5's reader ends here without any value", True)
        elif path in self.files:
            self._remark(token.line, f"{path} is included already", True)
        elif len(self.files) >= MAX_FILES:
            self._remark(token.line, f"{path} is not read: there are more than {MAX_FILES - 1} included files", True)
        else:
            if self.pending:
                self._remark(token.line, f"{self.pending[0]} is not read: only a file's last include counts", True)
            self.files.append(path)
            self.pending = (path, text)
        self._included = True

    def _open(self, name: str, line: int) -> None:
        last = self.sections[-1] if self.sections else None
        if last and last.name and not last.assignments:
            self.remarks.append(LtsRemark(last.file, last.line, f"[{last.name}] sets nothing: {STOPS}"))
        if folded(name) in self._named:
            earlier = self._named[folded(name)]
            self._remark(line, f"[{name}] is a second time here: only the one of line {earlier} counts", True)
        self._named.setdefault(folded(name), line)
        self._set = {}
        # Without a name is what stands above all sections; one of an empty name fits no machine.
        self.sections.append(LtsSection(name or '""', self._file, line, []))
        self._included = False

    def _assign(self, key: str, value: str, line: int) -> None:
        if not self.sections:
            self._remark(line, f"{key} stands above the first section: LTSP 5 reads nothing of this file")
            self.sections.append(LtsSection("", self._file, line, []))
        section = self.sections[-1]
        if self._included:
            self._remark(line, f"{key} stands between an include and the next section: {STOPS}")
            self._included = False
        if not _NAME.fullmatch(key):
            self._remark(line, f"{key} cannot be the name of a variable", True)
        name = capitals(key)
        if name in self._set and name != "LIKE":
            self._remark(line, f"{key} is set in line {self._set[name]} already: the last value counts")
        self._set[name] = line
        section.assignments.append(Assignment(name, value, section.name, self._file, line))

    def _rescue(self, tokens: list[_Token], at: int) -> int:
        """Read the rest of a line with an error by itself; returns how many words it has."""
        first = tokens[at]
        line = self._text[first.start : self._text.index("\n", first.start)].strip(SPACE)
        key, equals, rest = line.partition("=")
        key = key.strip(SPACE)
        if key and equals and not set(key) & set("[]\"'#"):
            value, flaw, lost = _lenient_value(rest.strip(SPACE))
            self._remark(first.line, f"{key}: {flaw}", lost)
            self._assign(key, value, first.line)
        elif found := _SECTION.fullmatch(line):
            self._remark(first.line, f"the section's name has a quotation mark: {STOPS}")
            self._open(found[1].strip(SPACE), first.line)
        elif line:
            self._remark(first.line, f"this is neither [SECTION] nor KEY=VALUE: {STOPS}", True)
        end = at
        while end < len(tokens) and tokens[end].line == first.line:
            end += 1
        return end - at


def _lenient_value(rest: str) -> tuple[str, str, bool]:
    """The value of a line that LTSP 5 cannot read, why not, and whether something of it is left out."""
    if not rest or rest.startswith("#"):
        return "", "there is no value: LTSP 5 takes the next word for it, and reads no further", False
    if found := _SINGLE.fullmatch(rest):
        why = "single quotation marks are text to LTSP 5, and the shell then loses all values"
        return found[1], why, False
    end = rest.rfind(rest[0], 1)
    if rest[0] in "\"'" and end > 0:
        return rest[1:end], f"what follows the value is not used: {STOPS}", True
    bare = rest.partition("#")[0].rstrip(SPACE)
    if rest[0] in "\"'":
        return bare[1:], f"the closing quotation mark is missing: {STOPS}", False
    return bare, f"a value with = [ ] or a quotation mark needs double quotation marks: {STOPS}", False
