#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds popfs and runs every test, first as it is shipped (warnings are errors), then under ASan and UBSan.
#   sudo ./contrib/check.sh          ends with the line "N passed, N failed"
#   sudo ./contrib/check.sh --long   under ThreadSanitizer and with clang as well, and the fuzzers for a minute each
set -euo pipefail
cd "$(dirname "$0")/.."

long=no patience=1
case ${1-} in
'') ;;
--long) long=yes patience=6 ;;
*) echo "usage: contrib/check.sh [--long]" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }
give_up() { printf '%s\n0 passed, 1 failed\n' "$*" >&2; exit 1; }

((EUID == 0)) || give_up "Run this as root (sudo): the tests start a private Dovecot and mount file systems."
[[ -e /dev/fuse ]] || give_up "/dev/fuse is missing. In a container: --device /dev/fuse --cap-add SYS_ADMIN."
./contrib/packages.sh test || give_up "The packages are not there."

logs=()
# build NAME [meson options]: configures build/NAME anew, compiles, runs all suites; a failed test does not stop the others.
build() {
    local folder=build/$1 name=$1
    shift
    say "$name: build"
    rm -rf "$folder"
    meson setup "$folder" "$@" >"build/$name.log" 2>&1 ||
        { tail -20 "build/$name.log"; give_up "$name does not configure."; }
    ninja -C "$folder" >"build/$name.log" 2>&1 ||
        { grep -A5 -E 'error|FAILED' "build/$name.log" | head -60; give_up "$name does not build."; }
    say "$name: tests"
    local tests=()
    [[ -z ${WITHOUT-} ]] ||
        mapfile -t tests < <(meson test -C "$folder" --no-rebuild --list 2>/dev/null | sed 's|.* / ||' | grep -vxE "$WITHOUT")
    meson test -C "$folder" --no-rebuild --print-errorlogs --timeout-multiplier "$patience" "${tests[@]}" || true
    [[ -s $folder/meson-logs/testlog.json ]] || give_up "$name ran no tests."
    logs+=("$folder/meson-logs/testlog.json")
}

# Of the clone's owner, who may want to build in it after this was run with sudo.
mkdir -p build && chown --reference=. build
build check -Dwerror=true
# From here on: once as quick as it is above is enough.
[[ $long == no ]] || export POPFS_LONG=1
# Without werror: gcc warns of what it only imagines once it has added its own checks. The files that try other programs on
# popfs, for minutes, show nothing new of its memory: with --long alone.
[[ $long == yes ]] || export PYTEST_ADDOPTS="--ignore='$PWD/tests/mount/test_backups.py' --ignore='$PWD/tests/mount/test_sizes.py'"
build sanitize -Db_sanitize=address,undefined
if [[ $long == yes ]]; then
    # glibc looks names up in threads that it hides from ThreadSanitizer, which then crashes: without what needs a name.
    # ThreadSanitizer has a thread of its own, which nobody confines: without what counts those that are.
    WITHOUT='test_connection|test_tls|test_sandbox' PYTEST_ADDOPTS="-k 'not unknown_host and not host_name_is_verified and not test_sandbox'" build thread -Db_sanitize=thread
    CC=clang build clang -Dwerror=true -Dbuildtype=release
    say "fuzz: build"
    rm -rf build/fuzz
    { CC=clang meson setup build/fuzz -Dfuzz=true && ninja -C build/fuzz; } >build/fuzz.log 2>&1 ||
        { tail -20 build/fuzz.log; give_up "The fuzzers do not build."; }
    for fuzzer in build/fuzz/tests/fuzz/fuzz_*; do
        [[ -f $fuzzer && -x $fuzzer ]] || continue
        name=${fuzzer##*/}
        say "fuzz: $name, one minute"
        found=$(mktemp -d)
        limits=(-max_total_time=60 -rss_limit_mb=1024 -timeout=10 -artifact_prefix=build/fuzz/)
        dictionary=tests/fuzz/dictionaries/${name#fuzz_}
        [[ ! -f $dictionary ]] || limits+=("-dict=$dictionary")
        "$fuzzer" "${limits[@]}" "$found" "tests/fuzz/corpus/${name#fuzz_}" >"build/$name.log" 2>&1 ||
            { tail -30 "build/$name.log"; give_up "$name found something, see build/$name.log."; }
        rm -rf "$found"
    done
fi

say "result"
exec /usr/bin/python3 -B contrib/count.py "${logs[@]}"
