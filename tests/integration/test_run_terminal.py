"""`farm run` in a terminal: its line at the bottom, Ctrl-C, Ctrl-Z, changes of size. An emulator says what is seen."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import until
from tests.run_lab import Farm, add_node, farm_of_two
from tests.terminal import Terminal

SERVER = "10.99.48.1"
COLUMNS, ROWS = 80, 12
TERM = "xterm-256color"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with farm_of_two(SERVER, "10.99.48.2") as found:
        add_node(found)
        yield found


@pytest.fixture
def terminals(farm: Farm) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def run(farm: Farm, terminals: list[Terminal], *argv: str, **environment: str) -> Terminal:
    terminals.append(Terminal(farm.argv(*argv), farm.sources, farm.environment(**{"TERM": TERM, **environment})))
    return terminals[-1]


def run_live(farm: Farm, terminals: list[Terminal], *argv: str) -> Terminal:
    """And wait for our line."""
    terminal = run(farm, terminals, *argv)
    until(lambda: live(terminal), "there is no line")
    return terminal


def bare(farm: Farm, terminals: list[Terminal], *argv: str) -> Terminal:
    terminals.append(Terminal(list(argv), farm.sources, farm.environment(TERM=TERM)))
    return terminals[-1]


def shell(farm: Farm, terminals: list[Terminal]) -> Terminal:
    return bare(farm, terminals, "bash", "--norc", "--noprofile", "-i")


def live(terminal: Terminal) -> bool:
    """Our line is at the bottom."""
    return terminal.rows[-1].startswith("farm: ") and " waiting; done " in terminal.rows[-1]


OUTPUT = "for n in $(seq 1 30); do echo line $n; sleep 0.1; done"


def test_the_line_stays_apart_from_what_the_command_writes(farm: Farm, terminals: list[Terminal]) -> None:
    script = f"printf prompt; {OUTPUT}; until [ -e seen ]; do sleep 0.1; done; gcc -c part0.c -o seen.o"
    (farm.sources / "seen").unlink(missing_ok=True)
    terminal = run_live(farm, terminals, "--", "sh", "-c", script)
    terminal.wait_for("line 30")
    (farm.sources / "seen").touch()
    assert terminal.end() == 0
    shown = [row for row in terminal.everything if row]
    # Whole and in order, and nothing of ours is left in it; the summary follows.
    lines = ["promptline 1", *(f"line {n}" for n in range(2, 31))]
    assert shown[: len(lines)] == lines
    assert shown[len(lines)].startswith("farm: ")
    assert not any(" waiting; done " in row for row in shown)
    assert terminal.screen.margins is None


@pytest.mark.parametrize(
    ("option", "environment"), [("--no-live", {}), ("--live", {"CI": "true"}), ("--live", {"TERM": "dumb"})]
)
def test_without_the_line(farm: Farm, terminals: list[Terminal], option: str, environment: dict[str, str]) -> None:
    terminal = run(farm, terminals, option, "--", "sh", "-c", "sleep 2.5; echo done", **environment)
    terminal.wait_for("done")
    assert not any(" waiting; " in row for row in terminal.everything)
    assert terminal.end() == 0


MAKEFILE = """all: one.o two.o
%.o:
\ttouch started-$@; sleep 100; touch $@
"""


@pytest.mark.parametrize("key", ["\x03", "\x1c"], ids=["interrupt", "quit"])
def test_keys_end_make_as_without_us(farm: Farm, terminals: list[Terminal], key: str, tmp_path: Path) -> None:
    """The same status, and the same words of make's."""
    makefile = tmp_path / "Makefile"
    makefile.write_text(MAKEFILE)
    make = ("make", "-j2", "-f", str(makefile), f"--directory={tmp_path}")
    ends = []
    for start in (bare, run_live):
        terminal = start(farm, terminals, *(("--",) if start is run_live else ()), *make)
        until(lambda: len(list(tmp_path.glob("started-*"))) == 2, "make does not start")
        terminal.type(key)
        code = terminal.end()
        ends.append((code, sorted(row for row in terminal.everything if row.startswith("make: ***"))))
        for path in tmp_path.glob("started-*"):
            path.unlink()
    assert ends[0] == ends[1]
    assert ends[0][0] == (-signal.SIGINT if key == "\x03" else 1)  # make ends by the one, and exits at the other


