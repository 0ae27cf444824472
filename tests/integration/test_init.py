"""`farm init` and `farm config` on a machine with known interfaces: a network namespace."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.config.file import load
from tests.lab import carries, until

NAMESPACE = f"ft-{os.getpid()}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    """A machine with two wired interfaces: eno1 with the default route, eno2 without an address."""
    ip("netns", "add", NAMESPACE)
    try:
        inside = ("-n", NAMESPACE)
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "link", "add", "eno1", "type", "veth", "peer", "name", "eno2")
        for name in ("eno1", "eno2"):
            ip(*inside, "link", "set", name, "up")
        ip(*inside, "address", "add", "192.0.2.20/26", "brd", "+", "dev", "eno1")
        ip(*inside, "route", "add", "default", "via", "192.0.2.1")
        until(lambda: all(carries(NAMESPACE, name) for name in ("eno1", "eno2")), "an interface does not come up")
        yield
    finally:
        ip("netns", "delete", NAMESPACE)


def farm(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-c", "from farm.cli import main; main()"]
    return subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, *python, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "300"},
    )


@pytest.mark.usefixtures("machine")
class TestInit:
    def test_takes_the_interface_that_is_not_the_uplink(self, tmp_path: Path) -> None:
        done = farm(tmp_path, "init")

        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        config = load(tmp_path / "farm.yaml")
        assert (config.interface, config.address) == ("eno2", "10.77.0.1/24")
        assert farm(tmp_path, "config", "check").returncode == 0
        assert (tmp_path / "farm.yaml").stat().st_mode & 0o777 == 0o644

    def test_takes_the_address_that_the_interface_has(self, tmp_path: Path) -> None:
        done = farm(tmp_path, "init", "--interface", "eno1")

        assert "no other DHCP server" in done.stderr
        config = load(tmp_path / "farm.yaml")
        assert (config.address, config.dhcp.first, config.dhcp.last) == ("192.0.2.20/26", "192.0.2.32", "192.0.2.62")
        assert "farm.yaml is valid: name farm, interface eno1" in farm(tmp_path, "config", "check").stdout

    def test_prints_without_writing(self, tmp_path: Path) -> None:
        done = farm(tmp_path, "init", "--stdout")

        assert "\ninterface: eno2\n" in done.stdout
        assert list(tmp_path.iterdir()) == []

    def test_does_not_overwrite_unasked(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("name: mine\n")

        refused = farm(tmp_path, "init")
        assert refused.returncode == 1
        assert f"farm --home {tmp_path} init --force" in refused.stderr
        assert (tmp_path / "farm.yaml").read_text() == "name: mine\n"

        assert farm(tmp_path, "init", "--force").returncode == 0
        assert load(tmp_path / "farm.yaml").name == "farm"

    def test_names_the_interfaces_there_are(self, tmp_path: Path) -> None:
        done = farm(tmp_path, "init", "--interface", "enp2")

        assert done.returncode == 1
        assert "Did you mean eno2?" in done.stderr
        assert "eno1 (up, 192.0.2.20/26, default route); eno2 (up, no IPv4 address)" in done.stderr

    def test_points_editors_to_a_schema_that_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "farm.schema.json").write_text(farm(tmp_path, "config", "schema").stdout)

        assert farm(tmp_path, "init").returncode == 0

        assert (tmp_path / "farm.yaml").read_text().startswith("# yaml-language-server: $schema=farm.schema.json\n")
        assert "$defs" in json.loads((tmp_path / "farm.schema.json").read_text())


@pytest.mark.usefixtures("machine")
class TestConfig:
    def test_check_looks_for_the_interface_unless_virtual(self, tmp_path: Path) -> None:
        path = tmp_path / "other.yaml"
        path.write_text("name: lab\ninterface: eno3\n")

        refused = farm(tmp_path, "config", "check", str(path))
        assert refused.returncode == 1
        assert f"{path}:2: interface: this machine has no interface 'eno3'." in refused.stderr

        assert farm(tmp_path, "config", "check", "--virtual", str(path)).returncode == 0

    def test_check_wants_an_interface(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("name: lab\n")

        done = farm(tmp_path, "config", "check")

        assert done.returncode == 1
        assert f"{tmp_path}/farm.yaml: interface: not set." in done.stderr

    def test_check_refuses_a_network_that_is_on_another_interface_too(self, tmp_path: Path) -> None:
        path = tmp_path / "farm.yaml"
        path.write_text("interface: eno2\naddress: 10.77.0.1/24\n")
        assert farm(tmp_path, "config", "check").returncode == 0
        ip("-n", NAMESPACE, "link", "add", "docker0", "type", "bridge")
        try:
            ip("-n", NAMESPACE, "address", "add", "10.77.0.9/24", "dev", "docker0")
            refused = farm(tmp_path, "config", "check")
            fresh = farm(tmp_path / "fresh", "init", "--stdout")
        finally:
            ip("-n", NAMESPACE, "link", "delete", "docker0")

        assert refused.returncode == 1
        assert f"{path}:2: address: the lab's network 10.77.0.0/24 is not only on eno2." in refused.stderr
        assert "docker0 has 10.77.0.9/24." in refused.stderr
        assert "such as address: 10.78.0.1/24" in refused.stderr
        assert "\naddress: 10.78.0.1/24\n" in fresh.stdout

    def test_check_refuses_a_network_to_which_a_route_leads_elsewhere(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("interface: eno2\n")
        route = ("10.77.0.128/25", "via", "192.0.2.1", "dev", "eno1", "table", "77")
        ip("-n", NAMESPACE, "route", "add", *route)
        try:
            refused = farm(tmp_path, "config", "check")
        finally:
            ip("-n", NAMESPACE, "route", "delete", *route)

        assert "a route sends 10.77.0.128/25 to eno1." in refused.stderr
        assert refused.returncode == 1

    def test_check_refuses_an_interface_whose_first_address_is_another(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("interface: eno1\naddress: 10.77.0.1/24\n")

        refused = farm(tmp_path, "config", "check")

        assert (
            f"{tmp_path}/farm.yaml:2: address: the first address of eno1 is another one: 192.0.2.20/26."
            in refused.stderr
        )
        assert "Set address: 192.0.2.20/26" in refused.stderr
        assert refused.returncode == 1

    def test_check_refuses_the_loopback(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("interface: lo\n")

        refused = farm(tmp_path, "config", "check")

        assert "interface: lo is the loopback interface." in refused.stderr
        assert refused.returncode == 1

    def test_show_says_what_holds(self, tmp_path: Path) -> None:
        (tmp_path / "farm.yaml").write_text("name: lab\nmachines: [{mac: 52-54-00-AA-BB-CC, name: pc01}]\n")

        as_yaml = farm(tmp_path, "config", "show")
        (tmp_path / "shown.yaml").write_text(as_yaml.stdout)
        as_json = json.loads(farm(tmp_path, "config", "show", "--json", "--virtual").stdout)

        assert load(tmp_path / "farm.yaml") == load(tmp_path / "shown.yaml")
        assert (as_json["name"], as_json["mtu"], as_json["machines"][0]["mac"]) == ("lab", 9000, "52:54:00:aa:bb:cc")

    def test_the_reference_is_written(self, tmp_path: Path) -> None:
        page = tmp_path / "configuration.md"

        assert farm(tmp_path, "config", "docs", str(page)).returncode == 0

        assert page.read_text().startswith("# Configuration\n")

    def test_help_names_the_public_commands(self, tmp_path: Path) -> None:
        shown = farm(tmp_path, "config", "--help").stdout

        listed = [name for name in ("check", "docs", "schema", "show") if f"│ {name} " in shown]
        assert listed == ["check", "schema", "show"]
