# SPDX-License-Identifier: MIT
"""Lost links, long hours and ends at any moment (POP3.md rules 10, 11, 13, 15, 17, 18, 20 and 22)."""

import concurrent.futures
import contextlib
import errno
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import mailbox
import mounting
import pytest
from conftest import script_options, script_source
from faultproxy import FaultProxy, everywhere
from mounting import mount_or_refusal, wait_until
from reading import NETWORK, control, error_of, outcome_of, read_at_last, read_or_errno, status
from scripted import Script, Server

LONG = "POPFS_LONG" in os.environ  # contrib/check.sh --long: for longer

AT_ONCE = 6  # mounts; most of their time is back-off


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
        assert "m00002" in mount.log() and "deleted" not in mount.log().replace("could not be deleted", "").replace("nothing is deleted", "")


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_login_that_hangs_is_a_time_out_though_the_maildrop_was_locked_before(serve, on_script):
    mails = mailbox.many(2, octets=300)
    server = serve(Script(messages=mails, retr_refused={"m00002"}))  # so that it is not read ahead
    with on_script(server, "timeout=2,idle=1,refresh=0") as mount:
        wait_until("the end of the session", lambda: status(mount)["state"] == "idle")
        server.script.in_use = True
        assert error_of((mount.path / "m00001.eml").read_bytes) == errno.EBUSY
        server.script.in_use = False
        assert read_at_last(mount.path / "m00001.eml") == mails[0].data
        wait_until("the end of the session", lambda: status(mount)["state"] == "idle")
        server.script.login_s, server.script.silent = 1.2, {"STAT"}  # so that who waits gives up before the link does
        assert error_of((mount.path / "m00002.eml").read_bytes) == errno.ETIMEDOUT


def test_a_list_that_always_promises_too_much_is_soon_not_believed(serve, on_script):
    mails = mailbox.many(6, octets=3000)
    server = serve(Script(messages=mails, size_said=lambda octets: str(3 * octets)))
    with on_script(server) as mount:
        for mail in mails:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        assert status(mount)["sizes"] == "wrong"
        control(mount, "prefetch")
        fetched = len(server.commands("RETR"))
        for mail in mails:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
    assert len(server.commands("RETR")) == fetched <= 2 * len(mails) + 2


def test_one_message_that_always_comes_short_is_never_kept_and_spoils_the_trust_in_no_other(serve, on_script):
    """The server may have a read error of its own, and be mended: nobody gets a part for the whole meanwhile."""
    mails = mailbox.many(6, octets=3000)
    server = serve(Script(messages=mails, short_retr={"m00002": 500}, short_times=99))
    with on_script(server) as mount:
        assert (mount.path / "m00001.eml").read_bytes() == mails[0].data
        for _ in range(2):
            assert error_of((mount.path / "m00002.eml").read_bytes) == errno.EIO
        assert status(mount)["sizes"] == "trusted"
        assert server.commands("RETR").count("RETR 2") == 4
        server.script.short_retr = {}
        assert read_at_last(mount.path / "m00002.eml") == mails[1].data


@pytest.mark.parametrize("more", [-2, 2])
def test_a_list_that_is_wrong_by_a_little_is_no_reason_to_believe_a_body_that_came_short(more, serve, on_script):
    """Dovecot counts some messages short, and ends those that it cannot read with a proper dot."""
    mails = mailbox.many(3, octets=3000)
    server = serve(Script(messages=mails, size_said=lambda octets: str(octets + more), short_retr={"m00002": 500}))
    with on_script(server) as mount:
        for mail in mails:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        assert status(mount)["sizes"] == "unproven"
    assert sorted(server.commands("RETR")) == ["RETR 1", "RETR 2", "RETR 2", "RETR 3"]


def test_after_an_outage_that_cut_a_body_all_come_whole(serve, on_script):
    mails = mailbox.many(6, octets=3000)
    server = serve(Script(messages=mails, short_retr={"m00002": 500}, short_times=99))
    with on_script(server) as mount:
        assert (mount.path / "m00001.eml").read_bytes() == mails[0].data
        assert error_of((mount.path / "m00002.eml").read_bytes) == errno.EIO
        server.script.short_retr = {}
        for mail in mails:
            assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        assert status(mount)["sizes"] == "trusted"


def body_file(place, mail):
    """That of a body which is too large for a pack."""
    (path,) = [path for path in (place.folder / "cache").glob("**/bodies-*/*") if path.stat().st_size == len(mail.data)]
    return path


def test_a_body_that_the_disk_lost_while_it_was_open_is_read_on_if_it_comes_anew(serve, on_script):
    mail = mailbox.many(1, octets=300_000)[0]
    server = serve(Script(messages=[mail]))
    with on_script(server) as mount:
        path = mount.path / "m00001.eml"
        with open(path, "rb", buffering=0) as file:
            kept = body_file(mount.place, mail)
            os.truncate(kept, 100_000)
            assert os.pread(file.fileno(), 4096, 200_000) == mail.data[200_000:204_096]
            assert os.pread(file.fileno(), 4096, 0) == mail.data[:4096]
            assert os.pread(file.fileno(), 4096, 290_000) == mail.data[290_000:294_096]
        assert "m00001 in the cache is damaged" in mount.log()
        assert path.read_bytes() == mail.data
    assert len(server.commands("RETR")) == 2


