"""Language and time of the machine: LANG, TIMEZONE, TIMESERVER, SHUTDOWN_TIME."""

from __future__ import annotations

import re

from farm.node.session.lts_values import LtsValues
from farm.node.session.machine_setup import PACKAGES, Change, ThinMachine, checked, merged, unusable
from farm.node.session.session_settings import HOST

LOCALE = r"[A-Za-z]{1,8}(_[A-Z]{2})?(\.[A-Za-z0-9-]{1,16})?(@[a-z]{1,16})?"
ZONE = r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}"
ZONES = "/usr/share/zoneinfo"
TIMESYNCD = "/usr/lib/systemd/system/systemd-timesyncd.service"
SHUTDOWN_TIMER = "farm-shutdown.timer"
_HOUR = re.compile("([01]?[0-9]|2[0-3]):([0-5][0-9])(:([0-5][0-9]))?")


def change(place: ThinMachine) -> Change:
    """The clock's zone and server, the locale of the programs that run here, and when the machine is switched off."""
    return merged((_language(place), _zone(place), _time_server(place), _shutdown(place.lts)))


def _language(place: ThinMachine) -> Change:
    locale, said = checked("LANG", place.lts.text("LANG"), LOCALE)
    if not locale:
        return Change(said=said)
    files = {"etc/default/locale": f"LANG={locale}\n"}
    known = locale in ("C", "POSIX", "C.UTF-8") or any(map(place.has, _places(locale)))
    lacks = "LANG: the image has no locales, so programs of the machine itself speak English"
    return Change(files, said=() if known else (f"{lacks}; {PACKAGES.format('locales-all')}",))


def _places(locale: str) -> tuple[str, ...]:
    """Where it can be: of Debian's locales-all in a folder of its own, of `locales` in one file with others."""
    name, _, rest = locale.partition(".")
    charset, at, modifier = rest.partition("@")
    folder = f"{name}.{charset.lower().replace('-', '')}{at}{modifier}" if charset else locale
    return f"/usr/lib/locale/{folder}", "/usr/lib/locale/locale-archive"


def _zone(place: ThinMachine) -> Change:
    zone, said = checked("TIMEZONE", place.lts.text("TIMEZONE"), ZONE)
    if not zone:
        return Change(said=said)
    if not place.has(f"{ZONES}/{zone}"):
        return Change(said=(unusable("TIMEZONE", zone, f"is not below {ZONES}"),))
    return Change({"etc/timezone": f"{zone}\n"}, commands=(("ln", "-sfn", f"{ZONES}/{zone}", "/etc/localtime"),))


def _time_server(place: ThinMachine) -> Change:
    servers = place.lts.words("TIMESERVER")
    valid = [server for server in servers if HOST.fullmatch(server.lower())]
    said = tuple(unusable("TIMESERVER", each) for each in servers if each not in valid)
    if not valid:
        return Change(said=said)
    if not place.has(TIMESYNCD):
        return Change(said=(*said, f"TIMESERVER: {PACKAGES.format('systemd-timesyncd')}"))
    conf = f"[Time]\nNTP={' '.join(valid)}\nFallbackNTP=\n"
    return Change({"etc/systemd/timesyncd.conf.d/farm.conf": conf}, units=("systemd-timesyncd.service",), said=said)


def _shutdown(lts: LtsValues) -> Change:
    hour = lts.text("SHUTDOWN_TIME")
    if not hour:
        return Change()
    if not (found := _HOUR.fullmatch(hour)):
        return Change(said=(unusable("SHUTDOWN_TIME", hour),))
    timer = (
        "[Unit]\nDescription=SHUTDOWN_TIME of lts.conf\n\n"
        f"[Timer]\nOnCalendar=*-*-* {int(found[1]):02}:{found[2]}:{found[4] or '00'}\n"
        "AccuracySec=1s\nUnit=poweroff.target\n"
    )
    return Change({f"etc/systemd/system/{SHUTDOWN_TIMER}": timer}, units=(SHUTDOWN_TIMER,))
