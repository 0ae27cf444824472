"""The build host's own apt sources and keyrings, as KIWI wants them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from farm import command
from farm.errors import FarmError

DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FORMAT = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"


@dataclass(frozen=True, order=True)
class AptSource:
    """One suite and component of a repository, with the keyring that signs it."""

    uri: str
    suite: str
    component: str
    keyring: Path


def parse_targets(text: str) -> list[AptSource]:
    """The Debian sources in `apt-get indextargets` output (apt-get(8)); third parties' are left out.

    A source without a keyring of its own is checked with Debian's archive keyring.
    """
    found = set()
    for line in text.splitlines():
        origin, uri, suite, component, signed_by = (line.split("|") + [""] * 5)[:5]
        if origin != "Debian" or not uri or component not in ("main", "contrib", "non-free", "non-free-firmware"):
            continue
        # Signed-By may also hold fingerprints, or a whole key in place of a file's name.
        keyring = next((word for word in re.split(r"[,\s]+", signed_by) if word.startswith("/")), DEFAULT_KEYRING)
        found.add(AptSource(uri.rstrip("/"), suite, component, Path(keyring)))
    return sorted(found)


def first_mirror(uri: str) -> str:
    """What apt's mirror+file:PATH (the way of Debian's cloud images) stands for: the first mirror in that list.

    The build's own apt cannot see the host's list. Any other URI is itself (apt-transport-mirror(1)).
    """
    if not uri.startswith("mirror+file:"):
        return uri
    try:
        lines = Path(uri.removeprefix("mirror+file:")).read_text().splitlines()
    except OSError:
        return uri
    return next((line.split()[0].rstrip("/") for line in lines if line.startswith(("http://", "https://"))), uri)


def host_sources() -> list[AptSource]:
    """The Debian repositories this host installs from; raises FarmError when it has none or lacks their keyring."""
    listing = command.run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]).stdout
    sources = [replace(source, uri=first_mirror(source.uri)) for source in parse_targets(listing)]
    if not sources:
        raise FarmError(
            "This host knows no Debian repository to build the image from.",
            "`apt-get indextargets` lists no source with the origin Debian.",
            "Check /etc/apt/sources.list(.d), then: apt-get update",
        )
    for keyring in {source.keyring for source in sources}:
        if not keyring.is_file():
            raise FarmError(
                f"The keyring {keyring} is missing; packages could not be verified.",
                "The image uses only signed packages.",
                "Install it: apt-get install debian-archive-keyring",
            )
    return sources


def proxy_environment() -> dict[str, str]:
    """The host's apt proxy as environment variables, so that apt inside the image root uses it too."""
    shell = command.run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"], check=False).stdout
    proxy = shell.partition("=")[2].strip().strip("'\"")
    return {"http_proxy": proxy} if proxy and proxy != "DIRECT" else {}
