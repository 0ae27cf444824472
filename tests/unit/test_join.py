"""`farm join`: what it finds, what it writes, and how that is undone."""

from __future__ import annotations

import os
import subprocess
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmError
from farm.scheduler.discovery import FoundScheduler
from farm.scheduler.monitor import Connected
from farm.scheduler.protocol import NodeOffline, NodeStats
from farm.watch.activity import Activity, Said, fold
from farm.watch.mdns import FoundFarm
from farm.workstation.join import machine_undo
from farm.workstation.join.candidates import (
    Candidate,
    check_netname,
    check_protocol,
    install_command,
    merge,
    named,
    own_name,
)
from farm.workstation.join.icecc_conf import assign, override, value, wanted, without
from farm.workstation.join.iceccd import unit_file
from farm.workstation.join.login import Offer, offer
from farm.workstation.join.machine_undo import SavedFile, Undo

LAB = FoundFarm("lab", "icecream-lab", "10.77.0.1", 8765, "http://10.77.0.1:8070")


def test_a_farm_that_is_found_twice_is_one() -> None:
    seen = [FoundScheduler("10.77.0.1", 8765, 43, 1, "renamed"), FoundScheduler("10.0.0.9", 8765, 42, 1, "ICECREAM")]
    other = FoundFarm("aside", "icecream-aside", "10.88.0.1", 9000, "")
    assert [
        Candidate(
            farm="aside", netname="icecream-aside", scheduler="10.88.0.1", port=9000, protocol=0, found=("zeroconf",)
        ),
        Candidate(
            farm="lab",
            netname="renamed",
            scheduler="10.77.0.1",
            port=8765,
            protocol=43,
            api=LAB.api,
            found=("zeroconf", "icecream"),
        ),
        Candidate(farm="", netname="ICECREAM", scheduler="10.0.0.9", port=8765, protocol=42, found=("icecream",)),
    ] == merge([LAB, other], seen)
    assert ["10.88.0.1:9000", "10.77.0.1", "10.0.0.9"] == [one.target for one in merge([LAB, other], seen)]


def test_a_farm_that_says_it_is_at_anothers_scheduler_does_not_take_its_place() -> None:
    seen = [FoundScheduler("10.77.0.1", 8765, 43, 1, "icecream-lab")]
    liar = FoundFarm("zzz", "icecream-zzz", "10.77.0.1", 8765, "http://10.77.0.1:1")
    for farms in ([LAB, liar], [liar, LAB]):
        (found,) = merge(farms, seen)
        assert ("lab", LAB.api) == (found.farm, found.api)
    assert ["lab", "zzz"] == [one.farm for one in merge([LAB, liar], [])]


def test_a_name_that_two_farms_have_means_neither() -> None:
    both = merge([LAB, FoundFarm("lab", "icecream-lab", "10.66.0.6", 8765, "")], [])
    with pytest.raises(FarmError, match="Several farms have the name lab"):
        named("lab", both)
    with pytest.raises(FarmError, match="no farm 'attic'"):
        named("attic", both)
    assert "10.77.0.1" == named("lab", merge([LAB], [])).scheduler


@pytest.mark.parametrize("name", ["", "a b", "$(x)", "`x`", "-s", 'a"b', "a;b", "a%n", "a\n", "x" * 65, "ä"])
def test_a_netname_that_a_shell_would_read_otherwise_is_refused(name: str) -> None:
    with pytest.raises(FarmError, match="is not valid"):
        check_netname(name)


@given(st.text(max_size=70))
def test_a_netname_that_passes_is_one_word_to_a_shell(name: str) -> None:
    try:
        check_netname(name)
    except FarmError:
        return
    assert not set(name) & set(" \t\n$`\"'\\;&|<>()*?[]#~%!{}")


