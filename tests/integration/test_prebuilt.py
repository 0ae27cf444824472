"""Images that go from one farm to another, as an archive and over a web server, and all that may be wrong with them."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import shutil
import socketserver
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm import ssh_key
from farm.config import FIRST_KIND
from farm.errors import FarmError
from farm.home import Home, locked
from farm.image.prebuilt import bounded_http, fetch, index, signature
from farm.image.store import FILES, FileEntry, Manifest, Store, sha256
from farm.image.verity import BLOCK, Verity
from tests.lab import Namespace, namespaces

ADDRESS = "10.99.41.1"
URL = f"http://{ADDRESS}:8080"
ROOT_BYTES = 3 << 20
NGINX = """
daemon off; error_log stderr; pid {folder}/nginx.pid;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen {address}:8080; root {www}; }}
}}
user root;
"""


class Farm:
    """A farm that is down; its commands run in a namespace."""

    def __init__(self, place: Namespace, name: str) -> None:
        self.place = place
        self.home = Home.at(place.folder / name)
        self.home.create()
        self.home.config.write_text(f"name: {name}\n")
        self.store = Store(self.home.images)

    def add(self, version: str, name: str = FIRST_KIND, *, checked: bool = True) -> Manifest:
        """A version with files of some size; chosen for next boots."""
        folder = self.home.images / ".new"
        folder.mkdir()
        for file in FILES:
            size = ROOT_BYTES if file == "root.squashfs" else 5000
            (folder / file).write_bytes((f"{name} {version} {file} " * size)[:size].encode())
        manifest = Manifest(
            name=name,
            version=version,
            built=float(version),
            seconds=1.0,
            inputs=f"{name}-{version}",
            base="base",
            description="/home/admin/secret/cad",
            kernel="6.1.0-1-amd64",
            packages={"icecc": "1.4-1"},
            verity=Verity("d" * 64, "e" * 64, ROOT_BYTES // BLOCK - 1) if checked else None,
            files={file: FileEntry((folder / file).stat().st_size, sha256(folder / file)) for file in FILES},
        )
        self.store.add(folder, manifest)
        self.store.use(manifest.image)
        return manifest

    def farm(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "farm", "--home", str(self.home.directory), *words]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_IMAGES"}
        done = self.place.run(*argv, check=False, env=environment, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def refused(self, *words: str) -> str:
        done = self.farm(*words, check=False)
        assert 1 == done.returncode, f"{words}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return " ".join(done.stderr.split())

    def json(self, *words: str) -> Any:
        return json.loads(self.farm(*words, "--json").stdout)

    @property
    def fingerprint(self) -> str:
        return str(self.json("image", "signers")["own"]["fingerprint"])

    @property
    def images(self) -> list[str]:
        return [manifest.image for manifest in self.store.list()]


class Pair:
    """A farm that has images and one that has none, and a web server's folder."""

    def __init__(self, server: Namespace, client: Namespace) -> None:
        self.a, self.b = Farm(server, "lab-a"), Farm(client, "lab-b")
        self.archive = server.folder / "image.tar"
        self.www = server.folder / "www"
        self.a.add("20261101.1", "cad")
        self.a.add("20261101.1")
        self.a.add("20261102.1")

    def serve(self) -> None:
        folder = self.a.place.folder / "nginx"
        folder.mkdir()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, www=self.www, address=ADDRESS))
        self.a.place.start("nginx", "nginx", "-c", str(folder / "nginx.conf"))
        self.a.place.wait_for(8080)

    def publish(self, *words: str) -> Any:
        return self.a.json("image", "publish", str(self.www), *words)

    def trusted(self) -> list[str]:
        return ["--trust", self.a.fingerprint]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with namespaces(f"{ADDRESS}/24", "10.99.41.2/24") as (server, client):
        yield Pair(server, client)


def test_an_archive_goes_into_another_store_once_its_signer_is_believed(pair: Pair) -> None:
    told = pair.a.farm("image", "export", FIRST_KIND, "20261102.1", str(pair.archive)).stdout
    assert pair.a.fingerprint in told

    said = pair.b.refused("image", "import", str(pair.archive))
    assert "is signed by somebody whom this farm does not know." in said
    assert f"--trust {pair.a.fingerprint}" in said
    assert [] == pair.b.images

    pair.b.farm("image", "import", str(pair.archive), *pair.trusted())
    assert ["20261102.1"] == pair.b.images
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    pair.b.store.verify("20261102.1")
    manifest = pair.b.store.get("20261102.1")
    assert (pair.a.fingerprint, "cad") == (manifest.signer, manifest.description), "no path of the other server's"
    assert manifest.publisher.startswith("lab-a@")
    again = pair.b.json("image", "import", str(pair.archive))
    assert [False] == [image["new"] for image in again["images"]]
    assert f"signed with {pair.a.fingerprint}" in pair.b.farm("image", "show", "20261102.1").stdout


