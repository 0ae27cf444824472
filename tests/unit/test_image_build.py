"""What decides whether an image is built again; KIWI's commands, log and package list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from farm.config import FIRST_KIND
from farm.image import kiwi
from farm.image.apt_sources import DEFAULT_KEYRING, AptSource, first_mirror, parse_targets
from farm.image.build import Inputs, hash_inputs, node_package, parse_packages
from farm.image.kinds import KINDS, layer_dirs

MAIN = AptSource("http://mirror.example/debian", "bookworm", "main", DEFAULT_KEYRING)
SECURITY = AptSource("http://mirror.example/debian-security", "bookworm-security", "main", Path("/k.gpg"))


class Inputted:
    """A copy of the description and of farm-node, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.description, self.node = folder / "description", folder / "node"
        for layer in layer_dirs(KINDS[FIRST_KIND]):
            shutil.copytree(layer, self.description, symlinks=True, dirs_exist_ok=True)
        shutil.copytree(node_package(), self.node, ignore=shutil.ignore_patterns("__pycache__"))

    def hash(self, *sources: AptSource, compression: str = "fast") -> Inputs:
        return hash_inputs([self.description], self.node, sources or [MAIN], compression)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputted:
    return Inputted(tmp_path)


def test_the_same_inputs_are_the_same_wherever_they_lie(inputs: Inputted, tmp_path: Path) -> None:
    elsewhere = Inputted(tmp_path / "elsewhere")

    assert inputs.hash() == elsewhere.hash()


def test_a_change_to_farm_node_keeps_the_packages(inputs: Inputted) -> None:
    before = inputs.hash()

    append(inputs.node / "agent.py", "# changed\n")

    assert before.base == inputs.hash().base
    assert before.all != inputs.hash().all


@pytest.mark.parametrize("name", ["root/etc/systemd/system/iceccd.service", "images.sh", "initramfs/scripts/farm"])
def test_so_does_a_change_to_the_overlay_or_the_initrd(inputs: Inputted, name: str) -> None:
    before = inputs.hash()

    append(inputs.description / name, "# changed\n")

    assert before.base == inputs.hash().base
    assert before.all != inputs.hash().all


@pytest.mark.parametrize("name", ["appliance.kiwi", "config.sh", "post_bootstrap.sh"])
def test_what_decides_the_packages_changes_both(inputs: Inputted, name: str) -> None:
    before = inputs.hash()

    append(inputs.description / name, "\n")

    assert before.base != inputs.hash().base
    assert before.all != inputs.hash().all


def test_a_new_file_a_removed_one_and_an_executable_one_count(inputs: Inputted) -> None:
    seen = {inputs.hash().all}
    new = inputs.node / "new.py"
    new.touch()
    seen.add(inputs.hash().all)
    new.chmod(0o755)
    seen.add(inputs.hash().all)
    new.unlink()
    seen.add(inputs.hash().all)

    assert 3 == len(seen)


def test_neither_bytecode_nor_the_checkouts_umask_count(inputs: Inputted) -> None:
    before = inputs.hash()

    (inputs.node / "__pycache__").mkdir()
    (inputs.node / "__pycache__" / "agent.cpython-311.pyc").write_bytes(b"x")
    for path in inputs.description.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)

    assert before == inputs.hash()


def test_suites_count_but_not_which_mirror_has_them_nor_their_order(inputs: Inputted) -> None:
    mirror = AptSource("http://mirror.example/debian", "bookworm", "main", Path("/other.gpg"))

    assert inputs.hash(MAIN, SECURITY) == inputs.hash(SECURITY, mirror)
    assert inputs.hash(MAIN).base != inputs.hash(MAIN, SECURITY).base


def test_the_compression_counts_but_not_for_the_packages(inputs: Inputted) -> None:
    fast, small = inputs.hash(compression="fast"), inputs.hash(compression="small")

    assert fast.base == small.base
    assert fast.all != small.all


