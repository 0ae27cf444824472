"""A machine that boots a node's kernel and initrd directly, and runs a shell script where it would mount its root."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from farm.virtual.qemu import kvm_works
from tests.lab import Namespace, until

MAC = "52:54:00:fb:00:01"
_PROBE = """. /scripts/farm
mountroot() {
	mkdir -p /run/farm
	farm_network
	farm_root
	exec > /dev/console 2>&1
	SCRIPT
}
"""
"""What the initrd's init sources for ``boot=probe``: the farm's script with another end."""


class Guest:
    """A machine that runs; ``console`` is all that its screen has shown."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def console(self) -> str:
        return self._log.read_text(errors="replace")

    def shows(self, text: str, times: int = 1, seconds: float = 240) -> None:
        """Wait until a text has been shown so often; fails the test when it is not."""

        def seen() -> bool:
            assert self._process.poll() is None, f"the machine has ended:\n{self.console[-4000:]}"
            return self.console.count(text) >= times

        until(seen, f"{text!r} is not shown {times} times", seconds)


@contextlib.contextmanager
def guest(
    place: Namespace,
    image: Path,
    folder: Path,
    *,
    root: str,
    address: str,
    script: str,
    programs: Sequence[Path] = (),
    mtu: int = 1500,
) -> Iterator[Guest]:
    """One on the bridge of a place; ``image``: a version's folder, ``root``: farm.root, ``address``: its own.

    ``programs`` are static, and lie in its folder /scripts; ``mtu``: of its frames, which the bridge must let through.
    """
    (folder / "scripts").mkdir()
    (folder / "scripts" / "probe").write_text(_PROBE.replace("SCRIPT", script))
    for program in programs:
        shutil.copy(program, folder / "scripts")
    initrd, log = folder / "initrd", folder / "console.log"
    names = "".join(
        f"{name}\n" for name in ("scripts", "scripts/probe", *(f"scripts/{each.name}" for each in programs))
    )
    with initrd.open("wb") as out:
        argv = ["busybox", "cpio", "-o", "-H", "newc"]
        subprocess.run(argv, input=names.encode(), stdout=out, cwd=folder, check=True)
        out.write((image / "initrd").read_bytes())
    log.touch()
    place.run("ip", "tuntap", "add", "tap0", "mode", "tap")
    place.run("ip", "link", "set", "tap0", "mtu", str(mtu), "master", place.interface, "up")
    line = f"boot=probe panic=-1 console=ttyS0,115200 no_timer_check loglevel=7 mitigations=off farm.root={root} "
    line += f"farm.mtu={mtu} BOOTIF=01-{MAC.replace(':', '-')} ip={address}:::255.255.255.0:::off"
    argv = [
        *("ip", "netns", "exec", place.name, "qemu-system-x86_64", "-machine", "pc"),
        *(["-accel", "kvm", "-cpu", "host"] if kvm_works() else ["-accel", "tcg,thread=multi", "-cpu", "max,-erms"]),
        *("-smp", "2", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-netdev", "tap,id=lan,ifname=tap0,script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=lan,mac={MAC},romfile="),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
        *("-serial", f"file:{log}", "-kernel", str(image / "kernel"), "-initrd", str(initrd), "-append", line),
    ]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        yield Guest(process, log)
    finally:
        process.kill()
        process.wait()
        place.run("ip", "link", "del", "tap0")
