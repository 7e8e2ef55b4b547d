# SPDX-License-Identifier: MIT
"""Who may list, read, remove and commit, however popfs was mounted: the kernel checks the modes, or popfs does not mount."""

import ctypes
import os

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import is_mounted, mounted, wait_for_end
from reading import run
from scripted import Script

OWNER, GROUP = 65534, 4242  # uid= and gid=
PEOPLE = {"owner": (OWNER, OWNER), "root": (0, 0), "member": (1234, GROUP), "other": (5678, 5678)}
CHECKED = "allow_other,default_permissions"
WAYS = {  # how, and the options that it takes beside those of the files
    "popfs": ("popfs", "allow_other"),
    "mount": ("mount", "allow_other"),
    "setuid": ("mount", "allow_other,setuid=nobody"),
    "drop": ("mount", f"{CHECKED},drop_privileges"),
    "setuid-drop": ("mount", f"{CHECKED},setuid=nobody,drop_privileges"),
}
# A line for each operation: its name and 1 where it was let do.
OPERATIONS = """
cd /
try() {{ name=$1; shift; if "$@" >/dev/null 2>&1; then echo $name 1; else echo $name 0; fi; }}
try list ls {path}
try stat stat {path}/kept.eml
try read cat {path}/kept.eml
try status cat {path}/.popfs/status.json
try remove rm {path}/{who}.eml
try take-back mv {path}/.popfs/trash/{who}.eml {path}/{who}.eml
try prefetch sh -c 'echo prefetch kept.eml > {path}/.popfs/control'
try create touch {path}/new.eml
"""


def messages():
    return [mailbox.plain(name) for name in ("kept", *PEOPLE)]


def expected(who, umask):
    """By the modes alone, as on any file system: folders 0777, files 0666, status 0444, control 0200; nothing can be created."""
    shift = {"owner": 6, "member": 3, "other": 0}.get(who)
    bits = 7 if shift is None else (0o777 & ~umask) >> shift & 7
    read, write, enter = bool(bits & 4), bool(bits & 2), bool(bits & 1)
    return {"list": read, "stat": enter, "read": read and enter, "status": read and enter, "remove": write and enter,
            "take-back": write and enter, "prefetch": who in ("owner", "root"), "create": False}


def mount_by(way, server, place, secluded, umask=0o77, more=""):
    how, own = WAYS[way] if way in WAYS else way
    for name in ("cache", "state"):
        (place.folder / name).mkdir(exist_ok=True)
    options = script_options(place, server, f"cache={place.folder}/cache,state={place.folder}/state,uid={OWNER},gid={GROUP},umask={umask:03o},{own}{more}")
    user = OWNER if "setuid" in own else 0
    for path in (place.folder, place.mountpoint, place.folder / "password", place.folder / "cache", place.folder / "state"):
        os.chown(path, user, user)
    (place.folder / "fuse.conf").write_text("user_allow_other\n")
    assert secluded.run("mount", "--bind", place.folder / "fuse.conf", "/etc/fuse.conf").returncode == 0
    if how == "popfs":
        return secluded.run(*place.command(script_source(server), options), env=place.environment)
    return secluded.run("mount", "-t", "fuse.popfs", script_source(server), place.mountpoint, "-o", options)


def found(who, place, secluded):
    user, group = PEOPLE[who]
    script = OPERATIONS.format(path=place.mountpoint, who=who)
    words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "sh", "-c", script] if user else ["sh", "-c", script]
    return {name: result == "1" for name, result in (line.split() for line in secluded.run(*words).stdout.splitlines())}


@pytest.mark.parametrize("umask", [0o77, 0o27, 0o22, 0o07, 0o00], ids=oct)
@pytest.mark.parametrize("way", WAYS)
def test_everybody_may_do_what_the_modes_say_and_nothing_else(way, umask, serve, place, secluded):
    server = serve(Script(messages=messages()))
    done = mount_by(way, server, place, secluded, umask)
    assert done.returncode == 0, done.stderr
    assert {who: found(who, place, secluded) for who in PEOPLE} == {who: expected(who, umask) for who in PEOPLE}
    pids = secluded.daemons()
    assert secluded.run("umount", "-i", place.mountpoint).returncode == 0
    wait_for_end(pids)
    assert server.commands("DELE") == []


