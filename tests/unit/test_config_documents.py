"""What is made from the declaration: a commented farm.yaml, the reference page, the JSON schema."""

import re
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from farm.config import Config, MachineConfig
from farm.config.documents import commented, documentation, free_network, schema, starting_values
from farm.config.file import parse
from farm.config.shapes import everything

NETWORKS = [
    "10.77.0.1/24",
    "192.168.1.200/24",
    "10.0.0.1/29",
    "10.0.0.5/29",
    "10.0.0.2/29",
    "172.16.3.4/12",
    "10.0.0.11/8",
]


def uncommented(text: str) -> str:
    """The file after someone took every # away that is followed by no single space."""
    return re.sub(r"^( *)#(?=\S|  )", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize("address", NETWORKS)
def test_a_new_file_loads_and_is_right(address: str) -> None:
    config = parse(commented(starting_values("eno2", IPv4Interface(address))))

    assert ("eno2", address) == (config.interface, config.address)
    assert Config() == Config(
        scheduler=config.scheduler,
        image=config.image,
        export=config.export,
        nodes=config.nodes,
        virtual=config.virtual,
        machines=config.machines,
        mtu=config.mtu,
        http_port=config.http_port,
    )


@pytest.mark.parametrize("address", NETWORKS)
def test_every_line_of_a_new_file_can_be_uncommented(address: str) -> None:
    text = uncommented(commented(starting_values("eno2", IPv4Interface(address))))

    config = parse(text)

    assert [MachineConfig("52:54:00:12:34:56", "pc01", address=config.machines[0].address, slots=4)] == config.machines
    for name, key in everything():
        leaf = name.rpartition(".")[2]
        assert re.search(rf"^ *(- )?{leaf}:", text, re.MULTILINE), name
        assert key.shape.about.split()[0].lower() in text.lower(), name


def test_the_schema_is_named_only_when_asked() -> None:
    values = starting_values("eno2", IPv4Interface("10.77.0.1/24"))

    assert "yaml-language-server" not in commented(values)
    assert commented(values, schema=True).startswith("# yaml-language-server: $schema=farm.schema.json\n")


def test_a_network_that_nobody_else_uses() -> None:
    assert IPv4Interface("10.77.0.1/24") == free_network([])
    assert IPv4Interface("10.79.0.1/24") == free_network([IPv4Network("10.77.0.0/16"), IPv4Network("10.78.0.8/29")])


def test_the_schema_says_what_the_declaration_says() -> None:
    told = schema()
    config = told["$defs"]["Config"]

    assert told["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert config["additionalProperties"] is False
    assert {"minimum": 1500, "maximum": 9216}.items() <= config["properties"]["mtu"].items()
    assert config["properties"]["dhcp"]["anyOf"] == [{"$ref": "#/$defs/DhcpConfig"}, {"type": "null"}]
    assert told["$defs"]["MachineConfig"]["required"] == ["mac", "name"]


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"

    assert documentation() == page.read_text(), "write it anew: farm config docs"
