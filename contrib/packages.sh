#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs from Debian what building and testing popfs needs, and only what is missing. The one list of packages.
#   packages.sh build  to build it with -Dtests=disabled
#   packages.sh        to build and try it
#   packages.sh test   and to run every check
#   packages.sh bench  and the peers that the benchmark measures popfs against
#   packages.sh fresh  only to make a fresh system, which installs the rest in itself
#   packages.sh emulate  and to build for it and run it where its programs cannot be executed
#   packages.sh emulated installs nothing: says what such a system is made of
set -euo pipefail

libraries=(libfuse3-dev libssl-dev libgsasl-dev libidn2-dev libgmime-3.0-dev libsqlite3-dev libjson-c-dev libmount-dev libseccomp-dev
    libxxhash-dev)
packages=(build-essential meson ninja-build pkg-config "${libraries[@]}")
# Used where the release has it.
extra=()
try=(libcmocka-dev fuse3 mount util-linux openssl python3 dovecot-core dovecot-pop3d)
fresh=(mmdebstrap arch-test debian-archive-keyring git)
case ${1-} in
build) ;;
'') packages+=("${try[@]}") ;;
bench) packages+=("${try[@]}" mpop curl fetchmail bindfs) ;;
test)
    packages+=("${try[@]}" clang libclang-rt-dev mandoc shellcheck python3-pytest python3-pytest-xdist zsh fish bash-completion)
    # What people read, copy and overwrite mail with; the tests let each of them meet servers that lie, and messages that stay.
    packages+=(rsync restic borgbackup libarchive-tools cpio less git ripgrep vim-tiny)
    extra=(clang-format-14)
    ;;
fresh) packages=("${fresh[@]}") ;;
emulate) packages=("${fresh[@]}" meson ninja-build pkg-config gcc-i686-linux-gnu qemu-system-x86 cpio) ;;
emulated)
    # No package's script runs there, so what is essential elsewhere is named.
    echo "${libraries[@]}" libcmocka-dev libc6-dev linux-image-686 base-files base-passwd bash coreutils dash findutils fuse3 grep kmod \
        libc-bin mount netbase openssl python3 sed tzdata util-linux
    exit
    ;;
*) echo "usage: contrib/packages.sh [build|test|bench|fresh|emulate|emulated]" >&2; exit 2 ;;
esac

missing=()
# miss PACKAGE…: notes those that are not installed.
miss() {
    local package status
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [[ $status == installed ]] || missing+=("$package")
    done
}

miss "${packages[@]}"
if ((${#missing[@]} > 0 && EUID != 0)); then
    echo "These packages are missing: ${missing[*]}" >&2
    echo "Run this with sudo, or install them first." >&2
    exit 1
fi
command -v apt-get >/dev/null || ((${#missing[@]} == 0)) ||
    { echo "This is not Debian: install the like of ${missing[*]}" >&2; exit 1; }

log='' policy=''
trap 'rm -f $log $policy' EXIT

# Installs what is missing.
install() {
    local command=(apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}")
    ((${#missing[@]} > 0)) || return 0
    echo "Installing ${missing[*]}"
    log=$(mktemp)
    # dovecot-core starts a mail server when it is installed; only ours, on 127.0.0.1, is wanted.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    if ! "${command[@]}" >"$log" 2>&1; then
        # The lists of a fresh image are empty or old.
        if ! apt-get update -qq >>"$log" 2>&1 || ! "${command[@]}" >>"$log" 2>&1; then
            cat "$log" >&2
            echo "apt-get could not install them; its words are above." >&2
            exit 1
        fi
    fi
    # Nor is it wanted after the next start of the machine.
    if [[ " ${missing[*]} " == *" dovecot-core "* ]] && command -v systemctl >/dev/null; then
        systemctl disable --quiet dovecot.service dovecot.socket 2>/dev/null || true
    fi
}

export DEBIAN_FRONTEND=noninteractive
install
# Only now, when the lists are there.
missing=()
for package in "${extra[@]}"; do
    ! apt-cache show "$package" >/dev/null 2>&1 || miss "$package"
done
((EUID != 0)) || install
