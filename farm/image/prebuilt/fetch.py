"""Fetch files over HTTP: bounded, resumed where it broke off, and kept only when they have the right hash."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

from farm.errors import FarmError
from farm.image.prebuilt import bounded_http
from farm.image.store import FileEntry, sha256
from farm.node.retry import pauses

TRIES = 5
"""How often a file is tried whose connection breaks off; each goes on where the one before ended."""
_CHUNK = 1 << 18

Progress = Callable[[int], None]
"""Is told how many bytes there are so far."""


def require_address(url: str) -> str:
    """The address without what may stand at its end. Raises FarmError unless it is one of HTTP or HTTPS."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise FarmError(
            f"{url} is not the address of a published folder.",
            "Images are fetched over HTTP or HTTPS.",
            "For example: farm image pull http://server/images",
        )
    return url.rstrip("/")


def fetch_small(url: str, most: int) -> bytes:
    """A small file, whole. Raises FarmError, also when it has more bytes than ``most``."""
    for pause in _pauses():
        try:
            with _open(url, 0, most) as response:
                content = response.read(most + 1)
            break
        except _BROKEN as error:
            if pause is None or _refused(error):
                raise _failed(url, error) from error
            time.sleep(pause)
    if len(content) > most:
        raise FarmError(f"{url} is too large.", f"More than {most >> 10} KiB were sent.", "Check the address.")
    return content


def fetch_file(url: str, target: Path, entry: FileEntry, progress: Progress) -> None:
    """Fetch a file that has a known size and hash; what there is of it already is kept.

    Raises FarmError. After that a part of it may lie there, which the next call goes on from; but none when the disk
    is full.
    """
    for pause in _pauses():
        try:
            _go_on(url, target, entry, progress)
            break
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                target.unlink(missing_ok=True)
                raise FarmError(
                    "The disk is full.",
                    f"{target} could not be written; what was written of it is removed.",
                    "Free some space, for example: farm image remove VERSION",
                ) from error
            if pause is None or _refused(error):
                raise _failed(url, error) from error
            time.sleep(pause)
    if target.stat().st_size != entry.size or sha256(target) != entry.sha256:
        target.unlink()
        raise FarmError(
            f"{url} is not what was signed.",
            f"What came does not have the {entry.size} bytes and the hash that its manifest states, and is not kept.",
            "Try again. If that does not help, tell its publisher.",
        )
    target.chmod(0o644)


_BROKEN = (OSError, http.client.HTTPException, ValueError)
"""What connections end with: urllib's own errors are among them, and those of hosts and lengths that are none."""


def _pauses() -> list[float | None]:
    """Seconds to wait after each try; None after the last."""
    waits = pauses(0.5, 8.0)
    return [*(next(waits) for _ in range(TRIES - 1)), None]


def _go_on(url: str, target: Path, entry: FileEntry, progress: Progress) -> None:
    have = target.stat().st_size if target.exists() else 0
    if have > entry.size:
        target.unlink()
        have = 0
    if have == entry.size:
        return
    with _open(url, have, entry.size) as response:
        # 200: the server sends all of it, whatever it was asked for.
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        with open(target, "ab" if resumed else "wb") as out:
            while have < entry.size and (chunk := response.read(min(_CHUNK, entry.size - have))):
                out.write(chunk)
                have += len(chunk)
                progress(have)
    if have < entry.size:
        raise http.client.IncompleteRead(b"", entry.size - have)


@contextlib.contextmanager
def _open(url: str, start: int, most: int) -> Iterator[HTTPResponse]:
    # Only these handlers: neither files of this machine nor FTP, also where a server redirects to them.
    opener, bounded = urllib.request.OpenerDirector(), bounded_http.BoundedHandler(most)
    for handler in (
        urllib.request.ProxyHandler(),
        bounded,
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    headers = {"User-Agent": "icecream-farm", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        yield opener.open(urllib.request.Request(url, headers=headers), timeout=bounded_http.PATIENCE)
    finally:
        bounded.close()


def _refused(error: Exception) -> bool:
    """Whether the server has answered, so that to ask again is of no use."""
    if isinstance(error, ValueError) or _untrusted(error):
        return True
    return isinstance(error, urllib.error.HTTPError) and error.code < 500


def _untrusted(error: Exception) -> bool:
    """Whether the server has a certificate that nobody vouches for here."""
    return isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError)


def _failed(url: str, error: Exception) -> FarmError:
    why = str(error) or type(error).__name__
    if isinstance(error, urllib.error.HTTPError) and error.code == 404:
        fix = "Check the address; what is published there says, on the publisher's server: sudo farm image publish"
    elif _untrusted(error):
        fix = "Check the address; if its certificate is your own, trust it: man update-ca-certificates"
    else:
        fix = "Check the address and the network, then try again: what has come so far is kept."
    return FarmError(f"{url} could not be fetched.", why, fix)
