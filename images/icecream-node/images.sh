#!/bin/bash
# Runs after the common images.sh: iceccd is started, and what it needs not is left out of the boot.
set -eu

ln -s ../{iceccd,iceccd-login}.service /etc/systemd/system/multi-user.target.wants/
systemctl --quiet mask icecc-scheduler.service kmod-static-nodes.service modprobe@fuse.service
