"""`farm top` in a terminal: how it leaves it, and what of the keys that are typed ahead it takes."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.scheduler.control import list_blocks, unblock
from farm.virtual.namespace import exec_prefix
from tests.lab import NETNAME, PATIENCE, Namespace, namespaces, until
from tests.terminal import Terminal

SERVER = "10.99.81.1"
NODE = "pc01"
MODES = (1000, 1002, 1003, 1004, 1006, 1015, 1016, 1049, 2004, 2048)
"""DEC private modes: mouse, focus, the other screen, pastes, sizes; what a shell does not expect to be on."""
Open = Callable[..., Terminal]


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (space,):
        space.scheduler()
        space.iceccd(NODE, SERVER, "-m", "1")
        yield space


@pytest.fixture
def top(lab: Namespace, tmp_path: Path) -> Iterator[Open]:
    """Opens `farm top` in a terminal, at the scheduler, and waits until it shows the node."""
    opened: list[Terminal] = []

    def begin(view: str = "nodes", *before: str) -> Terminal:
        command = [sys.executable, "-m", "farm", "top", "--scheduler", SERVER, "--view", view]
        environment = {**os.environ, "TERM": "xterm-256color", "XDG_CONFIG_HOME": "/nonexistent"}
        environment["XDG_STATE_HOME"] = str(tmp_path)  # what another dashboard remembered is none of its business
        opened.append(Terminal([*exec_prefix(lab.name), *before, *command], None, environment, (100, 45)))
        opened[-1].wait_for(NODE)
        return opened[-1]

    yield begin
    for terminal in opened:
        terminal.close()


def shows(terminal: Terminal, text: str) -> bool:
    return any(text in row for row in terminal.rows)


def assert_left_clean(terminal: Terminal) -> None:
    """It is as a shell wants it, when all that was written to it has been read."""
    until(lambda: not [mode for mode in MODES if mode << 5 in terminal.screen.mode], "a mode is left on")
    until(lambda: not terminal.screen.cursor.hidden, "there is no cursor")
    assert terminal.sent.count(b"\x1b[>") == terminal.sent.count(b"\x1b[<u"), "keys are reported in full"
    assert termios.tcgetattr(terminal.master)[:4] == terminal.settings[:4]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT", "SIGUSR1", "SIGXCPU", "SIGRTMIN"])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(top: Open, name: str) -> None:
    terminal = top()
    assert 1003 << 5 in terminal.screen.mode, "there is something to be undone"
    terminal.process.send_signal(number := signal.Signals[name])
    assert terminal.process.wait(PATIENCE) == -number
    assert_left_clean(terminal)


BROKEN = """
import sys
import tui.nodes
def show(self, now):
    raise ValueError("a view is broken")
