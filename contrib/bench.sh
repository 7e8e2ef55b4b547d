#!/bin/bash
# SPDX-License-Identifier: MIT
# Measures popfs against the floor and against mpop, curl, fetchmail and bindfs, on one mailbox, server and line. Takes about half an hour.
#   sudo ./contrib/bench.sh                         everything
#   sudo ./contrib/bench.sh --quick --runs 1        a small version, in two minutes: shows that it works, proves nothing
#   sudo ./contrib/bench.sh --rows crawl,ls-l       some rows; --help tells which there are
set -euo pipefail
cd "$(dirname "$0")/.."

give_up() { printf '%s\n' "$*" >&2; exit 2; }

((EUID == 0)) || give_up "Run this as root (sudo): it starts a private Dovecot and mounts file systems."
[[ -e /dev/fuse ]] || give_up "/dev/fuse is missing. In a container: --device /dev/fuse --cap-add SYS_ADMIN."
./contrib/packages.sh bench || give_up "The packages are not there."

folder=build/bench
mkdir -p build
if [[ ! -e $folder/build.ninja ]]; then
    meson setup "$folder" -Dbuildtype=release >build/bench.log 2>&1 ||
        { tail -20 build/bench.log; give_up "It does not configure."; }
fi
ninja -C "$folder" >build/bench.log 2>&1 ||
    { grep -A5 -E 'error|FAILED' build/bench.log | head -60; give_up "It does not build."; }

out=build/bench-results
code=0
POPFS=$PWD/$folder/src/cli/popfs BENCH_TOOLS=$PWD/$folder/tests/bench \
    /usr/bin/python3 -B tests/bench/run.py --out "$out" "$@" || code=$?
if ((code <= 2)) && [[ -e $out/table.txt ]]; then
    echo "The table: $out/table.txt    the figures: $out/results.json    the plots: $out/rtt.svg $out/count.svg"
fi
exit "$code"
