"""The QEMU machines of the virtual lab: PCs without a disk that boot from the network."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from farm.command import find
from farm.config import VirtualConfig
from farm.home import Home
from farm.image.kinds import KINDS
from farm.image.store import Store
from farm.instance import Instance, VirtualMachine
from farm.supervisor import Service

SCREEN = 1024, 768
"""Pixels; without a size X would take a larger one, and an emulated processor paints each."""
DESK = (
    *("-device", "qemu-xhci,id=usb", "-device", "usb-tablet,bus=usb.0"),
    *("-device", "intel-hda", "-device", "hda-duplex,audiodev=sound"),
)
"""USB, a pointer that is where a VNC viewer's is, and sound; its microphone hears silence."""
NIC_MODEL = {"virtio": "virtio-net-pci", "e1000": "e1000"}


def machines(count: int, nic: str) -> list[VirtualMachine]:
    """The machines of a lab; their MACs are QEMU's prefix and their number."""
    return [
        VirtualMachine(name=f"virtual-{n}", mac=f"52:54:00:fa:{n >> 8:02x}:{n & 255:02x}", nic=nic)
        for n in range(1, count + 1)
    ]


def console_socket(home: Home, name: str) -> Path:
    """The Unix socket of a machine's serial console."""
    return home.runtime / "machines" / f"{name}.console"


def qmp_socket(home: Home, name: str) -> Path:
    """The Unix socket where a machine takes commands (farm/virtual/qmp.py)."""
    return console_socket(home, name).with_suffix(".qmp")


def vnc_socket(home: Home, name: str) -> Path:
    """The Unix socket where a machine's screen is offered by VNC; only root can connect, as to the others."""
    return console_socket(home, name).with_suffix(".vnc")


def services(home: Home, instance: Instance, store: Store) -> list[Service]:
    """The QEMU process of each machine of a lab."""
    config = instance.config
    kinds = {name: KINDS.get(store.get(image).kind) for name, image in instance.images.items()}
    booted = {machine.mac: kinds.get(config.image_of(machine)) for machine in config.listed}
    desks = {mac for mac, kind in booted.items() if kind is not None and kind.desk}
    return [
        service(machine, number, home, config.virtual, desk=machine.mac in desks)
        for number, machine in enumerate(instance.machines, 1)
    ]


def service(
    machine: VirtualMachine, number: int, home: Home, settings: VirtualConfig, *, desk: bool = False
) -> Service:
    """The QEMU process of a machine: it tries the network, and again after 10 s if nothing there boots it.

    ``desk``: people sit at it. Others are spared what they would have to find a driver for at each boot.
    """
    console_path, log = console_socket(home, machine.name), home.logs / f"{machine.name}.console.log"
    console_path.parent.mkdir(parents=True, exist_ok=True)
    accelerator = (
        ["-accel", "kvm", "-cpu", "host"] if kvm_works() else ["-accel", "tcg,thread=multi", "-cpu", "max,-erms"]
    )
    argv = [
        "qemu-system-x86_64",
        *("-name", machine.name),
        *("-machine", "pc"),
        *accelerator,
        *("-smp", str(settings.cpus)),
        *("-m", str(settings.memory)),
        *("-nodefaults", "-no-user-config"),
        *("-boot", "order=n,reboot-timeout=10000"),
        *("-netdev", f"tap,id=lan,ifname=tap{number},script=no,downscript=no"),
        *("-device", f"{NIC_MODEL[machine.nic]},netdev=lan,mac={machine.mac}"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom"),
        *("-device", "virtio-rng-pci,rng=rng"),
        # logappend: farmd empties the log when it has become long.
        *(
            "-chardev",
            f"socket,id=console,server=on,wait=off,path={_option(console_path)},logfile={_option(log)},logappend=on",
        ),
        *("-serial", "chardev:console"),
        *("-qmp", f"unix:{_option(qmp_socket(home, machine.name))},server=on,wait=off"),
        *("-device", f"VGA,xres={SCREEN[0]},yres={SCREEN[1]}"),
        *("-vnc", f"unix:{_option(vnc_socket(home, machine.name))}"),
        *((*_sound(home, machine.name, settings), *DESK, *_printer(home, machine.name)) if desk else ()),
    ]
    return Service(machine.name, argv, order=90, restart=False, stop_seconds=5)


def printed(home: Home, name: str) -> Path:
    """The file of what a machine's printer, at its parallel port, has printed."""
    return console_socket(home, name).with_suffix(".printed")


def played(home: Home, name: str) -> Path:
    """The file of what a machine has played, if that is recorded: PCM after a header of 44 bytes.

    The header counts no frames before the machine is off.
    """
    return console_socket(home, name).with_suffix(".wav")


def _sound(home: Home, name: str, settings: VirtualConfig) -> list[str]:
    recorded = settings.sound == "recorded"
    return ["-audiodev", f"wav,id=sound,path={_option(played(home, name))}" if recorded else "none,id=sound"]


def _printer(home: Home, name: str) -> list[str]:
    paper = f"file,id=paper,path={_option(printed(home, name))},append=on"
    return ["-chardev", paper, "-device", "isa-parallel,chardev=paper"]


def _option(value: object) -> str:
    """A value inside one of QEMU's comma-separated options."""
    return str(value).replace(",", ",,")


EMULATED_KERNEL_OPTIONS = "console=tty0 console=ttyS0,115200 no_timer_check"
"""Of these machines alone: their serial console is kept, and what the kernel says is on the screen, too, as on a PC.
On a busy computer an emulated timer can be so late that the kernel takes it for broken and stops ("IO-APIC + timer
doesn't work")."""


@cache
def kvm_works() -> bool:
    """Whether KVM really runs a guest: the processor must say so, and a boot sector must come to its end.

    The device alone proves nothing: nested hosts offer /dev/kvm and hang their guests.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    return bool({"vmx", "svm"} & set(flags.split())) and _boots_with_kvm()


def _boots_with_kvm() -> bool:
    # mov al, 0x10; out 0xf4, al: isa-debug-exit ends QEMU with (0x10 << 1) | 1.
    sector = bytes([0xB0, 0x10, 0xE6, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(sector.ljust(1 << 16, b"\0"))
        disk.flush()
        argv = [find("qemu-system-x86_64"), "-accel", "kvm", "-cpu", "host", "-nodefaults", "-display", "none"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        argv += ["-drive", f"format=raw,file={disk.name},snapshot=on"]
        try:
            return (
                subprocess.run(argv, timeout=10, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
                == 33
            )
        except subprocess.TimeoutExpired:
            return False
