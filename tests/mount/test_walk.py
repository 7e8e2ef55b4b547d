# SPDX-License-Identifier: MIT
"""A walk at random: rm, mv back, commit, refresh, reads, mail that comes and goes, a server that fails, a popfs that ends or is killed.

After each stretch: what is shown is what the server has, what was wished is in the trash or has gone, nothing else
has gone, and every request was answered. With POPFS_LONG for ten minutes.
"""

import contextlib
import errno
import json
import os
import random
import signal
import threading
import time

import mailbox
import pytest
import scripted
from mounting import unmount_hard, wait_until
from reading import names
from scripted import Script

LONG = "POPFS_LONG" in os.environ
WALK_S = 600 if LONG else 18
ANSWER_S = 60  # three attempts to log in, each with its time-outs
STRETCH = 14  # steps between two looks at everything

# What may be said of one message or of a wish while the server is bad.
BAD_SERVER = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY, errno.ENOENT, errno.ESTALE, errno.EINPROGRESS}

ENDING = {errno.ECONNABORTED, errno.ENOTCONN}


class World:
    """The server, the mount, and what the user wished: (UIDL, octets) of a message, since a UIDL may get another one."""

    def __init__(self, seed, server):
        self.random = random.Random(seed)
        self.server, self.script = server, server.script
        self.lock = threading.Lock()  # over what the server holds
        self.wished = set()
        self.doubtful = set()  # as far as popfs may have learned meanwhile whom the name means
        self.born = {(mail.name, len(mail.data)): mail.data for mail in self.script.messages}
        self.wrong = []
        self.workers = []
        self.number = len(self.script.messages)
        self.steps = []
        self.mount = None
        self.ending = False
        self.is_late = False  # what the server says that it has may be about to go

    # -- the server

    def held(self):
        with self.lock:
            return {(mail.name, len(mail.data)) for mail in self.script.messages}

    def commit_of(self, session, commit):
        with self.lock:
            before = {(mail.name, len(mail.data)) for mail in self.script.messages}
            commit(session)
            gone = before - {(mail.name, len(mail.data)) for mail in self.script.messages}
            unwished = gone - self.wished - self.doubtful
            if unwished:
                self.wrong.append(f"deleted, though nobody wished it: {sorted(unwished)}")

    def arrive(self):
        with self.lock:
            self.number += 1
            self._add(f"m{self.number:05}")

    def _add(self, name):
        mail = mailbox.plain(name, b"x" * self.random.randrange(1, 4000) + b"\r\n", subject=f"Message {name} of {len(self.born)}")
        while (mail.name, len(mail.data)) in self.born:
            mail = mailbox.plain(name, mail.data.partition(b"\r\n\r\n")[2] + b"y\r\n", subject=f"Message {name} of {len(self.born)}")
        self.born[mail.name, len(mail.data)] = mail.data
        self.script.messages = [*self.script.messages, mail]

    def other_deletes(self):
        with self.lock:
            if len(self.script.messages) > 6:
                self.script.messages = [*self.script.messages]
                self.script.messages.pop(self.random.randrange(len(self.script.messages)))

    def replace(self):
        """The UIDL of a message that went names another one: it must not go in its place."""
        with self.lock:
            mails = [*self.script.messages]
            if not mails:
                return
            mail = mails.pop(self.random.randrange(len(mails)))
            self.script.messages = mails
            self._add(mail.name)

    def fail(self):
        what = self.random.choice(["quit", "quit", "dele", "refuse", "drop", "drop", "silent"])
        if what == "quit":
            self.script.quit = self.random.choice(["refused", "nothing", "mute", "lying", "late"])
            self.is_late |= self.script.quit == "late"
        elif what == "dele":
            self.script.dele_refused = {mail.name for mail in self.script.messages if self.random.random() < 0.3}
        elif what == "refuse":
            self.script.refuse_connections = True
        elif what == "silent":
            self.script.silent = {self.random.choice(["DELE", "UIDL", "RETR", "TOP", "NOOP"])}
        if what in ("drop", "refuse"):
            self.server.drop_all()

    def heal(self):
        self.script.quit = "ok"
        self.script.dele_refused = set()
        self.script.refuse_connections = False
        self.script.silent = set()

    # -- the user

    def any_of(self, folder):
        there = names(folder)
        return self.random.choice(there) if there else None

    def remove(self):
        name = self.any_of(self.mount.path)
        if name is None:
            return
        path = self.mount.path / name
        meant = {(name[:-4], os.stat(path).st_size)}
        on_server = {(uidl, octets) for uidl, octets in self.held() if uidl == name[:-4]}
        with self.lock:
            if on_server and meant != on_server:
                self.doubtful |= meant | on_server  # a refresh may come between stat() and unlink()
            else:
                self.wished |= meant  # its commit may be over before rm returns
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno not in ENDING:
                with self.lock:
                    self.wished -= meant
            raise

    def bring_back(self):
        trash = self.mount.path / ".popfs/trash"
        name = self.any_of(trash)
        if name is None or self.is_late:
            return
        octets = os.stat(trash / name).st_size
        os.rename(trash / name, self.mount.path / name)
        with self.lock:
            self.wished.discard((name[:-4], octets))

    def read(self):
        name = self.any_of(self.mount.path)
        if name is None:
            return
        with open(self.mount.path / name, "rb") as file:
            got = file.read()
        if got not in [data for (uidl, _), data in self.born.items() if uidl == name[:-4]]:
            self.wrong.append(f"{name}: {got[:80]}")

    def control(self, line):
        descriptor = os.open(self.mount.path / ".popfs/control", os.O_WRONLY)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)

    def ask(self):
        line = self.random.choice(["commit", "commit", "commit", "refresh", "refresh", "prefetch"])
        self.steps.append(line)

        def work():
            with self.allowed(f"{line} in the background"):
                self.control(line)

        self.workers.append(threading.Thread(target=work, name=line, daemon=True))
        self.workers[-1].start()

    @contextlib.contextmanager
    def allowed(self, what):
        try:
            yield
        except OSError as error:
            if error.errno not in BAD_SERVER | (ENDING if self.ending else set()):
                self.wrong.append(f"{what}: {error}")

    def step(self):
        act = self.random.choices(
            [self.remove, self.bring_back, self.read, self.ask, self.arrive, self.other_deletes, self.replace, self.fail, self.heal],
            [20, 10, 8, 14, 6, 3, 2, 5, 5])[0]
        self.steps.append(act.__name__)
        with self.allowed(act.__name__):
            act()
        time.sleep(self.random.choice([0, 0, 0.001, 0.01, 0.05]))

    # -- what must be true

    def join(self):
        end = time.monotonic() + ANSWER_S
        for worker in self.workers:
            worker.join(max(0, end - time.monotonic()))
            if worker.is_alive():
                print((self.mount.path / ".popfs/status").read_text())
            assert not worker.is_alive(), f"{worker.name} is never answered"
        self.workers = []

    def refreshed(self):
        try:
            self.control("refresh")
        except OSError:
            return False
        return True

    def shown(self, folder):
        return {(name[:-4], os.stat(folder / name).st_size) for name in names(folder)}

    def is_right(self):
        """A UIDL may name another message: popfs has to read its header first."""
        held = self.held()
        try:
            trash, root = self.shown(self.mount.path / ".popfs/trash"), self.shown(self.mount.path)
        except FileNotFoundError:  # it went between the look at the folder and that at the file
            return False
        with self.lock:
            wished = (self.wished & held) - self.doubtful
        return trash - self.doubtful == wished and root == held - trash

    def look(self):
        self.join()
        self.heal()
        if self.is_late:
            time.sleep(2 * scripted.LATE_S)
            self.is_late = False
        wait_until("a listing", self.refreshed, ANSWER_S)
        assert not self.wrong, self.wrong
        wait_until("what the server holds", self.is_right, ANSWER_S)
        held = self.held()
        trash = self.shown(self.mount.path / ".popfs/trash")
        with self.lock:
            self.wished &= held
            assert trash - self.doubtful == self.wished - self.doubtful
            self.wished, self.doubtful = trash, set()
        assert self.shown(self.mount.path) == held - trash
        status = json.loads((self.mount.path / ".popfs/status.json").read_text())
        assert status["pending_removal_count"] == len(trash)
        for name in names(self.mount.path):
            data = (self.mount.path / name).read_bytes()
            assert data == self.born[name[:-4], len(data)]


