# SPDX-License-Identifier: MIT
"""One DELE that goes wrong, or a limit per session, keeps no other removal from being carried out (POP3.md rule 34)."""

import itertools
import os
import subprocess
import threading
import time

import mailbox
import pytest
from mounting import wait_until
from reading import control, names, outcome_of, read_at_last, status
from scripted import Script

NINE = mailbox.many(9, octets=300)
UIDLS = [mail.name for mail in NINE]
OFF = "asked for one at a time"  # what popfs says when it pipelines no more


def left(server):
    return [mail.name for mail in server.script.messages]


def remove(mount, uidls):
    for uidl in uidls:
        os.unlink(mount.path / f"{uidl}.eml")


def commit_all(mount, explicit):
    """True if everything was deleted."""
    return (outcome_of(control, mount, "commit") if explicit else mount.unmount()) == 0


def fallen(mount):
    """What popfs says it could not delete."""
    return {uidl for uidl in UIDLS if f"could not delete {uidl}: " in mount.log()}


EXPLICIT = pytest.mark.parametrize("explicit", [True, False], ids=["commit", "end"])


PLACES = [(0, True, True), (4, True, True), (8, True, False), (4, False, True), (8, False, False)]
if os.environ.get("POPFS_LONG") == "1":
    PLACES = list(itertools.product((0, 4, 8), (True, False), (True, False)))


@pytest.mark.parametrize("position, pipelining, explicit", PLACES)
@pytest.mark.parametrize("how", ["empty", "close", "spoils-quit"])
def test_one_bad_dele_among_nine(how, position, pipelining, explicit, serve, on_script):
    bad = UIDLS[position]
    server = serve(Script(NINE, dele_how={bad: how}, pipelining=pipelining))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        remove(mount, UIDLS)
        assert not commit_all(mount, explicit)
        assert left(server) == [bad] and fallen(mount) == {bad}
        assert OFF not in mount.log()
        if explicit:
            assert status(mount)["last_commit"]["deleted"] == 8 and names(mount.path / ".popfs/trash") == [f"{bad}.eml"]
    assert not server.violations()
    assert server.logins() <= (12 if how == "spoils-quit" else 6) + 3 * explicit


@EXPLICIT
def test_a_dele_that_is_never_answered(explicit, serve, on_script):
    server = serve(Script(NINE, dele_how={UIDLS[4]: "silence"}))
    with on_script(server, "refresh=0,timeout=1", expect_exit=None) as mount:
        remove(mount, UIDLS)
        assert not commit_all(mount, explicit)
        assert left(server) == [UIDLS[4]] and fallen(mount) == {UIDLS[4]}
        assert OFF not in mount.log()


@EXPLICIT
def test_several_bad_deles_side_by_side_and_apart(explicit, serve, on_script):
    mails = mailbox.many(40, octets=300)
    bad = {"m00001": "empty", "m00002": "close", "m00040": "empty"}
    server = serve(Script(mails, dele_how=bad))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        remove(mount, [mail.name for mail in mails])
        assert not commit_all(mount, explicit)
        assert left(server) == sorted(bad) and OFF not in mount.log()
    assert server.logins() <= 4 * len(bad) + 3 + len(bad) * explicit


def test_the_end_asks_once_more_for_what_a_commit_found_bad(serve, on_script):
    server = serve(Script(NINE, dele_how={UIDLS[2]: "close", UIDLS[7]: "empty"}))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        remove(mount, UIDLS)
        assert not commit_all(mount, True)
        deles, logins, begin = len(server.commands("DELE")), server.logins(), time.monotonic()
        assert mount.unmount() != 0
        assert time.monotonic() - begin < 4
    assert len(server.commands("DELE")) - deles == 2 and server.logins() - logins <= 2
    assert left(server) == [UIDLS[2], UIDLS[7]]


def test_each_quit_of_a_commit_gets_a_second_look(serve, on_script):
    """The server deletes after it has said that it is done, and takes four in one session."""
    server = serve(Script(NINE, dele_limit=4, quit="late"))
    with on_script(server, "refresh=0,timeout=5") as mount:
        remove(mount, UIDLS)
        assert commit_all(mount, True), mount.log()
        assert left(server) == [] and fallen(mount) == set()


def test_a_refusal_is_not_said_of_what_was_taken_back(serve, on_script):
    server = serve(Script(NINE, dele_refused={UIDLS[1]}, hold_dele={UIDLS[2]}, pipelining=False))
    with on_script(server, "refresh=0,timeout=5") as mount:
        remove(mount, UIDLS)
        committer = threading.Thread(target=outcome_of, args=(control, mount, "commit"))
        committer.start()
        assert server.held.wait(5)
        os.rename(mount.path / f".popfs/trash/{UIDLS[1]}.eml", mount.path / f"{UIDLS[1]}.eml")
        server.release.set()
        committer.join(60)
        assert left(server) == [UIDLS[1]] and fallen(mount) == set()


@EXPLICIT
@pytest.mark.parametrize("limit", [4])
@pytest.mark.parametrize("how", ["refused", "bare", "close"])
def test_a_limit_per_session_is_learnt_and_all_goes(how, limit, explicit, serve, on_script):
    server = serve(Script(NINE, dele_limit=limit, dele_limit_how=how))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        remove(mount, UIDLS)
        assert commit_all(mount, explicit), mount.log()
        assert left(server) == [] and fallen(mount) == set() and OFF not in mount.log()
        assert not explicit or status(mount)["last_commit"]["deleted"] == 9
    assert not server.violations()


