# Runs on the server, as the user, for as long as a stick of the thin client is shown: by sh -c, with FARM_* in its
# environment. Standard input and output are a connection to sftp-server at the client, whose only folder is the stick.
set -u

command -v sshfs > /dev/null || exit "$FARM_NO_SSHFS"
[ -r /dev/fuse ] && [ -w /dev/fuse ] || exit "$FARM_NO_FUSE"
# What a server that lost its power has left: mounts without a program, folders without a mount.
for old in "$HOME"/USB/*; do
	if [ ! -d "$old" ] && fusermount3 -u -z "$old" 2> /dev/null; then rmdir "$old"; fi
done
find "$HOME/USB" -mindepth 1 -maxdepth 1 -type d -mmin +1 -exec rmdir {} + 2> /dev/null

# The folder of its own: who makes it has it. USB goes with the last one, at any moment.
number=1 folder=$HOME/USB/$FARM_STICK
until { mkdir -p "$HOME/USB" && mkdir "$folder"; } 2> /dev/null; do
	number=$((number + 1)) folder="$HOME/USB/$FARM_STICK $number"
	[ "$number" -lt 100 ] || exit "$FARM_NO_PLACE"
done

# The end of the connection ends sshfs; what comes after is still to be done then.
trap '' HUP PIPE
sshfs -f -o "passive,idmap=user,uid=$(id -u),gid=$(id -g),fsname=stick" "farm:$FARM_FOLDER" "$folder"
code=$?
fusermount3 -u -z "$folder" 2> /dev/null
rmdir "$folder" "$HOME/USB" 2> /dev/null
exit "$code"