def test_another_fingerprint_is_not_enough(pair: Pair) -> None:
    pair.a.farm("image", "export", "cad/20261101.1", str(pair.archive))

    assert "does not know" in pair.b.refused("image", "import", str(pair.archive), "--trust", pair.b.fingerprint)
    assert [] == pair.b.images


def test_a_version_of_the_same_name_with_other_files_is_left_alone(pair: Pair) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    folder = pair.b.home.images / "20261102.1"
    pair.b.add("20261102.1")
    other = msgspec_replace(pair.b.store.get("20261102.1"))
    (folder / "manifest.json").write_bytes(other)

    said = pair.b.refused("image", "import", str(pair.archive), *pair.trusted())

    assert "There is another version 20261102.1 in the store." in said
    assert other == (folder / "manifest.json").read_bytes()


def msgspec_replace(manifest: Manifest) -> bytes:
    """A manifest that says another hash of the kernel."""
    import msgspec

    files = {**manifest.files, "kernel": FileEntry(5000, "0" * 64)}
    return msgspec.json.encode(msgspec.structs.replace(manifest, files=files))


def damaged_members(archive: Path) -> Iterator[tuple[str, list[tuple[tarfile.TarInfo, bytes]]]]:
    """Archives that no export makes, each with what is wrong with it."""
    with tarfile.open(archive) as tar:
        whole = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    for n, (info, content) in enumerate(whole):
        for place in (0, len(content) // 2, len(content) - 2):
            flipped = bytearray(content)
            flipped[place] ^= 1
            yield f"{info.name}, byte {place}", [*whole[:n], (info, bytes(flipped)), *whole[n + 1 :]]
        yield f"without {info.name}", whole[:n] + whole[n + 1 :]
        renamed = tarfile.TarInfo(f"../../{info.name}")
        renamed.size = info.size
        yield f"{info.name} elsewhere", [*whole[:n], (renamed, content), *whole[n + 1 :]]
        link = tarfile.TarInfo(info.name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        yield f"{info.name} as a link", [*whole[:n], (link, b""), *whole[n + 1 :]]
    yield "in another order", whole[::-1]
    yield "nothing", []
    yield "another version's name", [(whole[0][0], whole[0][1].replace(b"20261102.1", b"20261103.1")), *whole[1:]]


def test_what_was_changed_in_an_archive_is_refused_and_leaves_nothing(pair: Pair) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    trust = pair.trusted()
    pair.b.farm("image", "import", str(pair.archive), *trust)
    pair.b.add("20261001.1")
    pair.b.farm("image", "remove", "20261102.1")
    bad = pair.archive.with_name("bad.tar")

    for what, members in damaged_members(pair.archive):
        with tarfile.open(bad, "w") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
        import_bad(pair, bad, what)
    for cut in (0, 1, 511, 512, 4000, ROOT_BYTES // 2):
        bad.write_bytes(pair.archive.read_bytes()[:cut])
        import_bad(pair, bad, f"cut after {cut}")

    assert ["20261001.1"] == pair.b.images
    assert [".lock"] == [path.name for path in (pair.b.home.images / ".pull").iterdir()]


def import_bad(pair: Pair, bad: Path, what: str) -> None:
    """In this process: a command takes half a second, and there are thirty."""
    from farm.config import Config
    from farm.serve.image_transfer import import_image

    with pytest.raises(FarmError) as caught:
        import_image(pair.b.home, Config(), bad, lambda *_: False, lambda *_: None)
    assert caught.value.fix, what


def test_versions_are_pulled_from_a_web_server(pair: Pair) -> None:
    published = pair.publish()
    assert {"cad/20261101.1", "icecream-node/20261101.1", "icecream-node/20261102.1"} == set(published["versions"])
    assert pair.a.fingerprint == published["signer"]
    pair.serve()

    assert f"--trust {pair.a.fingerprint}" in pair.b.refused("image", "pull", URL)
    pulled = pair.b.json("image", "pull", URL, *pair.trusted())

    assert {"20261102.1", "cad/20261101.1"} == {image["image"] for image in pulled["images"]}
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    pair.b.json("image", "pull", URL, "icecream-node/20261101.1", "--keep-choice")
    assert {"20261101.1", "20261102.1", "cad/20261101.1"} == set(pair.b.images)
    assert "20261102.1" == pair.b.store.selected(FIRST_KIND)
    for image in pair.b.images:
        pair.b.store.verify(image)
    assert "There is no image nothing at" in pair.b.refused("image", "pull", URL, "nothing")


def test_what_is_published_follows_the_store(pair: Pair) -> None:
    first = pair.publish()
    pair.a.farm("image", "remove", "20261101.1")
    pair.a.add("20261103.1")
    second = pair.publish()

    assert ["icecream-node/20261101.1"] == second["removed"]
    assert not (pair.www / "icecream-node/20261101.1").exists()
    assert "icecream-node/20261103.1" == second["selected"][FIRST_KIND]
    assert second["serial"] > first["serial"]
    (pair.www / "index.json").write_text("{")
    (pair.www / "other.html").touch()
    assert pair.publish()["serial"] >= first["serial"]
    assert (pair.www / "other.html").exists()


def test_a_name_in_place_of_the_folder_is_noticed(pair: Pair) -> None:
    done = pair.a.farm("image", "publish", FIRST_KIND, check=False)

    assert 2 == done.returncode
    assert "Name a folder first" in done.stderr


def test_what_is_published_can_be_read_by_a_web_server_and_is_not_the_store(pair: Pair) -> None:
    old = os.umask(0o077)
    try:
        pair.publish()
    finally:
        os.umask(old)
    assert {0o755} == {path.stat().st_mode & 0o777 for path in (pair.www, *pair.www.rglob("*")) if path.is_dir()}

    for folder in (pair.a.home.images, pair.a.home.images / "cad"):
        assert "is the image store, or in it." in pair.a.refused("image", "publish", str(folder))
    assert "is a folder." in pair.a.refused("image", "export", "cad/20261101.1", str(pair.www))
    assert not (pair.a.home.images / index.INDEX).exists()


def flip(path: Path) -> None:
    """Change a byte; the file is another one then, not the store's, to which it is a hard link."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


SERVED = ["index.json", "index.json.sig", *(f"cad/20261101.1/{name}" for name in ("manifest.json", *FILES))]


@pytest.mark.parametrize("name", SERVED)
def test_a_byte_that_was_changed_on_the_web_server_is_refused(pair: Pair, name: str) -> None:
    pair.publish()
    flip(pair.www / name)
    pair.serve()

    said = pair.b.refused("image", "pull", URL, "cad", *pair.trusted())

    assert "does not fit" in said or "is not what was signed" in said
    assert [] == pair.b.images
    pair.publish()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())


def test_an_index_of_before_and_one_by_somebody_else_are_refused(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    old = {name: (pair.www / name).read_bytes() for name in (index.INDEX, index.SIGNATURE)}
    pair.publish()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())
    new = {name: (pair.www / name).read_bytes() for name in old}

    for name, content in old.items():
        (pair.www / name).write_bytes(content)
    assert "is older than the one that came from there before" in pair.b.refused("image", "pull", URL)

    for name, content in new.items():
        (pair.www / name).write_bytes(content)
    stranger = pair.a.place.folder / "stranger"
    ssh_key.made(stranger, "stranger")
    pair.publish("--key", str(stranger))
    assert "was signed by somebody else than lab-a@" in pair.b.refused("image", "pull", URL)

    name = pair.b.json("image", "signers")["signers"][0]["name"]
    pair.b.farm("image", "signers", "--forget", name)
    assert "whom this farm does not know" in pair.b.refused("image", "pull", URL)
    (pair.www / index.SIGNATURE).unlink()
    assert "404" in pair.b.refused("image", "pull", URL)


def test_a_signed_index_that_gives_a_version_another_name_is_refused(pair: Pair) -> None:
    pair.publish()
    found = index.read_index((pair.www / index.INDEX).read_bytes(), "")
    (pair.www / "cad/20261101.1").rename(pair.www / "icecream-node/20261109.1")
    versions = {"icecream-node/20261109.1": found.versions["cad/20261101.1"]}
    forged = index.Index(
        publisher=found.publisher,
        serial=found.serial + 1,
        versions=versions,
        selected={FIRST_KIND: "icecream-node/20261109.1"},
    )
    write_index(pair, forged)
    pair.serve()

    assert "The file there describes cad/20261101.1." in pair.b.refused("image", "pull", URL, *pair.trusted())
    assert [] == pair.b.images


def write_index(pair: Pair, content: index.Index) -> None:
    import msgspec

    encoded = msgspec.json.encode(content)
    key = pair.a.home.state / "ssh/images_ed25519"
    (pair.www / index.INDEX).write_bytes(encoded)
    (pair.www / index.SIGNATURE).write_bytes(signature.sign(key, encoded, index.NAMESPACE))


class Cutting(http.server.SimpleHTTPRequestHandler):
    """A web server whose connections end after some bytes, and which can send the rest of a file."""

    most = 400_000
    ranges: list[str]

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if path.name == "root.squashfs":
            self.ranges.append(self.headers.get("Range", ""))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + self.most])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def cutting(pair: Pair, most: int) -> Iterator[list[str]]:
    ranges: list[str] = []
    handler = type("Handler", (Cutting,), {"most": most, "ranges": ranges})

    def listen() -> http.server.ThreadingHTTPServer:
        def made(*args: Any) -> Cutting:
            return handler(*args, directory=str(pair.www))  # type: ignore[no-any-return]

        return http.server.ThreadingHTTPServer((ADDRESS, 8080), made)

    server = pair.a.place.call(listen)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ranges
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_pull_goes_on_where_its_connections_broke_off(pair: Pair) -> None:
    pair.publish()
    with cutting(pair, 500_000) as ranges:
        said = pair.b.refused("image", "pull", URL, "cad", *pair.trusted())
        assert "what has come so far is kept" in said
        assert ["", *(f"bytes={n * 500_000}-" for n in range(1, fetch.TRIES))] == ranges
        assert [] == pair.b.images
        pair.b.farm("image", "pull", URL, "cad")
        assert f"bytes={fetch.TRIES * 500_000}-" == ranges[fetch.TRIES]
    pair.b.store.verify("cad/20261101.1")


def test_what_is_left_of_another_version_is_fetched_again(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    folder = pair.b.home.images / ".pull/cad/20261101.1"
    folder.mkdir(parents=True)
    (folder / "root.squashfs").write_bytes(b"x" * 1000)

    assert "is not what was signed" in pair.b.refused("image", "pull", URL, "cad", *pair.trusted())
    pair.b.farm("image", "pull", URL, "cad")


def test_only_one_command_pulls_at_a_time(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    with locked(pair.b.home.images / ".pull/.lock", ""):
        assert "Another command is pulling images." in pair.b.refused("image", "pull", URL, *pair.trusted())


@pytest.fixture
def small_disk(pair: Pair) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = pair.b.place.folder / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_nothing_is_left_on_it(pair: Pair, small_disk: Path) -> None:
    pair.publish()
    pair.serve()
    entry = pair.a.store.get("20261102.1").files["root.squashfs"]
    address = f"{URL}/icecream-node/20261102.1/root.squashfs"

    def get() -> None:
        fetch.fetch_file(address, small_disk / "root.squashfs", entry, lambda have: None)

    with pytest.raises(FarmError, match=r"The disk is full\."):
        pair.b.place.call(get)
    assert [] == list(small_disk.iterdir())


def test_too_little_room_is_said_before_anything_is_fetched(pair: Pair, small_disk: Path) -> None:
    pair.publish()
    pair.serve()
    pair.b.farm("image", "signers")
    shutil.rmtree(pair.b.home.images)
    pair.b.home.images.symlink_to(small_disk)

    assert "Too little room for cad/20261101.1" in pair.b.refused("image", "pull", URL, "cad", *pair.trusted())


GOOD, CHUNKED = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: "
HOSTILE = {
    "a chunk of negative length": (CHUNKED + b"-1\r\n", b"x" * 4096),
    "a chunk whose length is none": (CHUNKED + b"-5\r\n", b""),
    "chunks of one byte": (CHUNKED, b"1\r\na\r\n" * 500),
    "trailers without end": (CHUNKED + b"1\r\na\r\n0\r\n", b"A: b\r\n" * 500),
    "interim answers without end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "more than was announced": (GOOD + b"Content-Length: 99999999999999\r\n\r\n", b"x" * 4096),
    "a redirect whose body has no end": (MOVED + b"/x\r\n\r\n", b"x" * 4096),
    "a redirect to a host that is none": (MOVED + b"http://[\r\n\r\n", b""),
    "a redirect to an empty label": (MOVED + b"http://a..b/\r\n\r\n", b""),
    "a redirect to other bytes": (MOVED + b"http://\xff\xfe/\r\n\r\n", b""),
    "a redirect to FTP": (MOVED + b"ftp://127.0.0.1/x\r\n\r\n", b""),
    "a redirect to a file": (MOVED + b"file:///etc/passwd\r\n\r\n", b""),
    "no HTTP": (b"\x1b[2J\r\n\r\n", b""),
    "a body that trickles": (GOOD + b"\r\n", b"x"),
    "headers that trickle": (GOOD, b"x"),
}


class Hostile(socketserver.BaseRequestHandler):
    """A web server that sends something, and then something else for as long as the other side listens."""

    first: bytes
    then: bytes
    ended: threading.Event

    def handle(self) -> None:
        self.request.recv(4096)
        with contextlib.suppress(OSError):
            self.request.sendall(self.first)
            while self.then and not self.ended.is_set():
                self.request.sendall(self.then)
                if len(self.then) == 1:
                    self.ended.wait(0.2)


@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_a_hostile_server_sends_a_fetch_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(bounded_http, "PATIENCE", 1.0)
    monkeypatch.setattr(fetch, "TRIES", 1)
    first, then = HOSTILE[what]
    ended = threading.Event()
    handler = type("Handler", (Hostile,), {"first": first, "then": then, "ended": ended})
    server = pair.a.place.call(lambda: socketserver.ThreadingTCPServer((ADDRESS, 8080), handler))
    threading.Thread(target=server.serve_forever).start()
    target = pair.b.place.folder / "file"
    entry = FileEntry(1 << 20, "0" * 64)
    try:
        for get in (
            lambda: fetch.fetch_small(URL, 1 << 20),
            lambda: fetch.fetch_file(URL, target, entry, lambda have: None),
        ):
            with pytest.raises(FarmError) as caught:
                pair.b.place.call(get)
            assert caught.value.fix
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
    assert not target.exists() or target.stat().st_size < entry.size


def test_a_version_that_was_asked_for_stays_when_old_ones_go(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    pair.b.home.config.write_text("name: lab-b\nimage: {keep: 1}\n")
    for version in ("20261103.1", "20261104.1", "20261105.1"):
        pair.b.add(version)

    pair.b.farm("image", "pull", URL, "icecream-node/20261101.1", "--keep-choice", *pair.trusted())

    assert "20261101.1" in pair.b.images
    assert "20261105.1" == pair.b.store.selected(FIRST_KIND)


def test_too_little_room_is_said_before_an_archive_is_unpacked(pair: Pair, small_disk: Path) -> None:
    pair.a.farm("image", "export", "20261102.1", str(pair.archive))
    pair.b.farm("image", "signers")
    shutil.rmtree(pair.b.home.images)
    pair.b.home.images.symlink_to(small_disk)

    said = pair.b.refused("image", "import", str(pair.archive), *pair.trusted())
    assert "Too little room for icecream-node/20261102.1" in said


@pytest.mark.parametrize("url", ["ftp://10.99.41.1/x", "file:///etc", "http://", "http://[", f"{URL}/?a=b"])
def test_only_addresses_of_the_web_are_taken(pair: Pair, url: str) -> None:
    assert "is not the address of a published folder" in pair.b.refused("image", "pull", url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda www: (www / "index.json").write_text("{}"), "does not fit"),
        (lambda www: (www / "index.json").write_bytes(b"x" * (index.MOST_BYTES + 1)), "is too large"),
        (lambda www: shutil.rmtree(www), "404"),
    ],
)
def test_a_folder_that_is_none_is_named(pair: Pair, change: Callable[[Path], object], said: str) -> None:
    pair.publish()
    change(pair.www)
    pair.serve()

    assert said in pair.b.refused("image", "pull", URL)


def test_a_farm_pulls_what_farm_yaml_says_and_needs_nothing_that_builds(pair: Pair) -> None:
    """The farm comes up with an image that it has only pulled; the programs of a build are not to be found."""
    pair.publish()
    pair.serve()
    pair.b.home.config.write_text(f"name: p{os.getpid()}\nimages: {{cad: {{pull: '{URL}'}}}}\nnodes: {{image: cad}}\n")
    assert "cad is not built here." in pair.b.refused("image", "build", "cad")
    try:
        said = pair.b.refused("up", "--virtual", "0")
        assert "whom this farm does not know" in said
        pair.b.farm("image", "pull", "cad", *pair.trusted())
        up = pair.b.farm("up", "--virtual", "0").stdout
        assert "have changed since it was built" not in up
        pair.a.add("20261105.1", "cad")
        pair.publish()
        pair.b.farm("image", "pull")
        script = (pair.b.home.http / "boot/default.ipxe").read_text()
        assert "farm.image=cad/20261105.1 " in script
    finally:
        pair.b.farm("down", "--force", check=False)


def test_a_version_of_which_nodes_check_nothing_is_not_given_away(pair: Pair) -> None:
    pair.a.add("20261020.1", checked=False)

    said = pair.a.refused("image", "export", "20261020.1", str(pair.archive))
    assert "Nodes can not check what they read of 20261020.1." in said
    assert "icecream-node/20261020.1" not in pair.publish()["versions"]


def test_a_pulled_version_that_was_damaged_is_pulled_again(pair: Pair) -> None:
    pair.publish()
    pair.serve()
    pair.b.farm("image", "pull", URL, "cad", *pair.trusted())
    flip(pair.b.home.images / "cad/20261101.1/kernel")

    assert f"sudo farm --home {pair.b.home.directory} image pull URL" in pair.b.refused(
        "image", "use", "cad/20261101.1"
    )
    assert [True] == [image["new"] for image in pair.b.json("image", "pull", URL, "cad")["images"]]
    pair.b.store.verify("cad/20261101.1")


def test_a_key_with_which_nothing_can_be_signed_is_named(pair: Pair) -> None:
    key = pair.a.place.folder / "none"
    key.write_text("no key\n")

    assert f"ssh-keygen -l -f {key}" in pair.a.refused("image", "publish", str(pair.www), "--key", str(key))
    assert not (pair.www / index.INDEX).exists()


def test_publishing_is_refused_when_a_version_is_damaged(pair: Pair) -> None:
    flip(pair.a.home.images / "20261102.1/kernel")

    assert "is damaged" in pair.a.refused("image", "publish", str(pair.www))
    assert not pair.www.exists()


def slots(farm: Farm) -> dict[str, int]:
    return {image["image"]: image["slot"] for image in farm.json("image", "list")["images"]}


def test_a_second_server_holds_the_same_in_the_same_slots(pair: Pair) -> None:
    pair.b.home.config.write_text(f"name: lab-b\nother_server: 10.77.0.2\nmirror: '{URL}'\n")
    pair.a.add("20261103.1")
    pair.a.farm("image", "list")
    pair.a.farm("image", "remove", "20261101.1")  # so that slots and order are not the same
    pair.publish()
    pair.serve()
    assert "whom this farm does not know" in pair.b.refused("image", "mirror")

    done = pair.b.json("image", "mirror", *pair.trusted())

    assert {"20261102.1", "20261103.1", "cad/20261101.1"} == set(done["fetched"])
    assert slots(pair.a) == slots(pair.b)
    assert pair.a.store.selections() == pair.b.store.selections()
    again = pair.b.json("image", "mirror")
    assert ([], [], []) == (again["fetched"], again["removed"], again["chosen"])
    assert "is not built here." in pair.b.refused("image", "build")

    pair.a.farm("image", "use", "20261102.1")
    pair.a.farm("image", "remove", "20261103.1")
    pair.a.add("20261104.1", "cad")
    pair.publish()
    assert "Removed 20261103.1." in pair.b.farm("image", "mirror").stdout
    assert slots(pair.a) == slots(pair.b)
    assert pair.a.store.selections() == pair.b.store.selections()


def test_a_slot_that_something_else_has_here_is_refused(pair: Pair) -> None:
    pair.b.home.config.write_text(f"name: lab-b\nother_server: 10.77.0.2\nmirror: '{URL}'\n")
    pair.b.add("20260101.1", "own")
    pair.b.farm("image", "use", "own/20260101.1")
    assert {"own/20260101.1": 1} == slots(pair.b)
    pair.a.farm("image", "use", "20261102.1")
    pair.publish()
    pair.serve()

    said = pair.b.refused("image", "mirror", *pair.trusted())

    assert "Slot 1, in which the other server exports" in said
    assert "has own/20260101.1 here." in said
    assert ["own/20260101.1"] == pair.b.images
