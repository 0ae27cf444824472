#!/bin/bash
# Runs after the common post_bootstrap.sh: a desktop speaks its user's language.
set -eu

echo 'path-include=/usr/share/locale/*' > /etc/dpkg/dpkg.cfg.d/farm-translations
