"""Keys that the farm makes for itself: the private half readable by root alone, and never shown."""

from __future__ import annotations

from pathlib import Path

from farm import command


def made(path: Path, comment: str) -> str:
    """The public half of a key, a line of a .pub file; the key is made when there is none, or it is damaged."""
    public = _public_half(path)
    if not public:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        command.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
        public = _public_half(path)
    return public


def _public_half(path: Path) -> str:
    """The public half of a private key; empty where there is no key, or one that is damaged."""
    done = command.run(["ssh-keygen", "-y", "-P", "", "-f", str(path)], check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
