"""script/bootstrap and the command `farm`, in a mount namespace with an empty /usr/local/bin."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
INPUTS = ("pyproject.toml", "constraints.txt", "script/bootstrap")
"""What its stamp is made of."""
LINK = "/usr/local/bin/farm"
ALONE = 'mount -t tmpfs none /usr/local/bin && eval "$1" && script/bootstrap && readlink /usr/local/bin/farm'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One whose Python packages are installed already."""
    top = tmp_path / "checkout"
    for name in INPUTS:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, top / name)
    (top / ".venv/bin").mkdir(parents=True)
    (top / ".venv/bin/farm").touch(0o755)
    stamp = hashlib.sha256(b"".join((top / name).read_bytes() for name in INPUTS))
    (top / ".venv/.bootstrapped").write_text(f"{stamp.hexdigest()}  -\n")
    return top


def bootstrap(checkout: Path, before: str) -> tuple[str, str]:
    """What /usr/local/bin/farm leads to after ``before`` and the script, and what the script said."""
    argv = ["unshare", "--mount", "sh", "-c", ALONE, "sh", before]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.stderr


def test_the_command_is_made_where_there_is_none(checkout: Path) -> None:
    assert (f"{checkout}/.venv/bin/farm", "") == bootstrap(checkout, ":")
    assert (f"{checkout}/.venv/bin/farm", "") == bootstrap(checkout, f"ln -s /gone/farm {LINK}")


def test_the_checkouts_own_is_left_in_silence(checkout: Path) -> None:
    assert (f"{checkout}/.venv/bin/farm", "") == bootstrap(checkout, f"ln -s {checkout}/.venv/bin/farm {LINK}")


def test_another_checkouts_is_not_taken_over_and_is_named(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-farm"
    other.touch()

    link, said = bootstrap(checkout, f"ln -s {other} {LINK}")

    assert str(other) == link
    assert f"it runs {other}" in said
    assert f"sudo ln -sfn '{checkout}/.venv/bin/farm' {LINK}" in said


def test_a_program_of_that_name_is_left_and_named(checkout: Path) -> None:
    _, said = bootstrap(checkout, f"touch {LINK}")

    assert f"{LINK} is left as it is" in said


def test_a_version_that_the_index_lacks_is_named_with_what_to_do(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    (checkout / "farm").mkdir()
    empty = {**os.environ, "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}

    done = subprocess.run(["script/bootstrap"], cwd=checkout, env=empty, capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    first = next(line for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert f"No matching distribution found for {first}" in done.stderr
    assert "bootstrap: pip could not install the versions that constraints.txt pins" in done.stderr
    assert "script/lock" in done.stderr
    assert not (checkout / ".venv/.bootstrapped").exists()
