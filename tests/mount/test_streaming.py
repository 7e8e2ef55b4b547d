# SPDX-License-Identifier: MIT
"""Large messages that are read while they arrive, and what is asked for before anybody opens it."""

import contextlib
import errno
import hashlib
import json
import os
import pty
import random
import resource
import signal
import subprocess
import sys
import tarfile
import threading
import time

import mailbox
import pytest
from mounting import wait_until
from reading import cat, names, run
from scripted import Script

LIMIT_S = 10  # of what must not wait for the server
MIB = 1 << 20


def large(name="large", octets=4 * MIB, word=b"and a line of it"):
    """Every place in it is different; no line begins with a dot."""
    lines = octets // 64
    return mailbox.plain(name, b"".join(b"%09d %s\r\n" % (i, word.ljust(52)) for i in range(lines)))


# The large one comes first: who goes up the listing is read ahead for, and is not given TOP.
BIG, SMALL = large(), mailbox.plain("small")
OTHER = large(word=b"the same length, other words")
assert len(BIG.data) == len(OTHER.data)


class Later(threading.Thread):
    """A call that may have to wait; result() gives what came of it, or raises it."""

    def __init__(self, call, *arguments):
        super().__init__(daemon=True)
        self._call, self._arguments = call, arguments
        self._value = self._error = None
        self.start()

    def run(self):
        try:
            self._value = self._call(*self._arguments)
        except BaseException as error:
            self._error = error

    def result(self):
        self.join(30)
        assert not self.is_alive(), "still waiting"
        if self._error is not None:
            raise self._error
        return self._value


class opened:
    """with opened(path) as descriptor: …"""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._descriptor = os.open(self._path, os.O_RDONLY)
        return self._descriptor

    def __exit__(self, *_):
        os.close(self._descriptor)


def read_all(descriptor, part=65536):
    parts = []
    while got := os.read(descriptor, part):
        parts.append(got)
    return b"".join(parts)


def whole(path):
    with opened(path) as descriptor:
        return read_all(descriptor)


def error_of(call, *arguments):
    with pytest.raises(OSError) as caught:
        call(*arguments)
    return caught.value.errno


def waiting(mount):
    return json.loads(cat(mount.path / ".popfs/status.json"))["waiting_count"]


def wait_for_waiters(mount, count):
    wait_until(f"{count} requests that wait", lambda: waiting(mount) == count)


def starts(server, number):
    """The TOPs for more than the header."""
    return [line for line in server.commands("TOP") if line.split()[1] == str(number) and line.split()[2] != "0"]


def retrs(server, number):
    return server.commands("RETR").count(f"RETR {number}")


def held_at(octets, **rest):
    return Script(messages=[BIG, SMALL], hold_retr={"large": octets}, **rest)


# ---- the start of a large message


@pytest.mark.parametrize("command", [["head", "-n", "1"], ["head", "-n", "100"], ["head", "-c", "5000"], ["dd", "bs=8192", "count=1"]], ids=" ".join)
def test_the_start_of_a_large_message_costs_top_and_no_retr(command, serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server) as mount, open(mount.path / "large.eml", "rb") as file:
        start = run(*command, stdin=file).stdout
        assert len(start) > 10 and BIG.data.startswith(start)
    assert retrs(server, 1) == 0
    assert len(starts(server, 1)) == 1


def screen(terminal, shown):
    with contextlib.suppress(BlockingIOError):
        shown.append(os.read(terminal, 10000))
    return b"".join(shown)


def test_the_first_screen_of_a_pager_costs_top_and_no_retr(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server) as mount:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("less", ["less", mount.path / "large.eml"], dict(os.environ, LESS="", LESSOPEN="", LINES="24", COLUMNS="80", TERM="vt100"))
        shown = []
        os.set_blocking(terminal, False)
        wait_until("the first screen", lambda: b"000000010 and a line of it" in screen(terminal, shown))
        os.write(terminal, b"q")
        os.waitpid(pid, 0)
        os.close(terminal)
    assert retrs(server, 1) == 0
    assert len(starts(server, 1)) == 1


def test_a_pager_that_goes_on_gets_the_right_octets_and_one_retr(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server) as mount, opened(mount.path / "large.eml") as descriptor:
        first = os.read(descriptor, 4096)
        assert retrs(server, 1) == 0 and len(starts(server, 1)) == 1
        assert first + read_all(descriptor) == BIG.data
        assert cat(mount.path / "large.eml") == BIG.data
    assert retrs(server, 1) == 1 and len(starts(server, 1)) == 1


