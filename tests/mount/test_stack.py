# SPDX-License-Identifier: MIT
"""A small limit for the stack (ulimit -s) is no reason to crash."""

import json
import os
import subprocess

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import mounted
from reading import cat
from scripted import Script

MAILS = [*mailbox.many(6, octets=3000), *mailbox.odd()]


@pytest.mark.parametrize("how", ["plain", "tls"])
@pytest.mark.parametrize("limits", ["65536:unlimited", "131072:16777216", "524288:524288"])
def test_a_mount_with_a_small_stack_works(limits, how, serve, place, authority, certificate):
    server = serve(Script(messages=MAILS), certificate=certificate, implicit_tls=how == "tls")
    options = script_options(place, server, f"cafile={authority.cert}" if how == "tls" else "", tls="" if how == "tls" else "tls=off")
    small = ["prlimit", f"--stack={limits}", "--"]
    command = [*small, *place.command(script_source(server, "pops" if how == "tls" else "pop3"), options, ["-f"])]
    with mounted(place, None, None, command=command) as mount:
        names = sorted(os.listdir(mount.path))
        assert len(names) == len(MAILS)
        for name in names:
            cat(mount.path / name)
            os.stat(mount.path / name)
        os.unlink(mount.path / names[0])
        done = subprocess.run([*small, os.environ["POPFSCTL"], "commit", mount.path], capture_output=True, text=True, timeout=30)
        assert (done.stdout, done.stderr) == ("deleted 1 message\n", "")
        server.drop_all()
        cat(mount.path / names[1])
        assert json.loads((mount.path / ".popfs/status.json").read_text())["session_count"] >= 2
    assert len(server.script.messages) == len(MAILS) - 1


@pytest.mark.parametrize("octets", [65536, 262144])
def test_a_hard_limit_that_is_too_small_is_an_error_in_one_line(octets, place):
    small = ["prlimit", f"--stack={octets}:{octets}", "--"]
    said = f"the hard limit for the stack (ulimit -Hs) is {octets // 1024} KiB; at least 512 are needed\n"
    done = place.refused([*small, *place.command("pop3://a@localhost", "tls=off")])
    assert (done.returncode, done.stderr) == (2, f"popfs: {said}")
    done = subprocess.run([*small, os.environ["POPFSCTL"], "status", place.mountpoint], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (2, f"popfsctl: {said}")
