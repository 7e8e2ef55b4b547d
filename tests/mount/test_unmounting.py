# SPDX-License-Identifier: MIT
"""What becomes of the process behind a mount, and of its session, when the mount has gone."""

import os
import subprocess
import time

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import Mount, is_mounted, wait_until
from scripted import Script

MAIL = mailbox.many(3, octets=300)


def running(server):
    """The sessions that have not ended."""
    return sum(session.is_alive() for session in server.sessions)


@pytest.fixture
def detached(serve, on_script):
    """A mount that is unmounted lazily while its folder is open: the server, the descriptor, the mount."""
    server = serve(Script(messages=MAIL))
    with on_script(server, "refresh=1,keepalive=1", expect_exit=None) as mount:
        folder = os.open(mount.path, os.O_RDONLY | os.O_DIRECTORY)
        subprocess.run(["umount", "-i", "-l", mount.path], check=True)
        try:
            yield server, folder, mount
        finally:
            os.close(folder)
            mount.wait_end()


def test_after_a_lazy_unmount_the_session_ends_and_nothing_but_a_reader_begins_another(detached):
    server, folder, mount = detached
    wait_until("the end of the session", lambda: running(server) == 0, 15)
    before = server.logins()
    time.sleep(2.5)  # refresh and keepalive would have made one by now
    assert server.logins() == before
    reader = os.open("m00001.eml", os.O_RDONLY, dir_fd=folder)
    assert os.read(reader, 10**6) == mailbox.wire(MAIL[0].data)
    os.close(reader)
    assert server.logins() == before + 1
    wait_until("the end of the reader's session", lambda: running(server) == 0, 10)


def test_a_mount_after_a_lazy_unmount_says_who_has_the_account_still(detached):
    server, _, mount = detached
    begun = time.monotonic()
    command = mount.place.command(script_source(server), script_options(mount.place, server))
    done = subprocess.run(command, env=mount.place.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 32 and f"held by process {mount.pid}: it was unmounted lazily, and files are open" in done.stderr
    assert time.monotonic() - begun < 12


def test_a_mount_right_after_an_unmount_waits_for_the_ending_process(serve, place):
    server = serve(Script(messages=MAIL, quit_s=3))
    command = place.command(script_source(server), script_options(place, server))
    first = Mount(place, command, foreground=False)
    os.unlink(place.mountpoint / "m00001.eml")
    subprocess.run(["fusermount3", "-u", place.mountpoint], check=True)
    second = Mount(place, command, foreground=False)
    assert "waiting for the end of the last mount" in second.log()
    assert second.pid != first.pid and sorted(os.listdir(place.mountpoint)) == ["m00002.eml", "m00003.eml"]
    server.script.quit_s = 0
    second.unmount()


def test_a_mount_of_an_account_that_is_mounted_is_refused_at_once(serve, on_script, one_place):
    server = serve(Script(messages=MAIL))
    with on_script(server) as mount, one_place() as other:
        options = script_options(other, server, f"cache={mount.place.folder}/cache/popfs")
        begun = time.monotonic()
        done = other.refused(other.command(script_source(server), options))
        assert f"is already mounted on {mount.path} by process {mount.pid}" in done.stderr and time.monotonic() - begun < 3
        assert is_mounted(mount.path)
