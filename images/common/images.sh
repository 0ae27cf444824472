#!/bin/bash
# Runs in the root before it is packed: the initrd, and which units a node starts.
# Everything here is cheap and is done again in every build; package work belongs to config.sh.
set -eu

# Nothing of the build stays behind, and nothing that would be the same on each machine.
rm -f /usr/sbin/policy-rc.d /etc/ssh/ssh_host_*_key* /etc/hostname
: > /etc/machine-id
passwd --quiet --lock root

# mkinitramfs reads /proc; it must not be there when the tree is packed.
mount -t proc proc /proc
trap "umount /proc" EXIT

install -m 755 /image/initramfs/hooks/farm /etc/initramfs-tools/hooks/farm
install -m 644 -t /etc/initramfs-tools/scripts /image/initramfs/scripts/farm /image/initramfs/scripts/farm-verity
install -D -m 644 -t /etc/initramfs-tools/scripts/farm-roads /image/initramfs/scripts/farm-roads/*
cat > /etc/initramfs-tools/conf.d/farm <<'CFG'
MODULES=list
BOOT=farm
COMPRESS=zstd
RESUME=none
FSTYPE=squashfs
CFG
rm -f /boot/initrd.img* /initrd.img* /vmlinuz* /boot/System.map* /usr/share/initramfs-tools/hooks/{dmsetup,fsck,keymap,klibc-utils,kmod,resume,thermal,udev}
rm -rf /usr/share/initramfs-tools/scripts/{init-top/{all_generic_ide,keymap,udev},init-bottom,local-premount}
# Without this each boot would compile farm-node in its RAM.
python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3/dist-packages/farm

# D-Bus's name for the machine is the machine's (initramfs/scripts/farm), not one made here, which all would share.
[ ! -d /var/lib/dbus ] || ln -sfn /etc/machine-id /var/lib/dbus/machine-id

# Drivers went in the config.sh of every layer.
kernel=$(basename /lib/modules/*)
depmod "$kernel"
mkinitramfs -o /boot/initrd "$kernel"

# Links are made here: a Python wheel, which carries this description too, cannot hold them.
units=/etc/systemd/system
mkdir -p $units/{multi-user,sockets}.target.wants
ln -s ../{farm-node-configure,farm-node-agent}.service $units/multi-user.target.wants/
ln -s ../ssh.socket $units/sockets.target.wants/

# What no node needs at boot.
masked=(
  # no one logs in on a console
  getty@.service getty-static.service keyboard-setup.service console-setup.service systemd-ask-password-console.path
  systemd-ask-password-wall.path
  # nothing is kept between boots, nothing on a disk
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer
  man-db.timer systemd-journal-flush.service systemd-random-seed.service systemd-update-utmp.service
  systemd-update-utmp-runlevel.service systemd-pstore.service systemd-machine-id-commit.service
  systemd-boot-system-token.service systemd-remount-fs.service
  # made when the image is built, or never used
  proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-hwdb-update.service
  systemd-journal-catalog-update.service systemd-firstboot.service systemd-sysusers.service
  systemd-update-done.service ldconfig.service networking.service systemd-rfkill.socket sys-kernel-debug.mount
  sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount modprobe@configfs.service
  modprobe@drm.service modprobe@efi_pstore.service modprobe@dm_mod.service modprobe@loop.service
  ssh.service remote-fs.target systemd-networkd-wait-online.service
)
systemctl --quiet mask "${masked[@]}"

# Generators run before all else, and these look for disks.
mkdir -p /etc/systemd/system-generators
for generator in cryptsetup gpt-auto hibernate-resume integritysetup system-update veritysetup; do
  ln -s /dev/null /etc/systemd/system-generators/systemd-$generator-generator
done
