"""The reasons: every line that icecc 1.4 logs when it keeps a call has one, and what is documented is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from farm.workstation.explain.reasons import REASONS, as_markdown, find, recognise
from farm.workstation.explain.reasons.compiler_call import without_dash_c

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"

ARG_CPP = {
    99: ("icerun, running locally.", "icerun"),
    107: ("custom command, running locally.", "unsupported-compiler"),
    280: ("file for argument missing, building locally", "assembler-file-missing"),
    334: ("preprocessing, building locally", "preprocess-only"),
    342: ("argument -fsyntax-only, building locally", "syntax-only"),
    374: ("argument -MM, building locally", "dependencies-only"),
    389: ("argument -B/opt/bin, building locally", "compiler-path"),
    429: ("argument -Wa,-al=list, building locally", "assembler-listing"),
    446: ("compiler will emit additional local files (argument --coverage); building locally", "coverage"),
    478: ("unsupported -x option: assembler; running locally", "assembler"),
    491: ("-f*-charset assumes charset conversion in the build environment; must be local", "charset-flag"),
    512: ("output to stdout?  running locally", "output-to-stdout"),
    565: ("argument -I -O2, building locally", "missing-argument"),
    638: ("file for argument -fplugin=x.so missing, building locally", "plugin-missing"),
    658: ("plugin for argument -Xclang -load -Xclang x.so missing, building locally", "plugin-missing"),
    672: ("argument -Xclang -building-pch-with-obj, building locally", "precompiled-header"),
    704: ("multiple -arch options, building locally", "multiple-arch"),
    730: ("neither -c nor -S argument, building locally", "linking"),
    758: ("stdin/stdout argument, building locally", "stdin"),
    778: ("configure tests are run locally: conftest.c", "configure-test"),
    783: ("found another non option on command line. Two input files? b.c", "several-inputs"),
    820: ("source file a.s, building locally", "assembler"),
    822: ("unknown extension xyz", "unknown-extension"),
    857: ("output file empty or not a regular file, building locally", "output-not-a-file"),
    904: ("failed to read default clang host platform, building locally", "target-unknown"),
    932: ("failed to read -march/cpu/tune=native flags, building locally", "march-native"),
}
"""Every place of client/arg.cpp (1.4) that says why ``always_local`` is set, by its line."""

VARIANTS = [
    # 335: what else is given to that line
    ("argument -fdump-tree-all, building locally", "compiler-dump"),
    ("argument -combine, building locally", "combine"),
    ("argument -ftime-report, building locally", "time-report"),
    ("argument -ftime-trace, building locally", "time-report"),
    ("argument -M, building locally", "dependencies-only"),
    ("argument -Wa,@options, building locally", "response-file"),
    ("argument -Wa,absent.s, building locally", "assembler-file-missing"),
    # 435
    *(
        (f"compiler will emit additional local files (argument {flag}); building locally", code)
        for flag, code in {
            "-fprofile-arcs": "coverage",
            "-ftest-coverage": "coverage",
            "-frepo": "repo-templates",
            "-fprofile-generate": "profile",
            "-fprofile-use": "profile",
            "-fbranch-probabilities": "profile",
            "-save-temps": "save-temps",
            "--save-temps": "save-temps",
            "-": "stdin",
            "-s": "strip-flag",
        }.items()
    ),
    # 452, 819, 822
    ("unsupported -x option: c++-header; running locally", "precompiled-header"),
    ("unsupported -x option: assembler-with-cpp; running locally", "assembler"),
    ("unsupported -x option: f95; running locally", "source-language"),
    ("unsupported -x option: ??; running locally", "source-language"),
    ("source file a.adb, building locally", "source-language"),
    ("unknown extension hpp", "precompiled-header"),
    ("file for argument -fsanitize-blacklist=x missing, building locally", "extra-file-missing"),
    ("file for argument -fprofile-sample-use=x missing, building locally", "extra-file-missing"),
    ("file for argument -fprofile-instr-use=x missing, building locally", "extra-file-missing"),  # git master
]

ERRORS = {
    0: ("asked for CS", "daemon-lost"),
    1: ("expected use_cs reply, but got 0 instead", "no-answer"),
    2: ("no server found at 10.0.0.2", "node-unreachable"),
    4: ("unable to stat version file", "environment-missing"),
    5: ("unable to open version file:", "environment-missing"),
    6: ("send environment to remote failed", "environment-not-sent"),
    8: ("write environment to remote failed", "environment-not-sent"),
    9: ("error sending file to remote", "node-lost-sending"),
    10: ("(unable to fork process?)", "process-limit"),
    11: ("unable to open preprocessed file", "source-unreadable"),
    12: ("failed to send file to remote", "node-lost-sending"),
    13: ("did not get compile response message", "node-protocol"),
    14: ("error reading message from remote", "node-lost"),
    15: ("write to host failed", "node-lost-sending"),
    16: ("error reading local file", "source-unreadable"),
    18: ("(fork error?)", "process-limit"),
    19: ("(network failure?)", "node-lost"),
    20: ("unexpected message", "node-protocol"),
    21: ("error writing file", "output-not-written"),
    22: ("$ICECC_VERSION needs to point to .tar files", "environment-not-tar"),
    23: ("Remote status (compiled on 10.0.0.2)", "node-refused"),
    24: ("remote 10.0.0.2 unable to handle environment", "environment-unusable"),
    25: ("other error verifying environment on remote", "environment-install-failed"),
    26: ("environment on 10.0.0.2 cannot be verified", "environment-unverifiable"),
    27: ("misc error", "repeat-failed"),
    29: ("write of job failed", "daemon-lost"),
    30: ("error closing temp file", "output-not-written"),
    31: ("can't create a.o_icetmp:", "output-not-written"),
    32: ("lock failed", "lock-failed"),
    101: ("the server ran out of memory, recompiling locally", "remote-out-of-memory"),
    102: ("command needs stdout/stderr workaround, recompiling locally", "compiler-output"),
    103: ("local cpp invocation failed, trying to recompile locally", "preprocessing-failed"),
    104: ("remote is missing file, recompiling locally", "remote-file-missing"),
}
"""Every client_error and remote_error that client/remote.cpp (1.4) throws."""

OTHERS = [
    ("icecream seems to have invoked itself recursively!", "recursion"),  # main.cpp:384
    ("test socket error", "test-socket"),
    ("no local daemon found", "no-daemon"),
    ("File in ICECC_EXTRAFILES not found: x", "extra-file-missing"),
    ("An exception was handled parsing the icecc version.   Will build locally.", "environment-setting"),
    ("Local daemon is too old to handle extra files.", "daemon-version"),
    ("failed to write get native environment", "daemon-lost"),
    ("daemon can't determine native environment. Set $ICECC_VERSION to an icecc environment.", "environment-not-made"),
    ("can't read environment x.tar", "environment-missing"),
    ("$ICECC_VERSION has to point to an existing file to be installed x.tar", "environment-missing"),
    ("building myself, but telling localhost", "assigned-here"),
    ("can't lock for local cpp", "lock-failed"),
    ("can't lock for local job", "lock-failed"),
    ("could not find clang in PATH.", "compiler-not-found"),  # local.cpp:328
    # What nodes say (daemon/serve.cpp, environment.cpp, workit.cpp)
    (
        "Remote status (compiled on n): /x/usr/bin/as is not executable, installed environment removed?",
        "environment-gone",
    ),
    ("Remote status (compiled on n): empty environment", "environment-gone"),
    ("remote status: compiler did not start", "environment-gone"),
    ("Remote status (compiled on n): chroot /xfailed", "node-cannot-chroot"),
    ("Remote status (compiled on n): cannot chroot to environment", "node-cannot-chroot"),
    ("Remote status (compiled on n): can't write to /tmp", "node-tmp"),
    ("Remote status (compiled on n): /tmp dir missing?", "node-tmp"),
    ("Remote status (compiled on n): setrlimit failed.", "node-refused"),
    ("got exception Error 24 - asked for CS (this should be an exception!)", "daemon-lost"),
    ("got exception Error 22 - error sending environment (n)", "environment-not-sent"),
    ("got exception Error 99 - unheard of (n)", "remote-failed-fell-back"),
]


@pytest.mark.parametrize(("text", "code"), [*ARG_CPP.values(), *VARIANTS, *OTHERS])
def test_each_line_is_recognised(text: str, code: str) -> None:
    found = recognise(text)
    assert (found and found.code) == code


@pytest.mark.parametrize("number", ERRORS)
def test_each_numbered_failure_is_recognised(number: int) -> None:
    text, code = ERRORS[number]
    how = "local build forced by remote exception:" if number > 100 else "got exception"
    found = recognise(f"{how} Error {number} - {text}" + ("" if number > 100 else " (10.0.0.2) "))
    assert (found and found.code) == code


@pytest.mark.parametrize(
    "text",
    [
        "can't have both -c and -S, ignoring -c",
        "argument -pedantic, forcing local preprocessing (try using -std=cXX instead of -std=gnuXX)",
        "recursive invocation from icerun",
        "connected to 10.0.0.2",
        "there are two environments for platform x86_64 - ignoring x.tar",
        "",
    ],
)
def test_what_keeps_nothing_here_is_no_reason(text: str) -> None:
    assert recognise(text) is None


def test_codes_are_stable_names_and_sentences_are_sentences() -> None:
    for code, reason in REASONS.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
        assert reason.sentence.endswith(".")
    assert find("no-such-code").sentence == ""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("gcc a.o b.o -o a", "linking"),
        ("gcc -v a.o -o a", "linking"),
        ("g++ src/main.cpp -o main", "no-dash-c"),
        ("gcc a.c", "no-dash-c"),
        ("gcc my prog.c", "no-dash-c"),
        ("gcc -MD -Wp,-MT,foo -c x.c", "word-overlooked"),
        ("gcc -Wp,-MF,x.d -S x.c", "word-overlooked"),
        ("gcc --version", "compiler-query"),
        ("gcc -print-search-dirs", "compiler-query"),
        ("gcc -dumpmachine", "compiler-query"),
        ("gcc", "linking"),
        ("", "linking"),
    ],
)
def test_a_call_without_dash_c(command: str, code: str) -> None:
    assert without_dash_c(command) == code


def test_the_page_has_the_reasons_there_are() -> None:
    _, _, rest = PAGE.read_text().partition("<!-- reasons -->\n")
    assert rest.partition("<!-- end -->")[0].strip() == as_markdown().strip(), (
        "print it anew: python -m farm.workstation.explain.reasons"
    )
