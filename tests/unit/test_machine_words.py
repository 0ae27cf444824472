"""Ranges, patterns and groups of machines, and farm.yaml after it was changed for them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from farm.cli import cli
from farm.cli.machines import KEYS, select
from farm.config import Config, MachineConfig
from farm.config.edit import Values, with_machine
from farm.config.file import parse
from farm.config.machine_words import covers, range_names
from farm.config.reader import Reader, is_null
from farm.errors import FarmError

BY_HAND = """\
# my farm
name: lab   # the name
interface: eno2
machines:
  - mac: 52:54:00:fa:00:01   # left of the door
    name: pc01   # first
    slots: 4
  # the next row
  - {mac: '52:54:00:00:00:02', name: pc02}
  - slots: 2
    mac: 52-54-00-00-00-0A
    name: pc03
    files:
      - path: /opt/site/a
        source: files/a
    # nothing more

groups:
  room-b:
    image: thin-client
    machines: [pc01..pc02, "52:54:00:00:00:77"]
"""
OTHERS = {
    "machines in braces": "machines: [{mac: '52:54:00:00:00:02', name: pc02, slots: 3}]\n",
    "no machines": "name: lab\n",
    "an empty list": "machines: []  # none yet\nname: lab\n",
    "nothing behind the key": "machines:\nname: lab\n",
    "hyphens at the left": "machines:\n- name: pc02\n  mac: '52:54:00:00:00:02'\nname: lab",
    "a key without a value": "machines:\n  - name: pc02\n    slots:\n    mac: '52:54:00:00:00:02'\n",
    "no newline at the end": "machines:\n  - mac: '52:54:00:00:00:02'\n    name: pc02",
}
VALUES: dict[str, st.SearchStrategy[str | int | None]] = {
    "image": st.sampled_from(["fat-client", "thin-client", None]),
    "slots": st.one_of(st.none(), st.integers(0, 1024)),
    "boot": st.sampled_from(["node", "local", None]),
    "kernel_options": st.one_of(st.none(), st.text("ab :'\\#-{}[],&*!|>%@`=", min_size=1, max_size=20)),
}
MACS = ["52:54:00:fa:00:01", "52:54:00:00:00:02", "52:54:00:00:00:0a", "52:54:00:00:00:77"]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("pc08..pc11", ["pc08", "pc09", "pc10", "pc11"]),
        ("pc8..10", ["pc8", "pc9", "pc10"]),
        ("room-2-1..room-2-3", ["room-2-1", "room-2-2", "room-2-3"]),
        ("7..9", ["7", "8", "9"]),
        ("pc3..pc1", []),
        ("pc1..pc010", []),
        ("pc1..lab3", []),
        ("pc..pc3", []),
        ("pc1", []),
    ],
)
def test_a_range_is_from_the_first_to_the_last(word: str, names: list[str]) -> None:
    assert range_names(word) == names


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.integers(0, 9999), st.integers(0, 40), st.integers(1, 4)
)
def test_a_range_covers_its_names_and_no_other(prefix: str, first: int, more: int, width: int) -> None:
    if prefix[-1].isdigit() or first + more > 9999:
        return
    names = [f"{prefix}{number:0{width}}" for number in range(first, first + more + 1)]
    word = f"{names[0]}..{names[-1]}"
    assert range_names(word) == names
    assert not covers(word, "", f"{prefix}{first + more + 1:0{width}}")
    assert all(covers(word, "", name) for name in names)


@given(st.text(max_size=60))
def test_any_word_is_read_at_once(word: str) -> None:
    assert len(range_names(word)) <= 10_000
    covers(word, "52:54:00:00:00:02", "pc02")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("pc02", ["pc02"]),
        ("52-54-00-00-00-0a".replace("-", ":"), ["pc03"]),
        ("pc01..pc03", ["pc01", "pc02", "pc03"]),
        ("pc03, pc01", ["pc01", "pc03"]),
        ("p*", ["pc01", "pc02", "pc03"]),
        ("pc0?", ["pc01", "pc02", "pc03"]),
        ("room-b", ["pc01", "pc02", "node-000077"]),
    ],
)
def test_machines_are_meant_in_every_way(words: str, names: list[str]) -> None:
    assert [each.name for each in select(words, parse(BY_HAND))] == names


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("pc01..pc05", "There is no machine pc04, pc05 in farm.yaml."),
        ("pc1", "Did you mean pc0"),
        ("x*", "No machine matches x*."),
        (" , ", "No machine is named."),
        ("romm-b", "Did you mean room-b?"),
    ],
)
def test_a_word_that_means_none_is_said(words: str, told: str) -> None:
    with pytest.raises(FarmError) as caught:
        select(words, parse(BY_HAND))
    assert told in f"{caught.value.what} {caught.value.fix}"


def changed(config: Config, mac: str, values: Values) -> Config:
    """What the file must say afterwards."""
    plain = [msgspec.to_builtins(each) for each in config.machines]
    own = next((each for each in plain if each["mac"] == mac), None)
    if own is None:
        plain.append(own := {"mac": mac, "name": "new"})
    own.update({key: value for key, value in values.items() if value is not None})
    for key in (key for key, value in values.items() if value is None):
        own.pop(key, None)
    return msgspec.structs.replace(config, machines=msgspec.convert(plain, list[MachineConfig]))


@given(st.sampled_from([BY_HAND, *OTHERS.values()]), st.sampled_from(MACS), st.fixed_dictionaries({}, optional=VALUES))
def test_a_change_says_what_was_meant_and_keeps_all_else(text: str, mac: str, values: Values) -> None:
    before = parse(text)
    after = with_machine(text, mac, "new", values)
    wanted = changed(before, mac, values)
    if any('"' in str(value) or str(value).startswith(" ") for value in values.values()):
        return
    assert msgspec.convert(_plain(after), Config) == wanted
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert [comment for comment in comments if comment not in after] == []
    assert with_machine(after, mac, "new", values) == after


def _plain(text: str) -> dict[str, object]:
    root = yaml.compose(text, yaml.SafeLoader)
    return {} if root is None or is_null(root) else Reader(root).plain


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "farm.yaml").write_text(BY_HAND)
    (tmp_path / "farm.yaml").chmod(0o640)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("a")
    return tmp_path


def farm(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--home", str(home), "machine", *words])


def test_forty_machines_get_an_image_in_one_command(home: Path) -> None:
    done = farm(home, "set", "pc01..pc03", "image=fat-client", "slots=8", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["machines"], told["written"]) == (["pc01", "pc02", "pc03"], True)
    config = parse((home / "farm.yaml").read_text())
    assert {(config.image_of(each), config.slots_of(each)) for each in config.machines} == {("fat-client", 8)}
    assert (home / "farm.yaml").stat().st_mode & 0o777 == 0o640
    assert farm(home, "unset", "p*", "image", "slots").exit_code == 0
    config = parse((home / "farm.yaml").read_text())
    assert [config.image_of(each) for each in config.machines] == ["thin-client", "thin-client", "icecream-node"]


def test_a_dry_run_writes_nothing(home: Path) -> None:
    done = farm(home, "set", "pc02", "boot=local", "--dry-run")
    assert "+  - {mac: '52:54:00:00:00:02', name: pc02, boot: local}" in done.output
    assert (home / "farm.yaml").read_text() == BY_HAND


def test_a_file_that_is_a_link_stays_one(home: Path) -> None:
    (home / "farm.yaml").rename(home / "kept.yaml")
    (home / "farm.yaml").symlink_to("kept.yaml")
    assert farm(home, "add", "52:54:00:00:00:77", "pc77", "image=fat-client").exit_code == 0
    assert (home / "farm.yaml").is_symlink()
    config = parse((home / "kept.yaml").read_text())
    assert ("pc77", "fat-client") == (config.machines[-1].name, config.image_of(config.machines[-1]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "pc01", "image=cad"), "there is no image cad."),
        (("set", "pc01", "slots=many"), "expected a whole number from 0 to 1024, found 'many'."),
        (("set", "pc01", "slot=2"), "slot is no key"),
        (("set", "pc01", "files=x"), "files is no key"),
        (("set", "pc01", "slots"), "slots has no value."),
        (("set", "pc01", "address=10.77.0.60"), "address"),
        (("add", "52:54:00", "pc09"), "52:54:00 is no MAC address."),
        (("add", "52:54:00:fa:00:01", "pc09"), "is in farm.yaml already, as pc01."),
        (("add", "52:54:00:fa:00:09", "pc01"), "pc01"),
        (("add", "52:54:00:fa:00:09", "a b"), "expected at most 32 lower-case letters"),
    ],
)
def test_a_mistake_is_said_and_the_file_is_as_it_was(home: Path, words: tuple[str, ...], told: str) -> None:
    done = farm(home, *words)
    assert done.exit_code
    error = done.exception
    assert isinstance(error, FarmError), done.output
    assert told in f"{error.what}\n{error.why}"
    assert (home / "farm.yaml").read_text() == BY_HAND


def test_the_list_says_which_line_decides(home: Path) -> None:
    found = json.loads(farm(home, "list", "pc01", "--json").output)["machines"][0]
    assert found["group"] == "room-b"
    said = {"value": "thin-client", "key": "groups.room-b.image", "file": str(home / "farm.yaml"), "line": 20}
    assert found["image"] == said
    assert found["slots"] == {"value": 4, "key": "machines[0].slots", "file": str(home / "farm.yaml"), "line": 7}
    assert found["root"]["line"] is None
    assert "thin-client:20" in farm(home, "list").output
    assert set(KEYS) >= {"image", "root", "slots", "when_used", "address", "boot", "kernel_options"}