@EXPLICIT
def test_pipelining_that_kills_is_told_from_a_bad_dele(explicit, serve, on_script):
    mails = mailbox.many(50, octets=300)
    server = serve(Script(mails, top=False, pipelining_cuts="but listing"))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        for mail in mails:  # what proves in a later session which message is meant
            assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        remove(mount, [mail.name for mail in mails])
        assert commit_all(mount, explicit), mount.log()
    assert left(server) == []
    assert server.logins() <= 8


def test_a_refused_last_dele_is_asked_once_more_in_the_session_that_proves(serve, on_script):
    server = serve(Script(NINE, dele_refused={UIDLS[8]}))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        remove(mount, UIDLS)
        assert not commit_all(mount, True)
        assert "you may not delete this" in mount.log() and left(server) == [UIDLS[8]]
        assert len([line for line in server.commands("DELE")]) == 10 and server.logins() == 2


def test_what_is_taken_back_while_others_are_isolated_stays(serve, on_script):
    server = serve(Script(NINE, dele_how={UIDLS[0]: "silence"}))
    with on_script(server, "refresh=0,timeout=1", expect_exit=None) as mount:
        remove(mount, UIDLS)
        committer = threading.Thread(target=outcome_of, args=(control, mount, "commit"))
        committer.start()
        wait_until("DELE", lambda: server.commands("DELE"))
        os.rename(mount.path / f".popfs/trash/{UIDLS[3]}.eml", mount.path / f"{UIDLS[3]}.eml")
        committer.join(60)
        assert left(server) == [UIDLS[0], UIDLS[3]] and names(mount.path) == [f"{UIDLS[3]}.eml"]


def test_login_delay_leaves_the_rest_pending_with_its_reason(serve, on_script):
    server = serve(Script(NINE, dele_limit=4, login_delay=600))
    with on_script(server, "refresh=0,timeout=5", expect_exit=None) as mount:
        remove(mount, UIDLS)
        begin = time.monotonic()
        assert not commit_all(mount, True)
        assert time.monotonic() - begin < 10 and "enough for today" in mount.log()
        assert left(server) == UIDLS[4:] and status(mount)["pending_removal_count"] == 5
    assert server.logins() == 1


def test_the_next_commit_tries_what_failed_again(serve, on_script):
    server = serve(Script(NINE, dele_how={UIDLS[4]: "empty"}))
    with on_script(server, "refresh=0,timeout=5") as mount:
        remove(mount, UIDLS)
        assert not commit_all(mount, True)
        server.script.dele_how = {}
        assert commit_all(mount, True) and left(server) == []


def know_headers(mount, server, mails):
    """From then on popfs knows how fast the server answers."""
    os.stat(mount.path / f"{mails[-1].name}.eml")
    wait_until("all headers", lambda: len(server.commands("TOP")) >= len(mails))


def deles_before_an_answer(mount, server):
    before = len(server.commands("DELE"))
    threading.Thread(target=outcome_of, args=(control, mount, "commit"), daemon=True).start()
    wait_until("DELEs", lambda: len(server.commands("DELE")) - before >= 32)
    time.sleep(0.5)
    return len(server.commands("DELE")) - before


@EXPLICIT
def test_deles_wait_for_no_answer_where_the_pace_of_the_server_is_known(explicit, serve, on_script):
    mails = mailbox.many(200, octets=300)
    server = serve(Script(mails, dele_together=200))
    with on_script(server, "refresh=0,timeout=20", expect_exit=None) as mount:
        know_headers(mount, server, mails)
        remove(mount, [mail.name for mail in mails])
        assert commit_all(mount, explicit), mount.log()
    assert left(server) == [] and server.logins() == 1 + explicit


def test_few_deles_are_sent_before_an_answer_where_the_pace_is_not_known(serve, on_script):
    mails = mailbox.many(200, octets=300)
    server = serve(Script(mails, dele_together=200, top=False))
    with on_script(server, "refresh=0,timeout=60", expect_exit=None) as mount:
        remove(mount, [mail.name for mail in mails])
        assert deles_before_an_answer(mount, server) == 32
        mount.kill(9)
    assert left(server) == [mail.name for mail in mails]


@pytest.mark.skipif(os.environ.get("POPFS_LONG") != "1", reason="two commits of 80 real seconds each")
def test_a_server_that_is_slow_at_dele_alone_is_found_out_and_remembered(serve, on_script):
    """Asked for all at once in each session, it would get no QUIT in time for ever."""
    mails = mailbox.many(200, octets=300)
    server = serve(Script(mails, dele_s=1))
    with on_script(server, "refresh=0,timeout=600", expect_exit=None) as mount:
        know_headers(mount, server, mails)
        remove(mount, [mail.name for mail in mails])
        assert not commit_all(mount, True)
        assert len(left(server)) == 200
        mount.kill(9)
    with on_script(server, "refresh=0,timeout=600", expect_exit=None) as mount:
        assert not commit_all(mount, True)
        assert 120 < len(left(server)) < 180
        mount.kill(9)


@pytest.mark.skipif(os.environ.get("POPFS_LONG") != "1", reason="80 real seconds; the simulation bounds every commit")
@pytest.mark.parametrize("ask", [True, False], ids=["commit", "end"])
def test_a_commit_answers_within_80_seconds(ask, serve, on_script):
    """Every DELE hangs, and the time-out alone would take longer."""
    server = serve(Script(NINE, silent={"DELE"}))
    with on_script(server, "refresh=0,timeout=600", expect_exit=None) as mount:
        remove(mount, UIDLS)
        begin = time.monotonic()
        if ask:
            done = subprocess.run(["sh", "-c", f"echo commit > {mount.path}/.popfs/control"], timeout=90)
            assert done.returncode != 0
            assert status(mount)["pending_removal_count"] == 9 and "took too long" in mount.log()
            mount.kill(9)
        else:
            assert mount.unmount() != 0
        assert 60 < time.monotonic() - begin < 85
    assert left(server) == UIDLS
