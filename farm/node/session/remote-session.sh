# Runs on the server, as the user, for as long as the session lasts: by sh -c, with what `thin_session` says in the
# environment (FARM_*) and at standard input: the X server's cookie, or an empty line; then lines KEY=VALUE for the
# session's environment and an empty one, which are sent when this has said where the session's folder is; and then a
# byte every few seconds.
set -u
sshd=$PPID

IFS= read -r cookie
# Readable by this user alone, and gone when the session ends.
folder=$(mktemp -d /tmp/farm-XXXXXXXX 2>&1)
printf 'FARM-FOLDER %s\n' "$folder"
[ -d "$folder" ] || folder=
leave() {
	[ -z "$folder" ] || rm -rf "$folder"
	exit "$1"
}
probe=$(mktemp "$HOME/.farm-XXXXXXXX" 2> /dev/null) || leave "$FARM_NO_HOME"
rm -f "$probe"
if [ -n "$cookie" ]; then
	DISPLAY=${SSH_CONNECTION%% *}:$FARM_DISPLAY
	# By standard input: arguments are seen by all users of the server.
	printf 'remove %s\nadd %s MIT-MAGIC-COOKIE-1 %s\n' "$DISPLAY" "$DISPLAY" "$cookie" | xauth -q source - || DISPLAY=
	export DISPLAY
fi
[ -n "${DISPLAY:-}" ] || leave "$FARM_NO_DISPLAY"

LTSP_CLIENT=${SSH_CONNECTION%% *}
LTSP_CLIENT_HOSTNAME=$FARM_NAME
LTSP_CLIENT_MAC=$FARM_MAC
XDG_SESSION_TYPE=x11
export LTSP_CLIENT LTSP_CLIENT_HOSTNAME LTSP_CLIENT_MAC XDG_SESSION_TYPE

# The first value of a key: of ~/.dmrc, where the user's last choices are, or of a session's file.
value() {
	sed -n "/^$1=/{s///p;q;}" "$2" 2> /dev/null
}
language=$FARM_LANGUAGE
[ -n "$language" ] || language=$(value Language ~/.dmrc)
[ -n "$language" ] || language=$FARM_DEFAULT_LANGUAGE
if [ -n "$language" ]; then
	LANG=$language
	export LANG
fi

# The session: as told, as chosen last here, as told by default, or what there is.
desktops=/usr/share/xsessions
session=$FARM_SESSION
if [ -z "$session" ]; then
	session=$(value Session ~/.dmrc)
	[ -n "$session" ] && [ -r "$desktops/${session##*/}.desktop" ] || session=$FARM_DEFAULT_SESSION
fi
if [ -z "$session" ] && [ ! -e ~/.xsession ] && ! command -v x-session-manager > /dev/null; then
	for session in "$desktops"/*.desktop; do break; done
	session=${session##*/} session=${session%.desktop}
fi
# What is no session's name is a command, which may be that of a session.
command=$session desktop=$desktops/${session##*/}.desktop
if [ -n "$session" ] && [ ! -r "$desktop" ]; then
	for desktop in "$desktops"/*.desktop; do
		[ "$(value Exec "$desktop")" != "$session" ] || break
		desktop=
	done
fi
if [ -n "$session" ] && [ -r "$desktop" ]; then
	command=$(value Exec "$desktop")
	DESKTOP_SESSION=${desktop##*/} DESKTOP_SESSION=${DESKTOP_SESSION%.desktop}
	XDG_CURRENT_DESKTOP=$(value DesktopNames "$desktop" | sed 's/;*$//; s/;/:/g')
	export DESKTOP_SESSION XDG_CURRENT_DESKTOP
fi

if [ -n "$FARM_REMEMBER" ]; then
	{
		echo "[Desktop]"
		[ -z "${DESKTOP_SESSION:-}" ] || printf 'Session=%s\n' "$DESKTOP_SESSION"
		[ -z "$language" ] || printf 'Language=%s\n' "$language"
	} > ~/.dmrc
fi

for xsession in "$FARM_XSESSION" /etc/X11/xinit/Xsession /etc/X11/Xsession /usr/lib/X11/xdm/Xsession /etc/X11/xdm/Xsession; do
	[ ! -x "$xsession" ] || break
done
[ -x "$xsession" ] || leave "$FARM_NO_XSESSION"

# What the client has beside a screen; one that says nothing any more is gone, and its connection goes with it.
# FARM_BEAT is by what a log-in elsewhere finds what waits, to end the session: see one_session.py.
settings=$(FARM_BEAT=1 timeout "$FARM_PATIENCE" sed -u '/^$/q') || {
	kill "$sshd"
	leave 1
}
while IFS= read -r setting; do
	[ -z "$setting" ] || export "${setting?}"
done << END
$settings
END
# Menu entries of programs at the client: before those of the server.
if [ -n "${FARM_DATA:-}" ]; then
	XDG_DATA_DIRS=$FARM_DATA:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}
	export XDG_DATA_DIRS
fi

# A client that was switched off or unplugged says no good-bye, and sshd would wait for hours: the session ends then,
# and so does its connection.
trap '' HUP
ended=0
trap 'ended=$FARM_ENDED' USR1
exec 3<&0 < /dev/null
(
	while beat=$(FARM_BEAT=1 timeout "$FARM_PATIENCE" head -c 1 <&3); how=$? && [ -n "$beat" ]; do :; done
	[ -z "$folder" ] || rm -rf "$folder"
	[ "$how" -le 124 ] || kill -USR1 $$
	kill -HUP 0
	[ "$how" -le 124 ] || sleep 5
	kill "$sshd"
) > /dev/null 2>&1 &
watch=$!
# What a session leaves running must not hold the connection by its output, which Xsession keeps in ~/.xsession-errors.
(
	trap - HUP
	# shellcheck disable=SC2046 # names, without spaces
	unset $(env | sed -n 's/^\(FARM_[A-Z_]*\)=.*/\1/p')
	exec "$xsession" ${command:+"$command"} 3<&- > /dev/null 2>&1
)
kill "$watch"
leave "$ended"
