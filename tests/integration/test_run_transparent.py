"""`farm run` and `farm explain` before a command change nothing for it: all is as with `env`, in a virtual lab too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import PATIENCE, until
from tests.run_lab import Farm, add_node, farm_of_two

CASES = {
    "descriptors": "$RUN sh -c 'cat; echo x >&3; cat <&7; ls /proc/$$/fd' 3>&1 7<<<seven <<<input",
    "process substitution": "$RUN cat <(echo hi)",
    "closed descriptors": "$RUN sh -c 'ls /proc/$$/fd' <&- 2>&-; $RUN true >&-; echo $?",
    "jobserver": "printf 'all: ; +@$(RUN) $(MAKE) -f sub\\n' >top; printf 'all: a b\\na b: ; @true\\n' >sub; "
    "make -j3 -f top 2>&1 | grep -c jobserver",
    "standard input": "printf 'one\\ntwo\\n' | { $RUN sh -c 'read x; echo $x'; cat; }",
    "umask": "umask 027; $RUN sh -c umask",
    "niceness": "nice -n 7 $RUN nice",
    "limits": "ulimit -S -n 333 -s 4096 -t 900; $RUN sh -c 'ulimit -S -a; ulimit -H -a'",
    "processors": "taskset -c 0 $RUN nproc",
    "folder": "mkdir -p real; ln -sfn real link; cd link; $RUN sh -c 'echo $PWD; pwd; pwd -P'",
    "folder that is gone": "mkdir gone; cd gone; rmdir ../gone; $RUN sh -c 'echo $PWD' 2>/dev/null",
    "PWD that is wrong": "PWD=/nonsense $RUN env | grep -a ^PWD=",
    "words": "$RUN printf '<%s>' a '' 'b c' -- --home -h $'\\xff' $'new\\nline'",
    "name of the program": "$RUN sh -c 'tr \"\\0\" \" \" </proc/$$/cmdline'",
    "exported functions": "f() { echo function; }; export -f f; $RUN bash -c f",
    "odd variables": "env 'odd-name=1' 'a b=2' X=$'\\xff' E= $RUN env | grep -a -e '^odd' -e '^a b' -e '^[XE]='",
    "locale": "env -u LANG -u LC_ALL -u LC_CTYPE $RUN env | grep -E '^(LANG|LC_)'",
    "locale C": "LC_ALL=C $RUN env | grep -E '^(LANG|LC_)'",
    "all variables": "env -i A=1 HOME=$HOME XDG_STATE_HOME=$XDG_STATE_HOME PATH=$PATH $RUN env "
    "| grep -avE '^(PATH|FARM_JOBS|CC|CXX|ICECC.*)=' | sort",
    "exit codes": "for n in 0 105 127 255; do $RUN sh -c 'exit '$n; echo $?; done",
    "deaths": "for n in HUP INT SEGV KILL PIPE RTMIN+3; do $RUN sh -c 'kill -'$n' $$'; echo $?; done",
    "not to be found": "$RUN no-such-command; echo $?; $RUN ./no-such; echo $?; $RUN ''; echo $?",
    "not to be run": "echo data >data; mkdir -p bin; echo data >bin/inpath; $RUN ./data; echo $?; $RUN ./bin; echo $?; "
    "$RUN ./data/x; echo $?; PATH=$PWD/bin:$PATH $RUN inpath; echo $?",
    "no interpreter": "printf '#!/no/such\\n' >lost; chmod +x lost; $RUN ./lost; echo $?",
    "no first line": "printf 'echo script $1' >bare; chmod +x bare; $RUN ./bare word; PATH=$PWD:$PATH $RUN bare word",
    "group, session, terminal": "cut -d' ' -f5-7 /proc/$$/stat >own; "
    "$RUN sh -c 'cut -d\" \" -f5-7 /proc/$$/stat' | cmp - own; echo $?",
    "signals by default": "$RUN grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status",
    "signals ignored": "trap '' HUP INT QUIT USR1 TERM TSTP TTIN TTOU WINCH; "
    "$RUN grep -E '^Sig(Blk|Ign)' /proc/self/status",
    "signals blocked": "env --block-signal=HUP,INT,USR2,TSTP $RUN grep -E '^Sig(Blk|Ign)' /proc/self/status",
    "children not to be waited for": "trap '' CHLD; $RUN sh -c 'exit 3'; echo $?",
    "a reader that leaves": "$RUN yes 2>/dev/null | head -n 1; echo ${PIPESTATUS[0]}",
    "background": "$RUN sh -c 'kill -INT $$; echo goes on' & wait",
}  # fmt: skip
COUNTING = """import os, signal, sys
SHOWN = {names}
def show(number, frame):
    os.write(1, f"{{number}} ".encode())
    if number == signal.SIGRTMAX:
        sys.exit(7)
