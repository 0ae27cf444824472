"""lts.conf as LTSP 5's own reader reads it, and what that reader gives up on.

``tests/data/lts`` holds files written after those that administrators have published (order, variables, quotation marks
and spaces are theirs; comments, names, addresses and passwords are not; old-monitors.conf is LTSP's template with more
sections), and what getltscfg, built from LTSP 5.18, said of them and of made-up files on machines with that name,
address and MAC: getltscfg.json, generated.json.
"""

from __future__ import annotations

import ast
import ctypes
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.node.lts.known import IGNORED, TOPICS, WORKS, by_state, variable
from farm.node.lts.meaning import DOTS, boolean_flaw, is_true, plain, shell_flaw, shown
from farm.node.lts.parts import LtsConf
from farm.node.lts.precedence import KnownMachine, is_unset, values
from farm.node.lts.reading import MAX_LTS_BYTES, MAX_REMARKS, read_lts
from farm.node.lts.section_globs import matches

DATA = Path(__file__).parents[1] / "data" / "lts"
REAL: list[dict[str, Any]] = json.loads((DATA / "getltscfg.json").read_text())
GENERATED: dict[str, Any] = json.loads((DATA / "generated.json").read_text())
PC17 = KnownMachine("pc17", "192.168.67.17", "b8:27:eb:00:00:17")


def read(text: str) -> LtsConf:
    return read_lts(text.encode("utf-8", "surrogateescape"))


def given_values(conf: LtsConf, machine: KnownMachine = PC17) -> dict[str, str]:
    """As getltscfg prints them."""
    return {key: each.written for key, each in values(conf, machine).items() if not is_unset(each)}


def told(text: str) -> list[tuple[int, bool]]:
    """Line of each remark, and whether the line is lost."""
    return [(remark.line, remark.lost) for remark in read(text).remarks]


@pytest.mark.parametrize(
    "case", REAL, ids=lambda case: f"{case['file']}-{case['machine'][0]}-{case['machine'][2][-2:]}"
)
def test_files_as_found_are_read_as_by_ltsp5(case: dict[str, Any]) -> None:
    conf = read_lts((DATA / f"{case['file']}.conf").read_bytes())

    assert case["values"] == given_values(conf, KnownMachine(*case["machine"]))
    assert [] == [remark for remark in conf.remarks if "stops reading" in remark.text]


def test_there_are_ten_of_them() -> None:
    assert 10 <= len({case["file"] for case in REAL})


@pytest.mark.parametrize("number", range(len(GENERATED["cases"])))
def test_made_up_files_are_read_as_by_ltsp5(number: int) -> None:
    case = GENERATED["cases"][number]
    conf = read_lts(case["text"].encode(), "lts.conf", GENERATED["included"].get)

    assert case["values"] == given_values(conf, KnownMachine(*GENERATED["machine"]))


def test_files_as_found_that_ltsp5_gives_up_on_are_read_to_the_end() -> None:
    door = KnownMachine("n", "198.51.100.5", "02:b2:00:d4:e5:02")
    cut = read_lts((DATA / "without-an-end.conf").read_bytes())
    bare = read_lts((DATA / "without-a-section.conf").read_bytes())

    expected = {
        "LTSP_FATCLIENT": "",
        "LDM_SESSION": "/usr/bin/startlxde",
        "LDM_USERNAME": "user",
        "LDM_PASSWORD": "123",
    }
    assert expected == given_values(cut, door)
    assert {"SCREEN_02": "shell", "SCREEN_07": "ldm", "FAT_RAM_THRESHOLD": "500"}.items() <= given_values(bare).items()
    assert [] == [remark for remark in [*cut.remarks, *bare.remarks] if remark.lost]