@pytest.mark.parametrize("way", [("popfs", ""), ("mount", ""), ("mount", "drop_privileges")], ids=["popfs", "mount", "drop"])
def test_without_allow_other_only_the_one_who_mounted_comes_in(way, serve, place, secluded):
    server = serve(Script(messages=messages()))
    done = mount_by((way[0], way[1] + "," if way[1] else ""), server, place, secluded, 0o00)
    assert done.returncode == 0, done.stderr
    nothing = dict.fromkeys(expected("other", 0), False)
    assert {who: found(who, place, secluded) for who in PEOPLE} == dict.fromkeys(PEOPLE, nothing) | {"root": expected("root", 0)}
    assert secluded.run("umount", "-i", place.mountpoint).returncode == 0


@pytest.mark.parametrize("own", ["drop_privileges", "setuid=nobody,drop_privileges"])
def test_allow_other_is_refused_where_nobody_checks_the_modes(own, serve, place, secluded):
    server = serve(Script(messages=messages()))
    done = mount_by(("mount", f"allow_other,{own}"), server, place, secluded, 0o77)
    assert done.returncode == 32
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "allow_other" in lines[0] and "default_permissions" in lines[0]
    assert secluded.daemons() == []
    nothing = dict.fromkeys(expected("other", 0), False)
    assert {who: found(who, place, secluded) for who in PEOPLE} == dict.fromkeys(PEOPLE, nothing)
    assert server.commands("DELE") == []


# ---- what the mount is, whatever the options say


@pytest.fixture
def kernel_mount(place):
    """kernel_mount(options) mounts as mount.fuse3 does; gives the device for popfs to use, and to be closed before umount."""

    def mount(options):
        device = os.open("/dev/fuse", os.O_RDWR)
        data = f"fd={device},rootmode=40000,user_id=0,group_id=0{options}".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mount(b"popfs", str(place.mountpoint).encode(), b"fuse.popfs", 6, data) == 0, os.strerror(ctypes.get_errno())
        return device

    return mount


def run_on(device, server, place, options):
    command = place.command(script_source(server), script_options(place, server, options))
    command[2] = f"/dev/fd/{device}"
    done = run(*command, check=False, pass_fds=[device], env=place.environment)
    os.close(device)
    return done


@pytest.mark.parametrize("kernel, options", [(",allow_other", ""), (",allow_other", "default_permissions"), (",default_permissions", "allow_other"), ("", "allow_other")])
def test_what_the_mount_is_counts_and_not_what_the_options_say(kernel, options, serve, place, kernel_mount):
    server = serve(Script(messages=messages()))
    done = run_on(kernel_mount(kernel), server, place, options)
    assert done.returncode == 32 and b"default_permissions" in done.stderr
    assert is_mounted(place.mountpoint)
    run("umount", place.mountpoint)


@pytest.mark.parametrize("kernel, options", [("", ""), (",default_permissions", ""), (",allow_other,default_permissions", ""), (",allow_other,default_permissions", "allow_other")])
def test_a_mount_that_is_checked_or_closed_is_taken(kernel, options, serve, place, kernel_mount):
    server = serve(Script(messages=messages()))
    done = run_on(kernel_mount(kernel), server, place, options)
    assert done.returncode == 0, done.stderr
    assert "kept.eml" in os.listdir(place.mountpoint)
    run("umount", "-i", place.mountpoint)


def test_another_mount_that_is_open_to_all_is_no_matter(serve, place, kernel_mount, one_place):
    server = serve(Script(messages=messages()))
    device = kernel_mount(",allow_other")
    with one_place() as own:
        with mounted(own, script_source(server), script_options(own, server, "allow_other")) as mount:
            assert "kept.eml" in os.listdir(mount.path)
    os.close(device)
    run("umount", place.mountpoint)
