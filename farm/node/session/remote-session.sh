# Runs on the server, as the user, for as long as the session lasts: by sh -c, with what `thin_session` says in the
# environment (FARM_*) and at standard input: the X server's cookie, or an empty line, and then a byte every few seconds.
set -u
sshd=$PPID

IFS= read -r cookie
probe=$(mktemp "$HOME/.farm-XXXXXXXX" 2> /dev/null) && rm -f "$probe" || exit "$FARM_NO_HOME"
if [ -n "$cookie" ]; then
	DISPLAY=${SSH_CONNECTION%% *}:$FARM_DISPLAY
	# By standard input: arguments are seen by all users of the server.
	printf 'remove %s\nadd %s MIT-MAGIC-COOKIE-1 %s\n' "$DISPLAY" "$DISPLAY" "$cookie" | xauth -q source - || DISPLAY=
	export DISPLAY
fi
[ -n "${DISPLAY:-}" ] || exit "$FARM_NO_DISPLAY"

LTSP_CLIENT=${SSH_CONNECTION%% *}
LTSP_CLIENT_HOSTNAME=$FARM_NAME
LTSP_CLIENT_MAC=$FARM_MAC
XDG_SESSION_TYPE=x11
export LTSP_CLIENT LTSP_CLIENT_HOSTNAME LTSP_CLIENT_MAC XDG_SESSION_TYPE
if [ -n "$FARM_LANGUAGE" ]; then
	LANG=$FARM_LANGUAGE
	export LANG
fi

# The session: as told, as chosen last here, or what there is. What was told and is no session's name is a command.
session=$FARM_SESSION command=$FARM_SESSION
[ -n "$session" ] || session=$(sed -n 's/^Session=//p' ~/.dmrc 2> /dev/null | head -n 1)
if [ -z "$session" ] && [ ! -e ~/.xsession ] && ! command -v x-session-manager > /dev/null; then
	for session in /usr/share/xsessions/*.desktop; do break; done
	session=${session##*/} session=${session%.desktop}
fi
desktop=/usr/share/xsessions/${session##*/}.desktop
if [ -n "$session" ] && [ -r "$desktop" ]; then
	command=$(sed -n 's/^Exec=//p' "$desktop" | head -n 1)
	DESKTOP_SESSION=$session
	XDG_CURRENT_DESKTOP=$(sed -n 's/^DesktopNames=//p' "$desktop" | head -n 1 | sed 's/;*$//; s/;/:/g')
	export DESKTOP_SESSION XDG_CURRENT_DESKTOP
fi

for xsession in /etc/X11/xinit/Xsession /etc/X11/Xsession /usr/lib/X11/xdm/Xsession /etc/X11/xdm/Xsession; do
	[ ! -x "$xsession" ] || break
done
[ -x "$xsession" ] || exit "$FARM_NO_XSESSION"

# A client that was switched off or unplugged says no good-bye, and sshd would wait for hours: the session ends then,
# and so does its connection.
trap '' HUP
exec 3<&0 < /dev/null
(
	while beat=$(timeout "$FARM_PATIENCE" head -c 1 <&3) && [ -n "$beat" ]; do :; done
	[ -z "$FARM_FOLDER" ] || rm -rf "$FARM_FOLDER"
	kill -HUP 0
	kill "$sshd"
) > /dev/null 2>&1 &
watch=$!
# What a session leaves running must not hold the connection by its output, which Xsession keeps in ~/.xsession-errors.
(
	trap - HUP
	exec env -u FARM_SESSION -u FARM_LANGUAGE -u FARM_NAME -u FARM_MAC -u FARM_DISPLAY -u FARM_PATIENCE \
		-u FARM_FOLDER -u FARM_NO_HOME -u FARM_NO_DISPLAY -u FARM_NO_XSESSION "$xsession" ${command:+"$command"} 3<&- > /dev/null 2>&1
)
kill "$watch"
[ -z "$FARM_FOLDER" ] || rm -rf "$FARM_FOLDER"
