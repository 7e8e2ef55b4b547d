# SPDX-License-Identifier: MIT
"""Whose mount it is: the host in any case, the source as it was given, the home of the caller, and nothing left behind by mistakes."""

import os

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import mounted, wait_for_end, wait_until
from scripted import Script

MAILS = mailbox.many(3)


def accounts(place):
    return sorted(path.name for path in (place.folder / "cache/popfs").glob("*"))


@pytest.mark.parametrize("source", ["pops://alice@no-such-host.invalid", "pop3://alice@127.0.0.1:1"])
def test_a_host_that_was_mistyped_leaves_nothing_in_the_cache(source, place):
    place.refused(place.command(source, f"passfile={place.passfile('secret')}"))
    assert accounts(place) == []


def test_a_refused_first_login_leaves_nothing_and_a_later_one_keeps_what_was_there(serve, place):
    server = serve(Script(messages=MAILS))
    options = script_options(place, server)
    server.script.password = "another"
    place.refused(place.command(script_source(server), options))
    assert accounts(place) == []
    server.script.password = Script().password
    with mounted(place, script_source(server), options) as mount:
        (mount.path / "m00001.eml").read_bytes()
    kept = accounts(place)
    server.script.password = "another"
    place.refused(place.command(script_source(server), options))
    assert len(kept) == 1 and accounts(place) == kept


def test_a_host_in_another_case_is_the_same_account(serve, place):
    server = serve(Script(messages=MAILS))
    options = script_options(place, server)
    source = script_source(server).replace("127.0.0.1", "localhost")
    with mounted(place, source, options) as mount:
        inodes = {name: os.stat(mount.path / name).st_ino for name in os.listdir(mount.path)}
    (folder,) = accounts(place)
    os.rename(place.folder / "cache/popfs" / folder, place.folder / "cache/popfs" / folder.replace("localhost", "LocalHost"))
    with mounted(place, source.replace("localhost", "LOCALHOST"), options) as mount:
        assert inodes == {name: os.stat(mount.path / name).st_ino for name in os.listdir(mount.path)}
    assert len(accounts(place)) == 1


@pytest.mark.slow
def test_umount_takes_the_source_as_it_was_given_and_netdev(serve, place, secluded):
    server = serve(Script(messages=MAILS))
    source = script_source(server)
    assert secluded.run("sh", "-c", "mkdir -p /run/mount && mount -t tmpfs tmpfs /run/mount").returncode == 0
    for words in (["umount", source], ["umount", "-a", "-O", "_netdev"], ["umount", place.mountpoint]):
        assert secluded.run(*place.command(source, script_options(place, server)), env=place.environment).returncode == 0
        assert secluded.run("cat", "/run/mount/utab").stdout.count(str(place.mountpoint)) == 1
        assert f" {source} " in secluded.run("cat", "/proc/self/mountinfo").stdout
        pids = secluded.daemons()
        done = secluded.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        wait_for_end(pids)
        assert str(place.mountpoint) not in secluded.run("cat", "/proc/self/mountinfo").stdout, words


@pytest.mark.slow
def test_mount_a_twice_is_harmless(serve, place, secluded):
    server = serve(Script(messages=MAILS))
    table = place.folder / "fstab"
    table.write_text(f"{script_source(server)} {place.mountpoint} fuse.popfs {script_options(place, server)},_netdev 0 0\n")
    for _ in range(2):
        done = secluded.run("mount", "-a", "-T", table, env=place.environment)
        assert done.returncode == 0, done.stderr
    assert secluded.run("cat", "/proc/self/mountinfo").stdout.count(f" {place.mountpoint} ") == 1
    pids = secluded.daemons()
    assert secluded.run("umount", place.mountpoint).returncode == 0
    wait_for_end(pids)


def test_the_home_of_the_caller_counts_and_not_the_one_of_root(serve, place, secluded):
    """mount.fuse3 sets HOME=/root where there is none."""
    server = serve(Script(messages=MAILS))
    home = place.folder / "home"
    home.mkdir()
    for path in (place.folder, place.mountpoint, home, place.passfile(server.script.password)):
        os.chown(path, 65534, 65534)
    secluded.run("sh", "-c", f"sed 's|^nobody:.*|nobody:x:65534:65534:nobody:{home}:/bin/sh|' /etc/passwd >{place.folder}/passwd && "
                             f"mount --bind {place.folder}/passwd /etc/passwd")
    environment = {name: value for name, value in place.environment.items() if name != "XDG_CACHE_HOME"} | {"HOME": "/root"}
    command = place.command(script_source(server), script_options(place, server))
    done = secluded.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command, env=environment)
    assert done.returncode == 0, done.stderr
    pids = secluded.daemons()
    wait_until("its cache", lambda: list((home / ".cache/popfs").glob("*")))
    assert secluded.run("umount", place.mountpoint).returncode == 0
    wait_for_end(pids)


@pytest.fixture
def as_user(place, secluded):
    """as_user(words, HOME) runs a program as an ordinary user, whose home by /etc/passwd is there.home, with a /etc/fstab that the test writes."""
    home = place.folder / "home"
    home.mkdir()
    for path in (place.folder, place.mountpoint, home):
        os.chown(path, 65534, 65534)
    secluded.run("sh", "-c", f"sed 's|^nobody:.*|nobody:x:65534:65534:nobody:{home}:/bin/sh|' /etc/passwd >{place.folder}/passwd && "
                             f"mount --bind {place.folder}/passwd /etc/passwd && "
                             f": >{place.folder}/fstab && mount --bind {place.folder}/fstab /etc/fstab")
    inherited = {name: value for name, value in place.environment.items() if name not in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "HOME")}

    def run(*words, home=None):
        environment = inherited | ({"HOME": str(home)} if home else {})
        return secluded.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words, env=environment)

    run.home = home
    return run


@pytest.mark.slow
@pytest.mark.parametrize("home", ["own", "none", "/root"])
def test_an_ordinary_user_mounts_by_a_line_of_fstab_with_user_and_has_everything_at_home(home, serve, place, secluded, as_user):
    server = serve(Script(messages=MAILS))
    options = script_options(place, server, "user,noauto")
    os.chown(place.passfile(server.script.password), 65534, 65534)
    (place.folder / "fstab").write_text(f"{script_source(server)} {place.mountpoint} fuse.popfs {options} 0 0\n")
    done = as_user("mount", place.mountpoint, home={"own": as_user.home, "none": None}.get(home, home))
    assert done.returncode == 0, done.stderr
    pids = secluded.daemons()
    assert as_user("ls", place.mountpoint).stdout.split() == [f"{mail.name}.eml" for mail in MAILS]
    assert len(as_user("cat", place.mountpoint / "m00001.eml").stdout) > 0
    for folder in (".cache/popfs", ".local/state/popfs"):
        assert [path.owner() for path in (as_user.home / folder).iterdir()] == ["nobody"]
    done = as_user("umount", place.mountpoint)
    assert done.returncode == 0, done.stderr
    wait_for_end(pids)
