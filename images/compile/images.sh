#!/bin/bash
# Runs after the common images.sh: iceccd is started, and of icecream nothing else.
set -eu

ln -s ../{iceccd,iceccd-login}.service /etc/systemd/system/multi-user.target.wants/
systemctl --quiet mask icecc-scheduler.service
