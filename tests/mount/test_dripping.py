# SPDX-License-Identifier: MIT
"""A body that comes by a few octets at a time does not keep others waiting (rule 36); tests/sim has the other answers that drip."""

import signal
import subprocess
import time

import mailbox
import pytest
from mounting import wait_until
from reading import control
from scripted import Script

LARGE = mailbox.plain("large", b"0123456789 0123456789 0123456789\r\n" * 10000)
SMALL = mailbox.plain("small")


def reading(path):
    return subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("lazily", [True, False])
def test_when_the_only_reader_of_a_slow_body_is_interrupted_the_line_is_free_for_others(lazily, serve, on_script):
    server = serve(Script(messages=[LARGE, SMALL], drips={"large": 200}))  # 4 KB a second
    with on_script(server, "timeout=60,lazy=" + ("100K" if lazily else "0")) as mount:
        reader = reading(mount.path / "large.eml")
        wait_until("the RETR", server.held.is_set)
        time.sleep(1)
        reader.send_signal(signal.SIGINT)
        reader.wait(10)
        begun = time.monotonic()
        assert (mount.path / "small.eml").read_bytes() == mailbox.wire(SMALL.data)
        assert time.monotonic() - begun < 12, "the rest takes a minute and a half"


@pytest.mark.parametrize("what", ["another message", "a listing"])
def test_a_body_of_less_than_a_kib_a_second_gives_way_to_whoever_has_waited_for_the_timeout(what, serve, on_script):
    server = serve(Script(messages=[LARGE, SMALL], drips={"large": 10}))
    with on_script(server, "timeout=2,lazy=0") as mount:
        reader = reading(mount.path / "large.eml")
        try:
            wait_until("the RETR", server.held.is_set)
            begun = time.monotonic()
            if what == "another message":
                assert (mount.path / "small.eml").read_bytes() == mailbox.wire(SMALL.data)
            else:
                control(mount, "refresh")
            assert 1 < time.monotonic() - begun < 12
            assert reader.poll() is None, "nobody is in its way any more"
        finally:
            reader.kill()
            reader.wait(10)


def test_a_slow_body_that_nobody_else_waits_for_is_waited_for(serve, on_script):
    mail = mailbox.plain("slow", b"0123456789\r\n" * 100)
    server = serve(Script(messages=[mail], drips={"slow": 10}))  # 200 octets a second
    with on_script(server, "timeout=2") as mount:
        assert (mount.path / "slow.eml").read_bytes() == mailbox.wire(mail.data)
