"""When a compiler was changed: the program itself, or a link on the way to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.workstation.env.outdated import last_change
from tests.lab import until


@pytest.mark.parametrize("name", ["bin/gcc", "toolchain", "alternatives/gcc"])
def test_a_link_that_is_switched(tmp_path: Path, name: str) -> None:
    """Whether that is the program's own name, a folder's, or one further on."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "real-gcc").touch()
    for folder in ("bin", "alternatives"):
        (tmp_path / folder).mkdir()
    links = {"toolchain": "1", "alternatives/gcc": "../toolchain/real-gcc", "bin/gcc": tmp_path / "alternatives/gcc"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    before = last_change(str(tmp_path / "bin/gcc"))

    def switch() -> bool:
        """Times have steps."""
        (tmp_path / "new").symlink_to((tmp_path / name).readlink())
        (tmp_path / "new").replace(tmp_path / name)
        return (tmp_path / name).lstat().st_ctime > before

    until(switch, "time stands still")
    assert last_change(str(tmp_path / "bin/gcc")) == (tmp_path / name).lstat().st_ctime


def test_links_that_lead_nowhere_or_round(tmp_path: Path) -> None:
    (tmp_path / "lost").symlink_to("nowhere")
    for one, other in ("ab", "ba"):
        (tmp_path / one).symlink_to(other)
    assert last_change(str(tmp_path / "lost")) > 0
    assert last_change(str(tmp_path / "a")) > 0
    assert last_change(str(tmp_path / "none")) == 0
