"""The build host's own apt sources and keyrings, as KIWI wants them."""

from __future__ import annotations

from dataclasses import dataclass
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
        keyring = Path(signed_by) if signed_by.startswith("/") else DEFAULT_KEYRING
        found.add(AptSource(uri.rstrip("/"), suite, component, keyring))
    return sorted(found)


def host_sources() -> list[AptSource]:
    """The Debian repositories this host installs from; raises FarmError when it has none or lacks their keyring."""
    listing = command.run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]).stdout
    sources = parse_targets(listing)
    if not sources:
        raise FarmError(
            "This host knows no Debian repository to build the image from.",
            "`apt-get indextargets` names no source whose origin is Debian.",
            "Check /etc/apt/sources.list(.d), then: apt-get update",
        )
    for keyring in {source.keyring for source in sources}:
        if not keyring.is_file():
            raise FarmError(
                f"The keyring {keyring} is missing; packages could not be verified.",
                "The image takes only signed packages.",
                "Install it: apt-get install debian-archive-keyring",
            )
    return sources


def proxy_environment() -> dict[str, str]:
    """The host's apt proxy as environment variables, so that apt inside the image root uses it too."""
    shell = command.run(["apt-config", "shell", "proxy", "Acquire::http::Proxy"], check=False).stdout
    proxy = shell.partition("=")[2].strip().strip("'\"")
    return {"http_proxy": proxy} if proxy and proxy != "DIRECT" else {}
