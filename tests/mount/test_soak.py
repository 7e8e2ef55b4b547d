# SPDX-License-Identifier: MIT
"""Days of a bad life in little time: a line that breaks all the while, and a popfs that is killed over and over.

With POPFS_LONG for ten minutes and two hundred deaths, otherwise for as long as everybody can wait.
"""

import contextlib
import errno
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import mailbox
import pytest
from faultproxy import FaultProxy
from mounting import unmount_hard
from reading import names
from scripted import Script

LONG = "POPFS_LONG" in os.environ
SOAK_S = 600 if LONG else 15
DEATHS = 200 if LONG else 12

# What a program may be told when the line is bad.
BAD_LINE = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY, errno.ENOENT, errno.ESTALE}


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Crowd:
    """Readers, removers and lookers on one mount, until told to stop; the first wrong octet or errno is kept."""

    def __init__(self, path, truth, seed):
        self.path, self.truth = path, truth
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.wrong = []
        self.read_count = self.failed_count = 0
        self.removed, self.doubtful = set(), set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(work,))
                         for work in (self._read, self._read, self._read, self._remove, self._look)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a program hangs"
        assert not self.wrong, self.wrong

    def _run(self, work):
        while not self.over.is_set():
            try:
                work()
            except OSError as error:
                self.failed_count += 1
                if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                    return  # it was killed
                if error.errno not in BAD_LINE:
                    self.wrong.append(repr(error))
                    return

    def _read(self):
        name = self.random.choice(list(self.truth))
        data = (self.path / name).read_bytes()
        self.read_count += 1
        if data != self.truth[name]:
            self.wrong.append(f"{name}: {len(data)} octets instead of {len(self.truth[name])}, or others")

    def _remove(self):
        self.over.wait(0.05)
        with self._lock:
            name = self.random.choice(list(self.truth))
            self.doubtful.add(name)
            os.unlink(self.path / name)
            self.removed.add(name)
            self.doubtful.discard(name)

    def _look(self):
        self.over.wait(0.02)
        found = os.listdir(self.path)
        for name in self.random.sample(found, min(5, len(found))):
            os.stat(self.path / name)


def uidl_names(server):
    return {f"{mail.name}.eml" for mail in server.script.messages}


@pytest.mark.slow
def test_a_line_that_breaks_every_few_seconds(serve, place, on_script):
    mails = mailbox.many(400, octets=3000) + [
        mailbox.plain(f"big{i}", random.Random(i).randbytes(300_000).hex().encode() + b"\r\n") for i in range(3)]
    truth = {f"{mail.name}.eml": mail.data for mail in mails}
    server = serve(Script(mails))
    # Sanitizers keep what was freed in quarantine, which is no leak.
    place.environment["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
    with FaultProxy(server) as line:
        with on_script(line, "refresh=3,keepalive=1,lazy=100K,cache_size=1M", expect_exit=0, watchdog_s=SOAK_S + 100) as mount:
            dice = random.Random(4)
            end = time.monotonic() + SOAK_S
            with Crowd(mount.path, truth, 1) as crowd:
                time.sleep(2)
                before = resident_kib(mount.pid), descriptors(mount.pid)
                while time.monotonic() < end:
                    time.sleep(dice.uniform(0.3, 3))
                    line.cut_all()
            after = resident_kib(mount.pid), descriptors(mount.pid)
            assert crowd.read_count > SOAK_S, (crowd.read_count, crowd.failed_count)
            assert after[0] - before[0] < 20_000, (before, after)
            assert after[1] <= before[1] + 8, (before, after)
            # A name that the crowd removed while the line was down is gone from the listing all the same.
            assert set(names(mount.path)) == set(truth) - crowd.removed
        assert uidl_names(server) == set(truth) - crowd.removed


def index_of(place):
    (folder,) = (place.folder / "cache" / "popfs").iterdir()
    return folder / "index.sqlite"


def assert_sound(place):
    with contextlib.closing(sqlite3.connect(f"file:{index_of(place)}?mode=ro", uri=True)) as index:
        assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def commit(mount):
    with contextlib.suppress(OSError):
        descriptor = os.open(mount.path / ".popfs/control", os.O_WRONLY)
        try:
            os.write(descriptor, b"commit\n")
        finally:
            os.close(descriptor)


def test_killed_over_and_over_nothing_is_lost_and_nothing_else_deleted(serve, on_script):
    dice = random.Random(7)
    mails = mailbox.many(60 * DEATHS // 10 + 100, octets=1500)
    truth = {f"{mail.name}.eml": mail.data for mail in mails}
    server = serve(Script(mails[:60]))
    wished, doubtful, arrived = set(), set(), 60
    for death in range(DEATHS):
        with on_script(server, "refresh=1", expect_exit=None) as mount:
            there = uidl_names(server)
            trash = set(names(mount.path / ".popfs/trash"))
            # No wish was lost, and none was invented.
            assert wished & there <= trash <= (wished | doubtful) & there, (death, wished & there, trash)
            assert set(names(mount.path)) == there - trash
            wished |= trash
            committer = threading.Timer(dice.uniform(0, 0.4), commit, [mount])
            if death % 3 == 0:
                committer.start()
            with Crowd(mount.path, {name: truth[name] for name in there}, death) as crowd:
                before, arrived = arrived, min(arrived + 5, len(mails))
                server.deliver(mails[before:arrived])
                time.sleep(dice.uniform(0.02, 0.6))
                mount.die()
            if death % 3 == 0:
                committer.join(10)
            unmount_hard(mount.path)
            for session in server.sessions:
                session.join(2)  # a QUIT that is on its way
            wished |= crowd.removed
            doubtful |= crowd.doubtful
        assert_sound(mount.place)
        # What has gone was wished for: nothing else was deleted by a killed popfs or by its commits.
        assert {f"{mail.name}.eml" for mail in mails[:arrived]} - uidl_names(server) <= wished | doubtful
    with on_script(server) as mount:
        trash = set(names(mount.path / ".popfs/trash"))
    assert uidl_names(server) == {f"{mail.name}.eml" for mail in mails[:arrived]} - wished - trash


LOOKS_UP = """
import itertools, os, sys
for number in itertools.count():
    try:
        os.stat(f"{sys.argv[1]}/none{number}.eml")
    except FileNotFoundError:
        pass
"""


@contextlib.contextmanager
def busy(mount):
    """Programs that look names up and ask for new mail without a pause; not threads, which could not be left behind."""
    commands = ([sys.executable, "-c", LOOKS_UP, mount.path],
                ["sh", "-c", 'while echo refresh >"$1"; do :; done', "sh", mount.path / ".popfs/control"])
    programs = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait(30)


def test_killed_while_names_are_looked_up_and_messages_vanish_it_ends(serve, on_script):
    """The kernel holds the folder's lock during a look-up. Who waits for that lock inside the kernel cannot be killed, and keeps /dev/fuse open."""
    dice = random.Random(3)
    mails = mailbox.many(200, octets=300)
    for _ in range(DEATHS // 2):
        server = serve(Script(mails[:100]))
        with on_script(server, "refresh=0", expect_exit=None) as mount, busy(mount):
            end = time.monotonic() + dice.uniform(0.1, 0.5)
            while time.monotonic() < end:
                server.script.messages = dice.sample(mails, 100)
                time.sleep(0.001)
            mount.die()
