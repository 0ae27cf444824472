#!/bin/bash
# Runs after images/compile/images.sh: what a machine that only compiles needs not is left out of its boot.
set -eu

systemctl --quiet mask kmod-static-nodes.service modprobe@fuse.service
