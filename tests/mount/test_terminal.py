# SPDX-License-Identifier: MIT
"""What a server writes must not steer the terminal of whoever reads popfs's words."""

import json
import os

import mailbox
from conftest import script_options, script_source
from mounting import mounted
from reading import cat, run
from scripted import Script

# A window title, a cleared screen, 8-bit CSI, right-to-left override, a line written over.
GRAFFITI = " [\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\rall is well\x08]"
UIDL = "\x1b[31mred\x07\x7f"


def assert_harmless(text):
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    bad = {byte for byte in text if byte != ord("\n") and not 32 <= byte < 127}
    assert not bad, (bad, text)


def hostile_script():
    mails = [mailbox.plain("good"), mailbox.plain(UIDL), mailbox.plain("kept")]
    return Script(messages=mails, graffiti=GRAFFITI, retr_refused={UIDL}, dele_refused={UIDL}, quit="refused")


def test_a_refused_login(serve, place):
    server = serve(Script(graffiti=GRAFFITI))
    options = script_options(place, server)
    place.passfile("wrong")
    done = place.refused(place.command(script_source(server), options))
    assert_harmless(done.stderr)
    assert "\\x1b]0;owned\\x07" in done.stderr and "\\xe2\\x80\\xae" in done.stderr and "\\x0dall is well" in done.stderr


def test_the_log_the_trace_and_the_status(serve, place):
    server = serve(hostile_script())
    command = place.command(script_source(server), script_options(place, server), ("-d",))
    with mounted(place, None, None, command=command, expect_exit=1) as mount:
        (name,) = (name for name in os.listdir(mount.path) if "red" in name)
        assert_harmless(name)
        assert run("cat", mount.path / name, check=False).returncode != 0
        # Whoever may look into the mount may look for any name.
        assert not os.path.lexists(os.fsencode(mount.path) + b"/\x1b[32m\xc2\x9b")
        status = cat(mount.path / ".popfs/status")
        report = cat(mount.path / ".popfs/status.json")
        assert_harmless(status)
        assert_harmless(report)
        assert b" scripted [\\x1b]0;owned" in status
        assert "\\x1b[2J" in json.loads(report)["implementation"]
        os.unlink(mount.path / name)
        mount.unmount()
    assert_harmless(mount.log())
    said = mount.log()
    assert "S: -ERR this message cannot be read [\\x1b]0;owned" in said
    assert f"message {UIDL}".encode("unicode_escape").decode() in said
    assert "could not delete \\x1b[31mred\\x07\\x7f: [SYS/PERM] you may not delete this [\\x1b]0;owned" in said


def test_the_system_log(serve, place, secluded):
    server = serve(hostile_script())
    done = secluded.run(*place.command(script_source(server), script_options(place, server)), env=place.environment)
    assert done.returncode == 0, done.stderr
    (name,) = (name for name in secluded.run("ls", place.mountpoint).stdout.splitlines() if "red" in name)
    assert secluded.run("cat", place.mountpoint / name).returncode != 0
    assert secluded.run("rm", place.mountpoint / name).returncode == 0
    secluded.run("umount", place.mountpoint)
    secluded.wait_logged(b"could not be deleted")
    assert_harmless(secluded.logged())
    assert b"could not delete \\x1b[31mred\\x07\\x7f" in secluded.logged()
