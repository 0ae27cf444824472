"""The end of an account's processes, where they defend themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from farm.node.session import user_processes

UID = 2**31 - 7
"""No account of this machine has it."""
PROGRAM = ("setpriv", f"--reuid={UID}", "--clear-groups", "sleep", "1000")


def test_all_are_ended_and_nobody_else() -> None:
    with subprocess.Popen(PROGRAM) as theirs, subprocess.Popen(["sleep", "1000"]) as others:
        while user_processes.of_account(UID) != {theirs.pid}:
            time.sleep(0.01)
        user_processes._kill_all(UID)
        assert -signal.SIGKILL == theirs.wait()
        assert others.poll() is None
        others.kill()


@pytest.mark.parametrize("word", ["STOP", "KILL"])
def test_they_can_not_stop_whoever_ends_them(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    begun, ended = os.pipe(), os.pipe()
    said: list[str] = []
    really = os.kill

    def later(pid: int, signal_number: int) -> None:
        os.write(begun[1], f"{os.getpid()}".encode())
        os.read(ended[0], 1)
        really(pid, signal_number)

    def attack() -> None:
        command = ["setpriv", f"--reuid={UID}", "--clear-groups", "kill", f"-{word}", os.read(begun[0], 20).decode()]
        said.append(subprocess.run(command, capture_output=True, text=True, check=False).stderr)
        os.write(ended[1], b".")

    with subprocess.Popen(PROGRAM) as theirs:
        while user_processes.of_account(UID) != {theirs.pid}:
            time.sleep(0.01)
        attacker = threading.Thread(target=attack)
        attacker.start()
        monkeypatch.setattr(os, "kill", later)
        user_processes._kill_all(UID)
        monkeypatch.undo()
        attacker.join()
        assert -signal.SIGKILL == theirs.wait()
    assert "Operation not permitted" in said[0]
    for descriptor in (*begun, *ended):
        os.close(descriptor)