def test_cases_and_quotation_marks_are_getltscfgs() -> None:
    text = """
[PC17]
  xkbLayout = "us,gr"\x20
ldm_session="gnome-session --session=x"
X_OPTION_01 = "\\"NoAccel\\""
V = a b  c
W = http://x/y#z
N = none
P = a:b;c$d`e`
# comment
Q=1 # trailing
R="q" # trailing quoted
Z="a=b"
"""
    assert given_values(read(text)) == {
        "XKBLAYOUT": "us,gr",
        "LDM_SESSION": "gnome-session --session=x",
        "X_OPTION_01": r"\"NoAccel\"",
        "V": "a b  c",
        "W": "http://x/y",
        "P": "a:b;c$d`e`",
        "Q": "1",
        "R": "q",
        "Z": "a=b",
    }


def test_own_section_then_likes_then_patterns_then_default() -> None:
    text = """
        [default]
        A=def\nB=def\nC=def\nD=def\nE=def\nF=def\nG=def
        [pc17]
        A=own\nLIKE=one\nlike=two
        [one]
        A=one\nB=one\nC=one\nLIKE=three
        [two]
        B=two\nD=two
        [three]
        C=three\nE=three
        [pc1?]
        A=glob\nE=glob\nF=glob
        [pc*]
        F=second
    """
    found = {"A": "own", "B": "one", "C": "one", "D": "two", "E": "three", "F": "glob", "G": "def"}
    assert found == given_values(read(text))
    assert {"def"} == set(given_values(read(text), KnownMachine("other")).values())


def test_only_the_first_of_name_address_and_mac_counts_as_a_section_but_each_as_a_pattern() -> None:
    text = "[b8:27:eb:00:00:17]\nA=mac\nM=1\n[192.168.67.17]\nA=address\n[b8:*]\nB=1\n[192.168.*]\nC=1\n"
    assert {"A": "address", "B": "1", "C": "1"} == given_values(read(text))
    assert {"A": "mac", "M": "1", "B": "1"} == given_values(read(text), KnownMachine("pc17", "", PC17.mac))


def test_the_value_none_takes_away_what_default_says() -> None:
    assert {"B": "1"} == given_values(read("[default]\nA=1\nB=1\n[pc17]\nA=None\n"))


def test_a_circle_of_likes_ends() -> None:
    text = "[pc17]\nLIKE=a\nX=1\n[a]\nLIKE=b\nA=1\n[b]\nLIKE=pc17\nLIKE=nobody\nX=2\nB=1\n"
    assert {"X": "1", "A": "1", "B": "1"} == given_values(read(text))
    assert [(2, False), (5, False), (8, False), (9, True)] == told(text)


def test_an_included_file_follows_the_rest_of_its_file_and_only_the_last_one_counts() -> None:
    files = {"x": "[pc17]\nA=x\nB=x", "y": "[pc17]\nA=y\n"}
    text = "[default]\nA=main\nB=main\ninclude x\n[other]\nC=1\n"
    one = read_lts(text.encode(), "lts.conf", files.get)
    two = read_lts(f"include y\n{text}".encode(), "lts.conf", files.get)

    assert {"A": "x", "B": "x"} == given_values(one) == given_values(two)
    assert [("x", 3), ("lts.conf", 3)] == [
        (values(one, m)["B"].file, values(one, m)["B"].line) for m in (PC17, KnownMachine("z"))
    ]
    assert [] == one.remarks
    assert [("lts.conf", 5, True)] == [remark[:2] + remark[3:] for remark in two.remarks]


