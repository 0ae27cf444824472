"""Files that a command line names, and what the system refuses."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from farm.cli.output_files import write_named
from farm.errors import FarmError

MAIN = (sys.executable, "-c", "from farm.cli import main; main()")


def test_a_file_is_written_as_umask_wants_it_and_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    before = os.umask(0o027)
    try:
        write_named(file, b"one")
    finally:
        os.umask(before)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"one", 0o640)
    file.chmod(0o604)
    link.symlink_to(file)
    write_named(link, b"two")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode), link.is_symlink()) == (b"two", 0o604, True)


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    """Root must not find a file where /dev/null was."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_named(pipe, b"news")
    reader.join()
    assert (read, pipe.is_fifo()) == ([b"news"], True)
    write_named(Path("/dev/null"), b"news")
    assert Path("/dev/null").is_char_device()


def test_standard_output_is_added_to(tmp_path: Path) -> None:
    script = "import pathlib, farm.cli.output_files; print('first', flush=True)\n"
    script += "farm.cli.output_files.write_named(pathlib.Path('/dev/stdout'), b'then')"
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"first\nthen"


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="cannot be written"):
        write_named(tmp_path, b"")
    with pytest.raises(FarmError, match="cannot be written"):
        write_named(Path("/proc/none"), b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_that_lacks_our_signs_ends_nothing(encoding: str) -> None:
    done = subprocess.run(
        [*MAIN, "explain", "--list"], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    assert b"compiler-dump" in done.stdout


def test_what_the_system_refuses_is_said_without_a_traceback() -> None:
    done = subprocess.run(
        [*MAIN, "--home", "/proc/none", "image", "build"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Error: /proc/none: No such file or directory." in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
