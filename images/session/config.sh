#!/bin/bash
# Runs after the common config.sh: what comes with a desktop's packages, and no machine with a log-in uses.
set -eu

# Sessions of this machine: only those of the farm, as the greeter would offer all that there are.
rm -f /usr/share/xsessions/* /usr/share/wayland-sessions/*

# GCC's preprocessor comes with xrdb, which runs it over a user's X resources: on a thin client those are the server's to
# load, and a fat client has a smaller one.
rm -rf /usr/lib/gcc /usr/bin/{cpp,cpp-*,x86_64-linux-gnu-cpp*}
