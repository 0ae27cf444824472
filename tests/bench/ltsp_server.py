"""An LTSP 23 server whose clients have the X server, fonts and greeter of our images, or a fat client's desktop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from farm.export.nfs import PORT
from farm.image.kinds import layer_dir
from farm.node.roles.session import NO_GPU
from farm.virtual.bridge import BRIDGE, create
from tests.clean_machine import in_chroot, install_debian
from tests.lab import Namespace, namespaces

SERVER = "192.168.67.1"
"""LTSP's own default, in the network of its dnsmasq's settings."""
PACKAGES = (
    *("ltsp", "linux-image-amd64", "initramfs-tools", "busybox", "zstd", "systemd-sysv", "udev", "dbus", "kmod"),
    *("iproute2", "nfs-common", "squashfs-tools", "cpio", "ipxe", "openssh-client", "sshfs", "libpam-systemd"),
    *("xserver-xorg-core", "xserver-xorg-input-libinput", "xserver-xorg-video-fbdev", "xserver-xorg-video-vesa"),
    *("x11-xserver-utils", "xauth", "fonts-dejavu-core", "lightdm", "lightdm-gtk-greeter"),
)
CACHE = Path(os.environ.get("FARM_TEST_IMAGES", "/var/cache/icecream-farm/images")).parent / "ltsp-server"
LTSP_CONF = "[server]\nMENU_TIMEOUT=-1\n"
"""Its boot menu is not shown: it would wait for five seconds."""
LOOK = layer_dir("session") / "root/etc/lightdm/lightdm-gtk-greeter.conf"
MANUAL = "[Seat:*]\ngreeter-hide-users=true\ngreeter-show-manual-login=true\n"
SET_UP = """set -eu
install -m 660 -D /dev/stdin /etc/ltsp/ltsp.conf <<'END'
{conf}END
install -D -m 644 /dev/stdin /etc/X11/xorg.conf.d/90-no-gpu.conf <<'END'
{xorg}END
install -m 644 /dev/stdin /etc/lightdm/lightdm-gtk-greeter.conf <<'END'
{look}END
install -D -m 644 /dev/stdin /etc/lightdm/lightdm.conf.d/50-manual.conf <<'END'
{manual}END
ltsp image /
ltsp kernel
ltsp initrd
ltsp ipxe
"""
"""What its documentation says for an image of the server's own root ("chrootless"), and the look of our greeter. X is
spared the search for a GPU, as in our image: without one it would take this client half a minute more."""
DNSMASQ = "usr/share/ltsp/server/dnsmasq/ltsp-dnsmasq.conf"
GANESHA = (
    "NFS_CORE_PARAM {{ Protocols = 3,4; NFS_Port = {port}; mount_path_pseudo = true; Enable_NLM = false; "
    "Enable_RQUOTA = false; }} NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = /run/ganesha; }} "
    "NFS_KRB5 {{ Active_krb5 = false; }} LOG {{ Default_Log_Level = WARN; }} "
    "EXPORT_DEFAULTS {{ Access_Type = RO; Squash = No_Root_Squash; SecType = sys; Protocols = 3,4; }} "
    "EXPORT {{ Export_Id = 2; Path = {folder}; Pseudo = /srv/ltsp; FSAL {{ Name = VFS; }} }}"
)
"""In place of the kernel's server, which not every kernel has; with NFSv3, which the initrd of Debian mounts."""
SERVE_NFS = """set -eu
mount -t tmpfs tmpfs /run
mkdir /run/rpcbind /run/ganesha
rpcbind -f &
rpcbind=$!
until [ -S /run/rpcbind.sock ]; do sleep 0.1; done
printf '%s\\n' "$1" > /run/ganesha/ganesha.conf
ganesha.nfsd -F -f /run/ganesha/ganesha.conf -L STDERR -p /run/ganesha/ganesha.pid &
trap 'kill -KILL "$rpcbind" "$!"' TERM
wait
"""


def desktop_packages() -> list[str]:
    """What our fat client has besides: its desktop and its programs."""
    trees = (ET.parse(layer_dir(layer) / "appliance.kiwi") for layer in ("fat-client", "desktop-xfce"))
    return [package.attrib["name"] for tree in trees for package in tree.iter("package")]


def ltsp_root(*more: str) -> Path:
    """The server's root with its image and its boot files, made when it is not there yet (some minutes) and kept.

    ``more``: packages that its clients have besides the greeter.
    """
    packages = [*PACKAGES, *more]
    script = SET_UP.format(conf=LTSP_CONF, xorg=NO_GPU, look=LOOK.read_text(), manual=MANUAL)
    root = CACHE / hashlib.sha256(shlex.join([*packages, script]).encode()).hexdigest()[:12]
    if not root.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            new = Path(scratch) / "root"
            install_debian(new, *packages)
            in_chroot(new, script)
            new.rename(root)
    return root


@contextlib.contextmanager
def ltsp_server(root: Path) -> Iterator[Namespace]:
    """The server in a namespace, with a tap for one machine: DHCP, TFTP and NFS."""
    with namespaces(f"{SERVER}/24", interface=BRIDGE) as (namespace,):
        create(namespace.name, 1500, taps=1)
        lines = (root / DNSMASQ).read_text().replace("tftp-root=/srv/tftp", f"tftp-root={root}/srv/tftp").splitlines()
        settings = namespace.folder / "dnsmasq.conf"
        settings.write_text("\n".join(line for line in lines if "set:proxy" not in line) + "\n")
        leases = f"--dhcp-leasefile={namespace.folder / 'leases'}"
        namespace.start("dnsmasq", "dnsmasq", "--keep-in-foreground", "--user=root", f"--conf-file={settings}", leases)
        export = GANESHA.format(port=PORT, folder=root / "srv/ltsp")
        namespace.start("nfs", "unshare", "--mount", "sh", "-c", SERVE_NFS, "sh", export)
        namespace.wait_for(PORT)
        yield namespace
