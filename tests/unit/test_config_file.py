"""Reading farm.yaml: each mistake is one error that names file, line, key and what was expected."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from farm.config import Config, MachineConfig, NodesConfig
from farm.config.file import load, load_or_default, parse, where
from farm.errors import ConfigError
from farm.home import Home


def error_of(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "dhcp:\nmachines:\nnodes:\n  authorized_keys:\n", "\n\n{}"]
)
def test_what_is_not_said_is_the_default(text: str) -> None:
    assert Config() == parse(text)


def test_mac_addresses_are_normalised() -> None:
    config = parse("machines:\n- {mac: 52-54-00-AB-CD-EF, name: a}\n- {mac: '52:54:00:AB:CD:E0', name: b, slots: 4}\n")

    assert [
        MachineConfig("52:54:00:ab:cd:ef", "a"),
        MachineConfig("52:54:00:ab:cd:e0", "b", slots=4),
    ] == config.machines


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "farm.yaml").write_bytes(b"\xef\xbb\xbfname: lab\n")

    assert load(tmp_path / "farm.yaml").name == "lab"


EXPLAINED = "Remove it. For all keys see: farm init --stdout"
UNKNOWN = [
    ("nam: x", "farm.yaml:1: nam: there is no such key.", "Did you mean name?"),
    ("name: a\nhttp-port: 1", "farm.yaml:2: http-port: there is no such key.", "Did you mean http_port?"),
    ("dhcp:\n  frist: a", "farm.yaml:2: dhcp.frist: there is no such key.", "Did you mean dhcp.first?"),
    ("lease: 1h", "farm.yaml:1: lease: there is no such key.", "Did you mean dhcp.lease?"),
    (
        "slots: 1",
        "farm.yaml:1: slots: there is no such key.",
        "Did you mean nodes.slots or machines[].slots or groups.NAME.slots?",
    ),
    ("no: 1", "farm.yaml:1: no: there is no such key.", EXPLAINED),
    ("? [a]\n: 1", "farm.yaml:1: ?: there is no such key.", EXPLAINED),
    ('"\\e[31mfarm": 1', "farm.yaml:1: \\x1b[31mfarm: there is no such key.", EXPLAINED),
    ("<<: {name: a}", "farm.yaml:1: <<: there is no such key.", EXPLAINED),
    (
        "machines:\n- mac: 52:54:00:12:34:fe\n  name: a\n  adress: 10.77.0.9\n",
        "farm.yaml:4: machines[0].adress: there is no such key.",
        "Did you mean machines[0].address?",
    ),
]


@pytest.mark.parametrize(("text", "what", "mend"), UNKNOWN)
def test_an_unknown_key_brings_the_nearest(text: str, what: str, mend: str) -> None:
    error = error_of(text)

    assert (error.what, error.fix) == (what, mend)
    assert "keys" in error.why


EXPECTED = [
    ("mtu: 100", "mtu: expected a whole number from 1500 to 9216, found 100."),
    ("mtu: 9000.0", "mtu: expected a whole number from 1500 to 9216, found 9000.0."),
    ("mtu: yes", "mtu: expected a whole number from 1500 to 9216, found yes."),
    ("mtu:", "mtu: expected a whole number from 1500 to 9216, found nothing."),
    ("mtu: [1500]", "mtu: expected a whole number from 1500 to 9216, found a list."),
    ("address: 1.2.3.4", "address: expected an IPv4 address with its prefix length (10.77.0.1/24), found '1.2.3.4'."),
    ("address: fd::1/64", "address: expected an IPv4 address with its prefix length (10.77.0.1/24), found 'fd::1/64'."),
    ("image: {compression: big}", "image.compression: expected fast or small, found 'big'."),
    ("dhcp: {lease: 0h}", "dhcp.lease: expected minutes or hours (30m, 12h), found '0h'."),
    ('api: {orders: "yes"}', "api.orders: expected true or false, found 'yes'."),
    ("api: {orders: 1}", "api.orders: expected true or false, found 1."),
    ("api: {orders: [true]}", "api.orders: expected true or false, found a list."),
    ("api: {orders: }", "api.orders: expected true or false, found nothing."),
    ("dhcp: 4", "dhcp: expected lines of `key: value`, found 4."),
    ("machines: {a: b}", "machines: expected a list of sections, each begun by a hyphen, found a section."),
    ("machines: [1]", "machines[0]: expected lines of `key: value`, found 1."),
    ("machines:\n- ", "machines[0]: nothing follows the hyphen."),
    ("- a", "expected lines of `key: value`, found a list."),
    ("name:lab", "expected lines of `key: value`, found 'name:lab'."),
    ("interface: a/b", "interface: expected a network interface's name as `ip link` shows it (eno2), found 'a/b'."),
    (
        "nodes: {authorized_keys: [hello]}",
        "nodes.authorized_keys[0]: expected a line of a .pub file (ssh-ed25519 AAAA... name), found 'hello'.",
    ),
    ("nodes: {authorized_keys: ['--BEGIN PRIVATE KEY--']}", "nodes.authorized_keys[0]: this is a private key."),
    ("name: |\n  pc\n", "name: contains a line break or a control character."),
    ('interface: "a\\eb"', "interface: contains a line break or a control character."),
    ("name: !!python/name:os x", "name: the YAML tag 'tag:yaml.org,2002:python/name:os' is not supported."),
]


@pytest.mark.parametrize(("text", "what"), EXPECTED)
def test_a_wrong_value_brings_what_was_expected(text: str, what: str) -> None:
    assert what == error_of(text).what.partition(": ")[2]
    assert error_of(f"# first line\n\n{text}").what.startswith("farm.yaml:")


TRAPS = [
    ("name: no", "truth values", 'Put it in quotes: "no"'),
    ("name: on", "truth values", 'Put it in quotes: "on"'),
    ("name: 12", "number 12", 'Put it in quotes: "12"'),
    ("scheduler: {netname: 1.10}", "number 1.1", 'Put it in quotes: "1.10"'),
    ("name: 2024-01-01", "a date", 'Put it in quotes: "2024-01-01"'),
    ("name: 2024-13-45", "a date", 'Put it in quotes: "2024-13-45"'),
    ("name: ~", "nothing", ""),
    ("machines: [{name: a, mac: 52:54:00:12:34:56}]", "base 60", 'Put it in quotes: "52:54:00:12:34:56"'),
    ("dhcp: {lease: 1:30}", "base 60", ""),
    ('api: {orders: "yes"}', "A truth value in quotes", "Write it without quotes: true"),
    ("api: {orders: 'Off'}", "A truth value in quotes", "Write it without quotes: false"),
    ("api: {orders: maybe}", "", "Write true or false."),
    ("api: {orders: 1}", "", "Write true or false."),
    ("mtu: '9000'", "a text", "Remove the quotes: 9000"),
    ("name: LAB", "", "Write it like this: lab"),
]


@pytest.mark.parametrize(("text", "why", "mend"), TRAPS)
def test_what_yaml_does_to_a_value_is_explained(text: str, why: str, mend: str) -> None:
    error = error_of(text)

    assert why in error.why
    assert mend == error.fix


SYNTAX = [
    ("name: a\n\tmtu: 3", 2, "tabs"),
    ("name: a: b", 1, "in quotes"),
    ("\n\nname: 'x", 3, "closed"),
    ("name: a\n---\nname: b", 2, "one document"),
    ("name: [a", 1, "key: value"),
]


@pytest.mark.parametrize(("text", "line", "mend"), SYNTAX)
def test_what_is_not_yaml_brings_the_line(text: str, line: int, mend: str) -> None:
    error = error_of(text)

    assert f"farm.yaml:{line}: this is not YAML." == error.what
    assert mend in error.fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mtu: 1500\nname: &a x\ninterface: *a", "farm.yaml:3: the alias *a is not supported."),
        ("mtu: 1500\nname: \x01", "farm.yaml:2: there is a character that YAML does not allow."),
        ("name: a\nmtu: 1500\nname: b", "farm.yaml:3: name: given twice, first in line 1."),
        ("dhcp:\n  first: 10.77.0.9\n  first: 10.77.0.9", "farm.yaml:3: dhcp.first: given twice, first in line 2."),
        ("mtu: 1500\nmachines:\n  - name: a\n", "farm.yaml:3: machines[0].mac: missing."),
        ("[" * 3000 + "]" * 3000, "farm.yaml is nested too deeply."),
    ],
    ids=["alias", "character", "twice", "twice in a section", "missing", "deep"],
)
def test_other_mistakes(text: str, what: str) -> None:
    assert what == error_of(text).what


def test_several_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    error = error_of("mtu: 1\nnam: x\nmachines:\n- mac: 1\n")

    assert error.what == "farm.yaml has 4 mistakes."
    told = [line for line in error.why.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in told] == ["farm.yaml:1:", "farm.yaml:2:", "farm.yaml:4:", "farm.yaml:4:"]
    assert error.fix == "Fix them, then: farm config check farm.yaml"


def test_a_key_that_is_not_set_is_told_where_it_collides() -> None:
    error = error_of("mtu: 1500\nscheduler:\n  port: 8069\n")

    assert error.what == "farm.yaml:3: http_port (not set, so the default): 8069 is also the scheduler's port."


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert error.what.isprintable()


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "mac", "mtu", "dhcp", "machines", "first", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(trees)
def test_any_yaml_is_read_or_refused(tree: object) -> None:
    try:
        parse(yaml.safe_dump(tree))
    except ConfigError as error:
        assert error.what.isprintable()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    home = Home.at(tmp_path)

    with pytest.raises(ConfigError) as caught:
        load_or_default(home, virtual=False)

    assert f"There is no {tmp_path}/farm.yaml." == caught.value.what
    assert f"Write it: sudo farm --home {tmp_path} init --interface NAME" == caught.value.fix


def test_the_virtual_lab_needs_no_file_and_takes_jumbo_frames(tmp_path: Path) -> None:
    assert Config(name="lab", mtu=9000) == load_or_default(Home.at(tmp_path), virtual=True)


def test_a_virtual_lab_without_a_file_keeps_the_name_it_is_up_with(tmp_path: Path) -> None:
    assert "farm" == load_or_default(Home.at(tmp_path), virtual=True, name="farm").name


def test_a_file_without_a_name_means_the_name_farm(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.config.write_text("mtu: 9000\n")

    assert "farm" == load_or_default(home, virtual=True).name


@pytest.mark.parametrize(("text", "real", "virtual"), [("name: a", 1500, 9000), ("mtu: 1500", 1500, 1500)])
def test_an_mtu_that_is_set_holds_in_the_virtual_lab_too(tmp_path: Path, text: str, real: int, virtual: int) -> None:
    home = Home.at(tmp_path)
    home.config.write_text(text)

    assert real == load_or_default(home, virtual=False).mtu
    assert virtual == load_or_default(home, virtual=True).mtu


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"name: a\n# caf\xe9\n")
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigError, match=r"latin1:2: this is not UTF-8 text"):
        load(tmp_path / "latin1")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="is not a file"):
            load(other)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "latin1" / "farm.yaml")


def test_where_a_key_is(tmp_path: Path) -> None:
    path = tmp_path / "farm.yaml"
    path.write_text("# the lab\nnodes:\n  authorized_keys: []\n")

    assert f"{path}:3" == where(path, ("nodes", "authorized_keys"))
    assert f"{path}" == where(path, ("interface",))
    assert where(None, ("interface",)) == "farm.yaml"


def test_authorized_keys_with_options() -> None:
    key = 'from="10.77.0.0/24" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 someone@example'

    assert NodesConfig(authorized_keys=[key]) == parse(f"nodes:\n  authorized_keys:\n    - {key}\n").nodes
