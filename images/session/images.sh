#!/bin/bash
# Runs after the common images.sh: which units of the packages a machine with a log-in starts.
set -eu

masked=(
  # for disks, or for what an installed system keeps
  e2scrub_reap.service
  # started for the printer that is plugged in, by the farm
  p910nd.service
  ModemManager.service packagekit.service
)
systemctl --quiet mask "${masked[@]}"
# Started when somebody asks for it.
systemctl --quiet disable udisks2.service
# Started for TIMESERVER of lts.conf alone: without it, there may be no way to Debian's servers.
systemctl --quiet disable systemd-timesyncd.service
# At a node's boot no users are made.
for users in /usr/lib/sysusers.d/farm-*.conf; do
  [ ! -e "$users" ] || systemd-sysusers "$users"
done
# The greeter is silent: sound starts for whoever logs in.
silent=/var/lib/lightdm/.config/systemd/user
install -d -o lightdm -g lightdm "${silent%/systemd/user}" "$silent"
for unit in pipewire.socket pipewire.service pipewire-pulse.socket pipewire-pulse.service wireplumber.service; do
  ln -s /dev/null "$silent/$unit"
done
systemctl --quiet enable farm-resolver.path farm-resolver.service
