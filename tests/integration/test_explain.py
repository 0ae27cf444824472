"""`farm explain` of real compiler calls: each way of staying here is provoked, and its true cause must be named."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farm.config import FIRST_KIND, Config
from farm.home import Home
from farm.instance import Instance
from farm.virtual.namespace import icecc_folder
from farm.workstation.explain.last_run import LastRun, begin, last_run_folder
from tests.explain_lab import Farm, explain_lab
from tests.lab import PATIENCE, namespaces, until

SERVER = "10.99.31.1"
NODE = "10.99.31.2"
SUBMITTER = "submitter-test"
PC01 = {"ICECC_PREFERRED_HOST": "pc01"}

SOURCES = {
    "a.c": '#include <stdio.h>\nint a(void) { return puts("a"); }\n',
    "b.c": "int b(void) { return 1; }\n",
    "main.c": "int main(void) { return 0; }\n",
    "conftest.c": "int main(void) { return 0; }\n",
    "a.h": "int a(void);\n",
    "a.s": ".globl a\n",
    "a.S": ".globl a\n",
    "a.f": "      end\n",
    "a.xyz": "int a;\n",
    "warns.c": "int warns(void) { int unused; return 0; }\n",
    "lacks.c": "#include <no-such-header.h>\n",
    "memory.c": '_Static_assert(0, "out of memory");\n',
    "file.c": '_Static_assert(0, "file not found");\n',
    "slow.cc": "constexpr int f() { int x = 0;\n"
    "for (int i = 0; i < 2000; i++) for (int k = 0; k < 4500; k++) x ^= i + k;\n"
    "return x; }\nconstexpr int y = f();\nint g() { return y; }\n",
    "response": "-c a.c -O1",
    "broken.tar.gz": "no archive at all\n" * 100,
    "environment.bin": "x" * 1000,
    "assembler-options": "--warn\n",
    "foo-cc": '#!/bin/sh\nexec /usr/bin/gcc "$@"\n',
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Farm]:
    with explain_lab(SERVER, NODE) as lab:
        lab.write(SOURCES)
        (lab.sources / "foo-cc").chmod(0o755)
        subprocess.run(["gcc", "-x", "c-header", "a.h", "-o", "before.h.gch"], cwd=lab.sources, check=True)
        yield lab


@pytest.fixture(scope="module")
def farm(lab: Farm) -> Farm:
    lab.submitter()
    lab.node.iceccd("pc01", SERVER, "-m", "2")
    lab.wait_until_ready("pc01", SUBMITTER)
    return lab


@pytest.mark.parametrize(
    "argv",
    [
        "gcc -c a.c",
        "gcc -S a.c",
        "gcc -c -MD a.c",
        "gcc -c -march=native a.c",
        "gcc @response",
        "gcc -c -pedantic a.c",
        "gcc -c -g -gsplit-dwarf a.c",
        "gcc -c -include before.h a.c",
        "icecc /usr/bin/gcc -c a.c",
        "g++ -x c++ -c a.c",
    ],
)
def test_what_goes_to_the_node(farm: Farm, argv: str) -> None:
    told = farm.explain(*argv.split(), **PC01)
    assert (told["exit"], told["reason"], told["nodes"]) == (0, None, [])
    (call,) = told["calls"]
    assert (call["outcome"], call["node"], call["host"], call["reasons"]) == ("node", "pc01", NODE, [])
    assert call["file"] == "a.c"
    assert call["sent"] > 0 < call["got"]
    assert call["milliseconds"]["node"] > 0


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ("gcc -E a.c", "preprocess-only"),
        ("gcc -M a.c", "dependencies-only"),
        ("gcc -MM a.c", "dependencies-only"),
        ("gcc -fsyntax-only a.c", "syntax-only"),
        ("gcc -c -fdump-tree-all a.c", "compiler-dump"),
        ("gcc -c -ftime-report a.c", "time-report"),
        ("gcc -c -combine a.c", "combine"),
        ("gcc -c -B/usr/bin a.c", "compiler-path"),
        ("gcc -c -Wa,@assembler-options a.c", "response-file"),
        ("gcc -c -Wa,-al=listing a.c", "assembler-listing"),
        ("gcc -c -Wa,absent.s a.c", "assembler-file-missing"),
        ("gcc -c a.h", "precompiled-header"),
        ("gcc -c -x c-header a.h", "precompiled-header"),
        ("g++ -c -x c++-header a.h", "precompiled-header"),
        ("gcc -c -Xclang -building-pch-with-obj a.c", "precompiled-header"),
        ("gcc -c -I -O2 a.c", "missing-argument"),
        ("gcc -MD -Wp,-MT,foo -c a.c", "word-overlooked"),
        ("gcc -Wp,-MQ,foo a.c -c", "word-overlooked"),
        ("gcc -c a.s", "assembler"),
        ("gcc -c a.S", "assembler"),
        ("gcc -c -x assembler a.s", "assembler"),
        ("gcc -c a.f", "source-language"),
        ("gcc -c -x f95 a.f", "source-language"),
        ("gcc -c --coverage a.c", "coverage"),
        ("gcc -c -fprofile-arcs a.c", "coverage"),
        ("gcc -c -fprofile-generate a.c", "profile"),
        ("gcc -c -s a.c", "strip-flag"),
        ("gcc -c -save-temps a.c", "save-temps"),
        ("g++ -c -frepo a.c", "repo-templates"),
        ("gcc -c -x c -", "stdin"),
        ("gcc -c -finput-charset UTF-8 a.c", "charset-flag"),
        ("gcc -c a.c -o -", "output-to-stdout"),
        ("gcc -c -fplugin=./absent.so a.c", "plugin-missing"),
        ("gcc -c -Xclang -load -Xclang absent.so a.c", "plugin-missing"),
        ("gcc -c -fsanitize-blacklist=absent a.c", "extra-file-missing"),
        ("gcc -shared a.o -o liba.so", "linking"),
        ("gcc main.c -o main", "no-dash-c"),
        ("gcc --version", "compiler-query"),
        ("gcc -c conftest.c", "configure-test"),
        ("gcc -c a.c b.c", "several-inputs"),
        ("gcc -c a.xyz", "unknown-extension"),
        ("gcc -c a.c -o /dev/null", "output-not-a-file"),
        ("icecc ./foo-cc -c a.c", "unsupported-compiler"),
        ("icerun gcc -c a.c", "icerun"),
    ],
)
def test_what_the_command_itself_keeps_here(farm: Farm, argv: str, code: str) -> None:
    told = farm.explain(*argv.split())
    (call,) = told["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", code), call["evidence"]
    assert told["nodes"] == []


def test_blanks_in_names(farm: Farm) -> None:
    (farm.sources / "my file.c").write_text("int part(void) { return 1; }\n")
    (call,) = farm.explain("gcc", "-c", "-B/usr/bin", "my file.c", "-o", "my out.o")["calls"]
    assert (call["outcome"], call["file"]) == ("here", "my file.c")


@pytest.mark.parametrize(
    ("argv", "environment", "outcome", "code"),
    [
        ("gcc -c a.c", {"ICECC": "disable"}, "here", "disabled-by-environment"),
        ("gcc -c a.c", {"ICECC": "no"}, "here", "disabled-by-environment"),
        ("gcc -c a.c", {"ICECC_VERSION": "/absent.tar.gz"}, "here", "environment-missing"),
        ("gcc -c a.c", {"ICECC_VERSION": "environment.bin"}, "here", "environment-not-tar"),
        ("gcc -c a.c", {"ICECC_VERSION": "broken.tar.gz=arm-linux"}, "here", "environment-for-other-compiler"),
        ("gcc -c a.c", {"ICECC_EXTRAFILES": "absent"}, "here", "extra-file-missing"),
        ("gcc -c a.c", {"ICECC_TEST_SOCKET": "/absent"}, "nowhere", "test-socket"),
        ("gcc -c a.c", {"ICECC_PREFERRED_HOST": "nobody"}, "here", "preferred-host-absent"),
        ("gcc -c a.c", {"_ICECC_SAFEGUARD": "2"}, "nowhere", "recursion"),
        ("gcc-no-such -c a.c", {"PATH": ".:/usr/bin:/bin:/usr/sbin:/sbin"}, "nowhere", "compiler-not-found"),
        ("gcc -c lacks.c", PC01, "again", "preprocessing-failed"),
        ("gcc -c -Wall warns.c", PC01, "again", "compiler-output"),
        ("gcc -c memory.c", PC01, "again", "remote-out-of-memory"),
        ("gcc -c file.c", {**PC01, "ICECC_CARET_WORKAROUND": "0"}, "again", "remote-file-missing"),
        ("gcc -c a.c -o absent/a.o", PC01, "again", "output-not-written"),
    ],
)
def test_what_lies_at_this_machine_or_the_node(
    farm: Farm, argv: str, environment: dict[str, str], outcome: str, code: str
) -> None:
    link = farm.sources / "gcc-no-such"
    if not link.is_symlink():
        link.symlink_to("/usr/bin/icecc")
    told = farm.explain(*argv.split(), **environment)
    (call,) = told["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == (outcome, code), call["evidence"]


def test_an_environment_that_is_no_archive(farm: Farm) -> None:
    told = farm.explain("gcc", "-c", "a.c", ICECC_VERSION=str(farm.sources / "broken.tar.gz"), **PC01)
    (call,) = told["calls"]
    assert (told["exit"], call["outcome"]) == (0, "again")
    assert call["reasons"][0]["code"] == "environment-install-failed", call["evidence"]


def test_an_environment_that_does_not_run_is_not_tried_twice(farm: Farm) -> None:
    archive = farm.sources / "unusable.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add("/bin/true", "bin/true")  # without its libraries
    told = farm.explain("gcc", "-c", "a.c", ICECC_VERSION=str(archive), **PC01)
    (call,) = told["calls"]
    assert (told["exit"], call["outcome"]) == (0, "again")
    assert call["reasons"][0]["code"] == "environment-unusable", call["evidence"]
    told = farm.explain("gcc", "-c", "a.c", ICECC_VERSION=str(archive))
    (call,) = told["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", "nodes-passed-over"), call["evidence"]


def test_an_environment_without_an_assembler(farm: Farm) -> None:
    archive = farm.sources / "lacking.tar.gz"
    subprocess.run(["gcc", "-static", "main.c", "-o", "true"], cwd=farm.sources, check=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(farm.sources / "true", "bin/true")
    told = farm.explain("gcc", "-c", "a.c", ICECC_VERSION=str(archive), **PC01)
    (call,) = told["calls"]
    assert (told["exit"], call["outcome"]) == (0, "again")
    assert call["reasons"][0]["code"] == "environment-gone", call["evidence"]
    assert "usr/bin/as" in call["reasons"][0]["line"]


@pytest.mark.parametrize(
    ("argv", "code"),
    [("/usr/bin/gcc -c a.c", "wrapper-bypassed"), ("sh -c /usr/bin/true", "no-compiler-call")],
)
def test_what_icecc_does_not_see(farm: Farm, argv: str, code: str) -> None:
    told = farm.explain(*argv.split())
    assert (told["exit"], told["calls"], told["reason"]["code"]) == (0, [], code)


def test_it_is_said_in_words_and_output_and_exit_code_are_passed_on(farm: Farm) -> None:
    code, out, told = farm.say("--evidence", "--", "gcc", "-E", "b.c")
    assert (code, "int b(void)" in out) == (0, True)
    assert "b.c was not sent to a node." in told
    assert "preprocess-only" in told
    assert "preprocessing, building locally" in told
    code, out, told = farm.say("--", "gcc", "-c", "a.c", **PC01)
    assert (code, out) == (0, "")
    assert f"a.c was compiled on pc01 ({NODE})." in told
    assert farm.say("--", "sh", "-c", "exit 7")[0] == 7


def test_a_whole_run_is_explained(farm: Farm) -> None:
    folder = last_run_folder({"HOME": str(farm.sources)})
    run = LastRun(command=["make"], directory=str(farm.sources), start=time.time(), farm="test")
    _, log, lock = begin(folder, run)
    script = "gcc -c a.c; gcc -c b.c; gcc -E a.c >/dev/null; gcc -E b.c > /dev/null; gcc main.c -o main"
    # What `farm run` does: the log is where `begin` says.
    inside = f"export ICECC_LOGFILE={log} ICECC_DEBUG=debug; {script}"
    assert farm.say("--json", "--", "sh", "-c", inside, **PC01)[0] == 0
    os.close(lock)
    told = json.loads(farm.say("--last", "--json")[1])
    assert [(each["code"], each["count"], each["files"]) for each in told["reasons"]] == [
        ("preprocess-only", 2, ["a.c", "b.c"]),
        ("no-dash-c", 1, ["main.c"]),
    ]
    assert told["on"] == {"pc01": 2}
    assert told["outcomes"] == {"node": 2, "here": 3, "again": 0, "nowhere": 0, "unfinished": 0}
    words = farm.say("--last")[1]
    assert "5 compiler calls: 2 on a node, 3 here" in words
    assert "2  preprocess-only" in words
    listed = farm.say("--last", "--reason", "preprocess-only", "--file", "b.c")[1]
    assert "b.c was not sent to a node." in listed
    assert "a.c was" not in listed
    assert (
        "main.c was not sent to a node." in farm.say("--last", "--file", "main.c -o")[1]
    )  # as a name with blanks would be
    assert "No call matches." in farm.say("--last", "--file", "absent")[1]
    code, _, told = farm.say("--last", "--reason", "nonsense")
    assert (code, "--list" in told) == (2, True)


@dataclass(frozen=True)
class Slow:
    """A call that takes long on a node of its own, caught while the compiler runs."""

    call: subprocess.Popen[str]
    daemon: int

    def processes(self) -> list[int]:
        """The node's, parents before children."""
        return _family(self.daemon)

    def running(self, *names: str) -> list[int]:
        """Those that run one of these programs."""
        return [pid for pid in self.processes() if _program(pid) in names]

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Its exit code and how it is explained, when it has ended."""
        out, told = self.call.communicate(timeout=5 * PATIENCE)
        assert out, told
        (call,) = json.loads(out)["calls"]
        return self.call.returncode, call


@pytest.fixture
def slow(farm: Farm, request: pytest.FixtureRequest) -> Iterator[Slow]:
    name, port, environment = request.param
    daemon = farm.node.iceccd(name, SERVER, "-m", "2", "-p", port)
    farm.wait_until_ready(name)
    argv = ["g++", "-c", "-fconstexpr-ops-limit=1000000000", "slow.cc"]
    caught = Slow(farm.start("--json", "--evidence", "--", *argv, ICECC_PREFERRED_HOST=name, **environment), daemon.pid)
    until(lambda: caught.running("cc1plus"), "nothing is compiled")
    yield caught
    daemon.kill()
    daemon.wait()


@pytest.mark.parametrize(
    ("slow", "codes"),
    [
        # The compiler runs before it has been sent all of its source.
        (("pc02", "10249", {}), ("node-lost", "node-lost-sending")),
        (("pc05.spare", "10246", {}), ("slot-withdrawn",)),
    ],
    indirect=["slow"],
)
def test_a_node_lost_in_the_middle(slow: Slow, codes: tuple[str, ...]) -> None:
    stopped: set[int] = set()
    while more := [pid for pid in slow.processes() if pid not in stopped]:
        for pid in more:
            os.kill(pid, signal.SIGSTOP)
        stopped.update(more)
    for pid in stopped:  # all at once, as power fails: nobody is left to tell of the others
        with contextlib.suppress(ProcessLookupError):  # the kernel hangs up on a stopped one that lost its parent
            os.kill(pid, signal.SIGKILL)
    code, call = slow.ended()
    assert (code, call["outcome"], call["host"]) == (0, "again", NODE)
    assert call["reasons"][0]["code"] in codes, call["evidence"]


@pytest.mark.parametrize(
    ("slow", "killed", "exit_code", "reason"),
    [
        (("pc03", "10247", {}), ("g++", "cc1plus"), 105, "killed-on-node"),
        (("pc04", "10248", {"ICECC_CARET_WORKAROUND": "0"}), ("cc1plus",), 1, "failed-on-node"),
    ],
    indirect=["slow"],
)
def test_a_compiler_killed_on_a_node(slow: Slow, killed: tuple[str, ...], exit_code: int, reason: str) -> None:
    """As a kernel does that is out of memory. The build fails, since icecc does not try it again."""
    for pid in slow.running(*killed):
        os.kill(pid, signal.SIGKILL)
    code, call = slow.ended()
    assert (code, call["outcome"], call["host"]) == (exit_code, "node", NODE)
    assert call["reasons"][0]["code"] == reason, call["evidence"]


def _family(pid: int) -> list[int]:
    """A process and its descendants, parents before children; none when it has ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _program(pid: int) -> str:
    try:
        return os.path.basename(Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0])
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def lonely() -> Iterator[Farm]:
    """A scheduler and a submitter alone."""
    with namespaces("10.99.32.1/24") as (server,):
        home = Home.at(server.folder / "home")
        home.create()
        config = Config(name="test", address="10.99.32.1/24")
        Instance(config=config, interface="lab0", images={FIRST_KIND: "test"}, started=0.0, namespace=server.name).save(
            home
        )
        (server.folder / "a.c").write_text("int a;\n")
        yield Farm(home, server, server, server.folder)


