"""A server that only takes images from elsewhere: it has no KIWI and nothing that builds, and its nodes boot."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clean_machine import in_chroot
from tests.e2e.conftest import Lab

BOOTSTRAP = """
set -eu
/src/script/bootstrap --no-build
apt-get -qq install -y --no-install-recommends qemu-system-x86 ipxe-qemu socat > /dev/null
! command -v mksquashfs
! command -v veritysetup
! /src/.venv/bin/python -c 'import kiwi' 2> /dev/null
! ls /src/.venv/bin/kiwi*
"""
BOOT = """
set -eu
cat > /inside << 'END'
set -eu
ip link set lo up
mkdir -p /etc/farm
echo 'name: pulled' > /etc/farm/farm.yaml
/src/.venv/bin/python -m http.server --bind 127.0.0.1 --directory /www 8080 2> /dev/null &
farm image build 2>&1 && exit 1
farm image import /image.tar 2>&1 && exit 1
farm image import /image.tar --trust {fingerprint}
farm image pull http://127.0.0.1:8080 {name}/{version}
END
unshare --net sh /inside
farm up --virtual 1
echo "== status"
farm status --json
echo "== doctor"
farm doctor --json || true
farm down
"""


def test_it_imports_pulls_and_boots(lab: Lab, clean_machine: Path) -> None:
    lab.farm("image", "export", lab.image, clean_machine / "image.tar")
    lab.farm("image", "publish", clean_machine / "www", "icecream-node")
    fingerprint = json.loads(lab.farm("image", "signers", "--json").stdout)["own"]["fingerprint"]
    in_chroot(clean_machine, BOOTSTRAP)

    said = in_chroot(clean_machine, BOOT.format(fingerprint=fingerprint, version=lab.image, name="icecream-node"))

    before, status, doctor = said.split("== ")
    assert "is not installed" in before, "a build says what it lacks"
    assert f"Image {lab.image} of {lab.name}@" in before
    found = json.loads(status.removeprefix("status"))
    assert ["ready"] == [node["stage"] for node in found["nodes"]]
    assert [lab.image] == [node["image"] for node in found["nodes"]]
    assert "kiwi" not in doctor.lower()
