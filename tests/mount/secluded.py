# SPDX-License-Identifier: MIT
"""A mount namespace of its own: a /dev in which everybody may open fuse, a system log that the test reads, popfs where mount(8) looks for it."""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

from mounting import binary, wait_until

SETUP = """
set -e
mount --make-rprivate /
# Copies of mounts of other tests, which would outlive those. One may be gone before it is its turn.
umount -a -i -l -t fuse.popfs 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
cp "$1" /usr/local/bin/popfs
mount --bind "$2" /dev
echo ready
exec sleep 600
"""


class Secluded:
    """with Secluded(folder) as there: there.run(…), there.logged()"""

    def __init__(self, folder):
        self._dev = folder / "dev"
        self._lines = []

    def __enter__(self):
        self._dev.mkdir(mode=0o755)
        for name, minor in (("null", (1, 3)), ("zero", (1, 5)), ("random", (1, 8)), ("urandom", (1, 9)), ("tty", (5, 0)), ("fuse", (10, 229))):
            os.mknod(self._dev / name, 0o666 | stat.S_IFCHR, os.makedev(*minor))
            (self._dev / name).chmod(0o666)
        os.symlink("/proc/self/fd", self._dev / "fd")
        self.listen()
        self._holder = subprocess.Popen(["unshare", "-m", "sh", "-c", SETUP, "sh", binary(), self._dev], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
        self._log.close()
        shutil.rmtree(self._dev)

    def listen(self):
        """Once more: the log daemon is started anew, and its socket is another."""
        path = self._dev / "log"
        if path.exists():
            self._log.close()
            path.unlink()
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(path))
        path.chmod(0o666)
        self._log.settimeout(0.05)

    def logged(self):
        """All that was logged so far, as bytes."""
        try:
            while True:
                self._lines.append(self._log.recv(65536))
        except TimeoutError:
            return b"\n".join(self._lines)

    def wait_logged(self, words):
        wait_until(f"{words} in the log", lambda: words in self.logged())

    def command(self, *words, user=None):
        enter = ["nsenter", "-t", str(self._holder.pid), "-m", "-r", "-w", "--"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return enter + become + [os.fspath(word) for word in words]

    def run(self, *words, user=None, **rest):
        rest = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "timeout": 30, "text": True, **rest}
        return subprocess.run(self.command(*words, user=user), **rest)

    def daemons(self):
        """The ids of popfs's processes in here, without helpers."""
        here, found = os.readlink(f"/proc/{self._holder.pid}/ns/mnt"), []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "comm").read_text() == "popfs\n" and os.readlink(entry / "ns/mnt") == here:
                    found.append(int(entry.name))
        return found

    def is_mounted(self, path):
        with open(f"/proc/{self._holder.pid}/mountinfo") as table:
            return any(line.split()[4] == str(path) for line in table)

    def wait_unmounted(self, path):
        wait_until(f"the end of the mount on {path}", lambda: not self.is_mounted(path), 20)
