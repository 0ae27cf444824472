"""LDM_SSHOPTIONS: options for the ssh of a log-in, of which those are taken that can do no harm.

None of these runs a program, reads or writes a file, forwards anything, or has to do with whom ssh trusts.
"""

from __future__ import annotations

import re
import shlex
import subprocess

OPTIONS = {
    each.lower(): each
    for each in (
        "AddressFamily",
        "Ciphers",
        "Compression",
        "ConnectTimeout",
        "HostKeyAlgorithms",
        "IPQoS",
        "KexAlgorithms",
        "MACs",
        "RekeyLimit",
        "TCPKeepAlive",
    )
}
"""By their names in lower case, as ssh takes any."""
QUICK = "Ciphers=^aes128-gcm@openssh.com"
"""Preferred where the processor has instructions for it: it takes less time of both ends than ssh's first choice."""
SHORT = {"-C": "Compression=yes", "-4": "AddressFamily=inet", "-6": "AddressFamily=inet6"}
SHORT_WITH_VALUE = {"-c": "Ciphers", "-m": "MACs"}
MAX_OPTIONS = 16
_VALUE = re.compile("[A-Za-z0-9+^*?@_-][A-Za-z0-9.,+*?@_ -]{0,511}")


def ssh_options(text: str) -> tuple[list[str], list[str]]:
    """What is taken of a text, as ``Key=value`` for ssh's ``-o``, and what is refused, as it was written."""
    taken: list[str] = []
    refused: list[str] = []
    try:
        words = shlex.split(text)
    except ValueError:
        return [], [text]
    while words:
        written, option = _next(words)
        checked = _checked(option)
        if checked and len(taken) < MAX_OPTIONS:
            taken.append(checked)
        else:
            refused.append(written)
    return taken, refused


def quick(options: tuple[str, ...], processor: str) -> tuple[str, ...]:
    """The options, and the cipher that is quickest here, unless they say which; ``processor``: /proc/cpuinfo."""
    return (*options, QUICK) if re.search(r"^flags\s*:.*\saes\s", processor, re.MULTILINE) else options


def understood(option: str) -> bool:
    """Whether ssh on this machine knows all of an option: old files name ciphers that are gone."""
    done = subprocess.run(["ssh", "-F", "none", "-G", "-o", option, "server"], capture_output=True, check=False)
    return done.returncode == 0


def _next(words: list[str]) -> tuple[str, str]:
    """The next option, taken away from the words: as it was written, and as ``Key=value``; empty when it is none."""
    word = words.pop(0)
    if word in SHORT:
        return word, SHORT[word]
    letter, value = word[:2], word[2:]
    if letter != "-o" and letter not in SHORT_WITH_VALUE:
        return word, ""
    if not value and words:
        value = words.pop(0)
    return f"{letter} {value}", value if letter == "-o" else f"{SHORT_WITH_VALUE[letter]}={value}"


def _checked(option: str) -> str:
    # Between a key and its value stands a space or an equals sign, as in ssh_config.
    match = re.fullmatch(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(\S.*?)\s*", option)
    key, value = match.groups() if match else ("", "")
    known = OPTIONS.get(key.lower())
    return f"{known}={value}" if known and _VALUE.fullmatch(value) else ""
