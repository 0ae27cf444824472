#!/bin/bash
# Runs after the images.sh of the layers below: which units of a desktop's packages have no place here.
set -eu

masked=(
  # printers are the server's
  cups.service cups.socket cups.path cups-browsed.service
  # homes and folders by NFS 4 need none of these
  rpcbind.service rpcbind.socket nfs-client.target rpc-statd.service rpc-statd-notify.service nfs-blkmap.service
  # an index of a home belongs on the server
  tracker-miner-fs-3.service tracker-extract-3.service
)
systemctl --quiet mask "${masked[@]}"
systemctl --quiet --global mask tracker-miner-fs-3.service tracker-extract-3.service gnome-keyring-daemon.socket \
          gnome-keyring-daemon.service
