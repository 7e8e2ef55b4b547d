#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One mount of each transport, confined, with no Dovecot and no pytest: for a system that has little. POPFS and POPFSCTL name the programs.

Says what cmocka says of its tests, so that they are counted like those.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import certs
import mailbox
import mounting
import scripted

mounting.READY_S = mounting.END_S = 120  # the processor may be interpreted
mounting.WATCHDOG_S = 600
TRANSPORTS = {"pops": ("pops", False), "stls": ("pop3", False), "in_the_clear": ("pop3", True)}
MAILS = [
    mailbox.plain("dots", b".\r\n..\r\nx\r\n"),
    mailbox.plain("beyond-2038", date="Tue, 01 Jan 2092 00:00:00 +0000"),
    *mailbox.many(5, 70_000),
]


def output_of(*command, **rest):
    return subprocess.run(command, capture_output=True, text=True, timeout=mounting.END_S, check=True, **rest).stdout


def look_at(server, place, mount):
    """Reads, removes and unmounts as a user does."""
    assert {path.name for path in mount.path.iterdir()} == {f"{mail.name}.eml" for mail in MAILS}
    for mail in MAILS:
        assert (mount.path / f"{mail.name}.eml").read_bytes() == mailbox.wire(mail.data), mail.name
    # Not by stat() of this Python, which may have 32 bits for a time, and then fails with EOVERFLOW.
    assert output_of("stat", "-c", "%Y", mount.path / "beyond-2038.eml") == "3849984000\n"
    status = output_of(os.environ["POPFSCTL"], "status", mount.path, env=place.environment)
    assert "Landlock" in status and "seccomp" in status, status
    (mount.path / "dots.eml").unlink()
    assert "deleted 1 message" in output_of(os.environ["POPFSCTL"], "umount", mount.path, env=place.environment)
    mount.wait_end()
    assert {mail.name for mail in server.script.messages} == {mail.name for mail in MAILS} - {"dots"}
    assert not server.violations(), server.violations()


def run(transport, authority, certificate):
    scheme, clear = TRANSPORTS[transport]
    script = scripted.Script(messages=list(MAILS))
    place = mounting.Place()
    tls = "tls=off" if clear else f"cafile={authority.cert}"
    options = f"passfile={place.passfile(script.password)},timeout=60,{tls}"
    with scripted.Server(script, certificate=certificate, implicit_tls=scheme == "pops") as server:
        source = f"{scheme}://{script.user}@localhost:{server.port}"
        with mounting.mounted(place, source, options, watchdog_s=mounting.WATCHDOG_S) as mount:
            look_at(server, place, mount)
    shutil.rmtree(place.folder)


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="popfs-tests-") as folder:
        authority = certs.Authority(Path(folder) / "ca")
        certificate = authority.issue("server")
        for transport in TRANSPORTS:
            name = f"a_mount_over_{transport}"
            print(f"[ RUN      ] {name}", flush=True)
            try:
                run(transport, authority, certificate)
                print(f"[       OK ] {name}")
            except Exception:
                traceback.print_exc(file=sys.stdout)
                print(f"[  FAILED  ] {name}")
                failed += 1
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
