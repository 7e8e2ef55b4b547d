# SPDX-License-Identifier: MIT
"""Removal with undo: the trash, commits while mounted, and what an interrupted one leaves."""

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time

import mailbox
import pytest
from mounting import wait_until
from reading import cat, control, error_of, names, outcome_of, run, status
from scripted import Script

LONG = "POPFS_LONG" in os.environ

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}
TRUTH = {f"{mail.name}.eml": mail.data for mail in SIX}


def left(server):
    return {mail.name for mail in server.script.messages}


def test_the_trash_shows_what_is_to_go(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        inode = os.stat(mount.path / "m00002.eml").st_ino
        with open(mount.path / "m00002.eml", "rb") as file:
            os.unlink(mount.path / "m00002.eml")
            assert names(mount.path / ".popfs/trash") == ["m00002.eml"]
            assert cat(mount.path / ".popfs/trash/m00002.eml") == TRUTH["m00002.eml"]
            assert os.stat(mount.path / ".popfs/trash/m00002.eml").st_ino == inode
            assert file.read() == TRUTH["m00002.eml"]
        assert ".popfs" not in names(mount.path)
        assert status(mount)["pending_removal_count"] == 1


def test_mv_brings_one_back(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        before = os.stat(mount.path / "m00002.eml")
        run("rm", mount.path / "m00002.eml", mount.path / "m00003.eml")
        run("mv", mount.path / ".popfs/trash/m00002.eml", mount.path)
        after = os.stat(mount.path / "m00002.eml")
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
        assert cat(mount.path / "m00002.eml") == TRUTH["m00002.eml"]
        assert names(mount.path / ".popfs/trash") == ["m00003.eml"]
        assert error_of(os.rename, mount.path / ".popfs/trash/m00003.eml", mount.path / "other.eml") == errno.EPERM
    assert left(server) == UIDLS - {"m00003"}


def test_what_mv_took_into_the_trash_is_gone_after_a_commit(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        there = mount.path / ".popfs/trash/m00002.eml"
        assert cat(mount.path / "m00002.eml") == TRUTH["m00002.eml"]
        run("mv", mount.path / "m00002.eml", there.parent)
        assert cat(there) == TRUTH["m00002.eml"]
        control(mount, "commit")
        assert error_of(os.stat, there) == errno.ENOENT and not there.exists()
    assert left(server) == UIDLS - {"m00002"}


def test_rm_after_mv_after_rm(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        for _ in range(3):
            os.unlink(mount.path / "m00002.eml")
            os.rename(mount.path / ".popfs/trash/m00002.eml", mount.path / "m00002.eml")
        os.unlink(mount.path / "m00002.eml")
        assert len(names(mount.path)) == 5
    assert left(server) == UIDLS - {"m00002"}


def test_undelete_and_rollback(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        run("rm", *(mount.path / f"m0000{i}.eml" for i in (1, 2, 3, 4)))
        control(mount, "undelete m00002.eml")
        assert set(names(mount.path)) == {"m00002.eml", "m00005.eml", "m00006.eml"}
        assert error_of(control, mount, "undelete m00002.eml") == errno.ENOENT
        assert error_of(control, mount, "undelete nobody.eml") == errno.ENOENT
        control(mount, "rollback")
        assert set(names(mount.path)) == set(TRUTH)
        assert all(cat(mount.path / name) == TRUTH[name] for name in TRUTH)
    assert left(server) == UIDLS
    assert not any("DELE" in " ".join(session.commands) for session in server.sessions)


def test_a_rollback_bears_that_somebody_else_takes_the_same_back(serve, on_script):
    server = serve(Script(SIX))
    end = time.monotonic() + 1

    def rm_and_mv(mount):
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(mount.path / "m00002.eml")
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.rename(mount.path / ".popfs/trash/m00002.eml", mount.path / "m00002.eml")

    with on_script(server, "refresh=0") as mount:
        other = threading.Thread(target=rm_and_mv, args=(mount,))
        other.start()
        try:
            while time.monotonic() < end:
                control(mount, "rollback")
        finally:
            other.join()
        control(mount, "rollback")
        assert set(names(mount.path)) == set(TRUTH)
    assert left(server) == UIDLS


@pytest.mark.parametrize("how", ["undelete", "mv", "rollback"])
def test_what_a_full_disk_cannot_take_back_stays_in_the_trash_until_it_can(how, serve, on_script):
    server = serve(Script(SIX))
    there, here = ".popfs/trash/m00002.eml", "m00002.eml"

    def take_back(mount):
        if how == "mv":
            os.rename(mount.path / there, mount.path / here)
        else:
            control(mount, "undelete m00002.eml" if how == "undelete" else "rollback")

    with on_script(server, "refresh=0", expect_exit=None) as mount:
        os.unlink(mount.path / here)
        with mount.full_disk(mount.journal().stat().st_size):
            assert error_of(take_back, mount) == errno.ENOSPC
        assert (mount.path / there).exists() and not (mount.path / here).exists()
        assert status(mount)["pending_removal_count"] == 1
        take_back(mount)
        assert (mount.path / here).exists() and status(mount)["pending_removal_count"] == 0
        mount.die()
    with on_script(server) as mount:
        assert set(names(mount.path)) == set(TRUTH)
    assert left(server) == UIDLS


@pytest.mark.parametrize("how", ["control", "sync"])
def test_commit_while_mounted(how, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00004.eml")
        if how == "control":
            control(mount, "commit")
        else:
            run("sync", mount.path)
        assert left(server) == UIDLS - {"m00001", "m00004"}
        assert len(server.sessions) == 2
        assert status(mount)["last_commit"]["deleted"] == 2
        assert names(mount.path / ".popfs/trash") == []
        assert set(names(mount.path)) == set(TRUTH) - {"m00001.eml", "m00004.eml"}
        assert cat(mount.path / "m00005.eml") == TRUTH["m00005.eml"]
        run("rm", mount.path / "m00005.eml")
    assert left(server) == {"m00002", "m00003", "m00006"}


def test_a_commit_of_nothing_costs_nothing(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        control(mount, "commit")
        run("sync", mount.path)
        assert len(server.sessions) == 1


def test_a_commit_names_each_failure(serve, on_script):
    server = serve(Script(SIX, dele_refused={"m00002"}))
    with on_script(server, "refresh=0", expect_exit=1) as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00002.eml")
        assert error_of(control, mount, "commit") == errno.EIO
        last = status(mount)["last_commit"]
        assert (last["deleted"], last["failed"]) == (1, 1)
        (failure,) = last["failures"]
        assert failure["name"] == "m00002.eml" and "may not" in failure["reason"]
        assert failure["subject"] == "Message 2"
        assert names(mount.path / ".popfs/trash") == ["m00002.eml"]
        assert left(server) == UIDLS - {"m00001"}
        assert run("sync", mount.path, check=False).returncode == 1


def test_a_server_that_says_ok_and_deletes_nothing_is_found_out(serve, on_script):
    server = serve(Script(SIX, quit="lying"))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00003.eml")
        assert error_of(control, mount, "commit") == errno.EIO
        (failure,) = status(mount)["last_commit"]["failures"]
        assert "still has it" in failure["reason"]
        assert names(mount.path / ".popfs/trash") == ["m00003.eml"]
        server.script.quit = "ok"
        control(mount, "commit")
        assert left(server) == UIDLS - {"m00003"}


def test_a_server_that_deletes_after_it_said_so_gets_time(serve, on_script):
    """Rule 18: Courier says +OK to QUIT before unlinking."""
    server = serve(Script(SIX, quit="late"))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00003.eml")
        control(mount, "commit")
        assert status(mount)["last_commit"]["deleted"] == 1
        assert left(server) == UIDLS - {"m00003"}


@pytest.mark.parametrize("how", ["refused", "nothing"])
def test_a_quit_that_was_refused_or_never_answered_is_tried_again(how, serve, on_script):
    server = serve(Script(SIX, quit=how))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00003.eml")
        assert error_of(control, mount, "commit") == errno.EIO
        assert len(server.sessions) <= 5
        server.script.quit = "ok"
        wait_until("the next login", lambda: status(mount)["state"] != "connecting")
        control(mount, "commit")
        assert left(server) == UIDLS - {"m00003"}


def test_offline_a_commit_fails_and_the_wish_stays(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00003.eml")
        server.script.refuse_connections = True
        server.drop_all()
        assert error_of(control, mount, "commit") == errno.EIO
        assert names(mount.path / ".popfs/trash") == ["m00003.eml"]
        server.script.refuse_connections = False
    assert left(server) == UIDLS - {"m00003"}


def test_taken_back_while_it_is_being_deleted_it_stays(serve, on_script):
    """DELE has been sent: RSET goes first, then DELE for the rest, then QUIT."""
    server = serve(Script(SIX, hold_dele={"m00006"}))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00006.eml")
        committer = threading.Thread(target=control, args=(mount, "commit"))
        committer.start()
        assert server.held.wait(10)
        os.rename(mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml")
        server.release.set()
        committer.join(20)
        assert not committer.is_alive()
        assert left(server) == UIDLS - {"m00006"}
        assert cat(mount.path / "m00001.eml") == TRUTH["m00001.eml"]
    words = [line.split()[0] for line in server.sessions[0].commands]
    assert words.index("RSET") > words.index("DELE")
    assert words[-1] == "QUIT"


def test_a_limit_of_the_session_that_rset_does_not_lift_is_met_by_another_session(serve, on_script):
    server = serve(Script(SIX, hold_dele={"m00006"}, dele_limit=2))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00006.eml")
        committer = threading.Thread(target=outcome_of, args=(control, mount, "commit"))
        committer.start()
        assert server.held.wait(10)
        os.rename(mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml")
        server.release.set()
        committer.join(20)
        assert not committer.is_alive()
        assert status(mount)["last_commit"]["deleted"] == 1
        assert left(server) == UIDLS - {"m00006"}
    assert server.commands("DELE") == ["DELE 1", "DELE 6", "DELE 6", "DELE 6"]


@pytest.fixture
def commit_of_one(serve, on_script):
    """Begins a commit of m00001 whose QUIT takes a while, and gives server, mount, and a function that waits for its end and
    says what it was answered. Messages and switches are the test's."""
    with contextlib.ExitStack() as stack:
        def begin(script, options="refresh=0", exit_code=0, name="m00001.eml"):
            server = serve(script)
            script.quit_s = 0.5
            mount = stack.enter_context(on_script(server, options, expect_exit=exit_code))
            os.unlink(mount.path / name)
            outcome = []
            committer = threading.Thread(target=lambda: outcome.append(outcome_of(control, mount, "commit")))
            committer.start()
            wait_until("QUIT", lambda: server.commands("QUIT"))
            script.quit_s = 0

            def finish():
                committer.join(30)
                return outcome[0]

            return server, mount, finish

        yield begin


@pytest.mark.parametrize("script", [{"quit": "mute"}, {"in_use": True}], ids=["QUIT unanswered", "nobody can be asked"])
@pytest.mark.slow
def test_what_a_quit_was_about_cannot_be_brought_back_before_a_listing_tells(script, commit_of_one):
    """It would be shown, and be gone from the server."""
    server, mount, finish = commit_of_one(Script(SIX), "refresh=0,timeout=3")
    for switch, value in script.items():
        setattr(server.script, switch, value)
    wait_until("the end of QUIT", lambda: left(server) == UIDLS - {"m00001"})
    for _ in range(10):
        assert error_of(os.rename, mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml") in (errno.EINPROGRESS, errno.ENOENT)
        time.sleep(0.1)
    assert finish() == (errno.EBUSY if server.script.in_use else 0)
    if server.script.in_use:
        assert error_of(control, mount, "undelete m00001.eml") == errno.EINPROGRESS
        os.unlink(mount.path / "m00002.eml")
        assert error_of(control, mount, "rollback") == errno.EINPROGRESS
        assert names(mount.path / ".popfs/trash") == ["m00001.eml"]
        server.script.in_use = False
        # Asked for by nobody, for the sake of what is in the dark.
        wait_until("a listing", lambda: names(mount.path / ".popfs/trash") == [], 15)
    assert set(names(mount.path)) == set(TRUTH) - {"m00001.eml"}
    server.script.quit = "ok"


def test_what_a_quit_did_not_delete_can_be_brought_back_after_the_listing(commit_of_one):
    server, mount, finish = commit_of_one(Script(SIX, quit="lying"))
    assert finish() == errno.EIO
    os.rename(mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml")
    mount.unmount()
    assert left(server) == UIDLS


def test_what_a_commit_is_not_about_can_be_brought_back_meanwhile(commit_of_one):
    _, mount, finish = commit_of_one(Script(SIX))
    os.unlink(mount.path / "m00002.eml")
    os.rename(mount.path / ".popfs/trash/m00002.eml", mount.path / "m00002.eml")
    assert finish() == 0
    assert "m00002.eml" in names(mount.path)


TWINS = [mailbox.plain("twin", b"Subject: A\r\n\r\n"), mailbox.plain("twin", b"Subject: Bbbb\r\n\r\n")]


@pytest.mark.parametrize("script, first, second", [
    (Script(SIX, uidl=False), "msg-1.eml", "msg-2.eml"), (Script([*TWINS, *SIX]), "m00001.eml", "twin.eml"),
], ids=["without UIDL", "a twin"])
def test_a_wish_that_no_other_session_can_tell_is_not_dropped_in_silence(script, first, second, commit_of_one):
    """It came after the DELEs of the commit that was under way."""
    _, mount, finish = commit_of_one(script, name=first)
    os.unlink(mount.path / second)
    assert finish() == 0
    assert f"{second[:-4]} was to be deleted, but can no longer be identified: it stays" in mount.log()
    assert status(mount)["pending_removal_count"] == 0


def test_what_failed_for_good_before_the_end_is_an_error_at_the_end(commit_of_one):
    server, mount, finish = commit_of_one(Script([*TWINS, *SIX], quit="nothing"), exit_code=1, name="twin.eml")
    mount.kill(signal.SIGTERM)
    wait_until("another session", lambda: len(server.sessions) > 1)
    server.script.quit = "ok"
    mount.wait_end()
    finish()
    assert "1 message could not be deleted\n" in mount.log()


def test_what_outlives_no_mount_is_not_promised_to_the_next(serve, on_script):
    server = serve(Script([*TWINS, *SIX], dele_refused={"twin", "m00003"}))
    with on_script(server, "refresh=0", expect_exit=1) as mount:
        run("rm", mount.path / "twin.eml", mount.path / "m00003.eml")
    assert "1 message could not be deleted\n" in mount.log()
    assert "1 message could not be deleted, and will be tried again in the next mount\n" in mount.log()


@pytest.mark.slow
def test_a_server_that_was_believed_and_lied_is_not_believed_again(serve, on_script):
    """LOGIN-DELAY keeps the proof away; the next listing tells all the same."""
    server = serve(Script(SIX, quit="lying", login_delay=3))
    with on_script(server, "refresh=0,timeout=2", expect_exit=1) as mount:
        os.unlink(mount.path / "m00001.eml")
        control(mount, "commit")
        wait_until("another session", lambda: outcome_of(control, mount, "refresh") == 0)
        wait_until("its header", lambda: "it had deleted m00001, but lists it again" in mount.log())
        os.unlink(mount.path / "m00002.eml")
        assert error_of(control, mount, "commit") == errno.EIO
        assert "was not true before" in status(mount)["last_commit"]["failures"][0]["reason"]


@pytest.mark.slow
def test_the_end_waits_for_a_maildrop_in_use_as_long_as_for_an_answer(serve, on_script):
    times, seconds = (3, 40) if LONG else (2, 20)  # five seconds, then ten, then twenty
    server = serve(Script(SIX))
    with on_script(server, f"refresh=0,idle=1,timeout={seconds}") as mount:
        os.unlink(mount.path / "m00001.eml")
        wait_until("the end of the session", lambda: server.commands("QUIT"))
        server.script.refusal, server.script.refusal_times = "-ERR [IN-USE] somebody else has it", times
    assert left(server) == UIDLS - {"m00001"}


@pytest.mark.slow
def test_a_commit_that_fell_silent_waits_for_the_lock_of_its_lost_session(serve, on_script):
    server = serve(Script(SIX, silent={"DELE"}))
    with on_script(server, "refresh=0,timeout=4") as mount:
        os.unlink(mount.path / "m00001.eml")
        outcome = []
        committer = threading.Thread(target=lambda: outcome.append(outcome_of(control, mount, "commit")))
        committer.start()
        wait_until("DELE", lambda: server.commands("DELE"))
        server.script.refusal, server.script.refusal_times = "-ERR [IN-USE] somebody else has it", 1
        server.script.silent = set()
        committer.join(40)
        assert outcome == [0]
        assert left(server) == UIDLS - {"m00001"}


@pytest.mark.slow
def test_what_was_taken_back_and_deleted_by_another_was_not_deleted_by_the_commit(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00002.eml")
        server.script.refusal, server.script.refusal_times = "-ERR [IN-USE] somebody else has it", 1
        server.drop_all()
        committer = threading.Thread(target=outcome_of, args=(control, mount, "commit"))
        committer.start()
        wait_until("the refusal", lambda: len(server.sessions) == 2)
        os.rename(mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml")
        server.script.messages = [mail for mail in server.script.messages if mail.name != "m00001"]
        committer.join(40)
        last = status(mount)["last_commit"]
        assert (last["deleted"], last["failed"]) == (1, 0)
    assert left(server) == UIDLS - {"m00001", "m00002"}


def test_killed_in_the_middle_of_a_commit_nothing_else_goes(serve, on_script):
    server = serve(Script(SIX, hold_dele={"m00002"}))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00002.eml")
        committer = threading.Thread(target=lambda: error_of(control, mount, "commit"))
        committer.start()
        assert server.held.wait(10)
        mount.die()
        subprocess.run(["fusermount3", "-uz", mount.path], check=True)
        committer.join(10)
        server.release.set()
    assert left(server) == UIDLS
    server.script.hold_dele = set()
    with on_script(server) as mount:
        assert set(names(mount.path / ".popfs/trash")) == {"m00001.eml", "m00002.eml"}
    assert left(server) == UIDLS - {"m00001", "m00002"}


def test_read_only_nothing_can_be_wished(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "ro") as mount:
        for line in ("commit", "rollback", "undelete m00001.eml", "refresh"):
            assert error_of(control, mount, line) == errno.EROFS


def test_control_says_what_it_does_not_know(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        for line in ("", "nonsense", "commit now", "undelete", "refresh\ncommit"):
            assert error_of(control, mount, line) == errno.EINVAL
        assert error_of(os.open, mount.path / ".popfs/control", os.O_RDONLY) == errno.EACCES


def test_prefetch_fetches_everything(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        control(mount, "prefetch m00002.eml")
        wait_until("one body", lambda: status(mount)["cache"]["bodies"] == 1)
        control(mount, "prefetch")
        wait_until("all bodies", lambda: status(mount)["cache"]["bodies"] == 6)
        retrs = sum(line.startswith("RETR") for line in server.sessions[0].commands)
        assert retrs == 6
        assert all(cat(mount.path / name) == TRUTH[name] for name in TRUTH)
        assert sum(line.startswith("RETR") for line in server.sessions[0].commands) == 6


@pytest.mark.slow
def test_a_lazy_unmount_deletes_nothing(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, expect_exit=None) as mount:
        run("rm", mount.path / "m00001.eml")
        with open(mount.path / "m00002.eml", "rb") as file:
            run("fusermount3", "-uz", mount.path)
            wait_until("popfs to see it", lambda: "lazily" in mount.log())
            assert file.read() == TRUTH["m00002.eml"]
        mount.wait_end()
    assert left(server) == UIDLS
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00001.eml"]
    assert left(server) == UIDLS - {"m00001"}
