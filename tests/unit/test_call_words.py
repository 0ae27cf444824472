"""Compiler calls as icecc logs them, without quotes: what they compile and make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.workstation.explain.call_words import parse


@pytest.mark.parametrize(
    ("command", "file", "output"),
    [
        ("gcc -c a.c", "a.c", ""),
        ("icecc gcc -c src/a.c -o out/a.o", "src/a.c", "out/a.o"),
        ("/usr/bin/icecc ccache /usr/bin/g++ -O2 -c a.cpp -oa.o", "a.cpp", "a.o"),
        ("gcc -c my file.c", "my file.c", ""),
        ("gcc -c my file.c -o my out.o", "my file.c", "my out.o"),
        ("gcc -o my out.o -c my file.c", "my file.c", "my out.o"),
        ("gcc -o x -c my file.c", "my file.c", "x"),
        ("gcc -c -o x my.c", "my.c", "x"),
        ("gcc -c /home/a b/my dir/the file.c -O2", "/home/a b/my dir/the file.c", ""),
        ("gcc -c two  blanks.c", "two  blanks.c", ""),
        ("gcc -c it's.c", "it's.c", ""),
        ('gcc -c "quoted name".c', '"quoted name".c', ""),
        ("gcc -I dir -c a.c", "a.c", ""),
        ("gcc -isystem inc -include conf.h -D X -MF a.d -MT a.o -c a.c", "a.c", ""),
        ("gcc -MD -Wp,-MT,foo -c x.c", "x.c", ""),
        ("gcc -Wp,-MMD,.x.o.d -c x.c -o x.o", "x.c", "x.o"),
        ("gcc -Xpreprocessor -DX -Xassembler -a.c -c x.c", "x.c", ""),
        ("gcc -x c -c notes.txt", "notes.txt", ""),
        ("gcc -x c++-header all.h -o all.h.gch", "all.h", "all.h.gch"),
        ("gcc -c all.hpp", "all.hpp", ""),
        ("gcc -c -- -odd.c", "-odd.c", ""),
        ("gcc -c y.S -o y.o", "y.S", "y.o"),
        ("gcc -c y.s", "y.s", ""),
        ("gcc @all -o prog", "prog", "prog"),
        ("gcc a.o b.o -o prog", "prog", "prog"),
        ("gcc -o prog a.o b.o", "prog", "prog"),
        ("gcc -o prog main.c", "main.c", "prog"),
        ("gcc --version", "", ""),
        ("gcc", "", ""),
        ("", "", ""),
    ],
)
def test_what_a_call_names(command: str, file: str, output: str) -> None:
    words = parse(command)
    assert (file, output) == (words.file, words.output)


@pytest.mark.parametrize(("command", "only"), [("gcc -c a.c", True), ("gcc -S a.c", True), ("gcc a.c -D -c", False)])
def test_whether_it_compiles_only(command: str, only: bool) -> None:
    assert only is parse(command).compiles_only


NAME = st.lists(st.text("abc1", min_size=1, max_size=3), min_size=1, max_size=3).map(" ".join)


@given(NAME, NAME)
def test_blanks_in_names_of_objects(source: str, made: str) -> None:
    words = parse(f"gcc -O2 -c {source}.c -o {made}.o -Wall")
    assert (f"{source}.c", f"{made}.o") == (words.file, words.output)


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(parse(text).file, str)