@pytest.mark.parametrize("seed", range(2 if LONG else 1))  # tests/sim walks on, where time costs nothing
@pytest.mark.parametrize("options", ["refresh=0", "refresh=1,idle=1,noquit", "cache=off,refresh=0,pipeline=off", "cache=off,state=off,refresh=0"])
@pytest.mark.slow
def test_only_what_was_wished_goes_and_every_request_is_answered(options, seed, serve, on_script, monkeypatch, place):
    seed = random.randrange(10**6) if LONG else seed
    world = World(seed, serve(Script(mailbox.many(25, octets=500))))
    original = scripted.Session._commit
    monkeypatch.setattr(scripted.Session, "_commit", lambda session: world.commit_of(session, original))
    end = time.monotonic() + WALK_S / 2
    stood_still = 0
    try:
        while time.monotonic() < end:
            try:
                one_mount(world, on_script, options, place)
            except AssertionError as refusal:
                # A machine that stands still for longer than the time-out, as one did for 26 s, makes the server silent.
                stood_still += 1
                if "popfs ended with 32" not in str(refusal) or "silent for" not in str(refusal) or stood_still > 2:
                    raise
    except BaseException:
        print(f"seed {seed}; the last steps: {world.steps[-60:]}")
        raise


def one_mount(world, on_script, options, place):
    with on_script(world.server, f"timeout=3,{options}", expect_exit=None) as mount:
        world.mount, world.ending = mount, False
        for _ in range(3):
            for _ in range(STRETCH):
                world.step()
            world.look()
        world.ask()
        world.remove()
        if world.random.random() < 0.5:
            killed(world, mount, place, forgets="state=off" in options)
            return
        if world.random.random() < 0.5:
            world.join()  # otherwise the mount ends, as by systemd, while it is being asked
        else:
            world.ending = True
            mount.kill(signal.SIGTERM)
            mount.wait_end()
    world.steps.append("unmounted")
    world.join()
    assert not world.wrong, world.wrong
    assert mount.exit_code == 0, mount.log()
    assert not world.wished & world.held() - world.doubtful, "unmounted, and what was wished is still there"


def killed(world, mount, place, forgets):
    world.steps.append("killed")
    world.ending = True
    mount.die()
    unmount_hard(place.mountpoint)
    for session in world.server.sessions:
        session.join(2)  # a QUIT that is on its way
    world.join()
    if forgets:
        world.wished = set()
