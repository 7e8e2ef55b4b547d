#!/bin/bash
# SPDX-License-Identifier: MIT
# What fresh.sh does where this machine cannot execute the programs: builds popfs with a cross compiler, boots the release's own kernel in qemu,
# which interprets every instruction, and runs there what check.sh --short runs. The system is the kernel's initial ramdisk: nothing is on a disk.
#   emulate.sh SYSTEM LOGS     SYSTEM: packages of i386, extracted; popfs is in its /srv
set -euo pipefail
cd "$(dirname "$0")/.."

system=$1 logs=$2
source=$system/srv/popfs build=$system/srv/popfs/build/emulated
limit=40m # for the emulated machine, from its start to its end

say() { printf '\n== %s\n' "$*"; }
give_up() { printf '%s\n0 passed, 1 failed\n' "$*" >&2; exit 1; }

# What the packages' scripts would have done, had they been run.
configure() {
    cp "$system/usr/share/base-passwd/passwd.master" "$system/etc/passwd"
    cp "$system/usr/share/base-passwd/group.master" "$system/etc/group"
    cp "$system/usr/share/libc-bin/nsswitch.conf" "$system/etc/nsswitch.conf"
    mkdir -p "$system"/{dev,proc,sys,run,tmp,root}
    # So that a path of this machine is the same file in the emulated one.
    mkdir -p "$system${system%/*}"
    ln -s / "$system$system"
}

cross_build() {
    local pkgconfig=$system/usr/lib/i386-linux-gnu/pkgconfig:$system/usr/share/pkgconfig
    cat >"$logs/cross.ini" <<END
[binaries]
c = 'i686-linux-gnu-gcc'
ar = 'i686-linux-gnu-ar'
pkgconfig = 'pkg-config'
pkg-config = 'pkg-config'
[built-in options]
c_args = ['--sysroot=$system']
c_link_args = ['--sysroot=$system', '-Wl,--strip-debug']
[properties]
sys_root = '$system'
pkg_config_libdir = '$pkgconfig'
needs_exe_wrapper = true
[host_machine]
system = 'linux'
cpu_family = 'x86'
cpu = 'i686'
endian = 'little'
END
    meson setup --cross-file "$logs/cross.ini" -Dwerror=true -Dtests=enabled "$build" "$source" >"$logs/build.log" 2>&1 ||
        { tail -20 "$logs/build.log"; give_up "It does not configure."; }
    ninja -C "$build" >"$logs/build.log" 2>&1 ||
        { grep -A5 -E 'error|FAILED' "$logs/build.log" | head -60; give_up "It does not build."; }
}

# What the kernel starts.
write_init() {
    cp "$(find "$system/lib/modules" -name fuse.ko)" "$system/fuse.ko"
    cat >"$system/init" <<END
#!/bin/bash
export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
for folder in /dev/shm /tmp /run; do
    mount -t tmpfs tmpfs \$folder
done
ldconfig
insmod /fuse.ko
uname -srvm
stty raw </dev/ttyS1
cd /srv/popfs
python3 contrib/emulated.py run $build /dev/ttyS1
echo o >/proc/sysrq-trigger
sleep 60
END
    chmod 755 "$system/init"
}

# Without what only the compiler needs.
pack() {
    (cd "$system" && find . -xdev -path ./boot -prune -o -path ./usr/include -prune -o -path ./usr/share/doc -prune -o \
        -path ./usr/share/locale -prune -o -path ./usr/share/man -prune -o -path ./lib/modules -prune -o -path ./var/lib/apt -prune -o \
        -name '*.a' -prune -o -name '*.o' -prune -o -print0 | cpio --null --create --format=newc --quiet) >"$system/boot/ramdisk"
}

boot() {
    local code=0
    : >"$logs/tests.json"
    timeout --foreground "$limit" qemu-system-i386 -machine pc -cpu max -accel tcg,thread=multi -smp 2 -m 2560 -display none -vga none -nic none \
        -no-reboot -serial stdio -serial "file:$logs/tests.json" -kernel "$(echo "$system"/boot/vmlinuz-*)" -initrd "$system/boot/ramdisk" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null | tee "$logs/console.log" || code=$?
    ((code == 0)) || echo "The emulated machine was stopped after $limit, or failed (exit code $code)."
}

configure
say "emulated: build"
cross_build
write_init
pack
say "emulated: boot"
boot
/usr/bin/python3 -B contrib/emulated.py close "$build" "$logs/tests.json"
say "result"
exec /usr/bin/python3 -B contrib/count.py "$logs/tests.json"
