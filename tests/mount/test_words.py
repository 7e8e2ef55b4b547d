# SPDX-License-Identifier: MIT
"""What status, the log and popfsctl say of what went wrong, and how often."""

import errno
import json
import os
import stat
import subprocess

import mailbox
import pytest
from mounting import wait_until
from scripted import Script

LIMIT_S = 60
MAILS = mailbox.many(30)
NAMES = {mail.name for mail in MAILS}


def error_of_reading(path):
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno
    return 0


def ctl(mount, command, *flags, code=0):
    done = subprocess.run([os.environ["POPFSCTL"], *flags, command, str(mount.path)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT_S)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def status(mount):
    return json.loads((mount.path / ".popfs/status.json").read_text())


def test_a_message_that_is_refused_is_told_of_once_however_often_it_is_asked_for(serve, on_script):
    server = serve(Script(messages=MAILS, retr_refused={"m00003"}))
    with on_script(server) as mount:
        assert [error_of_reading(mount.path / "m00003.eml") for _ in range(4)] == [errno.EIO] * 4
        ctl(mount, "refresh")
        assert error_of_reading(mount.path / "m00003.eml") == errno.EIO
        assert mount.log().count("refuses message m00003") == 1, mount.log()
        assert status(mount)["last_error"]["text"].startswith("the server refuses message m00003: ")
        assert "the server refuses message m00003: " in (mount.path / ".popfs/status").read_text()


def test_a_server_that_refuses_everything_does_not_fill_the_log(serve, on_script):
    server = serve(Script(messages=MAILS, retr_refused=NAMES))
    with on_script(server) as mount:
        for mail in MAILS:
            assert error_of_reading(mount.path / f"{mail.name}.eml") == errno.EIO
        assert mount.log().count("refuses message") == 10 and "only the status tells" in mount.log(), mount.log()


def test_prefetch_says_why_a_message_could_not_be_had(serve, on_script):
    server = serve(Script(messages=MAILS, retr_refused={"m00003"}))
    with on_script(server) as mount:
        done = subprocess.run([os.environ["POPFSCTL"], "prefetch", str(mount.path), "m00003.eml"], capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 1 and "the server refuses message m00003: " in done.stderr, done.stderr


def test_status_and_each_line_of_the_log_name_the_account(serve, on_script):
    server = serve(Script(messages=MAILS, retr_refused={"m00003"}))
    account = f"alice@127.0.0.1:{server.port}"
    with on_script(server) as mount:
        error_of_reading(mount.path / "m00003.eml")
        assert status(mount)["account"] == account and f" {account}\n" in (mount.path / ".popfs/status").read_text()
        lines = mount.log().splitlines()
        assert lines and all(line.startswith(f"popfs: {account}: ") for line in lines), lines


def test_a_full_cache_is_told_of_once_and_stays_in_the_status(serve, on_script):
    server = serve(Script(messages=mailbox.many(6, octets=200000)))
    with on_script(server) as mount:
        with mount.full_disk(100000):
            for number in (1, 2, 3):
                error_of_reading(mount.path / f"m0000{number}.eml")
            assert mount.log().count("File too large") == 1, mount.log()
            assert "File too large" in status(mount)["cache"]["error"]
        assert error_of_reading(mount.path / "m00004.eml") == 0
        assert status(mount)["cache"]["error"] is None


def test_refresh_during_a_back_off_gives_the_last_real_reason(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        server.script.refuse_connections = True
        ctl(mount, "refresh", code=1)
        wait_until("it is offline", lambda: status(mount)["state"] == "offline" and status(mount)["next_attempt_s"] is not None)
        reason = status(mount)["last_error"]["text"]
        for _ in range(2):
            assert reason in ctl(mount, "refresh", code=1).stderr


@pytest.mark.parametrize("options", ["ro", "ro,allow_other"])
def test_a_mount_that_is_read_only_can_be_refreshed_and_filled(options, serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server, options) as mount:
        assert stat.S_IMODE(os.stat(mount.path / ".popfs/control").st_mode) == 0o600
        server.script.messages = [*MAILS, mailbox.plain("new")]
        assert "1 new message" in ctl(mount, "refresh").stdout
        assert "31 messages on the local disk" in ctl(mount, "prefetch").stdout
        assert "mounted read-only" in ctl(mount, "rollback", code=1).stderr
        assert error_of_reading(mount.path / ".popfs/control") == errno.EACCES
        if "allow_other" in options:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.environ["POPFSCTL"], "refresh", str(mount.path)]
            assert subprocess.run(command, capture_output=True, timeout=LIMIT_S).returncode == 1
