"""The words of a compiler call, as far as icecc's log tells them: it puts them down with blanks between, unquoted."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

SOURCE_FILE = re.compile(r"\.(?:c|cc|cp|cpp|cxx|c\+\+|C|CPP|i|ii|m|mm|mi|mii|M|s|S|sx|cu|f|f90|F|F90|ads|adb|d|go)")
"""Ends of names of what is compiled, whether or not icecc distributes it."""
HEADER = re.compile(r"\.(?:h|hh|hp|hpp|hxx|h\+\+|H|tcc|inc)")
VALUED = frozenset((
    "-o", "-x", "-D", "-U", "-I", "-L", "-l", "-B", "-T", "-u", "-z", "-e", "-G", "-A", "-MF", "-MT", "-MQ", "-include",
    "-include-pch", "-imacros", "-idirafter", "-iprefix", "-iquote", "-isystem", "-isystem-after", "-isysroot",
    "-imultilib", "-iwithprefix", "-iwithprefixbefore", "-iwithsysroot", "-iframework", "-iframeworkwithsysroot",
    "-cxx-isystem", "-c-isystem", "-ivfsoverlay", "-arch", "-target", "-framework", "-mllvm", "-Xclang", "-Xlinker",
    "-Xassembler", "-Xpreprocessor", "-Xanalyzer", "-aux-info", "-dumpbase", "-dumpbase-ext", "-dumpdir", "-wrapper",
    "-gcc-toolchain", "-serialize-diagnostics", "-dependency-file", "--param", "--sysroot", "--serialize-diagnostics",
    "--include-directory", "--include-directory-after", "--include-prefix", "--include-with-prefix",
    "--include-with-prefix-before", "--include-with-prefix-after", "--library-directory", "--prefix", "--rtlib",
    "--stdlib",
))  # fmt: skip
"""Options whose value may be the next word, of gcc and clang."""
LAUNCHERS = frozenset(("icecc", "icerun", "ccache", "sccache", "distcc"))
SIDE_FILE = re.compile(
    r"-fstack-usage|-fcallgraph-info(?:=.*)?|-fopt-info[^=]*=.+|-fsave-optimization-record(?:=.*)?"
    r"|-foptimization-record-file=.+"
)
"""Has the compiler write a file besides the object, of which icecc 1.4 does not know."""
SWALLOWS = ("-Wp,-MT", "-Wp,-MQ", "-Wp,-MF")
"""Have their value within the word; icecc 1.4 takes the next word for it as well (client/arg.cpp)."""


class Words(Struct, frozen=True):
    """What a call names: its options without their values, the files to compile or link, and the output if any."""

    options: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str = ""

    @property
    def compiles_only(self) -> bool:
        """Whether it makes an object, or assembler, and does not link."""
        return "-c" in self.options or "-S" in self.options

    @property
    def sources(self) -> tuple[str, ...]:
        """The inputs that are compiled; with -x all are."""
        return self.inputs if "-x" in self.options else tuple(name for name in self.inputs if _ends(name, SOURCE_FILE))

    @property
    def file(self) -> str:
        """By which a person knows the call: the source, a header that is compiled, or what is to be made."""
        headers = (name for name in self.inputs if _ends(name, HEADER))
        return next(iter(self.sources), "") or next(headers, "") or self.output


def parse(text: str) -> Words:
    """Read a command as icecc logs it. A blank in a file's name is one where otherwise no word would be a file's."""
    words = text.split(" ")
    words = words[_launchers(words) + 1 :]
    options: list[str] = []
    inputs: list[str] = []
    output, plain, number = "", False, 0
    only = "-c" in words or "-S" in words
    while number < len(words):
        word = words[number]
        number += 1
        if not plain and word == "--":
            plain = True
        elif not plain and word.startswith("-") and word != "-":
            options.append(word)
            if word == "-o" and number < len(words):
                number, output = _output(words, number, only)
            elif word.startswith("-o"):
                output = word[2:]
            number += word in VALUED and word != "-o"
        elif word and not word.startswith("@"):
            number, name = _joined(words, number - 1, plain)
            inputs.append(name)
    return Words(tuple(options), tuple(inputs), output)


def overlooks(text: str) -> str:
    """The option because of which icecc 1.4 does not see a word that it needs; empty where there is none."""
    return next((word for word in text.split(" ") if word.startswith(SWALLOWS)), "")


def side_file(text: str) -> str:
    """The option for which a node writes a file that does not come back; empty where there is none."""
    return next((word for word in text.split(" ") if SIDE_FILE.fullmatch(word)), "")


def is_clang(text: str) -> bool:
    """Whether icecc takes the compiler of a call for clang (client/local.cpp)."""
    words = text.split(" ")
    return "clang" in words[_launchers(words)].rpartition("/")[2]


def lost_dependencies(text: str) -> str:
    """The file to which clang would write dependencies if icecc did not name another one; empty when none is lost.

    Where a call says -Wp,-MD or -Wp,-MMD and not -MF, client/arg.cpp adds -MF with the object's name ending in .d.
    gcc still heeds what -Wp says.
    """
    words, known = text.split(" "), parse(text)
    named = [match[1] for word in words if (match := re.fullmatch(r"-Wp,-MM?D,([^,]+)", word))]
    if not named or not is_clang(text) or any(word.startswith(("-MF", "-Wp,-MF")) for word in words):
        return ""
    output = known.output or next(iter(known.sources), "").rpartition("/")[2]
    return "" if named[-1] == output.rpartition(".")[0] + ".d" else named[-1]


def _launchers(words: Sequence[str]) -> int:
    """How many words come before the compiler's name."""
    count = 0
    while count < len(words) - 1 and words[count].rpartition("/")[2] in LAUNCHERS:
        count += 1
    return count


def _joined(words: Sequence[str], start: int, plain: bool) -> tuple[int, str]:
    """A name that begins there, and where the next word is: words go together until one ends as a file's name does."""
    for end in range(start + 1, len(words) + 1):
        if not plain and end - start > 1 and words[end - 1].startswith("-"):
            break
        if re.search(r"\.\w[\w+]*$", words[end - 1]):
            return end, " ".join(words[start:end])
    return start + 1, words[start]


def _output(words: Sequence[str], start: int, only: bool) -> tuple[int, str]:
    """The value of -o: with blanks in it only where an object is made, and where that ends as no source does."""
    end, name = _joined(words, start, False)
    if end == start + 1 or (only and not _ends(name, SOURCE_FILE)):
        return end, name
    return start + 1, words[start]


def _ends(name: str, pattern: re.Pattern[str]) -> bool:
    dot = name.rfind(".", name.rfind("/") + 1)
    return dot >= 0 and pattern.fullmatch(name[dot:]) is not None
