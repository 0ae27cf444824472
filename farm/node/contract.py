"""What a node may be told: one grammar for farm.yaml's check, for what the server writes, and for what a node takes.

Imported while a machine boots, so nothing here imports more than re. Every pattern is for `re.Pattern.fullmatch`.
"""

from __future__ import annotations

import re

SCHEMA = 1
ROLES = ("compile", "session")
"""What a machine can be for: the modules of farm/node/roles/."""
FIRST_ROLES = ("compile",)
"""What a machine is for of which nobody says it: images and servers from before roles say none."""
MAX_ROLES = 16
"""That one machine is given."""
MAX_BYTES = 64 * 1024
"""The most that a server may say."""
MAX_SLOTS = 1024
WHEN_USED = ("full", "half", "one", "none")
"""How many of its slots a machine offers while somebody uses it."""
MAX_FREE_MINUTES = 24 * 60
SPARE = ".spare"
"""Ends the name, at the scheduler, of a machine's second iceccd, which has the slots that go when somebody comes."""
MAX_PORT = 65535
MAX_KEYS = 64
"""Public keys, those of the farm itself included."""
FARM_KEYS = 1
"""Of these, the farm's own: `farm node ssh` comes in by it."""
KEYS_BYTES = 48 * 1024
"""The most that the other keys may take as JSON in UTF-8, so that all that is said stays within MAX_BYTES."""

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST = rf"([1-9][0-9]?|1[0-9]{{2}}|2[01][0-9]|22[0-3])(\.{_OCTET}){{3}}"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

MAC = re.compile("([0-9a-f]{2}:){5}[0-9a-f]{2}")
ADDRESS = re.compile(_HOST)
"""IPv4, of a computer: none of network 0, no multicast, nothing reserved."""
PORT = re.compile(_PORT)
SCHEDULER = re.compile(f"{_HOST}:{_PORT}")
BOOT_ID = re.compile("[0-9a-f]{32}")
"""Of the kernel, without its dashes: random, so it tells this boot of this machine from all others."""
NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Of a farm, a node or a role: a label of a host name (RFC 1123) in lower case."""
NETNAME = re.compile("[A-Za-z0-9_.:@+,=/][A-Za-z0-9_.:@+,=/-]{0,63}")
"""No option, and nothing to a shell or to systemd: where netnames are written, those read them."""
IMAGE = re.compile("([a-z0-9][a-z0-9-]{0,31}/)?[A-Za-z0-9][A-Za-z0-9._+-]{0,94}")
"""What an image is called: VERSION, or KIND/VERSION."""
EXPORT = re.compile("[a-z]{1,16}")
"""By what a root is read: what stands before the first colon of ``farm.root``."""
_KEY_OPTION = (
    "(restrict|(no-)?(agent-forwarding|port-forwarding|pty|X11-forwarding)|no-user-rc|no-touch-required|verify-required"
    '|from="[A-Za-z0-9.:/*?!,_-]{1,256}"|expiry-time="[0-9]{8,14}Z?")'
)
KEY = re.compile(
    f"({_KEY_OPTION}(,{_KEY_OPTION}){{0,15}} )?"
    "(ssh|ecdsa|sk)-[a-z0-9@.-]{1,60} AAAA[A-Za-z0-9+/]{1,8188}={0,3}"
    "( [^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,256})?"
)
"""A line of authorized_keys: kind, base64 and a comment; of options (sshd(8)) those that name no command or file."""
MAX_FILES = 16
"""That one machine is given by farm.yaml."""
FARM_FILES = 1
"""Those that the farm itself gives: lts.conf, to machines with the role session."""
LTS_CONF = "/etc/lts.conf"
"""Where lts.conf lies on a machine."""
MAX_FILE_BYTES = 1024 * 1024
"""Of one of them; all of them lie in the node's RAM."""
FILE_MODES = ("0644", "0755", "0600", "0700")
SHA256 = re.compile("[0-9a-f]{64}")
_PART = "[A-Za-z0-9_][A-Za-z0-9._+@-]{0,63}"
FILE_PATH = re.compile(
    "(?=.{1,128}$)"
    "(/etc/(hosts|motd|issue|issue\\.net|timezone|localtime|locale\\.conf|vconsole\\.conf|lts\\.conf|default/(keyboard|locale))"
    f"|(/opt|/etc/opt|/usr/local/(bin|etc|share/ca-certificates))(/{_PART}){{1,8}})"
)
"""Where a node accepts a file: nothing there lets anybody log in, starts a program at boot or belongs to the farm.

No part begins with a dot, so that no path leads out of these folders.
"""
FILE_PLACES = (
    "/opt, /etc/opt, /usr/local/bin, /usr/local/etc, /usr/local/share/ca-certificates; in /etc: hosts, motd, issue, "
    "issue.net, timezone, localtime, locale.conf, vconsole.conf, lts.conf, default/keyboard, default/locale"
)
"""The same for people."""
OWN_OPTION = re.compile(r"(farm\.[^=]*|BOOTIF|boot|initrd|ip)(=.*)?")
"""A word of the kernel's command line that only the farm may write: the initrd and the node go by it."""


class SettingsError(Exception):
    """What the server or the kernel command line says cannot be used; the text says which part."""


def text_of(said: dict[str, object], key: str, pattern: re.Pattern[str]) -> str:
    """The text below ``key``, all of which matches; raises SettingsError."""
    value = said.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise SettingsError(f"invalid value for {key}")
    return value


def number_of(said: dict[str, object], key: str, low: int, high: int) -> int:
    """The whole number below ``key``, from ``low`` to ``high``; raises SettingsError."""
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(f"{key} is not a number from {low} to {high}")
    return value
