"""Reading lts.conf from bytes, whichever LTSP it was written for."""

from __future__ import annotations

from farm.node.lts.ltsp5 import Include, parse_ltsp5
from farm.node.lts.ltsp23 import parse_ltsp23, speaks_ltsp23
from farm.node.lts.parts import LtsConf, LtsRemark
from farm.node.lts.precedence import reference_remarks

MAX_LTS_BYTES = 64 * 1024
"""The most that is read of a file, and served."""
MAX_REMARKS = 500
"""More than anybody reads; a file of no sense has one for each line."""


def read_lts(content: bytes, file: str = "lts.conf", include: Include = lambda path: None) -> LtsConf:
    """A whole file. Whatever is in it is read as far as possible; the remarks say what is wrong.

    ``file``: what remarks call it. ``include``: reads a file that it names.
    """
    cut = len(content) > MAX_LTS_BYTES
    text = _text(content[:MAX_LTS_BYTES])
    lines = _lines(text)
    conf = parse_ltsp23(lines, file) if speaks_ltsp23(lines) else parse_ltsp5(lines, file, _included(include))
    own = list(_whole(text, file, conf.ltsp23))
    if cut:
        own.append(LtsRemark(file, lines.count("\n"), f"only the first {MAX_LTS_BYTES} bytes are read", True))
    remarks = [*own, *conf.remarks, *reference_remarks(conf)]
    remarks.sort(key=lambda remark: (remark.file != file, remark.file, remark.line))
    return conf._replace(remarks=remarks[:MAX_REMARKS])


def _text(content: bytes) -> str:
    """UTF-8, or what was written before there was UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _lines(text: str) -> str:
    """The text with line feeds at the end of each line, the last one too."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\0", "")
    return text if text.endswith("\n") or not text else f"{text}\n"


def _included(include: Include) -> Include:
    def read(path: str) -> str | None:
        text = include(path)
        return None if text is None else _lines(text)

    return read


def _whole(text: str, file: str, ltsp23: bool) -> list[LtsRemark]:
    """What holds for the file as a whole, each at the line where it begins."""
    stops = "" if ltsp23 else ": LTSP 5 stops reading at the first line"
    signs = [
        ("\r\n", f"lines end with CR LF, as DOS writes them{stops}"),
        ("\0", f"a zero byte is left out{stops and ': LTSP 5 loses the rest of the line'}"),
    ]
    found = [LtsRemark(file, text.count("\n", 0, text.index(sign)) + 1, said) for sign, said in signs if sign in text]
    if text.startswith("\ufeff"):
        found.insert(0, LtsRemark(file, 1, f"the file begins with a byte order mark{stops}"))
    last = text.rpartition("\n")[2]
    if "#" in last and '"' not in last and not ltsp23:
        said = "the file ends within a comment: LTSP 5 takes it for text unless a line feed ends it"
        found.append(LtsRemark(file, text.count("\n") + 1, said))
    return found