def start(farm: Farm, *options: str, name: str = SUBMITTER) -> subprocess.Popen[bytes]:
    own = icecc_folder(farm.home) if name == SUBMITTER else None
    return farm.server.iceccd(name, farm.server.address, *options, icecc_folder=own)


@pytest.mark.parametrize(
    ("options", "nodes"),
    [((), []), (("-m", "0"), [("pc01", "no-slots")]), (("--no-remote", "-m", "2"), [("pc01", "no-remote")])],
)
def test_no_node_can_take_it(lonely: Farm, options: tuple[str, ...], nodes: list[tuple[str, str]]) -> None:
    lonely.server.scheduler()
    start(lonely, "--no-remote", "-m", "2")
    if options:
        start(lonely, *options, "-p", "10246", name="pc01")
    told = lonely.explain("gcc", "-c", "a.c")
    (call,) = told["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", "no-eligible-node"), call["evidence"]
    assert [(node["name"], node["code"]) for node in told["nodes"]] == nodes


def test_the_scheduler_is_away_then_the_daemon_too(lonely: Farm) -> None:
    scheduler = lonely.server.scheduler()
    daemon = start(lonely, "--no-remote", "-m", "2")
    lonely.server.stop(scheduler)
    (call,) = lonely.explain("gcc", "-c", "a.c")["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", "no-scheduler"), call["evidence"]
    lonely.server.stop(daemon)
    (call,) = lonely.explain("gcc", "-c", "a.c")["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", "no-daemon"), call["evidence"]


