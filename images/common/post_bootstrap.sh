#!/bin/bash
# Runs in the new root before the image's packages are installed: makes that installation quick and lean.
set -eu

# The tree is thrown away when a build fails, so nothing needs to survive a power cut.
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/farm-unsafe-io
cat > /etc/dpkg/dpkg.cfg.d/farm-no-docs <<'CFG'
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
CFG

# images.sh makes the one initrd that is wanted; the kernel package shall not make another,
# and the package that owns this setting shall not ask about it.
echo force-confold > /etc/dpkg/dpkg.cfg.d/farm-keep-settings
mkdir -p /etc/initramfs-tools
echo update_initramfs=no > /etc/initramfs-tools/update-initramfs.conf

# No service starts inside a build.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