@pytest.mark.parametrize(
    ("text", "found", "remarks"),
    [
        ("[default]\r\nA=1\r\nB=\"x\"\r\n", {"A": "1", "B": "x"}, [(1, False)]),
        ("\ufeff[default]\nA=1\n", {"A": "1"}, [(1, False)]),
        ("[default]\nA=1\nB=\nC=3\n", {"A": "1", "B": "", "C": "3"}, [(3, False)]),
        ("[default]\nA=1\nB=", {"A": "1", "B": ""}, [(3, False)]),
        ("[default]\nA=1\n[pc17]\n[x]\nB=1\n", {"A": "1"}, [(3, False)]),
        ("[default]\nA='x y' # z\nB=don't\n", {"A": "x y", "B": "don't"}, [(2, False), (3, False)]),
        ("[default]\nA=b=c # d\nB=a]\n", {"A": "b=c", "B": "a]"}, [(2, False), (3, False)]),
        ('[default]\nA="x"]\nB="y" z\nC=1\n', {"A": "x", "B": "y", "C": "1"}, [(2, True), (3, True)]),
        ("[default]\nB=a[1]\nC=1\n", {"B": "a"}, [(2, False)]),
        ('[default]\nA="x y\nB=1\n', {"A": "x y", "B": "1"}, [(2, False)]),
        ("A=1\n[default]\nB=2\n[pc17]\nC=3\n", {"A": "1", "B": "2", "C": "3"}, [(1, False)]),
        ("A=1\n[default]\nA=2\n", {"A": "2"}, [(1, False)]),
        ("[default]\nA=1\nwhat is this\nB=2\n", {"A": "1", "B": "2"}, [(3, True)]),
        ("[default]\nA=1\n[pc17]\nA=2\n[PC17]\nA=3\n", {"A": "2"}, [(5, True)]),
        ("[default]\nA=1\nA=2\n", {"A": "2"}, [(3, False)]),
        ("[default]\nA=1\ninclude nowhere\n[x]\nB=2\n", {"A": "1"}, [(3, True)]),
        ("[default]\nA=\n\"1\"\n", {"A": "1"}, [(2, False)]),
        ("[bob's pc]\nA=1\n[default]\nA=2\n", {"A": "2"}, [(1, False)]),
        ("[default]\nA=1\n# end", {"A": "1"}, [(3, False)]),
        ("[default]\nA=caf\udce9\n", {"A": "café"}, []),
        ("[]\nA=1\n[default]\nB=1\n", {"A": "1", "B": "1"}, [(1, True), (2, False)]),
        ('[""]\nA=1\n[default]\nB=1\n', {"B": "1"}, []),
        ("", {}, []),
    ],
)  # fmt: skip
def test_reading_goes_on_where_ltsp5_stops(text: str, found: dict[str, str], remarks: list[tuple[int, bool]]) -> None:
    assert found == given_values(read(text))
    assert remarks == told(text)


GARBAGE = st.text(st.sampled_from("[]=\"'# \t\r\n\0aAb1.*?\\$`é|/:") | st.characters(codec="utf-8"), max_size=300)
PLAIN = st.text(st.sampled_from("abcXYZ019 ./-_:$\\"), min_size=1, max_size=12).map(str.strip).filter(bool)
KEYS = st.sampled_from(["A", "SOUND", "X_MODE_0", "SCREEN_07"])
LINES = st.lists(st.tuples(KEYS, PLAIN.filter(lambda text: text.lower() != "none")), min_size=1, max_size=6)


@given(GARBAGE)
@example("[")
@example('include "')
@example("[default]\ninclude x\n[default]")
def test_whatever_is_in_it_is_read(text: str) -> None:
    content = text.encode()
    for data in (content, b"[clients]\n" + content, text.encode("utf-16")):
        conf = read_lts(data, "lts.conf", lambda path: content.decode() if "x" in path else None)
        values(conf, PC17)
        by_state(each.key for each in conf.assignments)
        last = data.count(b"\n") + 1
        assert all(1 <= remark.line <= last or remark.file != "lts.conf" for remark in conf.remarks)
        assert all(1 <= each.line for each in conf.assignments)


@given(
    LINES,
    st.sampled_from(["junk", "[oops", "=", "]", "= 1 = 2", "'", "[]", "B=", "B='q'", "B==", 'B="', "a b"]),
    st.data(),
)
def test_a_line_with_an_error_costs_no_other_line(lines: list[tuple[str, str]], bad: str, data: st.DataObject) -> None:
    good = [f"{key} = {value}" for key, value in lines]
    at = data.draw(st.integers(0, len(good)))
    text = "\n".join(["[default]", *good[:at], bad, *good[at:], ""])

    found = given_values(read(text))
    found.pop("B", None)
    assert dict(lines) == {key: value for key, value in found.items()}
    assert at + 2 in [line for line, _ in told(text)]