def test_the_daemon_ends_while_this_machine_compiles(lonely: Farm) -> None:
    """icecc waits again for the compiler that it has waited for already, and takes that for its failure."""
    scheduler = lonely.server.scheduler()
    daemon = start(lonely, "--no-remote", "-m", "2")
    lonely.server.stop(scheduler)
    lonely.write({"slow.cc": SOURCES["slow.cc"]})
    argv = ["g++", "-c", "-fconstexpr-ops-limit=1000000000", "slow.cc"]
    caught = lonely.start("--json", "--evidence", "--", *argv)
    until(lambda: any(_program(pid) == "cc1plus" for pid in _family(caught.pid)), "nothing is compiled")
    lonely.server.stop(daemon)
    code, call = Slow(caught, daemon.pid).ended()
    assert (code, call["outcome"]) == (129, "here")
    assert call["reasons"][0]["code"] == "iceccd-lost", call["evidence"]


def test_the_daemon_is_logged_in_elsewhere(lonely: Farm) -> None:
    lonely.server.scheduler()
    folder = icecc_folder(lonely.home)
    environments = lonely.server.folder / "envs"
    environments.mkdir()
    shutil.chown(environments, "icecc", "icecc")
    argv = ["iceccd", "-n", "another-network", "-N", SUBMITTER, "-b", str(environments), "--no-remote"]
    lonely.server.start("astray", *argv, "-u", "icecc", icecc_folder=folder)
    until((folder / "iceccd.socket").exists, "iceccd does not start")
    (call,) = lonely.explain("gcc", "-c", "a.c")["calls"]
    assert (call["outcome"], call["reasons"][0]["code"]) == ("here", "not-logged-in"), call["evidence"]
