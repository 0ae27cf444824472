"""Fetching images from web servers that break off, and from hostile ones."""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.errors import FarmError
from farm.image.prebuilt import bounded_http, fetch
from farm.image.store import FileEntry
from tests.prebuilt_pair import ADDRESS, NGINX, URL, Pair, pair

__all__ = ["pair"]


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


def over_tls(pair: Pair) -> Path:
    """Let nginx serve what is published over HTTPS; gives the certificate, by which it signs for itself."""
    folder = pair.a.place.folder / "tls"
    folder.mkdir()
    argv = "openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=images -keyout key.pem -out certificate.pem"
    names = ["-addext", f"subjectAltName=IP:{ADDRESS}"]
    subprocess.run([*argv.split(), *names], cwd=folder, check=True, capture_output=True)
    conf = NGINX.format(folder=folder, www=pair.www, address=ADDRESS).replace(":8080;", ":8443 ssl;")
    keys = f"ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem; root"
    (folder / "nginx.conf").write_text(conf.replace("root", keys, 1))
    pair.a.place.start("nginx", "nginx", "-c", str(folder / "nginx.conf"))
    pair.a.place.wait_for(8443)
    return folder / "certificate.pem"


def test_over_https_the_servers_certificate_counts(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.publish()
    url = f"https://{ADDRESS}:8443"
    certificate = over_tls(pair)
    said = pair.b.refused("image", "pull", url, "cad", *pair.trusted())
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "update-ca-certificates" in said
    assert [] == pair.b.images

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    pair.b.farm("image", "pull", url, "cad", *pair.trusted())
    assert ["cad/20261101.1"] == pair.b.images


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
