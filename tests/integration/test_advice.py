"""Advice is followed: each reason is provoked, by gcc and by clang, and what is said to help must make nothing worse.

A call that went well must still do so, and go to a node, where that is what was promised.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farm.scheduler.control import list_nodes
from farm.workstation.explain.icecc_log import CallOutcome
from farm.workstation.explain.one_call import Explained
from farm.workstation.explain.reasons import REASONS
from tests.explain_lab import Farm, explain_lab
from tests.lab import PATIENCE, until

SERVER, NODE = "10.99.33.1", "10.99.33.2"
UNPACKED = {"ICECC_ENV_COMPRESSION": "none"}
"""Environments are many here: none is compressed, and none leaves the cache."""
PC01 = {"ICECC_PREFERRED_HOST": "pc01", **UNPACKED}
BOTH = ("gcc", "clang")

SOURCES = {
    "a.c": '#include <stdio.h>\nint a(void) { return puts("a"); }\n',
    "b.c": "int b(void) { return 1; }\n",
    "main.c": "int main(void) { return 0; }\n",
    "conftest.c": "int main(void) { return 0; }\n",
    "a.h": "int a(void);\n",
    "a.s": ".globl a\n",
    "piece.s": ".globl piece\n",
    "a.f": "      end\n",
    "odd.xyz": "int odd;\n",
    "odd.c": "int odd;\n",
    "lacks.c": "#include <no-such-header.h>\n",
    "error.c": "int error(void) { return nothing; }\n",
    "warns.c": "int warns(void) { int unused; return 0; }\n",
    "memory.c": '_Static_assert(0, "out of memory");\n',
    "silenced.c": '#pragma GCC diagnostic ignored "-Wcpp"\n#warning old\nint silenced;\n',
    "counter.c": "#if __COUNTER__ == 0\nint counter;\n#endif\n",
    "same.c": "void g(void);\n#define T(x) do { if ((x) != (x)) g(); } while (0)\nvoid same(int a) { T(a); }\n",
    "equal.c": "void g(void);\n#define T(x) if (((x) == 1)) g()\nvoid equal(int a) { T(a); }\n",
    "data.bin": "data\n",
    "bin.c": 'asm(".globl d\\nd: .incbin \\"data.bin\\"");\n',
    "bin-full.c": 'asm(".globl d\\nd: .incbin \\"{folder}/data.bin\\"");\n',
    "include.c": 'asm(".include \\"piece.s\\"");\n',
    "include-full.c": 'asm(".include \\"{folder}/piece.s\\"");\n',
    "used.h": "typedef int used;\n",
    "uses.c": "used uses;\n",
    "there/no-such-header.h": "int found;\n",
    "assembler-options": "--noexecstack\n",
    "broken.tar.gz": "no archive at all\n" * 100,
    "environment.bin": "x" * 1000,
    "foo-cc": '#!/bin/sh\nexec /usr/bin/gcc "$@"\n',
    "foo-gcc": '#!/bin/sh\nexec /usr/bin/gcc "$@"\n',
    "mute-gcc": '#!/bin/sh\n[ "$1" = "-###" ] || exec /usr/bin/gcc "$@"\n',
    "mute-clang": '#!/bin/sh\n[ "$1" = -dumpmachine ] || exec /usr/bin/clang "$@"\n',
}
"""{folder} is that of the sources."""


@dataclass(frozen=True)
class Case:
    """A call, the reason that it is given, and what the advice makes of it."""

    code: str
    call: str
    """{cc} is each of ``compilers``."""
    then: str = ""
    """The call as advised; the same one where it is empty."""
    settings: Mapping[str, str] = field(default_factory=dict)
    advised: Mapping[str, str] = field(default_factory=dict)
    """Settings in place of these."""
    compilers: tuple[str, ...] = BOTH
    helps: bool = True
    """Where the advice is to let things be, it has nothing to be followed."""


def kept(code: str, call: str, compilers: tuple[str, ...] = BOTH, **settings: str) -> Case:
    """There is nothing to follow: it is right so, or wants another source."""
    return Case(code, call, settings=settings, compilers=compilers, helps=False)


GCC, CLANG = ("gcc",), ("clang",)
CASES = [
    kept("preprocess-only", "{cc} -E a.c"),
    Case("dependencies-only", "{cc} -M a.c", "{cc} -MD -c a.c"),
    Case("dependencies-only", "{cc} -MM a.c", "{cc} -MMD -c a.c"),
    Case("dependency-option", "{cc} -MD -MFa.dep -c a.c", "{cc} -MD -MF a.dep -c a.c"),
    Case("dependency-option", "{cc} -MMD -MTa.o -c a.c", "{cc} -MMD -MT a.o -c a.c"),
    Case("dependency-option", "{cc} -MJ a.json -c a.c", "{cc} -c a.c", compilers=CLANG),
    kept("syntax-only", "{cc} -fsyntax-only a.c"),
    Case("compiler-dump", "{cc} -c -fdump-tree-all a.c", "{cc} -c a.c", compilers=GCC),
    Case("time-report", "{cc} -c -ftime-report a.c", "{cc} -c a.c"),
    Case("combine", "{cc} -c -combine a.c", "{cc} -c a.c"),
    Case("compiler-path", "{cc} -c -B/usr/bin a.c", "{cc} -c a.c"),
    Case("response-file", "{cc} -c -Wa,@assembler-options a.c", "{cc} -c -Wa,--noexecstack a.c"),
    Case("assembler-listing", "{cc} -c -Wa,-al=listing a.c", "{cc} -c a.c"),
    Case("assembler-file-missing", "{cc} -c -Wa,absent.s b.c", "{cc} -c -Wa,piece.s b.c", compilers=GCC),
    kept("precompiled-header", "{cc} -c a.h"),
    kept("precompiled-header", "{cc} -c -x c-header a.h"),
    Case("missing-argument", "{cc} -c -I -O2 a.c", "{cc} -c -O2 a.c"),
    kept("assembler", "{cc} -c a.s"),
    kept("source-language", "{cc} -c a.f"),
    Case("coverage", "{cc} -c --coverage a.c", "{cc} -c a.c"),
    Case("profile", "{cc} -c -fprofile-generate a.c", "{cc} -c a.c"),
    Case("strip-flag", "{cc} -c -s a.c", "{cc} -c a.c"),
    Case("save-temps", "{cc} -c -save-temps a.c", "{cc} -c a.c"),
    Case("repo-templates", "{cc} -c -frepo a.c", "{cc} -c a.c"),
    Case("stdin", "{cc} -c -x c -", "{cc} -c a.c"),
    Case("charset-flag", "{cc} -c -finput-charset UTF-8 a.c", "{cc} -c a.c"),
    Case("output-to-stdout", "{cc} -S a.c -o -", "{cc} -S a.c -o a.out.s"),
    Case("plugin-missing", "{cc} -c -fplugin=./absent.so a.c", "{cc} -c a.c"),
    Case(
        "extra-file-missing", "{cc} -c a.c",
        settings={"ICECC_EXTRAFILES": "absent"}, advised={"ICECC_EXTRAFILES": "a.h"},
    ),
    Case("extra-file-missing", "{cc} -c -fsanitize-blacklist=absent a.c", "{cc} -c a.c"),
    kept("linking", "{cc} -shared linked.o -o liba.so"),
    Case("no-dash-c", "{cc} main.c -o main", "{cc} -c main.c"),
    kept("compiler-query", "{cc} --version"),
    kept("configure-test", "{cc} -c conftest.c"),
    Case("word-overlooked", "{cc} -MD -Wp,-MT,foo -c a.c", "{cc} -MD -MT foo -c a.c"),
    Case(
        "word-overlooked", "{cc} -MD -Wp,-MQ,foo a.c -c -o a.o", "{cc} -MD -MQ foo a.c -c -o a.o", compilers=GCC,
    ),
    Case("side-file-lost", "{cc} -fstack-usage -c a.c", "{cc} -c a.c"),
    Case("side-file-lost", "{cc} -O2 -fsave-optimization-record -c a.c", "{cc} -O2 -c a.c"),
    Case("several-inputs", "{cc} -c a.c b.c", "{cc} -c a.c"),
    Case("unknown-extension", "{cc} -c odd.xyz", "{cc} -c odd.c"),
    Case("output-not-a-file", "{cc} -c a.c -o /dev/null", "{cc} -c a.c -o a.o"),
    Case("target-unknown", "icecc ./mute-{cc} -c a.c", "{cc} -c a.c", compilers=CLANG),
    Case(
        "march-native", "icecc ./mute-{cc} -c -march=native a.c", "icecc ./mute-{cc} -c -march=x86-64-v2 a.c",
        compilers=GCC,
    ),
    kept("icerun", "icerun {cc} -c a.c"),
    Case("unsupported-compiler", "icecc ./foo-cc -c a.c", "icecc ./foo-{cc} -c a.c", compilers=GCC),
    Case(
        "dependency-file-lost", "{cc} -Wp,-MMD,.a.o.d -c a.c -o a.o", "{cc} -MMD -MF .a.o.d -c a.c -o a.o",
        compilers=CLANG,
    ),
    Case("dependency-file-lost", "{cc} -Wp,-MD,a.dep -c a.c", "{cc} -MD -MF a.dep -c a.c", compilers=CLANG),
    Case("disabled-by-environment", "{cc} -c a.c", settings={"ICECC": "disable"}),
    Case("disabled-by-environment", "{cc} -c a.c", settings={"ICECC": "no"}),
    Case("wrapper-bypassed", "/usr/bin/{cc} -c a.c", "{cc} -c a.c"),
    Case("wrapper-bypassed", "/usr/bin/{cc} -c a.c", "icecc /usr/bin/{cc} -c a.c"),
    kept("ccache-hit", "ccache {cc} -c b.c", CCACHE_DIR="{folder}/ccache"),
    Case("no-compiler-call", "true", "{cc} -c a.c"),
    Case("recursion", "{cc} -c a.c", settings={"_ICECC_SAFEGUARD": "2"}),
    Case("compiler-not-found", "./no-such-{cc} -c a.c", "{cc} -c a.c"),
    Case("test-socket", "{cc} -c a.c", settings={"ICECC_TEST_SOCKET": "/absent"}),
    kept("environment-not-made", "icecc ./linked-{cc} -c a.c", GCC),
    Case("environment-missing", "{cc} -c a.c", settings={"ICECC_VERSION": "/absent.tar.gz"}),
    Case("environment-not-tar", "{cc} -c a.c", settings={"ICECC_VERSION": "environment.bin"}),
    Case(
        "environment-for-other-compiler", "{cc} -c a.c",
        settings={"ICECC_VERSION": "broken.tar.gz=arm-linux"},
        advised={"ICECC_VERSION": "{cc}.tar,broken.tar.gz=arm-linux"},
    ),
    Case(
        "environment-setting", "{cc} -c a.c",
        settings={"ICECC_VERSION": ","}, advised={"ICECC_VERSION": "{cc}.tar"},
    ),
    Case("environment-install-failed", "{cc} -c a.c", settings={"ICECC_VERSION": "broken.tar.gz"}),
    Case("environment-unusable", "{cc} -c a.c", settings={"ICECC_VERSION": "{cc}-unusable.tar.gz"}),
    Case("environment-gone", "{cc} -c a.c", settings={"ICECC_VERSION": "lacking.tar.gz"}),
    Case("preprocessing-failed", "{cc} -c lacks.c", "{cc} -c -Ithere lacks.c"),
    Case("preprocessing-failed", "{cc} -c lacks.c", "{cc} -c -Ithere lacks.c", settings={"ICECC_REMOTE_CPP": "0"}),
    Case("preprocessing-failed", "{cc} -c lacks.c", "{cc} -c -Ithere lacks.c", settings={"ICECC_REMOTE_CPP": "1"}),
    Case("preprocessing-failed", "{cc} -c counter.c", advised={"ICECC_REMOTE_CPP": "0"}, compilers=GCC),
    kept("preprocessing-failed", "{cc} -Werror -c silenced.c", GCC),
    Case("output-not-written", "{cc} -c a.c -o absent/a.o", "{cc} -c a.c -o there/a.o"),
    Case("preferred-host-absent", "{cc} -c a.c", settings={"ICECC_PREFERRED_HOST": "nobody"}),
    kept("remote-out-of-memory", "{cc} -c memory.c"),
    kept("compile-error", "{cc} -c error.c"),
    kept("compile-error", "{cc} -Wall -Werror -c warns.c"),
    Case("compiler-output", "{cc} -Wall -c warns.c", "{cc} -Wall -c a.c", compilers=GCC),
    Case("compiler-output", "{cc} -Wall -c warns.c", advised={"ICECC_CARET_WORKAROUND": "0"}, compilers=GCC),
    Case(
        "remote-file-missing", "{cc} -c bin.c", "{cc} -c bin-full.c",
        advised={"ICECC_EXTRAFILES": "{folder}/data.bin"}, compilers=GCC,
    ),
    Case(
        "failed-on-node", "{cc} -c bin.c", "{cc} -c bin-full.c",
        advised={"ICECC_EXTRAFILES": "{folder}/data.bin"}, compilers=CLANG,
    ),
    Case(
        "failed-on-node", "{cc} -c include.c", "{cc} -c include-full.c",
        advised={"ICECC_EXTRAFILES": "{folder}/piece.s"},
    ),
    Case("failed-on-node", "{cc} -Wall -Werror -c same.c", advised={"ICECC_REMOTE_CPP": "1"}, compilers=CLANG),
    Case("failed-on-node", "{cc} -Wall -Werror -c equal.c", advised={"ICECC_REMOTE_CPP": "1"}, compilers=CLANG),
    Case(
        "failed-on-node", "{cc} -Wall -Werror -c same.c",
        settings={"ICECC_REMOTE_CPP": "0"}, advised={"ICECC_REMOTE_CPP": "1"},
    ),
    Case(
        "precompiled-header-used", "{cc} -include-pch used.h.pch -c uses.c", "{cc} -include used.h -c uses.c",
        compilers=CLANG,
    ),
    Case(
        "precompiled-header-used", "{cc} -Xclang -include-pch -Xclang used.h.pch -c uses.c",
        "{cc} -include used.h -c uses.c", compilers=CLANG,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with explain_lab(SERVER, NODE) as lab, pytest.MonkeyPatch.context() as monkeypatch:
        folder = lab.sources
        for name, text in SOURCES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text.replace("{folder}", str(folder)))
        for name in ("foo-cc", "foo-gcc", "mute-gcc", "mute-clang"):
            (folder / name).chmod(0o755)
        for name in BOTH:
            (folder / f"no-such-{name}").symlink_to("/usr/bin/icecc")
            (folder / f"linked-{name}").symlink_to(f"/usr/bin/{name}")
        lab.submitter("-m", "0", "--cache-limit", "4000")
        lab.node.iceccd("pc01", SERVER, "-m", "2", "--cache-limit", "4000")
        lab.wait_until_ready("pc01", lab.name)
        monkeypatch.chdir(folder)
        script = "gcc -c b.c -o linked.o; clang -x c-header used.h -o used.h.pch; gcc -static main.c -o true"
        subprocess.run(["sh", "-ec", script], cwd=folder, check=True)
        _environments(lab)
        yield lab


def _environments(farm: Farm) -> None:
    """What iceccd packs of each compiler, whole and without what compiles; and archives that lack still more."""
    for name in BOTH:
        assert farm.run(name, "-c", "b.c", **PC01).exit == 0
        (call,) = farm.run(name, "-c", "b.c", **PC01).calls
        made = next(line.removeprefix("native ") for line in call.evidence if line.startswith("native "))
        shutil.copy(made, farm.sources / f"{name}.tar")
        if name == "gcc":
            drop = ["tar", "--delete", "--file=lacking-cc1.tar", "--wildcards", "*/cc1"]
            shutil.copy(made, farm.sources / "lacking-cc1.tar")
            subprocess.run(drop, cwd=farm.sources, check=True)
        with tarfile.open(farm.sources / f"{name}-unusable.tar.gz", "w:gz") as tar:
            tar.add("/bin/true", "bin/true")  # without its libraries
            tar.add(farm.sources / "a.h", name)
    with tarfile.open(farm.sources / "lacking.tar.gz", "w:gz") as tar:
        tar.add(farm.sources / "true", "bin/true")  # without an assembler


def _each() -> list[Any]:
    return [
        pytest.param(case, compiler, id=f"{case.code}-{case.call.format(cc=compiler)}")
        for case in CASES
        for compiler in case.compilers
    ]


@pytest.mark.parametrize(("case", "compiler"), _each())
def test_advice_is_given_and_followed(farm: Farm, monkeypatch: pytest.MonkeyPatch, case: Case, compiler: str) -> None:
    monkeypatch.chdir(farm.sources)

    def run(call: str, settings: Mapping[str, str]) -> Explained:
        filled = {name: value.format(cc=compiler, folder=farm.sources) for name, value in settings.items()}
        return farm.run(*call.format(cc=compiler).split(), **{**PC01, **filled})

    if case.code == "ccache-hit":
        run(case.call, case.settings)
    before = run(case.call, case.settings)
    assert case.code in reasons(before), before
    if not case.helps:
        assert not any(trial.helps for trial in before.trials), before.trials
        return
    assert REASONS[case.code].mend
    after = run(case.then or case.call, case.advised)
    assert after.exit == 0, after
    assert [(one.outcome, one.causes) for one in after.calls] == [(CallOutcome.NODE, ())], after
    for setting in case.advised.items() if before.trials else ():
        assert [trial.helps for trial in before.trials if trial.setting == "=".join(setting)] in ([], [True])


def reasons(explained: Explained) -> list[str]:
    """The first reason of each call."""
    if explained.uncalled:
        return [explained.uncalled.code]
    return [call.causes[0].code for call in explained.calls if call.causes]


def test_an_environment_without_the_compiler_itself(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """icecc says the same as of a warning, or where it ends before it has read the source, of too little memory."""
    monkeypatch.chdir(farm.sources)
    lacking = str(farm.sources / "lacking-cc1.tar")
    before = farm.run("gcc", "-c", "b.c", ICECC_VERSION=lacking, ICECC_REMOTE_CPP="0", **PC01)
    (reason,) = reasons(before)
    assert (before.exit, reason in ("failed-on-node", "remote-out-of-memory")) == (0, True), before
    assert not any(trial.helps for trial in before.trials)
    assert "farm doctor --only environment" in REASONS[reason].mend
    assert farm.run("gcc", "-c", "b.c", **PC01).calls[0].outcome is CallOutcome.NODE


@pytest.fixture
def own() -> Iterator[Farm]:
    """The submitter has slots of its own, as one has that was started by hand."""
    with explain_lab("10.99.34.1", "10.99.34.2") as lab, pytest.MonkeyPatch.context() as monkeypatch:
        lab.write({"a.c": SOURCES["a.c"], "slow.cc": SLOW, "lacks.c": SOURCES["lacks.c"]})
        monkeypatch.chdir(lab.sources)
        yield lab


SLOW = (
    "constexpr int f() { int x = 0;\nfor (int i = 0; i < 2000; i++) for (int k = 0; k < STEPS; k++) x ^= i + k;\n"
    "return x; }\nconstexpr int y = f();\nint g() { return y; }\n"
)
"""Takes a second for each 1,500 STEPS."""


def test_what_the_scheduler_gives_to_this_machine_itself(own: Farm) -> None:
    """The decision is one, whenever it is asked for; --no-remote is no help, -m 0 is."""
    submitter = own.submitter()
    own.node.iceccd("pc01", own.server.address, "-m", "1")
    own.wait_until_ready("pc01", own.name)
    script = "for n in 1 2 3 4; do g++ -c -DSTEPS=2000 -fconstexpr-ops-limit=1000000000 slow.cc -o $n.o & done; wait"
    run = own.cli("run", "--json", "run.json", "--", "sh", "-c", script, **UNPACKED)
    _, told = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, told
    at_once = json.loads((own.sources / "run.json").read_text())["reasons"]
    assert [each["code"] for each in at_once] in (["own-slot"], ["nodes-busy"])  # as the node is when the run ends
    own.server.stop(submitter)
    assert json.loads(own.say("--last", "--json")[1])["reasons"] == at_once
    own.submitter("-m", "0")
    own.wait_until_ready("pc01")
    assert [own.run("gcc", "-c", "a.c", **UNPACKED).calls[0].outcome for _ in range(6)] == [CallOutcome.NODE] * 6


def test_all_nodes_are_busy(own: Farm) -> None:
    own.submitter()
    own.node.iceccd("pc01", own.server.address, "-m", "1")
    own.wait_until_ready("pc01", own.name)
    endless = ["-DSTEPS=200000", "-fconstexpr-ops-limit=100000000000", "-fconstexpr-loop-limit=1000000"]
    slow = ["g++", "-c", *endless, "slow.cc"]
    calls = [own.start("--", *slow, "-o", f"{n}.o", **PC01) for n in range(2)]

    def busy() -> bool:
        listed = own.server.gather(list_nodes(own.server.address, 8765))
        return any(node.name == "pc01" and node.jobs >= 2 for node in listed)

    until(busy, "the node is never busy")
    assert reasons(own.run("gcc", "-c", "a.c", **UNPACKED)) == ["nodes-busy"]
    for call in calls:
        call.kill()
        call.communicate()


def test_a_node_behind_a_firewall(own: Farm) -> None:
    own.submitter("-m", "0")
    daemon = own.node.iceccd("pc01", own.server.address, "-m", "2")
    own.wait_until_ready("pc01")
    rule = "type filter hook input priority 0; tcp dport 10245 reject with tcp reset"
    own.node.run("nft", f"table inet advice {{ chain in {{ {rule}; }}; }}")
    before = own.run("gcc", "-c", "a.c", **PC01)
    assert (before.exit, reasons(before)) == (0, ["node-unreachable"]), before
    own.node.run("nft", "delete", "table", "inet", "advice")
    own.node.stop(daemon)  # else the scheduler, which could not connect either, tries again after minutes
    own.node.iceccd("pc01", own.server.address, "-m", "2")
    own.wait_until_ready("pc01")
    assert own.run("gcc", "-c", "a.c", **PC01).calls[0].outcome is CallOutcome.NODE


def test_a_node_is_not_blamed_for_this_machines_preprocessor(own: Farm) -> None:
    own.submitter("-m", "0")
    own.node.iceccd("pc01", own.server.address, "-m", "2")
    own.wait_until_ready("pc01")
    script = "gcc -c lacks.c; ICECC_REMOTE_CPP=0 gcc -c lacks.c; clang -c lacks.c; clang -Wp,-MMD,.a.d -c a.c"
    own.cli("run", "--json", "run.json", "--", "sh", "-c", script, **UNPACKED).communicate(timeout=PATIENCE)
    told = json.loads((own.sources / "run.json").read_text())
    assert (told["nodes"]["pc01"]["failed"], told["failed"], told["failed_over"]) == (0, 0, 0)
    assert [(each["code"], each["count"]) for each in told["reasons"]] == [
        ("preprocessing-failed", 3),
        ("dependency-file-lost", 1),  # which says so although the file went to a node
    ]


SCENES = {
    "own-slot": "test_what_the_scheduler_gives_to_this_machine_itself",
    "nodes-busy": "test_all_nodes_are_busy",
    "node-unreachable": "test_a_node_behind_a_firewall",
    "environment-outdated": "test_outdated.py: test_explain_and_doctor_name_it_and_doctor_restarts",
    "nodes-passed-over": "test_explain.py: test_an_environment_that_does_not_run_is_not_tried_twice",
    "iceccd-lost": "test_explain.py: test_the_daemon_ends_while_this_machine_compiles",
    "no-daemon": "test_explain.py: test_the_scheduler_is_away_then_the_daemon_too",
    "no-scheduler": "test_explain.py: test_the_scheduler_is_away_then_the_daemon_too",
    "not-logged-in": "test_explain.py: test_the_daemon_is_logged_in_elsewhere",
    "no-eligible-node": "test_explain.py: test_no_node_can_take_it",
    "node-lost": "test_explain.py: test_a_node_lost_in_the_middle",
    "slot-withdrawn": "test_explain.py: test_a_node_lost_in_the_middle",
    "killed-on-node": "test_explain.py: test_a_compiler_killed_on_a_node",
}
"""What no single call provokes, and the test that does."""
OUT_OF_REACH = {
    "multiple-arch": "icecc 1.4 never says so: it forgets at once that it has seen -arch (client/arg.cpp)",
    "assigned-here": "what the scheduler says takes its place, unless it cannot be asked (tests/unit/test_explain.py)",
    "daemon-version": "wants an iceccd before 0.9.7",
    "environment-unverifiable": "wants an iceccd before 0.9.7",
    "daemon-lost": "wants a failure between two messages",
    "no-answer": "wants a failure between two messages",
    "environment-not-sent": "wants a failure between two messages",
    "node-lost-sending": "wants a failure between two messages",
    "node-protocol": "wants an iceccd that breaks the protocol",
    "node-refused": "wants an iceccd that fails in a way that its sources do not foresee",
    "node-cannot-chroot": "the scheduler gives no job to an iceccd that says so, and one that does not say so can",
    "node-tmp": "wants an environment that is damaged after it was verified",
    "repeat-failed": "wants a node that compiles the same source to something else",
    "lock-failed": "wants a full or foreign /tmp, which all of this machine's tests share",
    "process-limit": "wants a machine that can start no more processes",
    "source-unreadable": "wants a disk that fails",
    "remote-failed-fell-back": "for words of icecc that nobody knows yet",
}
"""What real parts do not do at will, and why; how icecc words it is in tests/unit/test_reasons.py."""


def test_every_reason_is_provoked() -> None:
    """A new reason has a case, a scene, or says why it cannot have one."""
    cases = {case.code for case in CASES}
    assert cases | SCENES.keys() | OUT_OF_REACH.keys() == REASONS.keys()
    assert not cases & SCENES.keys() and not (cases | SCENES.keys()) & OUT_OF_REACH.keys()
    here = Path(__file__)
    for code, place in SCENES.items():
        file, _, name = place.rpartition(": ")
        text = (here.with_name(file) if file else here).read_text()
        assert f"def {name}(" in text and f'"{code}"' in text, place


def test_both_compilers_meet_every_reason_that_either_can() -> None:
    """What is left to one compiler is left for a reason of that compiler's."""
    alone = {case.code for case in CASES} - {case.code for case in CASES if set(case.compilers) == set(BOTH)}
    met = {code: {one for case in CASES if case.code == code for one in case.compilers} for code in alone}
    assert {code for code, compilers in met.items() if compilers == {"gcc"}} == {
        "environment-not-made",
        "compiler-dump", "assembler-file-missing", "march-native", "unsupported-compiler", "compiler-output",
        "remote-file-missing",
    }  # fmt: skip
    assert {code for code, compilers in met.items() if compilers == {"clang"}} == {
        "target-unknown", "dependency-file-lost", "precompiled-header-used",
    }  # fmt: skip