def test_a_body_that_comes_anew_as_another_is_an_error_for_who_has_it_open(serve, on_script):
    mail = mailbox.many(1, octets=300_000)[0]
    server = serve(Script(messages=[mail]))
    with on_script(server) as mount:
        path = mount.path / "m00001.eml"
        with open(path, "rb", buffering=0) as file:
            os.truncate(body_file(mount.place, mail), 100_000)
            changed = mail.data.replace(b"quick", b"quiet")
            server.script.messages = [mailbox.Mail("m00001", changed)]
            control(mount, "refresh")
            assert error_of(os.pread, file.fileno(), 4096, 200_000) == errno.EIO
            assert os.pread(file.fileno(), 4096, 0) == mail.data[:4096]
        assert path.read_bytes() == changed


def test_a_body_that_cannot_be_opened_in_the_cache_comes_from_the_server(serve, on_script):
    mail = mailbox.many(1, octets=300_000)[0]
    server = serve(Script(messages=[mail]))
    with on_script(server) as mount:
        path = mount.path / "m00001.eml"
        path.open("rb").close()
        kept = body_file(mount.place, mail)
        kept.unlink()
        kept.symlink_to(kept)
        assert path.read_bytes() == mail.data
        assert kept.read_bytes() == mail.data
        path.open("rb").close()
    assert len(server.commands("RETR")) == 2


@pytest.mark.parametrize("silent, dated", [("TOP", False), ("TOP 12 0", True)])
@pytest.mark.slow
def test_a_top_that_is_never_answered_holds_nothing_up_for_good(silent, dated, serve, on_script):
    """The sweep asks for the newest header first in each session, so nothing behind it would have its turn."""
    mails = mailbox.many(12, octets=300)
    server = serve(Script(messages=mails, silent={silent}))
    with on_script(server, "timeout=1,refresh=0") as mount:
        control(mount, "prefetch")
        for mail in mails:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        wait_until("the headers of the others", lambda: not dated or time.gmtime((mount.path / "m00001.eml").stat().st_mtime).tm_mon == 6)
    assert len(server.sessions) < 10
    server.script.silent = set()
    with on_script(server, "refresh=0") as mount:
        for mail in mails:
            assert time.gmtime((mount.path / f"{mail.name}.eml").stat().st_mtime).tm_mon == 6, "asked again by the next mount"


@pytest.mark.slow
def test_a_server_that_hangs_up_when_it_has_refused_a_top_is_soon_asked_for_no_more(serve, on_script):
    """Each session ends with the first TOP, so that no removal would ever be compared with anything."""
    mails = mailbox.many(8, octets=300)
    server = serve(Script(messages=mails, top=False, capa=False, errors_limit=3))
    with on_script(server, "refresh=0") as mount:
        for mail in mails:
            assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        os.unlink(mount.path / "m00001.eml")
        wait_until("the commit", lambda: outcome_of(control, mount, "commit") == 0)
        wait_until("a listing", lambda: outcome_of(control, mount, "refresh") == 0)
    assert [mail.name for mail in server.script.messages] == [mail.name for mail in mails[1:]]
    assert len(server.commands("TOP")) <= 4


@pytest.mark.slow
def test_commits_that_are_asked_for_one_after_the_other_do_not_wait_for_each_others_back_off(serve, on_script):
    server = serve(Script(messages=mailbox.many(3, octets=300)))
    with on_script(server, "refresh=0", expect_exit=None) as mount, concurrent.futures.ThreadPoolExecutor(30) as users:

        def commit():
            asked = time.monotonic()
            assert error_of(control, mount, "commit") in NETWORK
            return time.monotonic() - asked

        os.unlink(mount.path / "m00001.eml")
        server.script.refuse_connections = True
        server.drop_all()
        answers = []
        for _ in range(30):
            answers.append(users.submit(commit))
            time.sleep(0.3)
        assert max(answer.result() for answer in answers) < 6, "three attempts, a second apart"


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
                path.read_bytes()  # what has been read can be proven in a later session to be what is meant
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


@pytest.mark.slow
def test_readers_rm_and_ls_side_by_side_while_the_line_is_reset_again_and_again(one_place):
    seconds = 20 if LONG else 6
    mails = [mailbox.plain(f"m{i:05}", (b"%05d " % i) * (1 + i * 37 % 9000) + b"\r\n") for i in range(2000)]
    with one_place() as place, Server(Script(messages=mails)) as server, FaultProxy(server) as cutter:
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
        assert counts["read"] > 0, counts
        # The kernel gives a file back some time after its last close.
        wait_until("the descriptors are closed", lambda: descriptors(mount.pid) <= 25)
        assert marks[-1][1] < 1.5 * marks[len(marks) // 4][1] + 4096, marks
        print(counts, "logins", len(server.sessions), marks[len(marks) // 4], marks[-1])
        assert mount.unmount() == 0, mount.log()[-2000:]
        assert {mail.name for mail in mails} - {mail.name for mail in server.script.messages} == set(removed)


@pytest.mark.parametrize("where", ["online", "offline", "waiting", "login"])
@pytest.mark.slow
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
@pytest.mark.slow
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

    everywhere(case, range(24), AT_ONCE)
