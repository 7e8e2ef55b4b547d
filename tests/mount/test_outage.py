# SPDX-License-Identifier: MIT
"""A server that cannot be reached, for a moment or for long, and a line that breaks again and again."""

import concurrent.futures
import errno
import os
import subprocess
import threading
import time

import mailbox
import pytest
from conftest import script_options
from faultproxy import FaultProxy
from mounting import mounted, wait_until
from reading import control, error_of, outcome_of
from scripted import Script

MAILS = mailbox.many(40, octets=3000)


def go_away(server):
    server.script.refuse_connections = True
    server.drop_all()


def come_back(server):
    server.script.refuse_connections = False


def whole(folder, mails):
    return {mail.name: (folder / f"{mail.name}.eml").read_bytes() == mailbox.wire(mail.data) for mail in mails}


def test_a_server_that_is_away_for_a_second_makes_nothing_of_a_copy_fail(serve, on_script):
    server = serve(Script(messages=MAILS, pipelining=False, hold_retr={"m00010": 100}))
    with on_script(server) as mount:
        copy = subprocess.Popen(["cp", "-a", f"{mount.path}/.", mount.place.folder / "copy"], stderr=subprocess.PIPE, text=True)
        wait_until("a RETR amid the copy", server.held.is_set)
        go_away(server)
        server.release.set()
        threading.Timer(1, come_back, [server]).start()
        said = copy.communicate(timeout=40)[1]
        assert (copy.returncode, said) == (0, "")
        assert all(whole(mount.place.folder / "copy", MAILS).values())


@pytest.mark.parametrize("pause_s", [0, 5])
def test_without_a_server_a_walk_ends_and_goes_on_when_the_server_is_back(pause_s, serve, on_script):
    server = serve(Script(messages=MAILS, top=False))
    with on_script(server, "timeout=3") as mount:
        go_away(server)
        time.sleep(pause_s)
        begun = time.monotonic()
        failed = [outcome_of((mount.path / f"{mail.name}.eml").read_bytes) for mail in MAILS]
        seconds = time.monotonic() - begun
        assert set(failed) <= {errno.EIO, errno.ETIMEDOUT} and 2 < seconds < 6, "the first open waits, the others do not"
        come_back(server)
        wait_until("the next attempt", lambda: outcome_of((mount.path / "m00001.eml").read_bytes) == 0, 20)
        assert all(whole(mount.path, MAILS).values())


def test_an_explicit_refresh_and_a_commit_try_at_once(serve, on_script):
    server = serve(Script(messages=MAILS[:3]))
    with on_script(server, "timeout=1") as mount:
        os.unlink(mount.path / "m00001.eml")
        go_away(server)
        for _ in range(6):  # the back-off is a quarter of a minute at least by now
            assert error_of(control, mount, "refresh") == errno.EIO
        come_back(server)
        begun = time.monotonic()
        control(mount, "refresh")
        assert time.monotonic() - begun < 3
        go_away(server)
        assert error_of(control, mount, "refresh") == errno.EIO
        come_back(server)
        begun = time.monotonic()
        control(mount, "commit")
        assert time.monotonic() - begun < 5 and len(server.script.messages) == 2


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_line_that_is_cut_every_40_kb_lets_every_message_through(how, serve, place):
    mails = mailbox.many(40, octets=10000)
    server = serve(Script(messages=mails))
    with FaultProxy(server, down=40000, how=how) as line:
        source = f"pop3://{server.script.user}@127.0.0.1:{line.port}"
        with mounted(place, source, script_options(place, server, "timeout=3")) as mount, concurrent.futures.ThreadPoolExecutor(40) as readers:
            read = readers.map(lambda mail: (mount.path / f"{mail.name}.eml").read_bytes() == mailbox.wire(mail.data), mails)
            assert all(read), "some wait for longer than the time-out, but not in vain"
        assert line.cut_count > 5


def test_a_prefetch_goes_on_over_a_line_that_is_cut_again_and_again(serve, place):
    mails = mailbox.many(30, octets=10000)
    server = serve(Script(messages=mails))
    with FaultProxy(server, down=40000, how="close") as line:
        source = f"pop3://{server.script.user}@127.0.0.1:{line.port}"
        with mounted(place, source, script_options(place, server)) as mount:
            control(mount, "prefetch")
            line.down = None
            server.__exit__()
            assert all(whole(mount.path, mails).values())
