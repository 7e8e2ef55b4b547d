#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes a fresh Debian in a folder, runs demo.sh and check.sh in it on what is committed here, and takes it all away again.
# Where this machine cannot execute its programs, emulate.sh does what check.sh --short would.
#   fresh.sh RELEASE ARCH     by hand: check.sh --release RELEASE --arch ARCH
set -euo pipefail
cd "$(dirname "$0")/.."

release=$1 arch=$2
logs=build/$release-$arch downloads=build/downloads/$release-$arch
system='' child=''

give_up() { printf '%s\n0 passed, 1 failed\n' "$*" >&2; exit 1; }

# Those that run in the fresh system, wherever in it they stand.
inhabitants() { find /proc -maxdepth 2 -path '/proc/[0-9]*/root' -lname "$system" -printf '%h\n' 2>/dev/null | sed 's|/proc/||'; }

clean_up() {
    local code=$? left
    trap '' EXIT INT TERM HUP
    if [[ -n $child ]]; then
        kill -TERM -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    [[ -n $system ]] || exit "$code"
    for _ in {1..100}; do
        mapfile -t left < <(inhabitants)
        ((${#left[@]})) || break
        kill -KILL "${left[@]}" 2>/dev/null || true
        sleep 0.1
    done
    # What the closing lines point at.
    (cd "$system/srv/popfs/build" 2>/dev/null && cp -r --parents ./*/meson-logs "$OLDPWD/$logs") || true
    # Lazily: with all that is mounted below, at once, and whatever state it is in.
    umount --lazy "$system" 2>/dev/null || true
    if grep -qF " $system" /proc/self/mountinfo; then
        echo "Something is still mounted in $system, which is therefore left there." >&2
        exit 1
    fi
    rm -rf --one-file-system "$system"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In the background and in a group of its own: a signal is heard at once, and all of it can be ended.
run() {
    local code=0
    setsid "$@" &
    child=$!
    wait "$child" || code=$?
    child=''
    return "$code"
}

# Where this machine gets Debian from, for the other release. Without such a line mmdebstrap knows where.
sources() {
    local mine
    # shellcheck source=/dev/null
    mine=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    # shellcheck disable=SC2016 # apt puts the words in
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(SITE) $(RELEASE)' 'Created-By: Packages' |
        sed -nE "s/^Debian main ([^ ]+) $mine((-updates|-security)?)\$/deb \1 $release\2 main/p" | sort -u
}

# The kernel is among the packages of an emulated system.
ask_for_kernel() {
    ! grep -q 'Unable to locate package linux-image' "$logs/mmdebstrap.log" || {
        echo "Debian has no kernel for $arch in $release: this system cannot be emulated, only run where a kernel executes its programs." >&2
        exit 2
    }
}

# inside COMMAND…: in the clone in the fresh system, with nothing of the caller's environment but what leads to the network.
inside() {
    local name words=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    for name in http_proxy https_proxy no_proxy TERM; do
        [[ ! -v $name ]] || words+=("$name=${!name}")
    done
    run chroot "$system" env -i "${words[@]}" sh -c 'cd /srv/popfs && exec "$@"' sh "$@"
}

./contrib/packages.sh fresh || give_up "The packages are not there."
# It has brought a small program of each, and starts it.
if why=$(arch-test "$arch" 2>&1); then
    variant=minbase packages=(ca-certificates) emulated=no
else
    [[ $arch == i386 ]] || give_up "This machine executes no programs for $arch, and emulate.sh knows only i386."
    echo "Emulated, which takes long: a program for $arch was tried, and this machine does not execute it ($why)."
    ./contrib/packages.sh emulate || give_up "The packages are not there."
    variant=extract packages=("$(./contrib/packages.sh emulated)") emulated=yes
fi
mkdir -p build && chown --reference=. build
rm -rf "$logs"
mkdir -p "$logs" "$downloads"
system=$(mktemp -d "/var/tmp/popfs-$release-$arch.XXXXXX")
chmod 755 "$system"
# Itself on itself: who looks from inside sees a root, and it is all gone with this one.
mount --bind --make-private "$system" "$system"

printf '\n== a fresh Debian: %s, %s\n' "$release" "$arch"
# Mirrors may have old lists of the updates for other architectures, which then fit no signature.
mapfile -t lines < <(sources | if [[ $arch != "$(dpkg --print-architecture)" ]]; then grep " $release main$"; else cat; fi)
apt-config dump --no-empty | grep -E '^Acquire::(Check-|Retries|https?::)' >"$logs/apt.conf" || true
run mmdebstrap --mode=root --variant="$variant" --include="${packages[*]}" --architectures="$arch" --dpkgopt=force-unsafe-io \
    --skip=check/qemu --aptopt="$PWD/$logs/apt.conf" "$release" "$system" "${lines[@]}" >"$logs/mmdebstrap.log" 2>&1 ||
    { tail -20 "$logs/mmdebstrap.log"; ask_for_kernel; give_up "There is no fresh system."; }
mkdir -p "$system/srv/popfs"
# The folder may be another user's, who called sudo.
git -c safe.directory="$PWD" archive HEAD | tar -xC "$system/srv/popfs"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$system/etc/hosts"
# What starts a system or a container makes this; fusermount3 of a user looks there.
ln -s ../proc/self/mounts "$system/etc/mtab"
if [[ $emulated == yes ]]; then
    run ./contrib/emulate.sh "$system" "$logs"
    exit
fi

touch "$system/dev/fuse"
for path in /dev/fuse /dev/pts /proc; do
    mount --bind --make-private "$path" "$system$path"
done
# What was downloaded once is there the next time.
mount --bind --make-private "$downloads" "$system/var/cache/apt/archives"
if [[ $arch == "$(dpkg --print-architecture)" ]]; then
    inside ./contrib/demo.sh || give_up "The demo failed."
    inside ./contrib/check.sh
else
    inside ./contrib/check.sh --short
fi
