"""The variables of lts.conf: what each does, and whether any part of the farm acts on it.

The table in docs/lts-conf.md is made from this. Sources: lts.conf(5) of LTSP 5, ltsp.conf(5) of LTSP 23. In a name
``#`` stands for digits, ``*`` for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

WORKS = "works"
NOT_YET = "not yet"
"""It is read and can be shown; nothing acts on it so far."""
LATER = "later"
"""The same, and it comes after the others."""
IGNORED = "ignored"
"""What it was for is gone."""

BOOLEAN = "boolean"
TEXT = "text"
NUMBER = "number"
LIST = "list"


class Variable(NamedTuple):
    """A variable, or several whose names differ by a number."""

    name: str
    kind: str
    does: str
    """What it did in LTSP."""
    instead: str = ""
    """What does it here already, or why nothing will."""
    state: str = NOT_YET

    @property
    def shown(self) -> str:
        """The name as people write it: SCREEN_n."""
        return self.name.replace("#", "n")


TOPICS: dict[str, tuple[Variable, ...]] = {
    "Sections and files": (
        Variable("LIKE", TEXT, "takes what another section sets", state=WORKS),
        Variable("INCLUDE", TEXT, "the same in LTSP 23", state=WORKS),
    ),
    "Servers": (
        Variable("SERVER", TEXT, "the server for everything that names none", state=WORKS),
        Variable("LDM_SERVER", LIST, "servers of sessions; the least loaded is taken, or the next one", state=WORKS),
        Variable("LDM_SSHOPTIONS", TEXT, "options of the session's ssh", state=WORKS),
        Variable("SSH_OVERRIDE_PORT", NUMBER, "port of the servers' ssh", state=WORKS),
        Variable("NETWORK_COMPRESSION", BOOLEAN, "compressed ssh", "the network of a room is faster", IGNORED),
        Variable("SSH_FOLLOW_SYMLINKS", BOOLEAN, "followed links when the home was mounted", "", LATER),
        Variable("SYSLOG_HOST", TEXT, "where the client's log goes", state=WORKS),
        Variable("LDM_SYSLOG", BOOLEAN, "wrote LDM's log to syslog", "there is no LDM", IGNORED),
        Variable("LDM_DEBUG", BOOLEAN, "made LDM write more", "there is no LDM", IGNORED),
        Variable("LDM_LOGLEVEL", NUMBER, "the same by numbers", "there is no LDM", IGNORED),
    ),
    "Log-in": (
        Variable("LDM_AUTOLOGIN", BOOLEAN, "log in LDM_USERNAME without asking", state=WORKS),
        Variable("LDM_AUTOLOGIN_SERVER", TEXT, "the server for that", state=WORKS),
        Variable("LDM_GUESTLOGIN", BOOLEAN, "offer a log-in as guest: as LDM_USERNAME", state=WORKS),
        Variable("LDM_GUEST_SERVER", TEXT, "the server for that", state=WORKS),
        Variable("LDM_USERNAME", TEXT, "the user of these; default: the machine's name", state=WORKS),
        Variable("LDM_PASSWORD", TEXT, "the password; every machine on the network can read it", state=WORKS),
        Variable("HOST_TO_USERNAME", TEXT, "makes the user of its name: pc/guest makes guest01 of pc01", state=WORKS),
        Variable("LDM_LOGIN_TIMEOUT", NUMBER, "seconds until LDM_AUTOLOGIN or LDM_GUESTLOGIN happens", state=WORKS),
        Variable("LDM_USER_ALLOW", LIST, "the only users that may log in here", state=WORKS),
        Variable("LDM_ALLOW_USER", LIST, "an earlier name of it", state=WORKS),
        Variable("LDM_THEME", TEXT, "look of the log-in screen", "", LATER),
        Variable("LDM_LOGOUT_ACTION", TEXT, "what follows a log-out: poweroff, reboot", "", LATER),
        Variable("LDM_PASSWORD_HASH", BOOLEAN, "made LDM keep the password's hash for local programs", "", LATER),
    ),
    "Session": (
        Variable("LDM_DIRECTX", BOOLEAN, "send the session's pictures unencrypted, which is faster", state=WORKS),
        Variable("LDM_SESSION", TEXT, "the session that is started by default", state=WORKS),
        Variable("LDM_FORCE_SESSION", TEXT, "the session that is always started", state=WORKS),
        Variable("LDM_XSESSION", TEXT, "the server's program that starts sessions", state=WORKS),
        Variable("LDM_LANGUAGE", TEXT, "the session's language by default", state=WORKS),
        Variable("LDM_FORCE_LANGUAGE", TEXT, "the session's language in any case", state=WORKS),
        Variable("LDM_LIMIT_ONE_SESSION", BOOLEAN, "end a user's earlier session; default: true", state=WORKS),
        Variable("LDM_LIMIT_ONE_SESSION_PROMPT", BOOLEAN, "ask before that; default: true", state=WORKS),
        Variable("LDM_REMOTECMD", TEXT, "a command that is run on the server after the log-in", "", LATER),
        Variable("LDM_NODMPS", BOOLEAN, "keeps the screen from being switched off", "", LATER),
        Variable("LTSP_FATCLIENT", BOOLEAN, "runs sessions on the machine; default: true", "so does the image", WORKS),
        Variable("FAT_RAM_THRESHOLD", NUMBER, "MiB of RAM from which it does that; default: 800", state=WORKS),
        Variable("DEFAULT_DISPLAY_MANAGER", TEXT, "the program that shows the log-in screen of fat clients", "", LATER),
        Variable("CLIENT_ENV", TEXT, "variables for the session's environment", "", LATER),
        Variable("SHUTDOWN_TIME", TEXT, "the hour at which the machine is switched off", state=WORKS),
    ),
    "Screens": (
        Variable("SCREEN_#", TEXT, "what a virtual terminal shows: ldm, shell, kiosk…", "see thin-clients.md", WORKS),
        Variable("SCREEN_DEFAULT", NUMBER, "the one that is shown first", state=WORKS),
        Variable("RDP_SERVER", TEXT, "server of a remote desktop", "the program is a package", WORKS),
        Variable("RDP_OPTIONS", TEXT, "options for its program", state=WORKS),
        Variable("RDP_SOUND", TEXT, "sound of rdesktop", "", LATER),
        Variable("KIOSK_EXE", TEXT, "the browser of a kiosk", "firefox-esr, firefox, chromium: packages", WORKS),
        Variable("KIOSK_OPTIONS", TEXT, "its options", "the address of its page", WORKS),
        Variable("KIOSK_*", TEXT, "others of a kiosk", "", LATER),
        Variable("MENU_*", TEXT, "entries of the menu screen", "there is no such screen", IGNORED),
        Variable("TELNET_HOST", TEXT, "server of a telnet screen", "telnet sends passwords in clear text", IGNORED),
        Variable("SSH_HOST", TEXT, "server of an ssh screen", "one of the servers of sessions", WORKS),
        Variable("XDM_SERVER", TEXT, "server of an XDMCP session", "XDMCP sends passwords in clear text", IGNORED),
    ),
    "Display": (
        Variable("XSERVER", TEXT, "the X server's driver; auto is the default", "modesetting, fbdev, vesa", WORKS),
        Variable("XRANDR_MODE_#", TEXT, "a screen's resolution", state=WORKS),
        Variable("XRANDR_RATE_#", TEXT, "its refresh rate", state=WORKS),
        Variable("XRANDR_OUTPUT_#", TEXT, "where it is, beside the others", state=WORKS),
        Variable("XRANDR_ROTATE_#", TEXT, "how it is turned", state=WORKS),
        Variable("XRANDR_COMMAND_#", TEXT, "a whole xrandr command", state=WORKS),
        Variable("XRANDR_DISABLE", BOOLEAN, "leave xrandr alone", state=WORKS),
        Variable("XRANDR_*", TEXT, "others of xrandr's options", "", LATER),
        Variable("X_MODE_#", TEXT, "a mode in xorg.conf", "X_MODE_0 counts: a resolution, or a modeline", WORKS),
        Variable("X_HORZSYNC", TEXT, "the monitor's horizontal frequencies", state=WORKS),
        Variable("X_VERTREFRESH", TEXT, "the monitor's vertical frequencies", state=WORKS),
        Variable("X_BLANKING", TEXT, "seconds until the screen turns black", state=WORKS),
        Variable("X_NUMLOCK", BOOLEAN, "switch NumLock on", state=WORKS),
        Variable("X_CONF", TEXT, "a whole xorg.conf", "", LATER),
        Variable("X_OPTION_#", TEXT, "options of the driver", "", LATER),
        Variable("X_MONITOR_OPTION_#", TEXT, "options of the monitor", "", LATER),
        Variable("X_MOUSE_*", TEXT, "the mouse, as in xorg.conf", "mice are found by themselves", IGNORED),
        Variable("X_TOUCH_*", TEXT, "a touch screen on a serial line", "they are found by themselves", IGNORED),
        Variable("USE_TOUCH", BOOLEAN, "a touch screen", "touch screens are found by themselves", IGNORED),
        Variable("X_COLOR_DEPTH", NUMBER, "bits of a pixel", "always 24", IGNORED),
        Variable("X_SMART_COLOR_DEPTH", BOOLEAN, "fewer of them on thin clients", "always 24", IGNORED),
        Variable("X_RAMPERC", NUMBER, "RAM for the X server, in percent", "not limited", IGNORED),
        Variable("X_VIDEO_RAM", NUMBER, "the graphics card's RAM", "cards tell it themselves", IGNORED),
        Variable("X_VIRTUAL", TEXT, "a screen that is larger than the monitor", "", LATER),
        Variable("CONFIGURE_X", BOOLEAN, "wrote an xorg.conf", "X finds its devices itself", IGNORED),
        Variable("USE_XFS", BOOLEAN, "fonts from a font server", "programs bring their own fonts", IGNORED),
        Variable("XFS_SERVER", TEXT, "that font server", "programs bring their own fonts", IGNORED),
    ),
    "Keyboard, language and time": (
        Variable("XKBLAYOUT", LIST, "layouts of the keyboard", state=WORKS),
        Variable("XKBMODEL", TEXT, "model of the keyboard", state=WORKS),
        Variable("XKBVARIANT", LIST, "variants of the layouts", state=WORKS),
        Variable("XKBOPTIONS", LIST, "options of the layouts", state=WORKS),
        Variable("XKBRULES", TEXT, "rules of the layouts", state=WORKS),
        Variable("CONSOLE_KEYMAP", TEXT, "the console's keyboard", "needs packages in the image", WORKS),
        Variable("LANG", TEXT, "the machine's language", "the session's is LDM_LANGUAGE", WORKS),
        Variable("TIMEZONE", TEXT, "the machine's time zone", state=WORKS),
        Variable("TIMESERVER", TEXT, "a server for the clock", state=WORKS),
    ),
    "Sound": (
        Variable("SOUND", BOOLEAN, "the session's sound comes out of the machine", "default: true", WORKS),
        Variable("VOLUME", NUMBER, "its volume at a log-in, in percent", "default: 90", WORKS),
        Variable("MIC_VOLUME", NUMBER, "that of the microphone", "default: 100", WORKS),
        Variable(
            "*_VOLUME",
            NUMBER,
            "a channel of the card's mixer: PCM, HEADPHONE, FRONT, FRONT_MIC, CD",
            "set at boot; `VOLUME` moves those through which the output goes",
            WORKS,
        ),
        Variable("SOUND_DAEMON", TEXT, "pulse, esd or nasd", "there is one way for sound", IGNORED),
    ),
    "Local devices": (
        Variable("LOCALDEV", BOOLEAN, "sticks and discs appear in the session", "", WORKS),
        Variable("LOCALDEV_DENY", LIST, "devices that do not, by their udev properties", "", WORKS),
        Variable("LOCALDEV_DENY_CD", BOOLEAN, "no discs", "", WORKS),
        Variable("LOCALDEV_DENY_FLOPPY", BOOLEAN, "no floppy disks", "", WORKS),
        Variable("LOCALDEV_DENY_INTERNAL_DISKS", BOOLEAN, "no built-in disks; true by default", "", WORKS),
        Variable("LOCALDEV_DENY_USB", BOOLEAN, "no sticks", "", WORKS),
        Variable("SCANNER", BOOLEAN, "the scanner at the machine can be used from the server", "", LATER),
    ),
    "Printers": (
        Variable("PRINTER_#_DEVICE", TEXT, "a printer at the machine: /dev/usb/lp0, /dev/lp0, /dev/ttyS0", "", WORKS),
        Variable("PRINTER_#_PORT", NUMBER, "the TCP port on which it prints", "9100 to 9104; default: 9100 + n", WORKS),
        Variable("PRINTER_#_TYPE", TEXT, "P: parallel, U: USB, S: serial", "the device says it", WORKS),
        Variable("PRINTER_#_WRITE_ONLY", BOOLEAN, "the printer does not answer", "", WORKS),
        Variable("PRINTER_#_SPEED", NUMBER, "bits in a second of a serial line", "", WORKS),
        Variable("PRINTER_#_DATABITS", NUMBER, "bits of a character there", "", WORKS),
        Variable("PRINTER_#_PARITY", TEXT, "parity there", "", WORKS),
        Variable("PRINTER_#_FLOWCTRL", TEXT, "flow control there", "soft, or hard", WORKS),
        Variable("PRINTER_#_OPTIONS", TEXT, "options of its server", "", LATER),
        Variable("LDM_PRINTER_DEFAULT", TEXT, "the session's printer by default", "", WORKS),
        Variable("LDM_PRINTER_LIST", LIST, "the only printers that the session sees", "CUPS cannot do it", IGNORED),
        Variable("CUPS_SERVER", TEXT, "the server that prints for programs that run on the machine itself", "", WORKS),
    ),
    "Network": (
        Variable("HOSTNAME", TEXT, "the machine's name", "`machines[].name` is the farm's name for it", WORKS),
        Variable("HOSTNAME_BASE", TEXT, "what made-up names begin with", state=WORKS),
        Variable("HOSTNAME_EXTRA", TEXT, "whether made-up names end with the address or the MAC", state=WORKS),
        Variable("HOSTS_#", TEXT, "lines of /etc/hosts", state=WORKS),
        Variable("DNS_SERVER", TEXT, "a name server", state=WORKS),
        Variable("SEARCH_DOMAIN", LIST, "domains in which names are looked up", state=WORKS),
    ),
    "Boot, files and services": (
        Variable("FSTAB_#", TEXT, "a line of /etc/fstab", state=WORKS),
        Variable("SHARED_FOLDERS", LIST, "not in LTSP", "folders of the server in sessions of fat clients", WORKS),
        Variable("CONFIGURE_FSTAB", BOOLEAN, "wrote /etc/fstab", "the root is mounted without it", IGNORED),
        Variable("MODULE_#", TEXT, "a kernel module to load, with options", state=WORKS),
        Variable("USE_LOCAL_SWAP", BOOLEAN, "use swap on the machine's own disk", state=WORKS),
        Variable("KEEP_SYSTEM_SERVICES", LIST, "services that LTSP would stop", "goes before the two below", WORKS),
        Variable("RM_SYSTEM_SERVICES", LIST, "services of the image to stop", state=WORKS),
        Variable("RM_THIN_SYSTEM_SERVICES", LIST, "the same on thin clients", state=WORKS),
        Variable("RCFILE_#", TEXT, "a script to run as root at boot", "", LATER),
        Variable("CRONTAB_#", TEXT, "a line of the crontab", "", LATER),
        Variable("NBD_SWAP", BOOLEAN, "swapped over the network", "thin clients need little RAM", IGNORED),
        Variable("NBD_SWAP_*", TEXT, "where to", "thin clients need little RAM", IGNORED),
        Variable("ENCRYPT_SWAP", BOOLEAN, "encrypted that", "thin clients need little RAM", IGNORED),
        Variable("PXE_CONFIG", TEXT, "a menu of the boot loader", "the farm has none", IGNORED),
        Variable("LTSP_CONFIG", BOOLEAN, "turned this file on", "the file counts when it is there", IGNORED),
    ),
    "Local applications": (
        Variable("LOCAL_APPS", BOOLEAN, "programs of the machine's image appear in the server's session", "", WORKS),
        Variable("LOCAL_APPS_MENU", BOOLEAN, "they replace the server's in the menu", "", WORKS),
        Variable("LOCAL_APPS_MENU_ITEMS", LIST, "which ones", "", WORKS),
        Variable("LOCAL_APPS_WHITELIST", LIST, "the only commands that may be started so", "", WORKS),
        Variable("LOCAL_APPS_EXTRAMOUNTS", LIST, "folders of the server that they see", "", LATER),
        Variable("LOCAL_APPS_*", TEXT, "others of local applications", "", LATER),
        Variable("REMOTE_APPS", BOOLEAN, "programs of the server in a fat client's session", "", LATER),
        Variable("REMOTEAPPS", BOOLEAN, "the same", "", LATER),
    ),
    "Names of LTSP 4": (
        Variable("X_VIDEORAM", NUMBER, "X_VIDEO_RAM", "cards tell it themselves", IGNORED),
        Variable("LOCAL_STORAGE", BOOLEAN, "LOCALDEV"),
        Variable("XF86CONFIG_FILE", TEXT, "X_CONF", "", LATER),
        Variable("X_HORIZSYNC", TEXT, "X_HORZSYNC", state=WORKS),
    ),
    "Names of LTSP 23": (
        Variable("AUTOLOGIN", TEXT, "LDM_AUTOLOGIN and LDM_USERNAME; with a slash HOST_TO_USERNAME", state=WORKS),
        Variable("RELOGIN", BOOLEAN, "log in again after a log-out", state=WORKS),
        Variable("PASSWORDS_*", TEXT, "LDM_PASSWORD: a pattern of users, a slash, the password in base64", state=WORKS),
        Variable("X_MODES", TEXT, "X_MODE_0", "the first of them", WORKS),
        Variable("FSTAB_*", TEXT, "FSTAB_n"),
        Variable("CRONTAB_*", TEXT, "CRONTAB_n", "", LATER),
        Variable("POST_INIT_*", TEXT, "RCFILE_n: a command to run as root at boot", "", LATER),
        Variable("PRE_INIT_*", TEXT, "the same, earlier", "", LATER),
        Variable("MULTISEAT", BOOLEAN, "two seats at one machine", "", LATER),
        Variable("NFS_HOME", BOOLEAN, "homes by NFS instead of sshfs; they must be exported", "", WORKS),
        Variable("DEFAULT_IMAGE", TEXT, "the image that the machine boots", "`machines[].image` in farm.yaml", IGNORED),
        Variable("KERNEL_PARAMETERS", TEXT, "words for the kernel", "`kernel_options` in farm.yaml", IGNORED),
        Variable("MENU_TIMEOUT", NUMBER, "time of the boot menu", "the farm has no boot menu", IGNORED),
    ),
}  # fmt: skip
"""By what they are about: headings of docs/lts-conf.md."""

_OF_A_SCREEN = re.compile(r"SCREEN_[0-9]+_(.+)")


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\#", "[0-9]+").replace(r"\*", "[A-Z0-9_]+"))


_PLAIN = {each.name: each for topic in TOPICS.values() for each in topic if not set("#*") & set(each.name)}
_PATTERNS = [(_pattern(each.name), each) for topic in TOPICS.values() for each in topic if set("#*") & set(each.name)]
# One with a number is meant before one with anything.
_PATTERNS.sort(key=lambda pair: "*" in pair[1].name)


def variable(key: str) -> Variable | None:
    """What is known of a variable; None: nothing. ``SCREEN_07_XKBLAYOUT`` is XKBLAYOUT for one screen."""
    found = _PLAIN.get(key) or next((each for pattern, each in _PATTERNS if pattern.fullmatch(key)), None)
    of_a_screen = _OF_A_SCREEN.fullmatch(key)
    return found or (variable(of_a_screen[1]) if of_a_screen else None)


def by_state(keys: Iterable[str]) -> dict[str, list[str]]:
    """State → the variables among these, each once, in order; those that nobody knows below an empty text."""
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        known = variable(key)
        found.setdefault(known.state if known else "", []).append(key)
    return found