def test_kiwis_package_list_becomes_names_and_versions() -> None:
    text = "icecc|None|1.4|1|amd64|x\ntcc|None|0.9.27+git|None|amd64|x\nadduser|None|3.134||all|x\n\njunk\na|b\n"

    assert {"icecc": "1.4-1", "tcc": "0.9.27+git", "adduser": "3.134"} == parse_packages(text)


def test_debians_sources_are_taken_with_their_keyrings_and_third_parties_left_out() -> None:
    text = """\
Debian|http://mirror.example/debian/|bookworm|main|
Debian|http://mirror.example/debian/|bookworm|main|
Debian|http://mirror.example/debian-security|bookworm-security|main|/k.gpg
Debian|https://mirror.example/debian|bookworm|contrib|/a.gpg, /b.gpg
Debian|https://mirror.example/debian|bookworm|non-free|0123ABCD0123ABCD
Docker|https://download.docker.com/linux/debian|bookworm|stable|/docker.gpg
Debian||bookworm|main|

garbage
"""

    assert [
        MAIN,
        SECURITY,
        AptSource("https://mirror.example/debian", "bookworm", "contrib", Path("/a.gpg")),
        AptSource("https://mirror.example/debian", "bookworm", "non-free", DEFAULT_KEYRING),
    ] == sorted(parse_targets(text))


def test_a_cloud_images_mirror_list_stands_for_its_first_mirror(tmp_path: Path) -> None:
    mirrors = tmp_path / "debian.list"
    mirrors.write_text("# ours\nhttps://mirror.example/debian/ priority:1\nhttp://other.example/debian\n")

    assert "https://mirror.example/debian" == first_mirror(f"mirror+file:{mirrors}")
    assert "mirror+file:/no/such/list" == first_mirror("mirror+file:/no/such/list")
    assert MAIN.uri == first_mirror(MAIN.uri)


def test_kiwi_is_told_the_hosts_sources_and_to_check_their_signatures() -> None:
    argv = kiwi.prepare_argv(Path("/d"), Path("/root"), Path("/cache"), Path("/log"), [MAIN, SECURITY])

    assert "--ignore-repos" in argv
    repositories = [argv[i + 1].split(",") for i, word in enumerate(argv) if word == "--add-repo"]
    assert [(MAIN.uri, "main", "bookworm", "true"), (SECURITY.uri, "main", "bookworm-security", "true")] == [
        (repository[0], repository[7], repository[8], repository[9]) for repository in repositories
    ]
    keys = [argv[i + 1] for i, word in enumerate(argv) if word == "--signing-key"]
    assert sorted(["/k.gpg", str(DEFAULT_KEYRING)]) == keys


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "[ INFO    ]: 02:31:26 | Installing bootstrap packages",
            ("essential packages", "Installing bootstrap packages"),
        ),
        ("[ INFO    ]: 02:31:26 | Installing system (chroot)", ("packages", "Installing system (chroot)")),
        ("[ INFO    ]: 02:31:26 | --> Something new", (None, "--> Something new")),
        ("[ DEBUG   ]: 02:31:26 | EXEC: [apt-get]", None),
        ("Unpacking icecc (1.4-1) ...", (None, "Unpacking icecc (1.4-1) ...")),
        (
            "Get:12 http://mirror.example/debian bookworm/main amd64 icecc",
            (None, "Get:12 http://mirror.example/debian bookworm/main amd64 icecc"),
        ),
        ("", None),
        ("(Reading database ... 45%", None),
    ],
)
def test_kiwis_log_says_which_stage_it_is_in(line: str, said: tuple[str | None, str] | None) -> None:
    assert said == kiwi.parse_log_line(line)


