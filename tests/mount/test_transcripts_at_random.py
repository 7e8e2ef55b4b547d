# SPDX-License-Identifier: MIT
"""Random dialogues: now and then an answer is missing, comes twice, is torn, or has something unasked beside it, while users read, stat,
remove and commit.

A checker looks at every byte that anybody reads, at every date, at what is deleted, and at how long each call takes. Then the server
behaves, and all must be right: in that mount, and in the next one, which has the cache. With POPFS_LONG for ten minutes.

POPFS_SEED=n runs one dialogue again (the acts of the users and the faults are the same, the moments at which they meet are not);
POPFS_KINDS=a,b,… lets only these kinds of faults happen.
"""

import contextlib
import email.utils
import errno
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Callable

import mailbox
import mounting
import pytest
import scripted
from conftest import script_options, script_source
from reading import control, names
from scripted import Script

LONG = "POPFS_LONG" in os.environ
RUN_S = 300 if LONG else 4  # for each of the two
TIMEOUT_S = 2
ANSWER_S = 40  # several attempts, each with its time-outs and its pause
FAULTS_MAX = 6  # of one dialogue
USERS, ACTS = 2, 8

# What may be said of one message or of a wish while the server is bad.
BAD_SERVER = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY, errno.ENOENT, errno.ESTALE, errno.EINPROGRESS}

TEMPORARY = b"-ERR [SYS/TEMP] try again later\r\n"


# -- the faults


def lines_of(answer):
    return answer.split(b"\r\n")[:-1]


def is_body(answer):
    return answer.startswith(b"+OK") and len(lines_of(answer)) > 8


def inside(chance, answer):
    """Where a line of the body begins, but for the first ones."""
    lines = lines_of(answer)
    return sum(len(line) + 2 for line in lines[: chance.randrange(4, len(lines) - 1)])


def short(chance, answer):
    """As a server that cannot read on and says that this is the end. Anywhere in a line, so that it hardly comes twice with the same size, and
    by more than the 3 octets that popfs bears.
    """
    lines = lines_of(answer)
    begin = sum(len(line) + 2 for line in lines[:4])
    return answer[: chance.randrange(begin, max(begin + 1, len(answer) - 15))] + b"\r\n.\r\n"


def unstuffed(chance, answer):
    at = inside(chance, answer)
    return answer[:at] + b".\r\n" + answer[at:]


@dataclass
class Kind:
    spoil: Callable | None  # (chance, answer) -> what is sent in its place; None: it comes behind the next one
    closes: bool = False
    of_bodies: bool = False  # not of other answers


KINDS = {
    "stray-error": Kind(lambda chance, answer: TEMPORARY + answer),
    "stray-ok": Kind(lambda chance, answer: b"+OK still here\r\n" + answer),
    "stray-text": Kind(lambda chance, answer: b"* still here\r\n" + answer),
    "stray-error-behind": Kind(lambda chance, answer: answer + TEMPORARY),
    "stray-ok-behind": Kind(lambda chance, answer: answer + b"+OK again\r\n"),
    "missing": Kind(lambda chance, answer: b""),
    "doubled": Kind(lambda chance, answer: answer * 2),
    "swapped": Kind(None),
    "torn": Kind(lambda chance, answer: answer[: chance.randrange(len(answer))], closes=True),
    "torn-and-on": Kind(lambda chance, answer: answer[: chance.randrange(len(answer))]),
    "no-last-lf": Kind(lambda chance, answer: answer[:-1]),
    "no-end": Kind(lambda chance, answer: answer[:-3], of_bodies=True),
    "short": Kind(short, of_bodies=True),
    "unstuffed": Kind(unstuffed, of_bodies=True),
    "late": Kind(lambda chance, answer: time.sleep(chance.random() / 10) or answer),
    "refused": Kind(lambda chance, answer: TEMPORARY, closes=True),
}
ASKED_FOR = os.environ.get("POPFS_KINDS", ",".join(KINDS)).split(",")
HAPPEN = [name for name in KINDS if name in ASKED_FOR]


# -- one dialogue


def make_messages(chance):
    """Each with a date of its own, far from the others and from today."""
    mails = []
    for i in range(1, chance.randrange(6, 12)):
        lines = [chance.choice([b"The quick brown fox.", b".", b"..", b".hidden", b"+OK", b"-ERR no", b"", b"x" * 900]) for _ in
                 range(chance.choice([3, 12, 40, 90]))]
        mails.append(mailbox.plain(f"u{i}", b"body of %d\r\n" % i + b"".join(line + b"\r\n" for line in lines), subject=f"Message {i}",
                                   date=f"Mon, {i + 1:02} Jun {2000 + i} 08:00:00 +0000"))
    large = mailbox.plain("large", b"A line of the large one, number by number.\r\n" * 2000, subject="Large", date="Tue, 06 Apr 1999 08:00:00 +0000")
    return [*mails, large]


