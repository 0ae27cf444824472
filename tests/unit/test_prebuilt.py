"""What comes with a prebuilt image from elsewhere: whatever it holds, it is read or refused, and never believed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm import ssh_key
from farm.errors import FarmError
from farm.home import Home
from farm.image.prebuilt import archive, index, signature, statement
from farm.image.prebuilt.signature import Signer
from farm.image.prebuilt.signers import Signers
from farm.image.store import FILES, FileEntry, Manifest
from farm.image.verity import Verity

MANIFEST = Manifest(
    name="cad",
    version="20261101.1",
    built=1793500000.0,
    seconds=60.0,
    inputs="a" * 64,
    base="b" * 64,
    kernel="6.1.0-56-amd64",
    packages={"icecc": "1.4-1", "libstdc++6": "12.2.0-14+deb12u1"},
    files={name: FileEntry(1 << 20, "c" * 64) for name in FILES},
    verity=Verity("d" * 64, "e" * 64, 255),
)
STATED = statement.statement(MANIFEST, "lab-a@server")
INDEX = index.Index(
    publisher="lab-a@server",
    serial=7,
    versions={"cad/20261101.1": index.PublishedVersion("f" * 64, {"aoe": {"slot": 3}})},
    selected={"cad": "cad/20261101.1"},
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def test_what_is_stated_of_a_version_is_read_as_it_was() -> None:
    expected = msgspec.structs.replace(MANIFEST, publisher="lab-a@server")

    assert expected == statement.read_statement(STATED, "it")


@given(st.sampled_from(sorted(json.loads(STATED))), plain)
def test_a_statement_with_another_value_is_read_or_refused(key: str, value: object) -> None:
    content = json.dumps({**json.loads(STATED), key: value}).encode()
    try:
        found = statement.read_statement(content, "it")
    except FarmError as error:
        assert error.fix
    else:
        assert statement.label(found) == f"{found.name}/{found.version}"
        assert ".." not in statement.label(found)


@given(st.binary(max_size=300))
def test_bytes_are_no_statement_and_no_index(content: bytes) -> None:
    for read in (statement.read_statement, index.read_index):
        with pytest.raises(FarmError):
            read(content, "it")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../cad"},
        {"name": "Cad"},
        {"version": "../../etc"},
        {"version": "cad"},
        {"version": "20261101.1/x"},
        {"publisher": "lab a"},
        {"publisher": ""},
        {"kernel": "6.1 init=/bin/sh"},
        {"packages": {"a b": "1"}},
        {"built": -1},
        {"files": {}},
        {"files": {**msgspec.to_builtins(MANIFEST.files), "../x": {"size": 1, "sha256": "c" * 64}}},
        {"files": {**msgspec.to_builtins(MANIFEST.files), "kernel": {"size": 1 << 40, "sha256": "c" * 64}}},
        {"verity": {"root_hash": "d" * 64, "salt": "e: init=/bin/sh", "blocks": 1}},
        {"verity": {"root_hash": "d" * 64, "salt": "e" * 64, "blocks": 256}},
        {"verity": {"root_hash": "d" * 64, "salt": "e" * 64, "blocks": 0}},
    ],
)
def test_a_value_that_no_build_makes_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(FarmError, match="is not a manifest of an image"):
        statement.read_statement(json.dumps({**json.loads(STATED), **change}).encode(), "it")


@pytest.mark.parametrize("change", [{"schema": 2}, {"kind": "flying-client"}])
def test_what_a_newer_release_has_made_is_said(change: dict[str, object]) -> None:
    with pytest.raises(FarmError, match="newer release"):
        statement.read_statement(json.dumps({**json.loads(STATED), **change}).encode(), "it")


@given(st.sampled_from(["schema", "publisher", "serial", "versions", "selected"]), plain)
def test_an_index_with_another_value_is_read_or_refused(key: str, value: object) -> None:
    content = json.dumps({**msgspec.to_builtins(INDEX), key: value}).encode()
    try:
        found = index.read_index(content, "http://x")
    except FarmError as error:
        assert error.fix
    else:
        assert set(found.selected.values()) <= set(found.versions)


def test_what_is_wanted_of_an_index() -> None:
    assert ["cad/20261101.1"] == index.wanted(INDEX, [], "")
    assert ["cad/20261101.1"] == index.wanted(INDEX, ["cad"], "")
    assert ["cad/20261101.1"] == index.wanted(INDEX, ["cad/20261101.1"], "")
    with pytest.raises(FarmError, match="There is no image other"):
        index.wanted(INDEX, ["other"], "")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key"
    ssh_key.made(path, "test")
    return path


def test_a_signature_tells_its_signer_and_holds_for_one_content_and_one_purpose(key: Path) -> None:
    signed = signature.sign(key, STATED, statement.NAMESPACE)
    signer = signature.signer_of(STATED, signed, statement.NAMESPACE, "it")

    assert signature.signer_of_key(key.with_suffix(".pub").read_text()) == signer
    assert signer.fingerprint.startswith("SHA256:")
    for content, namespace in ((STATED + b" ", statement.NAMESPACE), (STATED, index.NAMESPACE), ("ä".encode(), "x")):
        with pytest.raises(FarmError, match="does not fit"):
            signature.signer_of(content, signed, namespace, "it")


@given(st.binary(max_size=400))
def test_bytes_are_no_signature(content: bytes) -> None:
    framed = b"-----BEGIN SSH SIGNATURE-----\n" + content + b"\n-----END SSH SIGNATURE-----\n"
    for signed in (content, framed):
        with pytest.raises(FarmError, match="does not fit"):
            signature.signer_of(STATED, signed, statement.NAMESPACE, "it")


def test_a_signer_is_asked_about_once_and_lines_of_administrators_count(tmp_path: Path, key: Path) -> None:
    signers = Signers(Home.at(tmp_path))
    signed = signature.sign(key, STATED, statement.NAMESPACE)
    signer = signature.signer_of(STATED, signed, statement.NAMESPACE, "it")
    asked: list[tuple[str, Signer]] = []

    def require(answer: bool, namespace: str = statement.NAMESPACE) -> None:
        def ask(name: str, who: Signer) -> bool:
            asked.append((name, who))
            return answer

        signers.require("lab-a@server", signer, STATED, signed, namespace, "it", ask)

    with pytest.raises(FarmError, match="does not know"):
        require(False)
    require(True)
    require(False)
    assert 2 * [("lab-a@server", signer)] == asked
    assert [("lab-a@server", signer.fingerprint)] == [(each.name, each.fingerprint) for each in signers.list()]
    signers.file.write_text("  # an editor left the end of this line open")
    require(True)
    require(False)
    assert ["lab-a@server"] == [each.name for each in signers.list()]
    # An option that ssh-keygen knows holds here as there.
    signers.file.write_text(f'# ours\nlab-a@server valid-before="20200101" {signer.key}\n')
    with pytest.raises(FarmError, match="somebody else"):
        require(True)
    signers.forget("lab-a@server")
    assert "# ours\n" == signers.file.read_text()
    with pytest.raises(FarmError, match="not known as a signer"):
        signers.forget("lab-a@server")


def test_an_index_may_repeat_and_not_go_back(tmp_path: Path) -> None:
    signers = Signers(Home.at(tmp_path))
    for serial in (5, 5, 9):
        signers.require_newer("lab", "http://x", serial)
    signers.require_newer("lab", "http://y", 1)
    with pytest.raises(FarmError, match="is older"):
        signers.require_newer("lab", "http://x", 8)
    (tmp_path / "state/image-signers/serials.json").write_text("[")
    with pytest.raises(FarmError, match="cannot be read"):
        signers.require_newer("lab", "http://x", 9)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("size", [8 << 30, 100, -512])
def test_nothing_of_an_archive_is_read_but_plain_files(tmp_path: Path, kind: bytes, size: int) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.type, info.size = kind, size
    file = tmp_path / "image.tar"
    with open(file, "wb") as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.truncate(16 << 30)  # a hole: as large as announced

    with (
        pytest.raises(FarmError, match="is not a whole archive"),
        archive.read_archive(file, tmp_path, lambda *_: None, lambda *_: None),
    ):
        pass
    assert [file] == list(tmp_path.iterdir())


def test_a_plain_file_of_negative_size_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.size = -512
    file = tmp_path / "image.tar"
    file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))

    with (
        pytest.raises(FarmError, match="is not a whole archive"),
        archive.read_archive(file, tmp_path, lambda *_: None, lambda *_: None),
    ):
        pass