WITHOUT_MIRROR = """# kiwi-ng system prepare
[ INFO    ]: 23:45:33 | Installing bootstrap packages
Err:1 http://deb.example/debian bookworm InRelease
  Temporary failure resolving 'deb.example'
Reading package lists...
 W: Failed to fetch http://deb.example/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.example'
W: Failed to fetch http://deb.example/debian/dists/bookworm-updates/InRelease  Temporary failure resolving 'deb.example'
W: Some index files failed to download. They have been ignored, or old ones used instead.
[ DEBUG   ]: 23:45:34 | EXEC: Failed with stderr: E: Unable to locate package apt
E: Unable to locate package usrmerge
[ ERROR   ]: 23:45:34 | KiwiDebianBootstrapError: KiwiCommandError: apt-get: stderr: E: Unable to locate package apt
E: Unable to locate package usrmerge
[ ERROR   ]: 23:45:34 | KiwiDebianBootstrapError: KiwiCommandError: apt-get: stderr: E: Unable to locate package apt
E: Unable to locate package usrmerge
"""


def test_a_build_without_a_mirror_says_that_it_cannot_be_reached() -> None:
    error = kiwi.failure(WITHOUT_MIRROR, 1, Path("/log"))

    assert "The image's packages could not be fetched." == error.what
    assert "deb.example: Temporary failure resolving 'deb.example'" == error.why
    assert "apt-get update" in error.fix


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["E: Failed to fetch http://m:3142/x.deb  404  Not Found [IP: 192.0.2.1 80]"] * 2, "m:3142: 404  Not Found"),
        (
            ["W: GPG error: http://m x InRelease: NO_PUBKEY 1", "E: The repository is not signed."],
            "NO_PUBKEY 1\nE: The",
        ),
        (["E: Release file for http://m/x is expired"] * 2, "E: Release file for http://m/x is expired"),
        (["cp: error writing 'x': No space left on device"] * 3, "cp: error writing 'x': No space left on device"),
        (["[ ERROR   ]: 23:45:34 | KiwiError: a", "[ ERROR   ]: 23:45:35 | KiwiError: a"], "KiwiError: a"),
        (["something", "else"], "something\nelse"),
    ],
)
def test_each_cause_of_a_failed_build_is_said_once(lines: list[str], why: str) -> None:
    text = "\n".join(["# earlier", "E: of an earlier command", "# kiwi-ng system create", *lines])

    found = kiwi.failure(text, 1, Path("/log"))

    assert why in found.why
    assert len(found.why.splitlines()) == len({*found.why.splitlines()})
    assert "earlier" not in found.why
    assert "/log" in found.fix


@pytest.mark.parametrize(
    ("name", "fix"), [("firmware-amd-graphics", "Add non-free-firmware to the sources"), ("gbd", "Correct `packages`")]
)
def test_packages_that_there_are_not_are_named(name: str, fix: str) -> None:
    lines = [f"E: Unable to locate package {name}", f"E: Package '{name}-2' has no installation candidate"]

    found = kiwi.failure("\n".join(["# kiwi-ng system prepare", *lines]), 1, Path("/log"))

    assert f"The sources of this computer have no package {name}, {name}-2." == found.what
    assert found.fix.startswith(fix)


def test_a_description_that_kiwis_schema_does_not_allow_says_what_is_wrong_in_it() -> None:
    text = """# kiwi-ng system prepare
[ WARNING ]: 07:49:36 | Command "jing" not found in the environment
[ INFO    ]: 07:49:36 | --> /tmp/kiwi_xslt-x:41:0:ERROR:RELAXNGV:RELAXNG_ERR_EXTRACONTENT: Element packages has extra content: pakage
<string>:0:0:ERROR:RELAXNGV:RELAXNG_ERR_INTEREXTRA: Extra element packages in interleave
[ ERROR   ]: 07:49:36 | KiwiDescriptionInvalid: Failed to validate schema and/or schematron rules. Use --debug for more
"""  # noqa: E501

    found = kiwi.failure(text, 1, Path("/log"))

    assert "KIWI does not understand the image's description." == found.what
    assert "Element packages has extra content: pakage\nExtra element packages in interleave" == found.why
    assert "The whole log: /log" in found.fix
