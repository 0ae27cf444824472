"""A booted machine reads its whole root 20 times, by each export and in frames of both usual sizes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.reading import on, read_whole_root

OPTIONS = """name: {name}
mtu: {mtu}
virtual: {{memory: 1024}}
machines:
  - {{mac: "52:54:00:fa:00:02", name: virtual-2, root: nbd}}
  - {{mac: "52:54:00:fa:00:03", name: virtual-3, root: nfs}}
"""
ROADS = {"virtual-1": "aoe", "virtual-2": "nbd", "virtual-3": "nfs"}
TIMES = 20


@pytest.fixture(scope="module", params=[1500, 9000])
def room(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[Lab, int]]:
    """All three are ready, in frames of so many bytes."""
    lab.choose_image()
    (lab.home / "farm.yaml").write_text(OPTIONS.format(name=lab.name, mtu=request.param))
    lab.farm("up", "--virtual", "3")
    yield lab, request.param
    lab.farm("down", "--force")


@pytest.mark.parametrize("name", ROADS)
def test_a_node_reads_its_whole_root(room: tuple[Lab, int], name: str) -> None:
    lab, mtu = room
    assert ROADS[name] == lab.nodes_by_name()[name]["telemetry"]["root"]
    assert mtu == int(on(lab, name, 'cat "/sys/class/net/$(cat /run/farm/boot-nic)/mtu"'))

    read_whole_root(lab, name, TIMES)

    assert "I/O error" not in on(lab, name, "journalctl -k -b --no-pager")
