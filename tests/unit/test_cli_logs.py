"""`farm logs`: what services wrote, and what nodes and strangers made them write."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli.logs import logs
from farm.errors import FarmError
from farm.home import Home

FARM = [sys.executable, "-c", "from farm.cli import main; main()"]
EVIL = b"dnsmasq: name \x1b]0;owned\x07 \x1b[2J\x9b31m \xff\ttab\r\n"
SHOWN = "dnsmasq: name  \N{REPLACEMENT CHARACTER}31m \N{REPLACEMENT CHARACTER}   tab\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    home = Home.at(tmp_path)
    home.logs.mkdir(parents=True)
    return home.logs / "dnsmasq.log"


def shown(log: Path, *words: str) -> str:
    argv = [*FARM, "--home", str(log.parents[1]), "logs", "dnsmasq", *words]
    return subprocess.run(argv, check=True, capture_output=True, encoding="utf-8").stdout


def test_a_log_is_shown_without_what_a_terminal_would_obey(log: Path) -> None:
    log.write_bytes(EVIL.replace(b"\x9b", "\x9b".encode()))
    assert SHOWN == shown(log)


def test_its_last_lines_are_shown_the_last_as_it_is(log: Path) -> None:
    log.write_bytes(b"one\ntwo\n\x1b[1mthree\x1b[0m\nfour")
    assert "three\nfour" == shown(log, "-n", "2")


def test_a_line_without_an_end_is_shown_in_pieces(log: Path) -> None:
    log.write_bytes(b"x" * 200_000)
    assert "x" * 200_000 == shown(log)


def test_it_is_followed_until_it_is_interrupted(log: Path) -> None:
    log.write_bytes(b"one\n")
    argv = [*FARM, "--home", str(log.parents[1]), "logs", "-f", "dnsmasq"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "one\n" == process.stdout.readline()
        with log.open("ab") as file:
            file.write(b"\x1b[31mtwo\n")
        assert "two\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "" == process.stdout.read()
        assert "Traceback" not in process.stderr.read()


def test_a_log_that_only_root_may_read_is_said_to_be_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Home.at(Path(folder))
        home.logs.mkdir(parents=True)
        (home.logs / "dnsmasq.log").touch(mode=0o600)
        (home.logs / "gone.log").symlink_to("nowhere")
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            listed, shown = (CliRunner().invoke(logs, words, obj=home) for words in ([], ["dnsmasq"]))
        finally:
            os.seteuid(0)
    assert 0 == listed.exit_code
    assert isinstance(shown.exception, FarmError)
    assert "Try again with sudo." == shown.exception.fix
