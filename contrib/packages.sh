#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs from Debian what building and testing popfs needs, and only what is missing. The one list of packages.
#   packages.sh        to build and try it
#   packages.sh test   and to run every check
#   packages.sh bench  and the peers that the benchmark measures popfs against
set -euo pipefail

packages=(
    build-essential meson ninja-build pkg-config
    libfuse3-dev libssl-dev libgsasl-dev libidn2-dev libgmime-3.0-dev libsqlite3-dev libjson-c-dev libmount-dev
    libseccomp-dev libcmocka-dev
    fuse3 mount util-linux openssl python3 dovecot-core dovecot-pop3d
)
if [[ ${1-} == bench ]]; then
    packages+=(mpop curl fetchmail bindfs)
fi
if [[ ${1-} == test ]]; then
    packages+=(clang clang-format-14 mandoc shellcheck python3-pytest python3-pytest-xdist zsh fish bash-completion)
    # What people read, copy and overwrite mail with; the tests let each of them meet servers that lie, and messages that stay.
    packages+=(rsync restic borgbackup libarchive-tools cpio less git ripgrep vim-tiny)
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

if ((EUID != 0)); then
    echo "These packages are missing: ${missing[*]}" >&2
    echo "Run this with sudo, or install them first." >&2
    exit 1
fi
command -v apt-get >/dev/null || { echo "This is not Debian: install the like of ${missing[*]}" >&2; exit 1; }

# dovecot-core starts a mail server when it is installed; only ours, on 127.0.0.1, is wanted.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}")
log=$(mktemp)
if ! "${install[@]}" >"$log" 2>&1; then
    # The lists of a fresh image are empty or old.
    if ! apt-get update -qq >>"$log" 2>&1 || ! "${install[@]}" >>"$log" 2>&1; then
        cat "$log" >&2
        echo "apt-get could not install them; its words are above." >&2
        exit 1
    fi
fi
rm -f "$log"

# Nor is it wanted after the next start of the machine.
if [[ " ${missing[*]} " == *" dovecot-core "* ]] && command -v systemctl >/dev/null; then
    systemctl disable --quiet dovecot.service dovecot.socket 2>/dev/null || true
fi
