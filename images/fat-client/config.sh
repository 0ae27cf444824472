#!/bin/bash
# Runs after the config.sh of the layers below: what comes with a desktop, and has no place on a machine without a disk.
set -eu

# xrdb runs a preprocessor over a user's X resources.
ln -s mcpp /usr/bin/cpp

# The keyring, indexers and wallets would keep files in the home that the server's own desktop keeps there, too.
rm -f /etc/xdg/autostart/{gnome-keyring-*,tracker-*,org.kde.kwalletd*,print-applet,user-dirs-update-gtk}.desktop

# A desk that is left alone is locked after ten minutes, with a black screen; the next user does not log in beside it.
sed -i -e 's/^\*mode:.*/*mode: blank/' -e 's/^\*lock:.*/*lock: True/' -e 's/^\*splash:.*/*splash: False/' \
       -e 's/^\*newLoginCommand:.*/*newLoginCommand:/' /etc/X11/app-defaults/XScreenSaver-nogl

# Of each language the locale in UTF-8 is enough; some have no other, and no ".utf8" in their name.
for folder in /usr/lib/locale/*/; do
	locale=$(basename "$folder")
	[ "$(LC_ALL=$locale locale charmap 2> /dev/null)" = UTF-8 ] || rm -r "$folder"
done
# Translations of what only programmers and administrators read.
find /usr/share/locale -name "*.mo" \( -name "gtk*-properties.mo" -o -name "apt*.mo" -o -name "dpkg*.mo" -o -name "adduser.mo" \
     -o -name "shadow.mo" -o -name "iso_639*.mo" -o -name "iso_3166-2.mo" \) -delete