def test_a_scheduler_may_be_too_old() -> None:
    check_protocol(21)
    with pytest.raises(FarmError, match="too old"):
        check_protocol(20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\n", "sudo apt install icecc"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "sudo apt install icecc"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "sudo zypper install icecream"),
        ('ID=rocky\nID_LIKE="rhel fedora"\n', "sudo dnf install icecream"),
        ("ID=other\n", "the package icecc or icecream"),
    ],
)
def test_each_distribution_has_its_package(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert expected == install_command(tmp_path / "os-release")
    assert "the package icecc or icecream" == install_command(tmp_path / "none")


def test_a_users_name_says_whose_it_is() -> None:
    machine = os.uname().nodename
    assert (machine, f"{machine}-ann") == (own_name(), own_name("ann"))
    assert own_name("a b$ä").endswith("-a-b--")


# What is written where a shell reads it

SETTINGS = wanted("ICECC_", scheduler="10.77.0.1", port=8765, netname="icecream-lab", jobs=None)


def test_what_is_wanted() -> None:
    assert {
        "ICECC_NETNAME": "icecream-lab",
        "ICECC_SCHEDULER_HOST": "10.77.0.1",
        "ICECC_ALLOW_REMOTE": "no",
    } == SETTINGS
    accepting = wanted("X_", scheduler="10.77.0.1", port=9000, netname="n", jobs=3)
    assert ("10.77.0.1:9000", "yes", "3") == (
        accepting["X_SCHEDULER_HOST"],
        accepting["X_ALLOW_REMOTE"],
        accepting["X_MAX_JOBS"],
    )
    assert "" == wanted("X_", scheduler="10.77.0.1", port=8765, netname="n", jobs=0)["X_MAX_JOBS"]


def by_shell(text: str, key: str) -> str:
    return subprocess.run(
        ["sh", "-c", f'{text}\nprintf %s "${key}"'], capture_output=True, check=True, text=True, env={}
    ).stdout


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        'ICECC_NETNAME=""\nOTHER=1\n',
        "ICECC_NETNAME=a # b\n  export ICECC_NETNAME='c d'  # e",
        'ICECC_NETNAME="a"\n#ICECC_NETNAME="b"\nXICECC_NETNAME=c; ICECC_ALLOW_REMOTE=yes',
        "ICECC_NETNAME=my#net\nICECC_SCHEDULER_HOST=\"a\"'b'c\\ d",
        "ICECC_NETNAME=$(echo a b)c\nICECC_SCHEDULER_HOST=`echo d e`; OTHER=1",
    ],
)
def test_a_shell_reads_what_was_set_and_all_else_is_as_it_was(text: str) -> None:
    changed = assign(text, SETTINGS)
    for key, setting in SETTINGS.items():
        assert setting == value(changed, key) == by_shell(changed, key)
    assert changed == assign(changed, SETTINGS)
    assert without(text, "ICECC_") == without(changed, "ICECC_")
    kept = [line for line in text.splitlines() if "ICECC_" not in line or line.startswith("#")]
    assert [line for line in changed.splitlines() if line in kept] == kept
    for comment in ("# b", "  # e"):
        assert (comment in text) == (comment in changed)


def test_a_value_of_several_lines_is_replaced_as_a_whole() -> None:
    text = 'ICECC_NETNAME="a\nb \\" c"\nOTHER=\'x\'\n'
    changed = assign(text, {"ICECC_NETNAME": "n"})
    assert "ICECC_NETNAME=\"n\"\nOTHER='x'\n" == changed
    assert ("n", "x") == (by_shell(changed, "ICECC_NETNAME"), by_shell(changed, "OTHER"))


lines = st.lists(
    st.sampled_from(["", "# x", "OTHER='1'", 'ICECC_NETNAME="old"', "ICECC_ALLOW_REMOTE=yes # why", "\xff\udcfe"])
)


@given(lines, st.booleans())
def test_other_lines_stay_to_the_byte(given: list[str], ended: bool) -> None:
    text = "\n".join(given) + "\n" * ended
    after = assign(text, SETTINGS).split("\n")
    for old, new in zip(text.split("\n"), after, strict=False):
        assert old == new or old.startswith("ICECC_") or (old == "" and new.startswith("ICECC_"))


def test_a_second_file_only_gets_what_it_sets_itself() -> None:
    assert "" == override("", SETTINGS)
    assert 'ICECC_NETNAME="icecream-lab"\nX=1\n' == override("ICECC_NETNAME=a\nX=1\n", SETTINGS)


