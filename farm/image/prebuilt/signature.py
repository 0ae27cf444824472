"""Signatures by ssh keys (ssh-keygen(1), -Y): every Debian server has the program, and administrators know the keys.

The signature's format, from which the signer's key is read, is OpenSSH's PROTOCOL.sshsig.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from farm import command
from farm.errors import FarmError

MOST_BYTES = 16 << 10
"""The most of a signature; one by the largest RSA key that OpenSSH takes has 4 KiB."""

_ARMOR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END SSH SIGNATURE-----\s*")
_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_KEY_TYPE = re.compile(rb"[a-z0-9@.-]{1,64}")


@dataclass(frozen=True)
class Signer:
    """Whose signature it is."""

    key: str
    """The public key, as the first two words of a line in a .pub file."""

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it."""
        digest = hashlib.sha256(base64.b64decode(self.key.split()[1])).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def signer_of_key(public: str) -> Signer:
    """Who signs with a key; ``public``: a line of a .pub file."""
    return Signer(" ".join(public.split()[:2]))


def sign(key: Path, content: bytes, namespace: str) -> bytes:
    """Sign something; ``namespace`` says what it is, so that it can not be passed off as something else."""
    argv = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", namespace]
    with tempfile.TemporaryDirectory(prefix="farm-sign-") as folder:
        file = Path(folder) / "content"
        file.write_bytes(content)
        command.run([*argv, str(file)], fix=f"Check the key: ssh-keygen -l -f {key}")
        return file.with_suffix(".sig").read_bytes()


def signer_of(content: bytes, signature: bytes, namespace: str, what: str) -> Signer:
    """Who signed something; whether that signer is to be believed is another question (signers.py).

    ``what`` names it in messages. Raises FarmError when the signature is not one of this content.
    """
    signer = _claimed(signature)
    if signer is None or not verified(content, signature, namespace, f"signer {signer.key}", "signer"):
        raise FarmError(
            f"The signature of {what} does not fit.",
            "Something was changed after it was signed, or the signature belongs to something else.",
            "Get it again. If that does not help, tell its publisher.",
        )
    return signer


def verified(content: bytes, signature: bytes, namespace: str, allowed_signers: str, name: str) -> bool:
    """Whether somebody who is called ``name`` in ``allowed_signers``, a text as of ssh-keygen(1), signed something."""
    with tempfile.TemporaryDirectory(prefix="farm-verify-") as folder:
        allowed, signed = Path(folder) / "allowed_signers", Path(folder) / "signature"
        allowed.write_text(f"{allowed_signers}\n")
        signed.write_bytes(signature)
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", name, "-n", namespace, "-s", str(signed)]
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError:
            return False
        return command.run(argv, stdin=text, check=False).returncode == 0


def _claimed(signature: bytes) -> Signer | None:
    """The key that a signature names as its own; None: it is no signature."""
    armor = _ARMOR.fullmatch(signature[: MOST_BYTES + 1].decode("ascii", "replace"))
    try:
        blob = base64.b64decode(armor[1].replace("\n", ""), validate=True) if armor else b""
    except binascii.Error:
        return None
    key, _ = _string(blob.removeprefix(_MAGIC)) if blob.startswith(_MAGIC) else (b"", b"")
    kind, _ = _string(key)
    if not _KEY_TYPE.fullmatch(kind):
        return None
    return Signer(f"{kind.decode()} {base64.b64encode(key).decode()}")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string of the ssh protocol (RFC 4251, section 5) and what follows it; empty when it is cut off."""
    length = int.from_bytes(data[:4], "big")
    content = data[4 : 4 + length]
    return (content, data[4 + length :]) if len(data) >= 4 and len(content) == length else (b"", b"")
