"""What `farm run` says at the end of a first build."""

from __future__ import annotations

import pytest

from farm.cli.run import sent_words
from farm.workstation.explain.icecc_log import Call, CallOutcome, parse
from farm.workstation.run.summary import SentEnvironment, sent_environment


def call(host: str, sent: int, **milliseconds: int) -> Call:
    return Call(
        pid=1, time=0.0, command="gcc -c a.c", file="a.c", outcome=CallOutcome.NODE, host=host, environment_sent=sent,
        milliseconds=milliseconds,
    )  # fmt: skip


def test_what_was_sent_is_added_up() -> None:
    calls = [
        call("10.77.0.2", 100, environment=7, pack=9000),
        call("10.77.0.3", 100, environment=9),
        call("10.77.0.2", 0),
    ]
    assert SentEnvironment(nodes=2, bytes=200, ms=9, packed_ms=9000) == sent_environment(calls)
    assert SentEnvironment() == sent_environment([call("10.77.0.2", 0, node=7)])


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (
            SentEnvironment(1, 30 << 20, 634, 13000),
            "packed (13.0 s) and sent to the node (30.0 MiB, 634 ms), once",
        ),
        (
            SentEnvironment(3, 90 << 20, 2000),
            "The compiler was sent to each of 3 nodes (30.0 MiB, 2.0 s), once: the next",
        ),
    ],
)
def test_a_first_build_is_told_why(sent: SentEnvironment, words: str) -> None:
    assert words in sent_words(sent)


def test_how_long_the_compiler_was_packed() -> None:
    log = b"""\
ICECC[7] 2026-11-28 20:51:11: invoked as: gcc -c part0.c
ICECC[7] 2026-11-28 20:51:11: asking for native environment for /usr/bin/gcc
ICECC[7] 2026-11-28 20:51:24: native /var/cache/icecc/native/8b59.tar.gz
ICECC[8] 2026-11-28 20:51:24: invoked as: gcc -c part1.c
ICECC[8] 2026-11-28 20:51:24: asking for native environment for /usr/bin/gcc
ICECC[8] 2026-11-28 20:51:24: native /var/cache/icecc/native/8b59.tar.gz
"""
    assert [{"pack": 13000}, {}] == [call.milliseconds for call in parse(log.splitlines())]