class Dialogue:
    def __init__(self, seed, pipelining, server):
        self.seed, self.server = seed, server
        self.chance = random.Random(seed)
        self.script = server.script
        self.script.messages = make_messages(self.chance)
        self.script.pipelining = pipelining
        self.truth = {f"{mail.name}.eml": mail.data for mail in self.script.messages}
        self.dates = {f"{mail.name}.eml": date_of(mail.data) for mail in self.script.messages}
        self.kinds = self.chance.sample(HAPPEN, min(len(HAPPEN), 3))
        self.rate = self.chance.choice([0.02, 0.1, 0.3])
        self.is_bad = False
        self.faults, self.acts, self.wrong = [], [], []
        self.wished, self.removed = set(), set()  # perhaps; in any case
        self.lock = threading.Lock()
        self.begun_s = time.time()

    def story(self):
        return (f"POPFS_SEED={self.seed}, kinds {self.kinds}\nfaults:\n  " + "\n  ".join(self.faults) +
                "\nacts:\n  " + "\n  ".join(self.acts) + "\nsessions:\n  " +
                "\n  ".join(" | ".join(session.commands[-40:]) for session in self.server.sessions))

    # -- the server

    def kind_for(self, session, line, answer):
        """By the place in the dialogue, so that the same dialogue meets the same faults."""
        chance = random.Random(f"{self.seed} {self.server.sessions.index(session)} {len(session.commands)} {line}")
        if not self.is_bad or len(self.faults) >= FAULTS_MAX or chance.random() > self.rate:
            return None, chance
        name = chance.choice(self.kinds)
        if KINDS[name].of_bodies and not (line.startswith(("RETR", "TOP")) and is_body(answer)):
            return None, chance
        self.faults.append(f"session {self.server.sessions.index(session)}, {line}: {name}")
        return name, chance

    def send(self, session, line, answer):
        if not answer:
            return
        name, chance = self.kind_for(session, line, answer)
        held = session.__dict__.pop("held_back", b"")
        kind = KINDS.get(name, Kind(lambda chance, answer: answer))
        if kind.spoil is None:
            session.held_back, answer = answer, b""
        else:
            answer = kind.spoil(chance, answer)
        session._send(answer + held)
        if kind.closes:
            session.drop()

    def answer_of(self, original):
        """Collects what the server would send in answer to a command, and sends what becomes of it."""

        def answer(session, line):
            if not session.logged_in:
                original(session, line)
                return
            parts = []
            session._send = parts.append
            try:
                original(session, line)
            finally:
                del session._send
                self.send(session, line, b"".join(parts))

        return answer

    def commit_of(self, original):
        def commit(session):
            with self.lock:
                unwished = {name for name in session.deleted if f"{name}.eml" not in self.wished}
                if unwished:
                    self.wrong.append(f"deleted, though nobody wished it: {sorted(unwished)}")
                original(session)

        return commit

    # -- the users

    def look_at_bytes(self, name, got, whole):
        truth = self.truth[name] if whole else self.truth[name][: len(got)]
        if got != truth:
            self.wrong.append(f"{name}: {len(got)} octets, {got[:60]!r}… instead of {len(truth)}, {truth[:60]!r}…")

    def look_at_date(self, name, seconds):
        """That of its header, or when popfs saw it."""
        if seconds != self.dates[name] and seconds < self.begun_s - 2:
            other = [other for other, date in self.dates.items() if date == seconds]
            self.wrong.append(f"{name}: the date of {other or seconds}")

    def read(self, mount, name):
        self.look_at_bytes(name, (mount.path / name).read_bytes(), True)

    def read_some(self, mount, name):
        """In the order of the listing, so that bodies are read ahead in a pipeline."""
        order = list(self.truth)
        for other in order[order.index(name):][:5]:
            with contextlib.suppress(FileNotFoundError):
                self.read(mount, other)

    def read_start(self, mount, name):
        with open(mount.path / name, "rb", buffering=0) as file:
            self.look_at_bytes(name, file.read(1000), False)

    def look(self, mount, name):
        self.look_at_date(name, os.stat(mount.path / name).st_mtime)

    def remove(self, mount, name):
        with self.lock:
            self.wished.add(name)  # its commit may be over before rm returns
        try:
            os.unlink(mount.path / name)
            self.removed.add(name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                with self.lock:
                    self.wished.discard(name)
            raise

    def command(self, line):
        return lambda mount, _: control(mount, line)

    def act(self, chance, mount):
        line = chance.choice(["refresh", "commit", "prefetch"])
        what, act = chance.choices(
            [("read", self.read), ("reads from", self.read_some), ("start", self.read_start), ("stat", self.look), ("rm", self.remove),
             (line, self.command(line))],
            [5, 6, 2, 5, 2, 3])[0]
        name = chance.choice(sorted(self.truth))
        begun = time.monotonic()
        said = "done"
        try:
            act(mount, name)
        except OSError as error:
            said = errno.errorcode[error.errno]
            if error.errno not in BAD_SERVER:
                self.wrong.append(f"{what} {name}: {error}")
        took = time.monotonic() - begun
        self.acts.append(f"{what} {name}: {said} after {took:.2f} s")
        if took > ANSWER_S:
            self.wrong.append(f"{what} {name} took {took:.0f} s")

    def use(self, mount, number):
        chance = random.Random(f"{self.seed} user {number}")
        for _ in range(ACTS):
            self.act(chance, mount)
            time.sleep(chance.choice([0, 0, 0.003, 0.02]))

    def let_all_act(self, mount):
        users = [threading.Thread(target=self.use, args=(mount, i), daemon=True) for i in range(USERS)]
        for user in users:
            user.start()
        for user in users:
            user.join(ACTS * ANSWER_S)
            assert not user.is_alive(), "a call is never answered"

    # -- what must be true

    def held(self):
        return {f"{mail.name}.eml" for mail in self.script.messages}

    def is_settled(self, mount):
        """The server behaves: a listing comes, and every message can be read."""
        try:
            control(mount, "refresh")
            for name in sorted(self.held() & set(names(mount.path))):
                self.read(mount, name)
                self.look(mount, name)
        except OSError as error:
            assert error.errno in BAD_SERVER, error
            return False
        return True

    def check(self, mount):
        mounting.wait_until("every message", lambda: self.is_settled(mount), 2 * ANSWER_S)
        trash = set(names(mount.path / ".popfs/trash"))
        assert trash <= self.wished, trash
        assert set(names(mount.path)) == self.held() - trash
        assert not self.wrong, self.wrong

    def check_end(self, mount):
        """A removal whose header could not be fetched in its session stays pending, and that is said."""
        assert mount.exit_code == ("its header cannot be compared" in mount.log()), f"{mount.exit_code}: {mount.log()}"
        assert not self.wrong, self.wrong
        left = self.removed & self.held()
        assert mount.exit_code == 1 or not left, left

    def check_date_of_all(self, mount):
        late = [name for name in names(mount.path) if os.stat(mount.path / name).st_mtime != self.dates[name]]
        assert not [name for name in late if os.stat(mount.path / name).st_mtime < self.begun_s - 2], late


def date_of(data):
    head = data.partition(b"\r\n\r\n")[0].decode().splitlines()
    (line,) = [line for line in head if line.startswith("Date: ")]
    return email.utils.parsedate_to_datetime(line[6:]).timestamp()


@contextlib.contextmanager
def told(dialogue):
    try:
        yield
    except BaseException:
        print(dialogue.story())
        raise


def run(dialogue, place, monkeypatch):
    options = script_options(place, dialogue.server, f"timeout={TIMEOUT_S},refresh=0,lazy=16K")
    source = script_source(dialogue.server)
    with monkeypatch.context() as patch, told(dialogue):
        patch.setattr(scripted.Session, "_answer", dialogue.answer_of(scripted.Session._answer))
        patch.setattr(scripted.Session, "_commit", dialogue.commit_of(scripted.Session._commit))
        with mounting.mounted(place, source, options, expect_exit=None) as mount:
            dialogue.is_bad = True
            dialogue.let_all_act(mount)
            dialogue.is_bad = False
            dialogue.check(mount)
        dialogue.check_end(mount)
        with mounting.mounted(place, source, options, expect_exit=None) as mount:
            dialogue.check(mount)
            dialogue.check_date_of_all(mount)
        dialogue.check_end(mount)
        assert not dialogue.server.violations(), dialogue.server.violations()


def seeds():
    if "POPFS_SEED" in os.environ:
        yield int(os.environ["POPFS_SEED"])
        return
    first = random.randrange(10**9) if LONG else 1
    end = time.monotonic() + RUN_S
    while time.monotonic() < end:
        yield first
        first += 1


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.slow
def test_bytes_dates_and_deletions_are_right_whatever_the_dialogue(pipelining, one_place, monkeypatch):
    for seed in seeds():
        with one_place() as place, scripted.Server(Script([])) as server:
            run(Dialogue(seed, pipelining, server), place, monkeypatch)
