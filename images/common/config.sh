#!/bin/bash
# Runs in the new root after its packages are installed: takes out what no diskless machine uses. What only some kinds
# do without is left to their own config.sh, which runs after this one.
# What it leaves is kept between builds. What changes often (root/, farm-node, the initrd) comes after it, on a copy.
set -eu

modules=$(echo /lib/modules/*)

# Everything in drivers/ goes, but what a machine boots with, is cooled by, and is used with by somebody who sits at it.
# Some are there because others need them: hv, pcmcia and ssb for network cards, media for screens and sound, misc for
# card readers.
keep_drivers="acpi aoe ata base block cdrom char cpufreq dca dma extcon firmware gpio gpu hid hv hwmon i2c input leds md
  media mfd misc mmc net parport pci pcmcia pinctrl platform powercap pps ptp scsi soundwire ssb thermal tty usb video
  virtio watchdog"
keep_drivers=" ${keep_drivers//$'\n'/ } "
for dir in "$modules"/kernel/drivers/*; do
  case "$keep_drivers" in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
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
       "$modules"/kernel/drivers/usb/{gadget,atm,image,misc,usbip,dwc2,dwc3,chipidea,musb} \
       "$modules"/kernel/drivers/input/{joystick,misc} \
       "$modules"/kernel/drivers/char/{ipmi,tpm,pcmcia}
find "$modules"/kernel/drivers/{media,misc} -mindepth 1 -maxdepth 1 \
     ! -name cec ! -name mc ! -name rc ! -name cardreader ! -name "cb710*" ! -name "tifm_*" -exec rm -rf {} +
# Of the disks' drivers: what reads a stick, a card or a disc.
find "$modules/kernel/drivers/scsi" -mindepth 1 -maxdepth 1 \
     ! -name "sd_mod*" ! -name "sr_mod*" ! -name "scsi_mod*" ! -name "scsi_common*" ! -name "sg.ko*" -exec rm -rf {} +

# File systems: what carries a root or a home over the network and what reads one, and those of sticks and discs.
keep_fs="autofs exfat ext4 fat fscache fuse isofs jbd2 lockd mbcache.ko netfs nfs nfs_common nls overlayfs squashfs udf"
for dir in "$modules"/kernel/fs/*; do
  case " $keep_fs " in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
done

# Of the protocols: bridges, filters and queueing, NFS's RPC, what network cards need (psample, xfrm) and laptops' keys
# (rfkill); no radio, no exotic transport.
keep_net="802 8021q bridge core dns_resolver ipv4 ipv6 key llc netfilter netlink packet psample rfkill sched sunrpc unix
  xfrm"
keep_net=" ${keep_net//$'\n'/ } "
for dir in "$modules"/kernel/net/*; do
  case "$keep_net" in *" ${dir##*/} "*) ;; *) rm -rf "$dir" ;; esac
done
rm -rf "$modules/kernel/arch/x86/kvm" "$modules"/kernel/lib/test_*

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

# usrmerge has done its work when the first packages were installed. It alone has brought Perl: that goes too, unless a
# package of somebody's own needs it.
dpkg --purge --force-depends usrmerge
mapfile -t perl < <(dpkg-query --show --showformat='${Package}\n' \
                    perl 'perl-modules-*' 'libperl5*' lib{file-find-rule,number-compare,text-glob}-perl)
dpkg --purge "${perl[@]}" || true

# Nothing of the installation stays behind.
rm -rf /usr/share/{doc,man,info}/* /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /usr/lib/python3*/test \
       /usr/lib/x86_64-linux-gnu/gconv/IBM* /usr/share/{bug,lintian}
# A kind that speaks other languages says so in its post_bootstrap.sh.
grep -qsr '^path-include=/usr/share/locale' /etc/dpkg/dpkg.cfg.d || rm -rf /usr/share/locale/*
