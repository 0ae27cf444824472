"""What a well-formed configuration may still not say."""

from ipaddress import IPv4Interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config import ApiConfig, Config, DhcpConfig, MachineConfig, NodesConfig, SchedulerConfig
from farm.config.rules import check, dhcp_range, dotted

MAC = "52:54:00:00:00:{:02x}"


def machine(number: int, **facts: Any) -> MachineConfig:
    return MachineConfig(**{"mac": MAC.format(number), "name": f"pc{number:02}", **facts})


def told(config: Config) -> list[str]:
    return [f"{dotted(problem.place)}: {problem.text}" for problem in check(config)]


def test_defaults_are_right() -> None:
    assert told(Config()) == []


def test_a_full_lab_is_right() -> None:
    machines = [
        machine(1, address="10.77.0.2"),
        machine(2, address="10.77.0.254"),
        machine(3, name="node-000003"),
        machine(4, boot="local"),
    ]

    assert told(Config(machines=machines)) == []


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.77.0.1/30", "the prefix length must be from 8 to 29, it is 30."),
        ("10.77.0.1/7", "the prefix length must be from 8 to 29, it is 7."),
        ("10.77.0.0/24", "10.77.0.0 is the network address of 10.77.0.0/24."),
        ("10.77.0.255/24", "10.77.0.255 is the broadcast address of 10.77.0.0/24."),
        ("127.0.0.1/8", "127.0.0.1 is not a valid host address."),
        ("239.0.0.1/24", "239.0.0.1 is not a valid host address."),
    ],
)
def test_server_address(address: str, text: str) -> None:
    assert [f"address: {text}"] == told(Config(address=address))


@pytest.mark.parametrize(
    ("dhcp", "expected"),
    [
        (DhcpConfig("10.77.0.200", "10.77.0.100"), ["dhcp.first: 10.77.0.200 is after dhcp.last, 10.77.0.100."]),
        (
            DhcpConfig("10.77.0.1", "10.77.0.9"),
            ["dhcp: 10.77.0.1 to 10.77.0.9 contains this server's own address, 10.77.0.1."],
        ),
        (DhcpConfig("10.77.0.9", "10.77.0.9"), ["dhcp: 10.77.0.9 to 10.77.0.9 is 1 address; at least 2 are needed."]),
        (DhcpConfig("10.78.0.9", "10.77.0.99"), ["dhcp.first: 10.78.0.9 is outside the lab's subnet, 10.77.0.0/24."]),
        (
            DhcpConfig(name_servers=["10.77.0.2", "8.8.8.8"]),
            ["dhcp.name_servers[1]: 8.8.8.8 is outside the lab's subnet, 10.77.0.0/24."],
        ),
        (DhcpConfig("10.77.0.9", "10.77.0.255"), ["dhcp.last: 10.77.0.255 is the broadcast address of 10.77.0.0/24."]),
    ],
)
def test_dhcp_range(dhcp: DhcpConfig, expected: list[str]) -> None:
    assert expected == told(Config(dhcp=dhcp))


@pytest.mark.parametrize("text", ["10.77.0.300", "010.77.0.9", "999.9.9.9"])
def test_what_is_no_address(text: str) -> None:
    fixed = Config(machines=[machine(1, address=text)])

    for config in (Config(address=f"{text}/24"), Config(dhcp=DhcpConfig(last=text)), fixed):
        (problem,) = check(config)
        assert problem.text.startswith("this is no address: ")
        assert problem.fix


def test_what_is_no_prefix_length() -> None:
    (problem,) = check(Config(address="10.77.0.1/33"))

    assert (problem.place, problem.fix) == (("address",), "Write it like 10.77.0.1/24.")


def test_the_range_holds_every_machine_without_a_fixed_address() -> None:
    machines = [machine(1), machine(2), machine(3), machine(4, boot="local"), machine(5, address="10.77.0.5")]
    config = Config(dhcp=DhcpConfig("10.77.0.8", "10.77.0.9"), machines=machines)

    assert told(config) == ["dhcp: 10.77.0.8 to 10.77.0.9 is 2 addresses; at least 4 are needed."]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.77.0.60", "10.77.0.60 is inside the DHCP range, 10.77.0.50 to 10.77.0.250."),
        ("10.77.0.1", "10.77.0.1 is this server's own address."),
        ("10.77.1.9", "10.77.1.9 is outside the lab's subnet, 10.77.0.0/24."),
        ("10.77.0.0", "10.77.0.0 is the network address of 10.77.0.0/24."),
        ("10.77.0.2", "10.77.0.2 is also the address of pc01."),
    ],
)
def test_fixed_addresses(address: str, text: str) -> None:
    config = Config(machines=[machine(1, address="10.77.0.2"), machine(2, address=address)])

    assert [f"machines[1].address: {text}"] == told(config)


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ({"name": "pc01"}, "name: 'pc01' is also the name of machines[0]."),
        ({"mac": MAC.format(1)}, "mac: 52:54:00:00:00:01 is also the MAC address of machines[0]."),
        ({"name": "localhost"}, "name: 'localhost' is reserved."),
        ({"name": "default"}, "name: 'default' is reserved."),
        ({"name": "node-abcdef"}, "name: 'node-abcdef' can be the name of another machine."),
        ({"mac": "01:00:5e:00:00:01"}, "mac: 01:00:5e:00:00:01 cannot be a NIC's address."),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "mac: ff:ff:ff:ff:ff:ff cannot be a NIC's address."),
        ({"mac": "00:00:00:00:00:00"}, "mac: 00:00:00:00:00:00 cannot be a NIC's address."),
    ],
)
def test_identities(second: dict[str, str], text: str) -> None:
    assert [f"machines[1].{text}"] == told(Config(machines=[machine(1), machine(2, **second)]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(http_port=8765), "http_port: 8765 is also the scheduler's port."),
        (Config(http_port=8766), "http_port: 8766 is also the scheduler's control port."),
        (Config(http_port=10245), "http_port: 10245 is also the port of icecream's daemon."),
        (Config(api=ApiConfig(port=8069)), "api.port: 8069 is also the port of HTTP."),
        (Config(api=ApiConfig(port=8766)), "api.port: 8766 is also the scheduler's control port."),
        (Config(scheduler=SchedulerConfig(port=65535)), "scheduler.port: 65535 is too high."),
        (Config(scheduler=SchedulerConfig(port=10244)), "scheduler.port: the scheduler's control port would be 10245."),
        (Config(nodes=NodesConfig(telemetry_port=22)), "nodes.telemetry_port: 22 is also the port of ssh."),
    ],
)
def test_ports(config: Config, expected: str) -> None:
    assert [expected] == told(config)


def test_an_authorized_key_given_twice() -> None:
    config = Config(nodes=NodesConfig(authorized_keys=["ssh-ed25519 AAAAx", "ssh-rsa AAAAy", "ssh-ed25519 AAAAx"]))

    assert told(config) == ["nodes.authorized_keys[2]: the same key as authorized_keys[0]."]


servers = st.builds(
    lambda address, prefix: IPv4Interface((address, prefix)),
    st.ip_addresses(v=4, network="10.0.0.0/8"),
    st.integers(8, 29),
).filter(lambda server: server.ip not in (server.network.network_address, server.network.broadcast_address))


@given(servers)
def test_the_range_that_is_proposed_is_right(server: IPv4Interface) -> None:
    first, last = dhcp_range(server)

    assert told(Config(address=str(server), dhcp=DhcpConfig(str(first), str(last)))) == []