@given(LINES)
def test_dos_lines_and_quotation_marks_change_nothing(lines: list[tuple[str, str]]) -> None:
    bare = "".join(f"{key}={value}\n" for key, value in lines)
    quoted = "".join(f'  {key}\t=  "{value}"  # c\n' for key, value in lines)
    for text in (bare, quoted, bare.replace("\n", "\r\n"), quoted.replace("\n", "\r\n"), bare.rstrip("\n")):
        assert dict(lines) == given_values(read(f"[default]\n{text}"))


ENDLESS = [
    *(
        "[a]\n",
        "A=1\n",
        "junk\n",
        "'\n",
        '"',
        "[",
        "x='\n",
        "include x\n",
        "[a]\nLIKE=a\n",
        "[a*a*a*a*a*a*a*a*b]\nA=1\n",
    ),
    *(
        f"{word}{' ' * 2 * MAX_LTS_BYTES}{end}"
        for word in ("a", "include", "[a]", "A=", "-p")
        for end in ("=", "'", "x")
    ),
]


@pytest.mark.parametrize("piece", ENDLESS, ids=lambda piece: repr(piece[:12]))
def test_a_file_of_no_end_is_read_to_a_limit_and_soon(piece: str) -> None:
    content = piece.encode() * (2 * MAX_LTS_BYTES // len(piece) + 1)
    for text in (content, b"[clients]\n" + content, content[: MAX_LTS_BYTES - 2] + b"'\n"):
        conf = read_lts(text)
        found = values(conf, KnownMachine("a" * 63))
        assert all(shown(key, each.written) for key, each in found.items() if each.written)
        assert len(conf.remarks) <= MAX_REMARKS
        assert sum(len(each.written) for each in conf.assignments) <= MAX_LTS_BYTES


FNMATCH = ctypes.CDLL(None).fnmatch
FNM_CASEFOLD = 16
PARTS = [*"aB1*?[]!^-\\z", "**", "[!", "[[:digit:]", "[[:alpha:]", "[[:upper:]", "[[:punct:]", "a-z", "192.168."]


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(PARTS), max_size=8).map("".join),
    st.text(st.sampled_from("ab1-]z.[\\6"), max_size=6),
)
@example("[!]", "]")
@example("[]-a]*", "]b")
@example("\\*", "*")
def test_patterns_are_those_of_the_c_library(pattern: str, name: str) -> None:
    assert (FNMATCH(pattern.encode(), name.encode(), FNM_CASEFOLD) == 0) == matches(pattern, name)


LTSP23 = """
# comment
HOSTNAME=unnamed
[server]
NAT=1
[common]
B=common\nA=common
[clients]
A=clients\nB=clients
PASSWORDS_LAB="pc[0-9]*/Z3Vlc3Q="
CONF="[daemon]
X=no
end"
[b8:27:eb:*]
HOSTNAME=pc17\nA=mac\nM='mac'
INCLUDE=crt
[pc1?|lab*]
A=name
[initrd-bottom/pc*]
A=applet
[crt]
X_MODES="1024x768"\nM=crt
touch /tmp/x
C=$(id)
"""


def test_ltsp23_reads_mac_then_address_then_the_name_that_these_may_set() -> None:
    conf = read(LTSP23)
    found = given_values(conf, KnownMachine("", PC17.address, PC17.mac))

    assert conf.ltsp23
    expected = {"A": "name", "B": "common", "HOSTNAME": "pc17", "X_MODES": "1024x768", "M": "crt"}
    assert {**expected, "PASSWORDS_LAB": "pc[0-9]*/Z3Vlc3Q="} == found
    remarks = "\n".join(remark.text for remark in conf.remarks)
    assert re.fullmatch(r"CONF: .*\n\[initrd-bottom/pc\*\] .*\nthis is shell.*\nC: .*", remarks)
    assert all(remark.lost for remark in conf.remarks)
    assert not read("[default]\nA=1\n[clients]\nA=2\n").ltsp23


