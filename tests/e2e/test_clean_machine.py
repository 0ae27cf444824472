"""README's first command on a machine that has nothing: a minimal Debian in a folder."""

from __future__ import annotations

from pathlib import Path

from tests.clean_machine import in_chroot


def test_demo_on_a_bare_machine_ends_with_objects_from_both_nodes_and_down_leaves_nothing(clean_machine: Path) -> None:
    said = in_chroot(
        clean_machine,
        """
        set -eu
        /src/script/demo
        echo "== status"
        farm status --json
        farm down
        echo "== left"
        ip netns list
        nft list tables
        ps -eo args | grep -E 'qemu|vblade|dnsmasq|nginx|icecc|supervisord|farm' | grep -vE 'grep|sh -c' || true
        grep -E 'farm|netns/' /proc/mounts || true
        ls -A /run/farm
        """,
    )
    assert "Lua 5.4 was built by the farm and runs here: 6 × 7 = 42" in said
    assert "objects were compiled on 2 diskless nodes" in said
    _, status, left = said.split("== ")
    assert status.count('"stage": "ready"') == 2, status
    assert left.removeprefix("left").split() == [], left


def test_bootstrap_again_changes_nothing(clean_machine: Path) -> None:
    in_chroot(clean_machine, "/src/script/bootstrap")
    before = (clean_machine / "src/.venv/.bootstrapped").stat().st_mtime_ns
    assert in_chroot(clean_machine, "/src/script/bootstrap") == ""
    assert (clean_machine / "src/.venv/.bootstrapped").stat().st_mtime_ns == before
