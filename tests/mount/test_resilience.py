# SPDX-License-Identifier: MIT
"""The line is cut at every place: the right octets or an errno, never wrong octets, a hang or a crash (POP3.md 20)."""

import concurrent.futures
import contextlib
import errno
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import mailbox
import mounting
import pytest
from conftest import script_options, script_source
from mounting import wait_until
from scripted import Script, Server

LONG = "POPFS_LONG" in os.environ  # contrib/check.sh --long: more places to cut at, and for longer

AT_ONCE = 6  # mounts; most of their time is back-off
NETWORK = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY}

FEW = [
    mailbox.plain("first", b".dots\r\n..\r\n" + b"first " * 20 + b"\r\n"),
    mailbox.plain("second", bytes(range(1, 10)) + b"\0\r\n.\r\nsecond\r\n"),
    mailbox.plain("third", b"no dots, but some length " * 12 + b"\r\n"),
]


class Cutter:
    """Stands before a server and cuts lines: `down` octets of a connection after which it is cut, of those that the server sends;
    `up` of those that it receives. Only the first `times` connections are cut."""

    def __init__(self, server, down=None, up=None, times=10**6, how="reset"):
        self.script, self._server = server.script, server
        self.down, self.up, self.times, self.how = down, up, times, how
        self.passed_down, self.passed_up = [], []  # of each connection
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._listener.getsockname()[1]
        self.cut_count = 0
        self._pairs = []
        self._lock = threading.Lock()
        self._closing = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def cut_all(self):
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._cut(client, server)

    def _cut(self, client, server):
        for end in (client, server):
            with contextlib.suppress(OSError):
                if self.how == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_RDWR)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.close()

    def _accept(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                number = len(self.passed_down)
                self.passed_down.append(0)
                self.passed_up.append(0)
                self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server, number), daemon=True).start()

    def _carry(self, client, server, number):
        ways = {server: (client, self.passed_down, "down"), client: (server, self.passed_up, "up")}
        try:
            while True:
                for source in select.select([client, server], [], [], 100)[0]:
                    target, passed, direction = ways[source]
                    limit = getattr(self, direction) if number < self.times else None
                    room = 65536 if limit is None else min(65536, limit - passed[number])
                    data = source.recv(room) if room > 0 else b""
                    target.sendall(data)
                    passed[number] += len(data)
                    if room == 0 or passed[number] == limit:
                        self.cut_count += 1
                        return
                    if not data:
                        return
        except (OSError, ValueError):
            return
        finally:
            self._cut(client, server)


@pytest.fixture
def one_place():
    """one_place(): a place of its own for one mount of several in a test."""

    @contextlib.contextmanager
    def make():
        place = mounting.Place()
        try:
            yield place
            place.check_reports()
        finally:
            mounting.unmount_hard(place.mountpoint)
            subprocess.run(["rm", "-rf", place.folder], check=True)

    return make


