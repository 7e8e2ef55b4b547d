# SPDX-License-Identifier: MIT
"""Removal with undo: the trash, commits while mounted, and what an interrupted one leaves."""

import errno
import os
import signal
import subprocess
import threading

import mailbox
import pytest
from mounting import wait_until
from reading import cat, control, error_of, names, run, status
from scripted import Script

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


def test_killed_in_the_middle_of_a_commit_nothing_else_goes(serve, on_script):
    server = serve(Script(SIX, hold_dele={"m00002"}))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        run("rm", mount.path / "m00001.eml", mount.path / "m00002.eml")
        committer = threading.Thread(target=lambda: error_of(control, mount, "commit"))
        committer.start()
        assert server.held.wait(10)
        mount.kill(signal.SIGKILL)
        mount._process.wait(10)
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