def test_who_reads_all_at_once_is_not_given_top(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server) as mount:
        assert cat(mount.path / "large.eml") == BIG.data
    assert retrs(server, 1) == 1 and starts(server, 1) == []


def test_without_top_the_start_is_read_from_retr(serve, on_script):
    server = serve(held_at(2 * MIB))
    with on_script(server, "top=off") as mount:
        assert run("head", "-c", "5000", mount.path / "large.eml").stdout == BIG.data[:5000]
    assert retrs(server, 1) == 1 and server.commands("TOP") == []


# ---- while it arrives


def test_octets_can_be_read_before_all_have_arrived(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        cat(mount.path / "small.eml")
        with opened(mount.path / "large.eml") as descriptor:
            assert b"".join(os.read(descriptor, MIB) for _ in range(2)) == BIG.data[: 2 * MIB]
            wait_until("the server to hold", server.held.is_set)
            rest = Later(read_all, descriptor)
            wait_for_waiters(mount, 1)
            for command in (["ls", "-l", "."], ["stat", "large.eml", "small.eml"], ["cat", "small.eml"], ["df", "."],
                            ["cat", ".popfs/status"]):
                subprocess.run(command, cwd=mount.path, check=True, timeout=LIMIT_S, stdout=subprocess.DEVNULL)
            assert os.fstat(descriptor).st_size == len(BIG.data)
            assert rest.is_alive()
            server.release.set()
            assert BIG.data[: 2 * MIB] + rest.result() == BIG.data
    assert retrs(server, 1) == 1


def test_a_second_reader_gets_at_once_what_has_come_for_the_first(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        first = Later(whole, mount.path / "large.eml")
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        second = Later(run, "head", "-c", str(2 * MIB), mount.path / "large.eml")
        second.join(LIMIT_S)
        held_up = second.is_alive()
        server.release.set()
        assert second.result().stdout == BIG.data[: 2 * MIB]
        assert first.result() == BIG.data
        assert not held_up
    assert retrs(server, 1) == 1


def test_the_last_octet_comes_only_when_all_have_come(serve, on_script):
    server = serve(held_at(len(BIG.data)))  # all but the dot
    with on_script(server, "timeout=60") as mount, opened(mount.path / "large.eml") as descriptor:
        last = Later(os.pread, descriptor, 100, len(BIG.data) - 50)
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        assert last.is_alive()
        server.release.set()
        assert last.result() == BIG.data[-50:]


INTERRUPTED_READ = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, lambda *_: None)
libc = ctypes.CDLL(None, use_errno=True)
descriptor = os.open(sys.argv[1], os.O_RDONLY)
buffer = ctypes.create_string_buffer(1000)
print(libc.pread(descriptor, buffer, 1000, ctypes.c_long(3500000)), ctypes.get_errno(), flush=True)
sys.stdin.readline()
print(os.pread(descriptor, 1000, 3500000).decode(), end="")
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_read_that_waits_and_the_mount_lives_on(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        path = mount.path / "large.eml"
        dies = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        catches = subprocess.Popen([sys.executable, "-c", INTERRUPTED_READ, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        wait_for_waiters(mount, 2)
        for process in (dies, catches):
            process.send_signal(signal.SIGINT)
        assert dies.wait(LIMIT_S) == -signal.SIGINT
        assert catches.stdout.readline().split() == [b"-1", str(errno.EINTR).encode()]
        server.release.set()
        assert catches.communicate(b"\n", timeout=30)[0] == BIG.data[3500000:3501000]
        assert cat(path) == BIG.data
    assert retrs(server, 1) == 1 and len(server.sessions) == 1


def test_two_readers_of_one_stream_share_one_retr(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        with opened(mount.path / "large.eml") as one, opened(mount.path / "large.eml") as other:
            readers = [Later(read_all, descriptor) for descriptor in (one, other)]
            wait_until("the RETR", server.held.is_set)
            # For the same page of the cache one of them waits in popfs and the other in the kernel.
            wait_until("a reader that waits", lambda: waiting(mount) >= 1)
            server.release.set()
            assert [reader.result() == BIG.data for reader in readers] == [True, True]
    assert retrs(server, 1) == 1


MAPPED_READ = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, flags=int(sys.argv[2]), prot=mmap.PROT_READ) as mapping:
    print(hashlib.sha256(mapping[:2000000]).hexdigest(), flush=True)
    print(hashlib.sha256(mapping[-2000000:]).hexdigest(), flush=True)
"""


@pytest.mark.parametrize("flags", ["1", "2"], ids=["shared", "private"])
def test_a_large_message_can_be_mapped_while_it_arrives(flags, serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        command = [sys.executable, "-c", MAPPED_READ, mount.path / "large.eml", flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline().decode().strip() == hashlib.sha256(BIG.data[:2000000]).hexdigest()
            wait_for_waiters(mount, 1)
            server.release.set()
            assert process.stdout.readline().decode().strip() == hashlib.sha256(BIG.data[-2000000:]).hexdigest()
            assert process.wait(30) == 0


def test_a_message_that_is_removed_while_it_arrives_can_be_read_to_its_end(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        with opened(mount.path / "large.eml") as descriptor:
            rest = Later(read_all, descriptor)
            wait_until("the RETR", server.held.is_set)
            wait_for_waiters(mount, 1)
            os.unlink(mount.path / "large.eml")
            assert names(mount.path) == ["small.eml"]
            server.release.set()
            assert rest.result() == BIG.data
        mount.unmount()
    assert server.script.messages == [SMALL]


def test_a_message_that_is_closed_while_it_arrives_comes_whole_all_the_same(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60") as mount:
        path = mount.path / "large.eml"
        with opened(path) as descriptor:
            assert os.pread(descriptor, 1000, MIB) == BIG.data[MIB : MIB + 1000]
        again = Later(whole, path)
        server.release.set()
        assert again.result() == BIG.data
    assert retrs(server, 1) == 1


def test_an_unmount_does_not_wait_for_what_arrives(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60", expect_exit=None) as mount:
        process = subprocess.Popen(["cat", mount.path / "large.eml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        mount.kill(signal.SIGTERM)
        mount.wait_end()
        assert process.wait(LIMIT_S) != 0
    assert server.commands("DELE") == []


# ---- a line that breaks


def test_a_line_that_drops_in_the_middle_is_healed_under_the_reader(serve, on_script):
    server = serve(held_at(2 * MIB + 777))
    with on_script(server) as mount, opened(mount.path / "large.eml") as descriptor:
        first = os.read(descriptor, MIB)
        rest = Later(read_all, descriptor)
        wait_for_waiters(mount, 1)
        server.drop_all()
        server.release.set()
        assert first + rest.result() == BIG.data
        assert cat(mount.path / "large.eml") == BIG.data
    assert retrs(server, 1) == 2
    assert len(server.sessions) == 2


def test_a_line_that_drops_each_time_is_an_error_after_few_logins(serve, on_script):
    server = serve(held_at(2 * MIB))
    with on_script(server, "timeout=30") as mount, opened(mount.path / "large.eml") as descriptor:
        got = [os.read(descriptor, MIB)]
        rest = Later(read_until_error, descriptor, got)
        wait_for_waiters(mount, 1)
        server.script.hold_retr, server.script.cut_retr, server.script.cut_times = {}, 2 * MIB, 99
        server.drop_all()
        server.release.set()
        assert error_of(rest.result) == errno.EIO
        assert MIB <= len(got[0]) <= 2 * MIB and BIG.data.startswith(got[0])
        assert os.pread(descriptor, 4096, 0) == BIG.data[:4096]
        assert cat(mount.path / "small.eml") == SMALL.data
    assert 2 <= len(server.sessions) <= 4


@pytest.mark.slow
def test_silence_in_the_middle_is_an_error_and_not_a_hang(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server, "timeout=1") as mount:
        cat(mount.path / "small.eml")
        server.script.cut_retr, server.script.cut_times, server.script.cut_how = 2 * MIB, 99, "silence"
        assert error_of(whole, mount.path / "large.eml") in (errno.EIO, errno.ETIMEDOUT)
        server.script.cut_retr = None


@pytest.mark.parametrize("then", [{}, {"hold_retr": {}, "cut_retr": 2 * MIB}], ids=["", "and-the-line-breaks"])
def test_a_second_retr_with_other_octets_is_an_error_and_never_a_mix(then, serve, on_script):
    """Who waits must get it, too, where the line breaks next and what is asked for once more comes whole."""
    server = serve(held_at(2 * MIB))
    with on_script(server) as mount:
        with opened(mount.path / "large.eml") as descriptor:
            got = [os.read(descriptor, MIB)]
            rest = Later(read_until_error, descriptor, got)
            wait_for_waiters(mount, 1)
            server.script.messages = [OTHER, SMALL]  # for the next session
            for switch, value in then.items():
                setattr(server.script, switch, value)
            server.drop_all()
            server.release.set()
            assert error_of(rest.result) == errno.EIO
            assert MIB <= len(got[0]) <= 2 * MIB and BIG.data.startswith(got[0])
        assert whole(mount.path / "large.eml") == OTHER.data


def test_who_waits_for_a_start_that_came_otherwise_gets_an_error(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server) as mount, opened(mount.path / "large.eml") as descriptor:
        wait_until("the headers", lambda: len(server.commands("TOP")) == 2)
        before = received(mount)
        server.script.garbled, server.script.garbled_times = {"TOP": b"+OK\r\n" + BIG.data[:2000]}, 1
        start = Later(os.read, descriptor, 4096)
        wait_until("a part of the start", lambda: received(mount) >= before + 2000)
        server.script.top_as = {"large": OTHER.data}
        server.drop_all()
        assert error_of(start.result) == errno.EIO
        assert whole(mount.path / "large.eml") == BIG.data
    assert retrs(server, 1) == 1


def test_a_stream_whose_octets_no_disk_takes_is_an_error_and_has_no_hole(serve, on_script):
    server = serve(held_at(MIB))
    with on_script(server, "timeout=60") as mount:
        with opened(mount.path / "large.eml") as descriptor:
            got = [os.read(descriptor, MIB // 2)]
            rest = Later(read_until_error, descriptor, got)
            wait_until("the RETR", server.held.is_set)
            wait_for_waiters(mount, 1)
            resource.prlimit(mount.pid, resource.RLIMIT_FSIZE, (MIB + 100, resource.RLIM_INFINITY))
            server.held.clear()
            server.script.hold_retr = {"large": MIB + 1000}
            server.drop_all()
            wait_until("another RETR", server.held.is_set)
            wait_until("its octets", lambda: received(mount) > 2 * MIB + 1000)
            resource.prlimit(mount.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            server.release.set()
            assert error_of(rest.result) == errno.EIO
            assert BIG.data.startswith(got[0])
        wait_until("the end of the RETR", lambda: received(mount) > MIB + len(BIG.data))
        assert whole(mount.path / "large.eml") == BIG.data
        assert "cannot write to the cache" in mount.log()


def test_who_reads_on_while_the_server_is_known_to_be_away_is_told_so_at_once(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL]))
    with on_script(server, "timeout=20") as mount, opened(mount.path / "large.eml") as descriptor:
        assert os.read(descriptor, 4096) == BIG.data[:4096]
        server.script.refusal = "-ERR [AUTH] no more"
        server.drop_all()
        assert error_of(os.pread, descriptor, 4096, 2 * MIB) == errno.EACCES
        began = time.monotonic()
        assert error_of(os.pread, descriptor, 4096, 3 * MIB) == errno.EACCES
        assert time.monotonic() < began + LIMIT_S
        assert os.pread(descriptor, 4096, 0) == BIG.data[:4096]


def read_until_error(descriptor, got):
    while part := os.read(descriptor, 65536):
        got[0] += part


def test_a_large_message_that_vanished_with_the_session_is_an_error(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server) as mount:
        with opened(mount.path / "large.eml") as descriptor:
            rest = Later(read_all, descriptor)
            wait_until("the RETR", server.held.is_set)
            wait_for_waiters(mount, 1)
            server.script.messages = [SMALL]
            server.drop_all()
            assert error_of(rest.result) == errno.ESTALE
        assert names(mount.path) == ["small.eml"]


# ---- TOP that is not the start of RETR


def other_top(**rest):
    return Script(messages=[BIG, SMALL], top_as={"large": OTHER.data}, **rest)


def test_when_top_differs_a_reader_gets_an_error_and_never_a_mix(serve, on_script):
    server = serve(other_top())
    with on_script(server) as mount:
        path = mount.path / "large.eml"
        with opened(path) as descriptor:
            got = [os.read(descriptor, 4096)]
            assert got[0] == OTHER.data[:4096]
            assert error_of(read_until_error, descriptor, got) == errno.EIO
            assert OTHER.data.startswith(got[0])
        assert whole(path) == BIG.data
        assert cat(path) == BIG.data


def test_when_top_differs_the_next_open_does_not_see_it_in_the_page_cache(serve, on_script):
    server = serve(other_top())
    with on_script(server) as mount:
        path = mount.path / "large.eml"
        assert run("head", "-c", "1000", path).stdout == OTHER.data[:1000]
        assert whole(path) == BIG.data
        assert whole(path) == BIG.data


def test_when_top_has_differed_it_is_used_for_content_no_more(serve, on_script):
    more = large("more")
    server = serve(Script(messages=[more, BIG, SMALL], top_as={"large": OTHER.data, "more": OTHER.data}))
    with on_script(server) as mount:
        with opened(mount.path / "large.eml") as descriptor:
            os.read(descriptor, 4096)
            assert error_of(read_all, descriptor) == errno.EIO
        assert run("head", "-c", "1000", mount.path / "more.eml").stdout == more.data[:1000]
        assert run("head", "-c", "1000", mount.path / "large.eml").stdout == BIG.data[:1000]
    assert starts(server, 1) == [] and len(starts(server, 2)) == 1


def octets_or_eio(descriptor, count, offset):
    try:
        return os.pread(descriptor, count, offset)
    except OSError as error:
        assert error.errno == errno.EIO
        return None


def test_who_was_given_another_top_spoils_nothing_for_a_later_reader(serve, on_script):
    server = serve(other_top())
    with on_script(server) as mount:
        path = mount.path / "large.eml"
        with opened(path) as pager:
            assert os.pread(pager, 4096, 0) == OTHER.data[:4096]
            assert error_of(whole, path) == errno.EIO
            with opened(path) as later:
                octets_or_eio(pager, 4096, 0)  # must not go to the page cache, which both have in common
                assert read_all(later) == BIG.data


def test_who_opens_a_message_while_the_rest_of_what_differed_comes_gets_it_whole(serve, on_script):
    server = serve(other_top(hold_retr={"large": 2 * MIB}))
    with on_script(server, "timeout=60") as mount:
        path = mount.path / "large.eml"
        with opened(path) as pager:
            assert os.pread(pager, 4096, 0) == OTHER.data[:4096]
            assert error_of(os.pread, pager, 4096, MIB) == errno.EIO
            again = Later(whole, path)
            wait_for_waiters(mount, 1)
            server.release.set()
            assert again.result() == BIG.data
    assert retrs(server, 1) == 2


def test_top_that_gives_more_than_there_is_is_used_for_content_no_more(serve, on_script):
    line = mailbox.plain("large", b"x" * 200000 + b"\r\n")  # TOP gives it whole
    server = serve(Script(messages=[line, SMALL], top_as={"large": line.data + b"and more\r\n"}))
    with on_script(server, "lazy=100K") as mount:
        path = mount.path / "large.eml"
        with opened(path) as descriptor:
            assert os.read(descriptor, 4096) == line.data[:4096]
            assert error_of(read_all, descriptor) == errno.EIO
        with opened(path) as descriptor:
            assert os.read(descriptor, 4096) + read_all(descriptor) == line.data
    assert len(starts(server, 1)) == 1


# ---- LIST that lies


def test_after_one_lie_large_messages_open_only_when_they_are_whole(serve, on_script):
    server = serve(held_at(3 * MIB, size_said=lambda octets: str(octets + 1 if octets < 1000 else octets)))
    with on_script(server, "timeout=60") as mount:
        assert cat(mount.path / "small.eml") == SMALL.data
        opening = Later(os.open, mount.path / "large.eml", os.O_RDONLY)
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        assert opening.is_alive()
        server.release.set()
        descriptor = opening.result()
        assert read_all(descriptor) == BIG.data
        os.close(descriptor)


@pytest.mark.parametrize("off", [-5000, -1, 1, 5000])
def test_a_wrong_size_of_a_large_message_is_an_error_at_the_end(off, serve, on_script):
    server = serve(Script(messages=[BIG, SMALL], size_said=lambda octets: str(octets + off if octets > 1000 else octets)))
    with on_script(server) as mount:
        path, copies = mount.path / "large.eml", mount.place.folder
        with opened(path) as descriptor:
            got = [b""]
            assert error_of(read_until_error, descriptor, got) == errno.EIO
            assert BIG.data.startswith(got[0]) and (len(got[0]) > 3 * MIB or off == 5000)
            end = min(len(BIG.data), len(BIG.data) + off) - 10
            assert octets_or_eio(descriptor, 10, end) in (None, BIG.data[end : end + 10])
        if off == 5000:  # it comes short of LIST, and may be a part
            assert error_of(whole, path) == errno.EIO
            return
        wait_until("the size", lambda: os.stat(path).st_size == len(BIG.data))
        run("tar", "-C", mount.path, "-cf", copies / "tar", "large.eml")
        with tarfile.open(copies / "tar") as archive:
            assert archive.extractfile("large.eml").read() == BIG.data
        run("cp", path, copies / "cp")
        assert (copies / "cp").read_bytes() == BIG.data
        assert cat(path) == BIG.data
    assert retrs(server, 1) == (2 if off == -5000 else 1)


def test_who_met_a_wrong_size_spoils_nothing_for_a_later_reader(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL], size_said=lambda octets: str(octets - 50000 if octets > 1000 else octets)))
    with on_script(server) as mount:
        path = mount.path / "large.eml"
        with opened(path) as first:
            assert error_of(read_all, first) == errno.EIO
            with opened(path) as later:
                assert os.fstat(later).st_size == len(BIG.data)
                end = len(BIG.data) - 20000  # there was nothing there when `first` was opened
                got = octets_or_eio(first, 4096, end)
                assert read_all(later) == BIG.data
                assert got in (None, BIG.data[end : end + 4096])
            assert os.stat(path).st_size == len(BIG.data)
        assert cat(path) == BIG.data


@pytest.mark.parametrize("tool", ["cat", "cp", "tar", "rsync"])
def test_a_tool_that_meets_a_wrong_size_fails_and_succeeds_at_the_second_try(tool, serve, on_script):
    server = serve(Script(messages=[BIG, SMALL], size_said=lambda octets: str(octets - 100 if octets > 1000 else octets)))
    with on_script(server) as mount:
        copy = mount.place.folder / "copy"
        path = mount.path / "large.eml"
        command = {"cat": ["cat", path], "cp": ["cp", path, copy], "rsync": ["rsync", "-a", path, copy],
                   "tar": ["tar", "-C", mount.path, "-cf", copy, "large.eml"]}[tool]
        assert run(*command, check=False).returncode != 0
        done = run(*command)
        if tool == "tar":
            with tarfile.open(copy) as archive:
                assert archive.extractfile("large.eml").read() == BIG.data
        else:
            assert (done.stdout if tool == "cat" else copy.read_bytes()) == BIG.data


def test_a_probe_that_has_gone_holds_up_nobody(serve, on_script):
    server = serve(Script(messages=[BIG, SMALL], top=False, hold_retr={"small": 10}))
    with on_script(server, "keepalive=0") as mount:
        reader = Later(whole, mount.path / "large.eml")
        wait_until("the RETR of the small one", server.held.is_set)
        server.script.messages = [BIG]
        server.drop_all()
        assert reader.result() == BIG.data


def test_lazy_0_opens_only_what_is_whole(serve, on_script):
    server = serve(held_at(3 * MIB))
    with on_script(server, "timeout=60,lazy=0") as mount:
        opening = Later(os.open, mount.path / "large.eml", os.O_RDONLY)
        wait_until("the RETR", server.held.is_set)
        wait_for_waiters(mount, 1)
        assert opening.is_alive()
        server.release.set()
        descriptor = opening.result()
        assert read_all(descriptor) == BIG.data
        os.close(descriptor)
    assert server.commands("RETR") == ["RETR 1"] and starts(server, 1) == []


def test_lazy_sets_from_which_size_on_messages_open_early(serve, on_script):
    mails = [large("below", 90_000), large("above", 200_000), SMALL]
    server = serve(Script(messages=mails))
    with on_script(server, "lazy=100K") as mount:
        assert run("head", "-n", "1", mount.path / "above.eml").stdout == mails[1].data.split(b"\n")[0] + b"\n"
        assert run("head", "-n", "1", mount.path / "below.eml").stdout == mails[0].data.split(b"\n")[0] + b"\n"
    assert retrs(server, 1) == 1 and retrs(server, 2) == 0


# ---- what is asked for before it is opened


def test_prefetch_makes_all_readable_after_the_server_is_gone(serve, on_script):
    mails = [BIG, *mailbox.many(40), large("last", 2 * MIB)]
    server = serve(Script(messages=mails))
    with on_script(server, "prefetch,timeout=2", expect_exit=None) as mount:
        wait_until("all", lambda: len(server.commands("RETR")) == len(mails))
        wait_until("the end of it", lambda: all((mount.path / f"{mail.name}.eml").stat().st_blocks for mail in mails)
                   and received(mount) > sum(len(mail.data) for mail in mails))
        server.__exit__()
        for mail in mails:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
    assert len(server.commands("RETR")) == len(mails)


def received(mount):
    return json.loads(cat(mount.path / ".popfs/status.json"))["received_octets"]


def most_at_once(server):
    return max(session.most_at_once for session in server.sessions)


def test_the_first_ls_costs_one_top_a_message_pipelined_and_no_retr(serve, on_script):
    server = serve(Script(messages=mailbox.many(500)))
    with on_script(server) as mount:
        assert len(run("ls", "-l", mount.path).stdout.splitlines()) == 501
        run("ls", "-l", mount.path)
        run("stat", *(mount.path / name for name in names(mount.path)))
    assert sorted(server.commands("TOP")) == sorted(f"TOP {n} 0" for n in range(1, 501))
    assert server.commands("RETR") == []
    assert most_at_once(server) > 1


def test_headers_come_in_the_background_without_anybody_asking(serve, on_script):
    server = serve(Script(messages=mailbox.many(200)))
    with on_script(server):
        wait_until("all headers", lambda: len(server.commands("TOP")) == 200)
    assert len(server.commands("TOP")) == 200 and server.commands("RETR") == []


def test_reading_in_listing_order_is_read_ahead(serve, on_script):
    mails = mailbox.many(60)
    server = serve(Script(messages=mails))
    with on_script(server) as mount:
        for mail in mails[:3]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        wait_until("the read-ahead", lambda: retrs(server, 20) == 1)
        for mail in mails[3:]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
    assert sorted(server.commands("RETR")) == sorted(f"RETR {n}" for n in range(1, 61))
    assert most_at_once(server) > 1


def test_reading_in_random_order_is_not_read_ahead(serve, on_script):
    mails = mailbox.many(400)
    server = serve(Script(messages=mails))
    positions = random.Random(3).sample(range(0, 400, 20), 12)
    with on_script(server) as mount:
        for position in positions:
            assert cat(mount.path / f"{mails[position].name}.eml") == mails[position].data
    assert server.commands("RETR") == [f"RETR {position + 1}" for position in positions]


def test_read_ahead_asks_for_no_more_than_its_window(serve, on_script):
    mails = [large(f"m{i:03}", 300_000) for i in range(100)]
    server = serve(Script(messages=mails))
    with on_script(server) as mount:
        for mail in mails[:3]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        mount.unmount()
    assert 3 <= len(server.commands("RETR")) <= 8


def test_without_pipelining_there_is_one_command_at_a_time(serve, on_script):
    mails = [BIG, *mailbox.many(40)]
    server = serve(Script(messages=mails, pipelining=False))
    with on_script(server, "prefetch") as mount:
        assert run("head", "-n", "1", mount.path / "large.eml").stdout == BIG.data.split(b"\n")[0] + b"\n"
        run("cp", "-r", mount.path, mount.place.folder / "copy")
        assert (mount.place.folder / "copy/large.eml").read_bytes() == BIG.data
    assert most_at_once(server) == 1 and len(server.sessions) == 1
    assert len(server.commands("RETR")) == len(mails)


def test_pipeline_off_keeps_to_one_command_at_a_time(serve, on_script):
    server = serve(Script(messages=mailbox.many(40)))
    with on_script(server, "pipeline=off,prefetch") as mount:
        run("cp", "-r", mount.path, mount.place.folder / "copy")
        run("ls", "-l", mount.path)
    assert most_at_once(server) == 1
    assert len(server.commands("RETR")) == 40


def test_a_crawl_over_large_and_small_messages_costs_one_retr_each(serve, on_script):
    mails = [*mailbox.many(10), BIG, *[mailbox.plain(f"n{i:03}") for i in range(10)], large("z", 2 * MIB)]
    server = serve(Script(messages=mails))
    with on_script(server) as mount:
        copy = mount.place.folder / "copy"
        run("cp", "-r", mount.path, copy)
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == {f"{mail.name}.eml": mail.data for mail in mails}
    assert sorted(server.commands("RETR")) == sorted(f"RETR {n}" for n in range(1, len(mails) + 1))
    assert all(line.endswith(" 0") for line in server.commands("TOP"))
