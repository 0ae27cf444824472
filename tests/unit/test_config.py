"""The declaration: what it generates round-trips through YAML, and its parts agree."""

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from farm.config import (
    Config,
    DhcpConfig,
    ExportConfig,
    ImageConfig,
    MachineConfig,
    NodesConfig,
    SchedulerConfig,
    VirtualConfig,
    to_yaml_dict,
)
from farm.config.reader import Reader
from farm.config.shapes import everything, keys

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
macs = st.from_regex(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", fullmatch=True)
addresses = st.ip_addresses(v=4).map(str)
ports = st.integers(1, 65535)
slots = st.integers(0, 1024)
options = st.from_regex(r"[ -~]{0,80}", fullmatch=True)
machines = st.builds(
    MachineConfig,
    mac=macs,
    name=names,
    address=st.none() | addresses,
    slots=st.none() | slots,
    boot=st.sampled_from(["node", "local"]),
    kernel_options=options,
)
configs = st.builds(
    Config,
    name=names,
    interface=st.from_regex(r"[!-.0-9;-~]{0,15}", fullmatch=True),
    address=st.builds("{}/{}".format, addresses, st.integers(0, 32)),
    mtu=st.integers(1500, 9216),
    http_port=ports,
    dhcp=st.builds(
        DhcpConfig, first=addresses, last=addresses, lease=st.from_regex(r"[1-9][0-9]{0,5}[mh]", fullmatch=True)
    ),
    scheduler=st.builds(SchedulerConfig, netname=st.from_regex(r"[!-~]{0,64}", fullmatch=True), port=ports),
    image=st.builds(ImageConfig, compression=st.sampled_from(["fast", "small"]), keep=st.integers(1, 1000)),
    export=st.builds(ExportConfig, shelf=st.integers(0, 65534), buffer=st.integers(16, 4096)),
    nodes=st.builds(
        NodesConfig,
        unknown=st.sampled_from(["boot", "local"]),
        slots=slots,
        kernel_options=options,
        authorized_keys=st.lists(st.from_regex(r"ssh-ed25519 AAAA[A-Za-z0-9+/]{0,40}( [!-~]{1,10})?", fullmatch=True)),
        telemetry_port=ports,
    ),
    machines=st.lists(machines, max_size=4),
    virtual=st.builds(
        VirtualConfig,
        memory=st.integers(768, 1048576),
        cpus=st.integers(1, 64),
        nic=st.sampled_from(["virtio", "e1000"]),
    ),
)


@given(configs)
def test_round_trips_through_yaml(config: Config) -> None:
    text = yaml.safe_dump(to_yaml_dict(config), sort_keys=False)

    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    reader = Reader(root)

    assert reader.problems == []
    assert config == msgspec.convert(reader.plain, Config)


@given(configs)
def test_round_trips_through_json_as_the_record_of_a_running_farm_does(config: Config) -> None:
    assert config == msgspec.json.decode(msgspec.json.encode(config), type=Config)


def test_every_key_says_what_it_is_for_and_what_its_value_looks_like() -> None:
    for name, key in everything():
        assert key.shape.about, name
        assert key.shape.form, name


def test_what_a_value_looks_like_follows_from_its_type() -> None:
    section = "lines of `key: value`"
    assert {name for name, key in everything() if section in key.shape.form} == {
        name for name, key in everything() if key.shape.section
    }
    assert {"true or false"} == {key.shape.form for _, key in everything() if key.shape.base is bool}


def test_required_keys_have_an_example_that_fits() -> None:
    for name, key in everything():
        if key.shape.example is not None:
            assert key.shape.example == msgspec.convert(key.shape.example, key.shape.hint), name
        else:
            assert not key.required, name


def test_forms() -> None:
    assert keys(Config)["mtu"].shape.form == "a whole number from 1500 to 9216"
    assert keys(ImageConfig)["compression"].shape.form == "fast or small"
    assert keys(MachineConfig)["mac"].shape.form == "six pairs of hex digits (52:54:00:12:34:56)"
    assert keys(MachineConfig)["slots"].shape.optional


def test_netname_is_private_to_the_farm_unless_set() -> None:
    assert Config(name="lab").netname == "icecream-lab"
    assert Config(scheduler=SchedulerConfig(netname="ours")).netname == "ours"


def test_server_is_the_address_without_its_prefix() -> None:
    assert Config().server == "10.77.0.1"
