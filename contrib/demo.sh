#!/bin/bash
# SPDX-License-Identifier: MIT
# Shows popfs at work: a private mail server on 127.0.0.1, a small mailbox, a mount, and everything away again at the end.
#   sudo ./contrib/demo.sh          runs through and cleans up
#   sudo ./contrib/demo.sh --keep   leaves it mounted until Ctrl-C, so that you can look around
set -euo pipefail
cd "$(dirname "$0")/.."

keep=no
case ${1-} in
'') ;;
--keep) keep=yes ;;
*) echo "usage: contrib/demo.sh [--keep]" >&2; exit 2 ;;
esac

((EUID == 0)) || { echo "Run this with sudo: it starts a private mail server and mounts a file system." >&2; exit 1; }
[[ -e /dev/fuse ]] || { echo "/dev/fuse is missing. In a container: --device /dev/fuse --cap-add SYS_ADMIN." >&2; exit 1; }

folder='' server='' popfs=''
tell() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[[ -t 1 ]] || tell() { printf '\n%s\n' "$*"; }
# show COMMAND: what a person would type, then what comes back.
show() {
    printf '$ %s\n' "$1"
    (cd "$folder" && bash -c "$1")
}

clean_up() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [[ -n $folder ]]; then
        mountpoint -q "$folder/mail" && fusermount3 -u "$folder/mail" 2>/dev/null
        wait_popfs
        mountpoint -q "$folder/mail" && fusermount3 -uz "$folder/mail"
        if [[ -n $server ]]; then
            kill "$server" 2>/dev/null
            wait "$server" 2>/dev/null
        fi
        rm -rf "$folder"
    fi
    exit "$code"
}

daemon() { sed -n 's/^mounted on:.*, by process //p' "$folder/mail/.popfs/status"; }

# The daemon goes on a moment after the unmounting: it is then that mail is deleted on the server.
wait_popfs() {
    [[ -n $popfs ]] || return 0
    for _ in {1..300}; do
        # Not /proc/PID alone: in a container nobody may be there to reap it.
        [[ -e /proc/$popfs/exe ]] || { popfs=''; return 0; }
        sleep 0.1
    done
    kill "$popfs" 2>/dev/null || true
    popfs=''
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

tell "Getting ready: packages and build"
./contrib/packages.sh
# Of the clone's owner, who may want to build in it after this was run with sudo.
mkdir -p build && chown --reference=. build
[[ -f build/demo/build.ninja ]] || meson setup build/demo >build/demo.log 2>&1 || { cat build/demo.log; exit 1; }
ninja -C build/demo src/cli/popfs src/ctl/popfsctl >build/demo.log 2>&1 || { cat build/demo.log; exit 1; }

folder=$(mktemp -d /tmp/popfs-demo.XXXXXX)
chmod 755 "$folder"
mkdir "$folder/mail"
# In a session of its own: Ctrl-C must not stop it before popfs has said goodbye to it.
setsid setpriv --pdeathsig TERM /usr/bin/python3 -B tests/mount/dovecot.py "$folder/server" >"$folder/facts" 2>"$folder/errors" &
server=$!
until grep -q READY "$folder/facts"; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/errors"; echo "The mail server does not start." >&2; exit 1; }
    sleep 0.1
done
fact() { sed -n "s/^$1=//p" "$folder/facts"; }
user=$(fact USER) port=$(fact TLS_PORT) cafile=$(fact CAFILE) maildir=$(fact MAILDIR)
(umask 077 && fact PASSWORD >"$folder/password")
on_server() { find "$maildir" -path '*/cur/*' -o -path '*/new/*' | wc -l; }
export XDG_CACHE_HOME=$folder/cache XDG_STATE_HOME=$folder/state PATH="$PWD/build/demo/src/cli:$PWD/build/demo/src/ctl:$PATH"

tell "A mail server of our own listens on 127.0.0.1; it holds $(on_server) messages. Mount them:"
source="pops://$user@127.0.0.1:$port"
show "popfs -o cafile=$cafile,passfile=$folder/password $source mail"
popfs=$(daemon)

tell "Every message is a file. The time is that of its Date, and no message has been fetched yet."
show "ls -l mail"
tell "Any program reads them."
show "grep -rl -i invoice mail"
first=$(find "$folder/mail" -name '*.eml' -printf '%f\n' | sort | head -1)
tell "The start of one:"
show "head -8 mail/$first"
tell "What popfs knows about itself:"
show "popfsctl status mail"

if [[ $keep == yes ]]; then
    tell "It stays mounted on $folder/mail. Look around in another terminal (sudo -i):"
    printf '  %s\n' "PATH=$PWD/build/demo/src/ctl:\$PATH; cd $folder/mail" "less *.eml" \
        "rm SOME.eml                     (hidden; popfsctl undelete . SOME.eml brings it back)" \
        "popfsctl commit .               (deletes it on the server)"
    printf 'To leave: Ctrl-C here, or  popfsctl umount %s\n' "$folder/mail"
    leave=no
    trap 'leave=yes' INT
    while [[ $leave == no ]] && mountpoint -q "$folder/mail"; do
        sleep 0.5 || true
    done
    trap '' INT
    if mountpoint -q "$folder/mail"; then
        fusermount3 -u "$folder/mail" || { echo "Something is still using it; it will be taken away all the same."; exit 1; }
    fi
    wait_popfs
    tell "Unmounted; $(on_server) messages are on the server. Everything has been stopped and removed."
    exit 0
fi

mapfile -t names < <(find "$folder/mail" -name '*.eml' -printf '%f\n' | sort)
tell "Removing mail: the files vanish at once, the server still has all $(on_server) of them."
show "rm mail/${names[0]} mail/${names[1]} mail/${names[2]}"
show "ls mail | wc -l"
echo "on the server: $(on_server)"
tell "On second thoughts: what is still on the server can be brought back, in two ways."
show "ls mail/.popfs/trash"
show "mv mail/.popfs/trash/${names[0]} mail"
show "popfsctl undelete mail ${names[1]}"
tell "A commit deletes the rest on the server."
show "popfsctl commit mail"
echo "on the server: $(on_server)"
tell "Unmounting does so as well, and says what became of it."
show "rm mail/${names[3]}"
show "popfsctl umount mail"
wait_popfs
echo "on the server: $(on_server)"
tell "The next mount has everything that was read, and asks for none of it again."
show "popfs -o cafile=$cafile,passfile=$folder/password $source mail"
popfs=$(daemon)
show "grep -rl -i invoice mail"
show "popfsctl status mail | grep -E 'received|cache'"
show "popfsctl umount mail"
wait_popfs
tell "That was all. The server has been stopped and its files removed."