def everywhere(case, points):
    """What case(point) gives for each, several at a time; the first failure of all names its point."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {point: pool.submit(case, point) for point in points}
    for point, run in runs.items():
        if run.exception() is not None:
            raise AssertionError(f"cut at {point}") from run.exception()
    return [run.result() for run in runs.values()]


def mount_or_refusal(place, source, options):
    """A Mount, or None when popfs would not mount and said so as it should."""
    command = place.command(source, options, ["-f"])
    try:
        return mounting.Mount(place, command, True)
    except AssertionError as refusal:
        assert "popfs ended with 32" in str(refusal), refusal
        said = Path(place.folder / "output-0").read_text()
        assert said.startswith("popfs: ") and said.count("\n") == 1, said
        return None


def read_or_errno(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        assert error.errno in NETWORK, error
        return None


def read_at_last(path, seconds=20):
    end = time.monotonic() + seconds
    while (octets := read_or_errno(path)) is None:
        assert time.monotonic() < end, f"{path} cannot be read any more"
        time.sleep(0.1)
    return octets


def how_to_connect(place, server, cutter, secured, pipeline, authority):
    more = f"timeout=5,pipeline={pipeline}"
    tls = f"cafile={authority.folder}/ca.pem" if secured else "tls=off"
    return script_source(cutter, "pops" if secured else "pop3"), script_options(place, server, more, tls)


def whole_session(place, server, secured, pipeline, authority):
    """Octets in either direction of a session that nobody cuts."""
    with Cutter(server) as cutter:
        source, options = how_to_connect(place, server, cutter, secured, pipeline, authority)
        with mounting.mounted(place, source, options) as mount:
            for mail in FEW:
                assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        assert len(cutter.passed_down) == 1
        return cutter.passed_down[0], cutter.passed_up[0]


@pytest.mark.parametrize("pipeline", ["auto", "off"])
@pytest.mark.parametrize("secured", [False, True], ids=["clear", "tls"])
def test_a_session_cut_anywhere_gives_the_right_octets_or_an_errno(secured, pipeline, serve, place, one_place, authority, certificate):
    server = serve(Script(messages=FEW), certificate=certificate, implicit_tls=secured)
    octets, _ = whole_session(place, server, secured, pipeline, authority)

    def case(point):
        # Some lines are cut once and healed, others again and again.
        times = 1 if point % 2 == 0 else 10**6
        how = "reset" if point % 3 == 0 else "close"
        with one_place() as own, Cutter(server, down=point, times=times, how=how) as cutter:
            source, options = how_to_connect(own, server, cutter, secured, pipeline, authority)
            mount = mount_or_refusal(own, source, options)
            if mount is None:
                return False
            for mail in FEW:
                assert read_or_errno(mount.path / f"{mail.name}.eml") in (mail.data, None), mail.name
            assert len(os.listdir(mount.path)) == len(FEW)
            cutter.down = None
            for mail in FEW:
                assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
            assert mount.unmount() == 0
            return cutter.cut_count > 0

    healed_count = sum(everywhere(case, range(1, octets, max(1, octets // (45 if LONG else 12)))))
    assert healed_count >= (5 if LONG else 3), "only the login was cut"
    assert server.script.messages == FEW


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("pipeline", ["auto", "off"])
def test_a_commit_cut_anywhere_deletes_what_was_removed_and_says_so(pipeline, direction, one_place):
    """After the listing the line is cut `point` octets later, up or down, in the first session or in every one."""
    mails = mailbox.many(8, octets=100)
    goners = {mail.name for mail in mails[1:6]}

    def case(point):
        times = 1 if point % 2 == 0 else 10**6
        with one_place() as place, Server(Script(messages=mails)) as server, Cutter(server, times=times) as cutter:
            mount = mount_or_refusal(place, script_source(cutter), script_options(place, server, f"timeout=5,top=off,pipeline={pipeline}"))
            for name in goners:
                os.unlink(mount.path / f"{name}.eml")
            after = cutter.passed_down[0] if direction == "down" else cutter.passed_up[0]
            setattr(cutter, direction, after + point)
            code = mount.unmount()
            gone = {mail.name for mail in mails} - {mail.name for mail in server.script.messages}
            assert gone in (set(), goners), "a commit is all or nothing"
            assert (code == 0) == (gone == goners), f"exit code {code}, but {gone} are gone:\n{mount.log()}"
            if times == 1:
                assert gone == goners, mount.log()
            for name in goners - gone:
                assert name in mount.log()
            if gone:
                assert f"deleted {len(gone)} messages" in mount.log()
            return cutter.cut_count

    # The answers to five DELE and a QUIT are 33 octets, the commands 46.
    assert sum(everywhere(case, range(0, 33 if direction == "down" else 46, 3))) >= 10


def test_a_commit_does_not_wait_for_a_large_transfer_that_nobody_wants(serve, on_script):
    """The rest of a body of 3 MB is still owed when the commit begins."""
    large = mailbox.plain("large", b"x" * 70 + b"\r\n" + b"y" * 3_000_000 + b"\r\n")
    mails = mailbox.many(3, octets=300)
    server = serve(Script(messages=[*mails, large], hold_retr={"large": 5000}))
    with on_script(server) as mount:
        reader = subprocess.Popen(["cat", mount.path / "large.eml"], stdout=subprocess.DEVNULL)
        wait_until("the RETR", server.held.is_set)
        os.unlink(mount.path / "m00001.eml")
        reader.kill()
        reader.wait()
        assert mount.unmount() == 0
    assert server.script.messages == [*mails[1:], large]
    assert len(server.sessions) <= 3


def test_a_message_that_became_another_is_reported_as_not_deleted(serve, on_script):
    mails = mailbox.many(4, octets=300)
    server = serve(Script(messages=mails))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        other = mailbox.plain("m00002", b"quite another text, and longer " * 40)
        server.script.messages = [mails[0], other, *mails[2:]]
        server.drop_all()
        assert mount.unmount() not in (0, None)
        assert "m00002" in mount.log() and "deleted" not in mount.log().replace("could not be deleted", "")


def test_a_twin_that_changed_places_is_not_deleted_for_the_other(serve, on_script):
    keep, junk = mailbox.plain("twin", b"keep this one\r\n"), mailbox.plain("twin", b"throw this !!\r\n")
    assert len(keep.data) == len(junk.data)
    other = mailbox.plain("other")
    server = serve(Script(messages=[junk, keep, other], retr_refused={"other"}))
    with on_script(server, expect_exit=None) as mount:
        (name,) = [name for name in os.listdir(mount.path)
                   if name.startswith("twin") and (mount.path / name).read_bytes() == junk.data]
        server.script.messages, server.script.retr_refused = [keep, junk, other], set()
        server.drop_all()
        assert read_at_last(mount.path / "other.eml") == other.data
        shown = read_at_last(mount.path / name)
        with contextlib.suppress(OSError):
            os.unlink(mount.path / name)
        mount.unmount()
    number = {keep.data: "DELE 1", junk.data: "DELE 2"}[shown]
    assert server.commands("DELE") in ([], [number]), "what was read and what was deleted are two messages"


def test_a_body_that_stays_empty_is_an_error_where_list_is_right_otherwise(serve, on_script):
    mails = mailbox.many(4, octets=3000)
    server = serve(Script(messages=mails, empty_retr={"m00002"}))
    with on_script(server) as mount:
        assert read_at_last(mount.path / "m00001.eml") == mails[0].data
        assert read_or_errno(mount.path / "m00002.eml") is None
        server.script.empty_retr = set()
        assert read_at_last(mount.path / "m00002.eml") == mails[1].data


@pytest.mark.parametrize("from_the_listing_on", [True, False])
def test_a_server_that_offers_pipelining_and_hangs_up_on_it_can_be_read(from_the_listing_on, serve, on_script):
    mails = mailbox.many(12, octets=300)
    how = "always" if from_the_listing_on else "but listing"
    server = serve(Script(messages=mails, pipelining_cuts=how))
    with on_script(server) as mount, concurrent.futures.ThreadPoolExecutor(4) as readers:
        paths = [mount.path / f"{mail.name}.eml" for mail in mails]
        assert list(readers.map(read_at_last, paths)) == [mail.data for mail in mails]
    assert len(server.sessions) < 8


def test_one_refused_uidl_does_not_rename_the_maildrop(serve, on_script):
    mails = mailbox.many(4, octets=300)
    server = serve(Script(messages=mails, retr_refused={"m00001"}))
    with on_script(server) as mount:
        os.unlink(mount.path / "m00002.eml")
        server.script.uidl_refused_times, server.script.retr_refused = 1, set()
        server.drop_all()
        assert read_at_last(mount.path / "m00001.eml") == mails[0].data
        assert sorted(os.listdir(mount.path)) == ["m00001.eml", "m00003.eml", "m00004.eml"]
        assert mount.unmount() == 0
    assert [mail.name for mail in server.script.messages] == ["m00001", "m00003", "m00004"]


def test_a_reset_soon_after_the_login_does_not_fail_those_who_open_next(serve, on_script):
    mails = mailbox.many(60, octets=300)
    server = serve(Script(messages=mails, top=False, retr_refused={mail.name for mail in mails[1:]}))
    with on_script(server) as mount:
        assert read_at_last(mount.path / "m00001.eml") == mails[0].data
        server.script.retr_refused = set()
        server.drop_all()
        failed = [mail.name for mail in mails[30:] if read_or_errno(mount.path / f"{mail.name}.eml") != mail.data]
        assert failed == []


def test_a_maildrop_that_somebody_else_locks_later_is_ebusy(serve, on_script):
    mails = mailbox.many(3, octets=300)
    server = serve(Script(messages=mails, retr_refused={mail.name for mail in mails}))
    with on_script(server, "timeout=2") as mount:
        server.script.in_use = True
        server.drop_all()
        wait_until("the loss", lambda: b"offline" in (mount.path / ".popfs/status").read_bytes())
        time.sleep(1.5)  # the back-off of the lost link itself
        with pytest.raises(OSError) as caught:
            (mount.path / "m00001.eml").read_bytes()
        assert caught.value.errno == errno.EBUSY


# ---- for a long time ----


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    return int(next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


def processor_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hammer(mount, mails, removed, end, seed, wrong, counts):
    """Reads, lists and removes what comes to mind, until `end`; what is wrong goes into `wrong`."""
    dice = random.Random(seed)
    while time.monotonic() < end and not wrong:
        mail = dice.choice(mails)
        path = mount.path / f"{mail.name}.eml"
        deed = dice.random()
        try:
            if deed < 0.05:
                found = set(os.listdir(mount.path))
                if missing := {f"{mail.name}.eml" for mail in mails} - found - {f"{name}.eml" for name in set(removed)}:
                    wrong.append(f"missing: {missing}")
            elif deed < 0.1:
                os.stat(path)
            elif deed < 0.12 and len(removed) < 60:
                removed.append(mail.name)
                os.unlink(path)
            else:
                octets = path.read_bytes()
                counts["read"] += 1
                if octets != mail.data:
                    wrong.append(f"{mail.name}: {len(octets)} octets, not {len(mail.data)}")
        except FileNotFoundError:
            if mail.name not in removed:
                wrong.append(f"{mail.name} is not there")
        except OSError as error:
            counts[error.errno] = counts.get(error.errno, 0) + 1
            if error.errno not in NETWORK:
                wrong.append(str(error))
            time.sleep(0.02)


def test_readers_rm_and_ls_side_by_side_while_the_line_is_reset_again_and_again(one_place):
    seconds = 20 if LONG else 6
    mails = [mailbox.plain(f"m{i:05}", (b"%05d " % i) * (1 + i * 37 % 9000) + b"\r\n") for i in range(2000)]
    with one_place() as place, Server(Script(messages=mails)) as server, Cutter(server) as cutter:
        # Sanitizers keep what was freed in quarantine, which is no leak.
        place.environment["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
        mount = mount_or_refusal(place, script_source(cutter), script_options(place, server, "timeout=5"))
        end = time.monotonic() + seconds
        removed, wrong, counts = [], [], {"read": 0}
        workers = [threading.Thread(target=hammer, args=(mount, mails, removed, end, seed, wrong, counts)) for seed in range(6)]
        for worker in workers:
            worker.start()
        dice = random.Random(1)
        marks = []
        while time.monotonic() < end:
            time.sleep(0.2 + dice.random() * 0.3)
            cutter.cut_all()
            marks.append((descriptors(mount.pid), resident_kib(mount.pid)))
        for worker in workers:
            worker.join(30)
            assert not worker.is_alive(), "a call hangs"
        assert wrong == []
        assert counts["read"] > 300, counts
        assert descriptors(mount.pid) <= 20, marks
        assert marks[-1][1] < 1.5 * marks[len(marks) // 4][1] + 4096, marks
        print(counts, "logins", len(server.sessions), marks[len(marks) // 4], marks[-1])
        assert mount.unmount() == 0, mount.log()[-2000:]
        assert {mail.name for mail in mails} - {mail.name for mail in server.script.messages} == set(removed)


@pytest.mark.parametrize("where", ["online", "offline", "waiting", "login"])
def test_waiting_costs_no_processor_time(where, serve, on_script):
    mails = mailbox.many(3, octets=300)
    server = serve(Script(messages=mails, retr_refused={mail.name for mail in mails}))
    with on_script(server, "timeout=20", expect_exit=None) as mount:
        script = server.script
        script.hold_login, script.refuse_connections = where == "login", where == "offline"
        script.hold_retr, script.retr_refused = {"m00001": 10} if where == "waiting" else {}, set()
        if where in ("login", "offline"):
            server.drop_all()
        reader = subprocess.Popen(["cat", mount.path / "m00001.eml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2)
        before = processor_s(mount.pid)
        time.sleep(2)
        assert processor_s(mount.pid) - before < 0.1
        assert len(server.sessions) < 6
        server.release.set()
        reader.wait(30)


# ---- the end, at any moment ----


@pytest.mark.parametrize("when", ["login", "listing", "back-off", "in-use"])
def test_a_stop_while_there_is_no_session_still_commits_or_says_so(when, serve, on_script):
    mails = mailbox.many(4, octets=300)
    server = serve(Script(messages=mails, retr_refused={mail.name for mail in mails}))
    with on_script(server, "timeout=3", expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        script = server.script
        script.hold_login, script.hold_uidl = when == "login", when == "listing"
        script.refuse_connections, script.in_use = when == "back-off", when == "in-use"
        server.drop_all()
        reader = subprocess.Popen(["cat", mount.path / "m00001.eml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.7)
        begin = time.monotonic()
        mount.kill(signal.SIGTERM)
        threading.Timer(1, server.release.set).start()
        code = mount.wait_end()
        reader.wait(10)
        assert time.monotonic() - begin < 30
        gone = len(mails) - len(server.script.messages)
        assert (code == 0) == (gone == 1)
        assert gone == 1 or "m00002" in mount.log()


def test_kill_minus_nine_at_any_moment_deletes_nothing_but_a_whole_commit(one_place):
    mails = mailbox.many(40, octets=3000)
    dice = random.Random(7)

    def case(number):
        with one_place() as place, Server(Script(messages=mails)) as server:
            mount = mount_or_refusal(place, script_source(server), script_options(place, server))
            reader = subprocess.Popen(f"cat {mount.path}/* {mount.path}/* >/dev/null 2>&1", shell=True, start_new_session=True)
            for mail in mails[30:]:
                os.unlink(mount.path / f"{mail.name}.eml")
            time.sleep(dice.random() * 0.15)
            if number % 2 == 0:
                mount.kill(signal.SIGTERM)  # the commit has begun
                time.sleep(dice.random() * 0.03)
            with contextlib.suppress(ProcessLookupError):
                mount.kill(signal.SIGKILL)
            mounting.unmount_hard(mount.path)
            reader.wait(20)
            time.sleep(0.3)
            left = [mail.name for mail in server.script.messages]
            assert left in ([mail.name for mail in mails], [mail.name for mail in mails[:30]])
            assert len(server.commands("DELE")) in range(11)
            assert number % 2 == 0 or server.commands("DELE") == []

    everywhere(case, range(24))