def test_a_unit_holds_any_path() -> None:
    text = unit_file(["/usr/sbin/iceccd", "-b", '/home/a b/50%"$x\\'], "/home/a b/50%")
    assert 'ExecStart="/usr/sbin/iceccd" "-b" "/home/a b/50%%\\"$$x\\\\"\n' in text
    assert 'Environment="FARM_WORKSTATION=/home/a b/50%%"\n' in text


# How it is undone


def test_a_file_becomes_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_bytes(b"\xff before")
    file.chmod(0o640)
    os.utime(file, ns=(1, 10**18))
    (tmp_path / "link").symlink_to(file)
    saved = machine_undo.snapshot(tmp_path / "link")
    machine_undo.rewrite(tmp_path / "link", b"after")
    assert (b"after", 0o100640) == (file.read_bytes(), file.stat().st_mode)
    assert (tmp_path / "link").is_symlink()
    file.chmod(0o600)
    machine_undo.restore(saved)
    assert saved == machine_undo.snapshot(file)
    file.unlink()
    machine_undo.restore(saved)
    assert saved == machine_undo.snapshot(file)


def test_a_file_that_was_not_there_goes(tmp_path: Path) -> None:
    saved = machine_undo.snapshot(tmp_path / "new")
    assert saved == SavedFile(path=str(tmp_path / "new"), content=None)
    (tmp_path / "new").write_text("made")
    machine_undo.restore(saved)
    machine_undo.restore(saved)
    assert [] == list(tmp_path.iterdir())


def test_the_record_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "conf").write_bytes(bytes(range(256)))
    made = Undo(files=(machine_undo.snapshot(tmp_path / "conf"),), folders=("/a",), service="iceccd", active=True)
    machine_undo.save(tmp_path / "undo.json", made)
    assert made == machine_undo.load(tmp_path / "undo.json")
    assert 0o100600 == (tmp_path / "undo.json").stat().st_mode
    assert machine_undo.load(tmp_path / "other.json") is None
    for damaged in (b"{", b'{"service": "\xff"}'):
        (tmp_path / "undo.json").write_bytes(damaged)
        with pytest.raises(FarmError, match="cannot be read"):
            machine_undo.load(tmp_path / "undo.json")


def test_only_folders_that_were_made_and_are_empty_go(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    folders = machine_undo.missing(tmp_path / "old" / "a" / "b", tmp_path / "new", tmp_path / "old" / "a")
    assert tuple(str(tmp_path / name) for name in ("old/a", "old/a/b", "new")) == folders
    (tmp_path / "old/a/b").mkdir(parents=True)
    (tmp_path / "new/tree").mkdir(parents=True)
    (tmp_path / "new/kept").write_text("somebody's")
    machine_undo.remove_made(Undo(folders=folders, trees=(str(tmp_path / "new/tree"), str(tmp_path / "none"))))
    assert {"old", "new", "kept"} == {path.name for path in tmp_path.rglob("*")}


# What the farm offers


def stats(host: int, name: str, jobs: int = 4, no_remote: bool = False) -> NodeStats:
    return NodeStats(host, name, "10.0.0.1", jobs, no_remote, "x86_64", 43, (), 0.0, 1000)


def after(*events: Said) -> Activity:
    return reduce(lambda activity, event: fold(activity, event, 1.0), events, Activity())


def test_what_is_offered_follows_who_is_logged_in() -> None:
    assert Offer() == offer(Activity(), "desk")
    events = [stats(1, "pc01"), stats(2, "desk"), stats(3, "other", no_remote=True), stats(4, "off", jobs=0)]
    assert Offer(logged_in=True, nodes=1, slots=4) == offer(after(*events), "desk")
    events += [stats(1, "pc01", jobs=8), NodeOffline(2), NodeOffline(99)]
    assert Offer(logged_in=False, nodes=1, slots=8) == offer(after(*events), "desk")
    assert Offer() == offer(after(*events, Connected("10.0.0.1", 8765, 43)), "desk")
