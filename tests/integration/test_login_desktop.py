"""The desktop of a session as lts.conf and its user choose it, with real lightdm, sshd and Xsession."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.login_room import PASSWORD, USER, LoginRoom, login_room

AS_SESSION = ("setpriv", "--reuid=64000", "--regid=64000", "--clear-groups", "env", "HOME=/run/farm/home", "DISPLAY=:0")
NOTED = f"/home/{USER}/noted"
SHORT = f"""#!/bin/sh
echo "$DESKTOP_SESSION ${{XDG_CURRENT_DESKTOP:-}} ${{LANG:-}}" > {NOTED}
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[LoginRoom]:
    """Where somebody is logged in, and sessions end by themselves."""
    with login_room() as room:
        for name in ("first", "second"):
            entry = f"[Desktop Entry]\nDesktopNames={name.title()};\nExec=/usr/bin/{name} --session\n"
            room.server.machine.write(f"/usr/share/xsessions/{name}.desktop", entry)
            room.server.machine.write(f"/usr/bin/{name}", SHORT, 0o755)
        room.server.machine.write("/usr/bin/starter", "#!/bin/sh\nDESKTOP_SESSION=by-starter\nexec $1\n", 0o755)
        assert room.client.log_in(USER, PASSWORD)[0]
        yield room


@pytest.mark.parametrize(
    "lts, last, started",
    [
        ({"LDM_SESSION": "first"}, "", "first First"),
        ({"LDM_SESSION": "/usr/bin/first --session"}, "", "first First"),
        ({"LDM_SESSION": "first"}, "Session=second", "second Second"),
        ({"LDM_SESSION": "first"}, "Session=gone", "first First"),
        ({"LDM_FORCE_SESSION": "first"}, "Session=second", "first First"),
        ({"LDM_FORCE_SESSION": "first;id"}, "Session=second", "second Second"),
        ({"LDM_LANGUAGE": "C.UTF-8"}, "Session=first", "first First C.UTF-8"),
        ({"LDM_LANGUAGE": "C.UTF-8"}, "Session=first\nLanguage=POSIX", "first First POSIX"),
        ({"LDM_FORCE_LANGUAGE": "C.UTF-8"}, "Session=first\nLanguage=POSIX", "first First C.UTF-8"),
        ({"LDM_XSESSION": "/usr/bin/starter"}, "Session=first", "by-starter First"),
    ],
)
def test_lts_conf_and_the_last_choice_say_what_is_started(
    shared: LoginRoom, lts: dict[str, str], last: str, started: str
) -> None:
    shared.client.set_lts(**lts)
    shared.server.machine.write(f"/home/{USER}/.dmrc", f"[Desktop]\n{last}\n")
    shared.server.machine.path(NOTED).unlink(missing_ok=True)

    shared.client.machine.run(*AS_SESSION, "/usr/lib/farm/thin-session")

    assert shared.server.machine.path(NOTED).read_text().strip().startswith(started)
