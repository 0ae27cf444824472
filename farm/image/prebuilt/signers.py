"""Whose signatures a farm believes: a file as of ssh-keygen(1), ALLOWED SIGNERS, which administrators may edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from farm.errors import NOT_JSON, FarmError
from farm.home import Home, write_atomic
from farm.image.prebuilt.signature import Signer, verified

Ask = Callable[[str, Signer], bool]
"""Whether a signer is to be believed from now on: the publisher's name, and whose signature it is."""


@dataclass(frozen=True)
class KnownSigner:
    """A line of the file."""

    name: str
    line: str

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it; empty when the line has no key."""
        words = self.line.split()
        place = next((n for n, word in enumerate(words) if word.startswith("AAAA")), 0)
        try:
            return Signer(f"{words[place - 1]} {words[place]}").fingerprint if place else ""
        except ValueError:
            return ""


class Signers:
    """The signers that a farm believes, and how far each one's indexes have come."""

    def __init__(self, home: Home) -> None:
        folder = home.state / "image-signers"
        self.file = folder / "allowed_signers"
        self._serials = folder / "serials.json"

    def list(self) -> list[KnownSigner]:
        """All of them, as they stand in the file."""
        lines = [line.strip() for line in self._text().splitlines()]
        return [KnownSigner(line.split()[0], line) for line in lines if line and not line.startswith("#")]

    def require(
        self, name: str, signer: Signer, content: bytes, signature: bytes, namespace: str, what: str, ask: Ask
    ) -> None:
        """Raise FarmError unless the signer of something is believed, or is from now on because ``ask`` says so.

        ``name``: how the publisher calls itself; a name that was believed with another key is never asked about.
        """
        if verified(content, signature, namespace, self._text(), name):
            return
        known = [each for each in self.list() if each.name == name]
        if known:
            raise FarmError(
                f"{what} was signed by somebody else than {name}.",
                f"{name} has signed with {known[0].fingerprint or 'another key'} so far; this signature is by "
                f"{signer.fingerprint}.",
                f"If {name} tells you that it has a new key: sudo farm image signers --forget {name}, then try again",
            )
        if not ask(name, signer):
            raise FarmError(
                f"{what} is signed by somebody whom this farm does not know.",
                f"The publisher is called {name}, the key has the fingerprint {signer.fingerprint}.",
                "Compare it with what this says on the publisher's server: sudo farm image signers. If it is the same, "
                f"try again with: --trust {signer.fingerprint}",
            )
        text = self._text()
        before = f"{text}\n" if text and not text.endswith("\n") else text  # an editor may have left the end open
        write_atomic(self.file, f'{before}{name} namespaces="farm-image,farm-index" {signer.key}\n')

    def forget(self, name: str) -> None:
        """Believe a signer no more. Raises FarmError when there is none of that name."""
        lines = self._text().splitlines(keepends=True)
        kept = [line for line in lines if line.split()[:1] != [name]]
        if len(kept) == len(lines):
            names = ", ".join(sorted({each.name for each in self.list()})) or "nobody"
            raise FarmError(f"{name} is not known as a signer.", f"Known: {names}.", "List them: farm image signers")
        write_atomic(self.file, "".join(kept))
        self._write_serials({key: serial for key, serial in self._read_serials().items() if key.split()[0] != name})

    def require_newer(self, name: str, url: str, serial: int) -> None:
        """Raise FarmError when an index is older than one that came from there before; else note how far it has come.

        Who can only repeat what was signed once must not bring back an image with holes that have been closed.
        """
        key, serials = f"{name} {url}", self._read_serials()
        if serial < (seen := serials.get(key, 0)):
            raise FarmError(
                f"The index at {url} is older than the one that came from there before.",
                f"Its serial is {serial}, and was {seen}. Somebody may be repeating what was signed once.",
                "If the publisher tells you that it started again: "
                f"sudo farm image signers --forget {name}, then try again",
            )
        if serial > seen:
            self._write_serials({**serials, key: serial})

    def _text(self) -> str:
        try:
            return self.file.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _read_serials(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(self._serials.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except NOT_JSON as error:
            raise FarmError(
                "The record of the indexes that came before cannot be read.",
                f"{self._serials}: {error}",
                f"Remove {self._serials}; the next index of each publisher is believed whatever its age.",
            ) from error

    def _write_serials(self, serials: dict[str, int]) -> None:
        write_atomic(self._serials, msgspec.json.encode(serials))
