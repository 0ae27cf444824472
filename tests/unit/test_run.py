import os
import pwd

from farm.workstation.run.watched_run import as_user, sudo_caller


def test_who_called_sudo() -> None:
    nobody = pwd.getpwnam("nobody")
    assert sudo_caller({"SUDO_UID": str(nobody.pw_uid)}) == (nobody if os.geteuid() == 0 else None)
    for uid in ("0", "", "x", "4000000000"):
        assert sudo_caller({"SUDO_UID": uid}) is None
    found = as_user({"SUDO_UID": "1", "SUDO_USER": "x", "HOME": "/root", "LANG": "C"}, nobody)
    assert found == {"HOME": nobody.pw_dir, "USER": "nobody", "LOGNAME": "nobody", "LANG": "C"}
