#!/bin/bash
# Runs in the new root after its packages are installed: takes out what a diskless compile node never uses.
# What it leaves is kept between builds. What changes often (root/, farm-node, the initrd) comes after it, on a copy.
set -eu

modules=$(echo /lib/modules/*)

# Everything in drivers/ goes, but what a node boots with, is cooled by and is typed at with.
keep_drivers="acpi aoe block char cpufreq dca firmware hid hwmon i2c input md mfd net platform powercap pps ptp thermal usb virtio watchdog"
for dir in "$modules"/kernel/drivers/*; do
  case " $keep_drivers " in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
done

# Wired Ethernet stays; of the data centre's adapters only those found as boot NICs in ordinary servers.
for dir in wireless wwan wan ieee802154 can hamradio ipvlan arcnet fddi appletalk slip ppp plip team dsa; do
  rm -rf "$modules/kernel/drivers/net/$dir"
done
for dir in chelsio qlogic cavium netronome sfc pensando huawei fungible brocade emulex google amazon cisco myricom neterion \
           marvell/octeontx2 marvell/prestera mellanox/mlxsw dec/tulip/uli526x; do
  rm -rf "$modules/kernel/drivers/net/ethernet/$dir"
done
rm -rf "$modules"/kernel/drivers/block/{drbd,rbd.ko,xen-blkback,rnbd,mtip32xx,pktcdvd.ko,floppy.ko} \
       "$modules"/kernel/drivers/usb/{gadget,serial,atm,image,misc,typec,usbip,dwc2,dwc3,chipidea,musb} \
       "$modules"/kernel/drivers/input/{joystick,tablet,touchscreen,misc} \
       "$modules"/kernel/drivers/char/{agp,ipmi,tpm,pcmcia}

# File systems: what carries a root or a home over the network, and what reads one. No disks.
keep_fs="autofs fscache fuse lockd netfs nfs nfs_common nls overlayfs squashfs"
for dir in "$modules"/kernel/fs/*; do
  case " $keep_fs " in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
done

# Of the protocols: bridges, filters and queueing, NFS's RPC; no radio, no exotic transport.
keep_net="802 8021q bridge core dns_resolver ipv4 ipv6 key llc netfilter netlink packet sched sunrpc unix"
for dir in "$modules"/kernel/net/*; do
  case " $keep_net " in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
done
rm -rf "$modules/kernel/sound" "$modules/kernel/arch/x86/kvm"
depmod "${modules##*/}"

# udev reads this file for each device: names of vendors and models are no use to it.
find /usr/lib/udev/hwdb.d -name "20-*" ! -name 20-net-ifname.hwdb -delete
systemd-hwdb --usr update

# Python would read and hash the source of each module to see whether it has changed: what a build with SOURCE_DATE_EPOCH
# compiles says so in its second word. Here nothing changes.
python3 - <<'PYTHON'
from pathlib import Path

CHECKED_HASH, UNCHECKED_HASH = b"\3\0\0\0", b"\1\0\0\0"
for compiled in Path("/usr/lib").glob("python3*/**/*.pyc"):
    code = compiled.read_bytes()
    if code[4:8] == CHECKED_HASH:
        compiled.write_bytes(code[:4] + UNCHECKED_HASH + code[8:])
PYTHON

# Nothing of the build stays behind.
rm -f /usr/sbin/policy-rc.d /etc/ssh/ssh_host_*_key* /etc/hostname
rm -rf /usr/share/{doc,man,info,locale}/* /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /usr/lib/python3*/test \
       /usr/lib/x86_64-linux-gnu/gconv/IBM* /usr/share/{bug,lintian,icons}
: > /etc/machine-id
passwd --lock root