def test_stopped_and_continued_by_a_shell(farm: Farm, terminals: list[Terminal]) -> None:
    for name in ("on", "off"):
        (farm.sources / name).unlink(missing_ok=True)
    terminal = shell(farm, terminals)
    script = "touch on; until [ -e off ]; do sleep 0.1; done; echo the end"
    quoted = " ".join(f"'{word}'" for word in farm.argv("--", "sh", "-c", script))
    terminal.type(f"{quoted}\n")
    until(lambda: live(terminal), "there is no line")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    assert not live(terminal)
    assert terminal.screen.margins is None
    terminal.type("echo the shell $((1 + 1))\n")
    terminal.wait_for("the shell 2")
    terminal.type("fg\n")
    until(lambda: live(terminal), "the line does not come back")
    terminal.type("\x1a")
    until(lambda: sum("Stopped" in row for row in terminal.everything) == 2, "it is not stopped again")
    assert terminal.screen.margins is None
    terminal.type("bg\n")
    (farm.sources / "off").touch()
    terminal.wait_for("the end")
    terminal.type("wait; exit 5\n")
    assert terminal.end() == 5
    assert not any(" waiting; done " in row for row in terminal.rows)


def test_a_terminal_that_changes_its_size(farm: Farm, terminals: list[Terminal]) -> None:
    (farm.sources / "sized").unlink(missing_ok=True)
    script = "trap 'stty size' WINCH; echo ready; until [ -e sized ]; do sleep 0.1; done; echo last"
    terminal = run_live(farm, terminals, "--", "sh", "-c", script)
    terminal.wait_for("ready")
    for rows in (20, 9):
        terminal.resize(COLUMNS, rows)
        terminal.wait_for(f"{rows} {COLUMNS}")
        until(lambda: live(terminal), "there is no line")
        until(lambda rows=rows: terminal.screen.margins == (0, rows - 2), "the last row is not kept")
    terminal.resize(COLUMNS, 4)
    until(lambda: terminal.screen.margins is None, "it takes a row of a tiny terminal")
    (farm.sources / "sized").touch()
    assert terminal.end() == 0


def test_a_program_that_has_the_terminal_to_itself(farm: Farm, terminals: list[Terminal]) -> None:
    """While keys are read one by one, nothing is drawn; afterwards it is again."""
    for name in ("raw", "cooked", "over"):
        (farm.sources / name).unlink(missing_ok=True)
    raw, cooked, over = (f"until [ -e {name} ]; do sleep 0.1; done" for name in ("raw", "cooked", "over"))
    script = f"{raw}; stty -icanon; clear; {cooked}; stty icanon; {over}"
    terminal = run_live(farm, terminals, "--", "sh", "-c", script)
    (farm.sources / "raw").touch()
    until(lambda: not live(terminal), "the screen is not cleared")
    time.sleep(2.5)
    assert not live(terminal)
    (farm.sources / "cooked").touch()
    until(lambda: live(terminal), "the line does not come back")
    (farm.sources / "over").touch()
    assert terminal.end() == 0
    assert terminal.screen.margins is None


RESETS = {
    "region": r"printf '\033[r'",
    "hard reset": r"printf '\033c'",
    "tput reset": "tput reset",
    "tput csr": "tput csr 0 23",
    "soft reset": r"printf '\033[!p'",
    "origin mode": r"printf '\033[2;5r\033[?6h'; sleep 2.5; printf '\033[?6l\033[r'",
    "colours and line drawing": r"printf '\033[7;31m\033(0'; sleep 2.5; printf '\033[m\033(B'",
}


@pytest.mark.parametrize("reset", RESETS)
def test_a_command_that_resets_the_terminal(farm: Farm, terminals: list[Terminal], reset: str) -> None:
    """The row is reserved again, and no copy of it gets into the output."""
    for name in ("reset", "last"):
        (farm.sources / name).unlink(missing_ok=True)
    wait = "until [ -e {} ]; do sleep 0.1; done"
    script = f"{wait.format('reset')}; {RESETS[reset]}; {OUTPUT}; {wait.format('last')}; echo over"
    terminal = run_live(farm, terminals, "--", "sh", "-c", script)
    (farm.sources / "reset").touch()
    terminal.wait_for("line 30")
    until(lambda: live(terminal) and terminal.screen.margins == (0, ROWS - 2), "the row is not kept")
    # pyte draws what stands in the row as it is told to: neither turned round nor in colour.
    assert {(cell.fg, cell.reverse) for cell in terminal.screen.buffer[ROWS - 1].values()} <= {("default", False)}
    assert sum(" waiting; done " in row for row in terminal.everything) == 1
    (farm.sources / "last").touch()
    assert terminal.end() == 0
    assert not any(" waiting; done " in row for row in terminal.everything)
    assert terminal.screen.margins is None
    shown = [row for row in terminal.everything if row.startswith("line ")]
    assert shown[-3:] == ["line 28", "line 29", "line 30"]