tui.nodes.NodesView.show = show
from farm.cli import main
sys.argv[0] = "farm"
main()
"""


def test_an_error_of_its_own_leaves_it_too_and_is_told_by_the_exit_code(lab: Namespace) -> None:
    command = [*exec_prefix(lab.name), sys.executable, "-c", BROKEN, "top", "--scheduler", SERVER, "--view", "nodes"]
    terminal = Terminal(
        command, None, {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": "/nonexistent"}, (100, 30)
    )
    try:
        assert terminal.process.wait(PATIENCE) == 1
        assert_left_clean(terminal)
        terminal.wait_for("a view is broken")
    finally:
        terminal.close()


def test_nohup_is_heeded(top: Open) -> None:
    terminal = top("nodes", "env", "--ignore-signal=HUP")
    terminal.process.send_signal(signal.SIGHUP)
    terminal.type("3")
    until(lambda: shows(terminal, "in flight"), "it has ended")
    terminal.type("q")
    assert terminal.end() == 0


def test_a_terminal_that_is_closed_ends_it(top: Open) -> None:
    terminal = top("nodes", "env", "--ignore-signal=HUP")
    master = terminal.master
    os.dup2(os.open("/dev/null", os.O_RDWR), master)
    assert terminal.end() in (-signal.SIGHUP, 128 + signal.SIGHUP)


@pytest.mark.parametrize("how", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_stop_and_what_follows(top: Open, how: signal.Signals) -> None:
    terminal = top()
    process = terminal.process
    process.send_signal(how)
    until(lambda: os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG), "it does not stop")
    if how is signal.SIGTSTP:
        assert_left_clean(terminal)
    terminal.screen.reset()
    assert not shows(terminal, NODE)
    process.send_signal(signal.SIGCONT)
    until(lambda: shows(terminal, NODE) and shows(terminal, "Overview") and shows(terminal, "Quit"), "it stays blank")
    terminal.type("q")
    assert terminal.end() == 0
    assert_left_clean(terminal)


@pytest.mark.parametrize("words", [["--scheduler", SERVER], ["--scheduler", f"{SERVER}:9"]])
def test_where_nothing_can_be_drawn_it_says_what_to_use(lab: Namespace, words: list[str]) -> None:
    command = [*exec_prefix(lab.name), sys.executable, "-m", "farm", "top", *words]
    for shell, term, why in (
        ("$0 $@", "dumb", "TERM is dumb"),
        ("$0 $@ | cat", "xterm", "Standard output is not a terminal"),
        ("$0 $@ </dev/null", "xterm", "Standard input is not a terminal"),
    ):
        terminal = Terminal(
            ["sh", "-c", shell, *command],
            None,
            {**os.environ, "TERM": term, "XDG_STATE_HOME": "/nonexistent"},
            (100, 30),
        )
        terminal.end()
        said = "\n".join(terminal.everything)
        terminal.close()
        assert why in said
        assert "farm status" in said
        assert b"\x1b[?1049h" not in terminal.sent


def test_what_a_scheduler_tells_and_what_not(top: Open) -> None:
    """It is attached to by its address, and its daemons were logged in before."""
    terminal = top("scheduler")
    until(lambda: shows(terminal, NETNAME) and shows(terminal, "none found"), "its netname is not found out")
    assert not shows(terminal, "not searched")
    terminal.type("2")
    until(lambda: shows(terminal, "1 node,"), "the tab does not open")
    terminal.type("\r")
    until(lambda: shows(terminal, "Nodes ›"), "the page does not open")
    until(lambda: shows(terminal, "at least 1, the last before"), "logins are not said to be what was seen")
    assert not shows(terminal, "ready for")


# -- keys that come before the question


def blocked(lab: Namespace) -> list[str]:
    return lab.gather(list_blocks(SERVER, 8765))


@pytest.mark.parametrize(
    "typed",
    [
        "by",
        "bty",
        "b?y",
        "bbyy",
        "boot by node y\r",
        "b\x1b[Cy",
        "Ky",
        "aby",
        pytest.param("b" + "y" * 5000, id="many"),
    ],
)
def test_what_is_typed_before_a_question_does_not_answer_it(lab: Namespace, top: Open, typed: str) -> None:
    terminal = top()
    terminal.type(typed)
    until(lambda: shows(terminal, f"{NODE}?") or shows(terminal, "enter chooses"), "nothing is asked")
    assert not shows(terminal, "is blocked") and not shows(terminal, "was sent away;")
    terminal.type("\x1b")
    until(lambda: not shows(terminal, f"{NODE}?") and not shows(terminal, "enter chooses"), "the question stays")
    terminal.process.send_signal(signal.SIGTERM)
    terminal.end()
    assert blocked(lab) == []


def test_what_is_typed_after_it_does(lab: Namespace, top: Open) -> None:
    terminal = top()
    terminal.type("b")
    terminal.wait_for(f"Block {NODE}?")
    terminal.type("y")
    until(lambda: blocked(lab) == [NODE], "it is not blocked")
    lab.gather(unblock(SERVER, 8765, NODE))