def test_in_ltsp23_the_first_section_that_fits_is_read_and_of_one_name_the_last() -> None:
    text = "[clients]\nA=1\n[pc*]\nA=2\n[pc17]\nA=3\n[clients]\nB=1\nINCLUDE=clients\n"
    assert {"A": "2", "B": "1"} == given_values(read(text))
    assert [(7, True), (9, False)] == told(text)


def test_includes_of_ltsp23_may_be_nested_as_deeply_as_one_likes() -> None:
    chain = "".join(f"[s{number}]\nINCLUDE=s{number + 1}\nA={number}\n" for number in range(2000))
    assert "0" == given_values(read(f"[clients]\nINCLUDE=s0\n{chain}"))["A"]
    chain = chain.replace("INCLUDE", "LIKE")
    assert {"A": "0", "B": "1"} == given_values(read(f"[pc17]\nLIKE=s0\nB=1\n{chain}"))


def test_truth_is_ltsp5s_and_what_was_meant() -> None:
    assert [True] * 6 == [is_true(value) for value in ("True", "YES", "y", "1", "on", "T")]
    assert [False] * 5 == [is_true(value) for value in ("False", "no", "0", "", "Ture")]
    assert ["", ""] == [boolean_flaw("yes"), boolean_flaw("FALSE")]
    assert "true here" in boolean_flaw("1")
    assert "counts as false" in boolean_flaw("Ture")


def test_the_shells_backslashes_are_taken_away_and_nothing_is_expanded() -> None:
    assert '"NoAccel" $HOME `id` \\n' == plain('\\"NoAccel\\" $HOME \\`id\\` \\n')
    assert "" == shell_flaw('\\"NoAccel\\" a\\$b')
    assert "$" in shell_flaw("$HOME")
    assert "quotation mark" in shell_flaw('a" "b')


def test_passwords_are_dots() -> None:
    assert [DOTS] * 3 == [shown(key, "x") for key in ("LDM_PASSWORD", "VNC_PASSWORD", "PASSWORDS_LAB")]
    assert f"-u me -p {DOTS} -k de" == shown("RDP_OPTIONS", "-u me -p secret -k de")
    assert f"/u:me /p:{DOTS} /f" == shown("RDP_OPTIONS", "/u:me /p:secret /f")
    assert f"/v:h /p:{DOTS} -p {DOTS}" == shown("RDP_OPTIONS", r"/v:h /p:\"a b,c\" -p 'd e'")
    assert f"//s/x /mnt cifs user=a,password={DOTS},ro 0 0" == shown(
        "FSTAB_1", "//s/x /mnt cifs user=a,password=b,ro 0 0"
    )


def test_each_variable_stands_once_and_says_what_it_is_for() -> None:
    variables = [each for topic in TOPICS.values() for each in topic]
    assert len(variables) == len({each.name for each in variables})
    assert [] == [each for each in variables if not each.does or "|" in each.does + each.instead]
    assert [] == [each.name for each in variables if each.state == IGNORED and not each.instead]


def test_variables_are_known_by_number_and_by_screen() -> None:
    assert "FSTAB_#" == getattr(variable("FSTAB_1"), "name", "")
    assert "XRANDR_MODE_#" == getattr(variable("XRANDR_MODE_0"), "name", "")
    assert "XKBLAYOUT" == getattr(variable("SCREEN_07_XKBLAYOUT"), "name", "")
    assert variable("SCREEN_07_") is None
    assert {WORKS: ["LIKE"], "": ["NOBODY"]} == by_state(["LIKE", "NOBODY", "LIKE"])


def test_a_node_can_import_it() -> None:
    files = (Path(__file__).parents[2] / "farm" / "node" / "lts").glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}

    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {name for name in names if name.startswith("farm.node.")}
