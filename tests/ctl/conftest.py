# SPDX-License-Identifier: MIT
"""A mount of type fuse.popfs that holds what the test says and does what the test says."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

WAIT_S = 20
SOURCE = f"pops://alice-{os.getpid()}@example.org"  # those who test beside this one have others


def pytest_sessionstart(session):
    """Without these nothing here means anything; that is a failure and not a reason to skip."""
    missing = [name for name in ("POPFSCTL", "POPFS_FAKE") if not os.access(os.environ.get(name, ""), os.X_OK)]
    if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
        missing.append("/dev/fuse, and root")
    missing += [program for program in ("fusermount3", "umount", "unshare", "setpriv") if not shutil.which(program)]
    if missing:
        pytest.exit("missing: " + "; ".join(missing), returncode=1)


def mount_rows(path):
    escaped = "".join(f"\\{ord(octet):03o}" if octet in " \t\n\\" else octet for octet in str(path))
    with open("/proc/self/mounts") as table:
        return [line.split() for line in table if line.split()[1] == escaped]


class Fake:
    """The mount, and the folder that lies in it as .popfs."""

    ctl = os.environ.get("POPFSCTL")

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="popfs-ctl-"))
        self.folder.chmod(0o755)
        self.backing, self.mountpoint = self.folder / "backing", self.folder / "mnt"
        self.backing.mkdir()
        self.mountpoint.mkdir()
        self.process = None
        self.facts = {
            "state": "online", "pid": 0, "read_only": False, "message_count": 120, "pending_removal_count": 0,
            "received_octets": 0, "cache": {"folder": "/x", "octets": 0, "limit": 0, "bodies": 7}, "state_folder": "/y",
            "work": {"kind": "none", "done": 0, "total": 0}, "last_commit": None, "last_error": None,
        }
        (self.backing / "control").touch(mode=0o600)
        (self.backing / "status").write_text("state:   online\n")
        self.says()
        self.can_become("after")
        self.answers("exit 0")

    # -- what it holds and does

    def says(self, **facts):
        self.facts.update(facts)
        self._write_later("status.json", self.facts)

    def _write_later(self, name, facts):
        new = self.backing / f"{name}.new"
        new.write_text(json.dumps(facts))
        new.rename(self.backing / name)

    def answers(self, script):
        """A shell script: $1 is the line, and the exit code the errno; `become X` makes X.json the status."""
        path = self.backing / "answer"
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\ncd " + str(self.backing) + "\nbecome() { cp $1.json new && mv new status.json; }\n" + script + "\n")
        path.chmod(0o755)

    def can_become(self, name, **facts):
        self._write_later(f"{name}.json", dict(self.facts, **facts))

    def commands(self):
        path = self.backing / "commands"
        return path.read_text().splitlines() if path.exists() else []

    # -- mounting

    def mount(self, options="", prefix=(), end_s=0):
        words = [*prefix, os.environ["POPFS_FAKE"], str(self.backing), str(self.mountpoint)]
        words += ["-o", f"fsname={SOURCE}" + ("," + options if options else "")]
        environment = dict(os.environ, FAKE_END_S=str(end_s))
        self.process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + WAIT_S
        while not mount_rows(self.mountpoint):
            assert self.process.poll() is None and time.monotonic() < end, "the fake was not mounted"
            time.sleep(0.02)
        self.says(pid=self.process.pid)
        return self

    def is_mounted(self):
        return bool(mount_rows(self.mountpoint))

    def has_ended(self):
        return self.process.poll() is not None

    def stop(self):
        if self.is_mounted():
            subprocess.run(["fusermount3", "-uz", self.mountpoint], check=True, timeout=WAIT_S)
        if self.process is not None:
            try:
                self.process.wait(WAIT_S)
            finally:
                self.process.kill()
        shutil.rmtree(self.folder)

    # -- popfsctl

    def run(self, command, *rest, program=None, prefix=(), path=None, code=0):
        words = [*prefix, program or self.ctl, command, str(path or self.mountpoint), *rest]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def unmounted():
    fake = Fake()
    try:
        yield fake
    finally:
        fake.stop()


@pytest.fixture
def fake(unmounted):
    return unmounted.mount()