for number in SHOWN:
    signal.signal(number, show)
os.write(1, b"ready ")
while True:
    signal.pause()
"""
SENT = ("HUP", "INT", "QUIT", "USR1", "TERM", "TSTP", "WINCH", "RTMIN")


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with farm_of_two("10.99.49.1", "10.99.49.2") as found:
        add_node(found)
        yield found


@pytest.fixture(params=["run", "explain"])
def wrapper(request: pytest.FixtureRequest, farm: Farm) -> list[str]:
    """The words before a command; no shell comes in between."""
    program = farm.server.folder / "farm"
    program.write_text(f"#!{sys.executable}\nfrom farm.cli import main; main()\n")
    program.chmod(0o755)
    return [str(program), "--home", str(farm.home.directory), request.param, "--"]


def script(farm: Farm, folder: Path, before: list[str], text: str) -> tuple[int, bytes]:
    """What a shell's script prints and ends with; ``before`` is $RUN in it."""
    environment = farm.environment(RUN=" ".join(before))
    done = subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_as_with_env(farm: Farm, wrapper: list[str], case: str, tmp_path: Path) -> None:
    found = []
    for name, before in (("env", ["env"]), ("farm", wrapper)):
        folder = tmp_path / name / "sources"
        folder.mkdir(parents=True)
        code, printed = script(farm, folder, before, CASES[case])
        found.append((code, printed.replace(os.fsencode(folder), b"FOLDER")))
    assert found[0] == found[1]


def start(farm: Farm, before: list[str], *argv: str) -> subprocess.Popen[bytes]:
    """In a process group of its own, as a shell's job."""
    return subprocess.Popen(
        [*before, *argv], env=farm.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
    )


def read_until(process: subprocess.Popen[bytes], word: str) -> str:
    """What it prints, to the first time that this is in it."""
    assert process.stdout is not None
    text = b""
    while f"{word} ".encode() not in text:
        more = os.read(process.stdout.fileno(), 1)
        assert more, text
        text += more
    return text.decode()


@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("name", SENT)
def test_a_signal_comes_once(farm: Farm, wrapper: list[str], name: str, to_group: bool) -> None:
    number = signal.Signals[f"SIG{name}"]
    counting = COUNTING.format(names=[*(int(signal.Signals[f"SIG{each}"]) for each in SENT), int(signal.SIGRTMAX)])
    found = []
    for before in (["env"], wrapper):
        process = start(farm, before, sys.executable, "-c", counting)
        read_until(process, "ready")
        (os.killpg if to_group else os.kill)(process.pid, number)
        told = read_until(process, str(int(number)))
        os.kill(process.pid, signal.SIGRTMAX)  # of all that wait, what has the lowest number comes first
        told += process.communicate(timeout=PATIENCE)[0].decode()
        found.append((process.returncode, told))
    assert found == [(7, f"{number} {int(signal.SIGRTMAX)} ")] * 2


@pytest.mark.parametrize("name", ["STOP", "TSTP"])
def test_stopped_by_itself(farm: Farm, wrapper: list[str], name: str) -> None:
    for before in (["env"], wrapper):
        process = start(farm, before, "sh", "-c", f"kill -{name} $$; echo on; exit 3")
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert (os.WIFSTOPPED(status), os.WSTOPSIG(status)) == (True, signal.Signals[f"SIG{name}"])
        os.killpg(process.pid, signal.SIGCONT)
        assert (process.communicate(timeout=PATIENCE)[0], process.returncode) == (b"on\n", 3)


def test_stopped_and_continued_alone(farm: Farm, wrapper: list[str]) -> None:
    """By somebody who knows the process that was started, and no other."""
    for before in (["env"], wrapper):
        process = start(farm, before, "sh", "-c", "echo 'ready '; sleep 0.2 & wait; read x </dev/null; echo on")
        read_until(process, "ready")
        os.kill(process.pid, signal.SIGTSTP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert (os.WIFSTOPPED(status), os.WSTOPSIG(status)) == (True, signal.SIGTSTP)
        os.kill(process.pid, signal.SIGCONT)
        assert (process.communicate(timeout=PATIENCE)[0], process.returncode) == (b"\non\n", 0)


def test_killed(farm: Farm, wrapper: list[str]) -> None:
    """With the process that was started the command is gone."""
    for before in (["env"], wrapper):
        process = start(farm, before, "sh", "-c", "echo $$; echo 'ready '; exec sleep 1000")
        pid = read_until(process, "ready").split()[0]
        process.kill()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
        until(lambda pid=pid: not Path("/proc", pid).exists(), "the command goes on")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)  # nor is anything else of the group left