def test_a_farm_run_inside_another_has_no_line(farm: Farm, terminals: list[Terminal]) -> None:
    """It ends, and the outer one keeps its own."""
    for name in ("inner", "outer"):
        (farm.sources / name).unlink(missing_ok=True)
    wait = "until [ -e {} ]; do sleep 0.1; done"
    inner = " ".join(f"'{word}'" for word in farm.argv("--", "sh", "-c", f"echo inside; {wait.format('inner')}"))
    terminal = run_live(farm, terminals, "--", "sh", "-c", f"{inner}; echo outside; {OUTPUT}; {wait.format('outer')}")
    terminal.wait_for("inside")
    time.sleep(2.5)
    assert sum(" waiting; done " in row for row in terminal.everything) == 1
    (farm.sources / "inner").touch()
    terminal.wait_for("outside")
    assert terminal.screen.margins == (0, ROWS - 2)  # nobody has given the row back
    terminal.wait_for("line 30")
    until(lambda: live(terminal), "there is no line")
    assert sum(" waiting; done " in row for row in terminal.everything) == 1
    (farm.sources / "outer").touch()
    assert terminal.end() == 0
    assert sum(row.startswith("farm: ") for row in terminal.everything) == 2  # a summary each


def test_a_shell_that_is_suspended(farm: Farm, terminals: list[Terminal]) -> None:
    """It has a process group of its own, which `fg` of the outer shell does not continue."""
    terminal = shell(farm, terminals)
    quoted = " ".join(f"'{word}'" for word in farm.argv("--", "bash", "--norc", "--noprofile", "-i"))
    terminal.type(f"{quoted}\n")
    terminal.type("echo begun $((0 + 1))\n")
    terminal.wait_for("begun 1")
    terminal.type("suspend\n")
    terminal.wait_for("Stopped")
    terminal.type("echo outer $((1 + 1)); fg\n")
    terminal.wait_for("outer 2")
    terminal.type("echo inner $((2 + 2))\n")
    terminal.wait_for("inner 4")
    terminal.type("exit 7\n")
    terminal.wait_for("0 jobs on 0 nodes")
    terminal.type("exit $?\n")
    assert terminal.end() == 7


def test_keys_come_once_and_may_be_refused(farm: Farm, terminals: list[Terminal]) -> None:
    """Ctrl-C is the command's to take, and one that takes no Ctrl-Z goes on."""
    (farm.sources / "keys").unlink(missing_ok=True)
    script = "trap 'echo interrupted' INT; trap '' TSTP; until [ -e keys ]; do sleep 0.1; done; echo over; exit 4"
    terminal = run_live(farm, terminals, "--", "bash", "-c", script)
    terminal.type("\x1a")
    terminal.type("\x03")
    terminal.wait_for("interrupted")
    (farm.sources / "keys").touch()
    terminal.wait_for("over")
    assert terminal.end() == 4
    assert sum("interrupted" in row for row in terminal.everything) == 1


def test_a_farm_run_as_a_job_of_a_shell_inside_another_has_one(farm: Farm, terminals: list[Terminal]) -> None:
    """The outer one cannot draw, as the terminal belongs to the job."""
    (farm.sources / "job").unlink(missing_ok=True)
    wait = "until [ -e job ]; do sleep 0.1; done"
    inner = " ".join(f"'{word}'" for word in farm.argv("--", "sh", "-c", f"echo inside; {wait}"))
    terminal = run(farm, terminals, "--", "bash", "--norc", "--noprofile", "-i")
    terminal.wait_for("$")
    terminal.type(f"clear; {inner}\n")
    terminal.wait_for("inside")
    until(lambda: live(terminal), "there is no line")
    (farm.sources / "job").touch()
    until(lambda: any(row.startswith("farm: 0 jobs") for row in terminal.rows), "it does not end")
    assert terminal.screen.margins is None
    terminal.type("exit 3\n")
    assert terminal.end() == 3
