#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds popfs and runs every test, first as it is shipped (warnings are errors), then under ASan and UBSan.
#   sudo ./contrib/check.sh          ends with the line "N passed, N failed"
#   sudo ./contrib/check.sh --long   every cell, under ThreadSanitizer and with clang as well, a soak of ten minutes, the fuzzers for a
#                                    minute each, the benchmark, the other Debian and a 32-bit system: two hours and more
#   sudo ./contrib/check.sh --short  what a processor can change: build, unit tests, fuzz corpora, a mount of each transport
#   sudo ./contrib/check.sh --release trixie                 demo.sh and check.sh in a fresh Debian, which goes away again
#   sudo ./contrib/check.sh --release bookworm --arch i386    check.sh --short in one of another processor, emulated if need be
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo "usage: contrib/check.sh [--long | --short | [--release NAME] [--arch ARCH]]" >&2; exit 2; }
mode=plain patience=1
# shellcheck source=/dev/null
mine=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
release=$mine arch=''
while (($# > 0)); do
    case $1 in
    --long) mode=long patience=6 ;;
    --short) mode=short ;;
    --release) mode=fresh release=${2-} && shift ;;
    --arch) mode=fresh arch=${2-} && shift ;;
    *) usage ;;
    esac
    shift || usage
done

say() { printf '\n== %s\n' "$*"; }
give_up() { printf '%s\n0 passed, 1 failed\n' "$*" >&2; exit 1; }

((EUID == 0)) || give_up "Run this as root (sudo): the tests start a private Dovecot and mount file systems."
[[ -e /dev/fuse ]] || give_up "/dev/fuse is missing. In a container: --device /dev/fuse --cap-add SYS_ADMIN."
[[ $mode != fresh ]] || exec ./contrib/fresh.sh "$release" "${arch:-$(dpkg --print-architecture)}"
./contrib/packages.sh test || give_up "The packages are not there."
[[ $mode != long ]] || ./contrib/packages.sh fresh || give_up "The packages are not there."

# build NAME [meson options]: configures build/NAME anew and compiles.
build() {
    local name=$1 folder=build/$1
    shift
    say "$name: build"
    rm -rf "$folder"
    meson setup "$folder" "$@" >"build/$name.log" 2>&1 ||
        { tail -20 "build/$name.log"; give_up "$name does not configure."; }
    ninja -C "$folder" >"build/$name.log" 2>&1 ||
        { grep -A5 -E 'error|FAILED' "build/$name.log" | head -60; give_up "$name does not build."; }
}

logs=()
# tests NAME LOG [words of meson test]: a test that fails does not stop the others.
tests() {
    local folder=build/$1 log=build/$1/meson-logs/$2.json
    say "$1: $2"
    meson test -C "$folder" --no-rebuild --print-errorlogs --timeout-multiplier "$patience" --logbase "$2" "${@:3}" || true
    [[ -s $log ]] || give_up "$1 ran no tests."
    logs+=("$log")
}

# fresh RELEASE ARCH: its own closing line counts.
fresh() {
    local log=build/$1-$2.log
    setpriv --pdeathsig TERM ./contrib/fresh.sh "$@" 2>&1 | tee "$log" || true
    logs+=("$log")
}

# Of the clone's owner, who may want to build in it after this was run with sudo.
mkdir -p build && chown --reference=. build
if [[ $mode == short ]]; then
    build short -Dwerror=true
    tests short unit --suite unit --suite system --suite fuzz
    PYTEST_ADDOPTS="-k test_every_file_is_what_the_server_sends" tests short mount mount
    say "result"
    exec /usr/bin/python3 -B contrib/count.py "${logs[@]}"
fi
# Without werror: gcc warns of what it only imagines once it has added its own checks.
sanitizing=(sanitize "-Db_sanitize=address,undefined" -Doptimization=1)
build check -Dwerror=true
if [[ $mode == plain ]]; then
    # While the tests wait for time to pass. They come first wherever both want the processor.
    { renice -n 19 "$BASHPID" >/dev/null && build "${sanitizing[@]}"; } &
    builder=$!
    tests check tests
    wait "$builder" || exit 1
    # The files in which a server sends what it should not. The others show nothing new of popfs's memory in minutes.
    words=()
    for file in tests/mount/test_*.py; do
        [[ $file == */test_@(bad_server|cuts|login|matrix|reading|resilience|streaming|tls).py ]] || words+=("--ignore='$PWD/$file'")
    done
    PYTEST_ADDOPTS="${words[*]}" tests sanitize tests
else
    tests check tests
    build "${sanitizing[@]}"
    POPFS_LONG=1 PYTEST_ADDOPTS="-k 'not test_soak and not test_walk'" tests sanitize tests
    # glibc looks names up in threads that it hides from ThreadSanitizer, which then crashes: without what needs a name.
    # ThreadSanitizer has a thread of its own: without what counts those that are confined, and what kills its only one. Nor does it
    # know of the simulation's coroutines.
    build thread -Db_sanitize=thread
    mapfile -t words < <(meson test -C build/thread --no-rebuild --list 2>/dev/null | sed 's|.* / ||' |
        grep -vxE 'test_connection|test_tls|test_sandbox|test_daemon|sim_.*')
    PYTEST_ADDOPTS="-k 'not unknown_host and not host_name_is_verified and not test_sandbox'" tests thread tests "${words[@]}"
    CC=clang build clang -Dwerror=true -Dbuildtype=release
    tests clang tests
    say "fuzz: build"
    rm -rf build/fuzz
    { CC=clang meson setup build/fuzz -Dfuzz=true && ninja -C build/fuzz; } >build/fuzz.log 2>&1 ||
        { tail -20 build/fuzz.log; give_up "The fuzzers do not build."; }
    # Ten minutes in which the processor has little to do: all at once, and the fuzzers meanwhile.
    trap wait EXIT # who gives up leaves no mount behind
    for name in sanitize thread; do
        for part in soak walk; do
            POPFS_LONG=1 PYTEST_ADDOPTS="-k test_$part" tests "$name" "$part" mount >"build/$name-$part.log" 2>&1 &
        done
    done
    for fuzzer in build/fuzz/tests/fuzz/fuzz_*; do
        [[ -f $fuzzer && -x $fuzzer ]] || continue
        name=${fuzzer##*/}
        say "fuzz: $name, one minute"
        found=$(mktemp -d)
        limits=(-max_total_time=60 -rss_limit_mb=1024 -timeout=60 -artifact_prefix=build/fuzz/)
        dictionary=tests/fuzz/dictionaries/${name#fuzz_}
        [[ ! -f $dictionary ]] || limits+=("-dict=$dictionary")
        "$fuzzer" "${limits[@]}" "$found" "tests/fuzz/corpus/${name#fuzz_}" >"build/$name.log" 2>&1 ||
            { tail -30 "build/$name.log"; give_up "$name found something, see build/$name.log."; }
        rm -rf "$found"
    done
    wait
    for name in sanitize thread; do
        cat "build/$name-soak.log" "build/$name-walk.log"
        logs+=("build/$name/meson-logs/soak.json" "build/$name/meson-logs/walk.json")
    done
    say "benchmark, once: shows that it works, and is not counted"
    ./contrib/bench.sh --runs 1 || (($? == 1)) || give_up "It could not be measured."
    for release in bookworm trixie; do
        [[ $release == "$mine" ]] || fresh "$release" "$(dpkg --print-architecture)"
    done
    fresh bookworm i386
fi

say "result"
exec /usr/bin/python3 -B contrib/count.py "${logs[@]}"
