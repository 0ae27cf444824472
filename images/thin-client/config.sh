#!/bin/bash
# Runs after the common config.sh: takes out what comes with a desktop's packages, and a thin client never uses.
set -eu

# Sessions of this machine: only those of the farm, as the greeter would offer all that there are.
rm -f /usr/share/xsessions/* /usr/share/wayland-sessions/*

# xrdb would run the C preprocessor over a user's X resources: those are the server's to load.
rm -rf /usr/lib/gcc /usr/bin/*cpp*
