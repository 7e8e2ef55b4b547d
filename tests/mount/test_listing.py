# SPDX-License-Identifier: MIT
"""Listings that contradict themselves, or lack what was there: nothing goes without a second word."""

import json
import os

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import wait_until
from reading import cat, names, run
from scripted import Script

MAILS = mailbox.many(8)
FILES = sorted(f"{mail.name}.eml" for mail in MAILS)
EMPTY = b"+OK\r\n.\r\n"


def refresh(mount, check=True):
    return run(os.environ["POPFSCTL"], "refresh", mount.path, check=check)


def status(mount):
    return json.loads(cat(mount.path / ".popfs/status.json"))


def inodes(mount):
    return {name: os.stat(mount.path / name).st_ino for name in names(mount.path)}


@pytest.mark.parametrize("lie", [{"garbled": {"UIDL": EMPTY}}, {"stat_said": "0 0"}, {"garbled": {"LIST": EMPTY}}])
def test_one_session_that_contradicts_itself_changes_nothing(lie, serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        before = inodes(mount)
        os.unlink(mount.path / FILES[0])
        for key, value in lie.items():
            setattr(server.script, key, value)
        server.script.garbled_times = 1
        if "stat_said" in lie:
            server.script.stat_said_times = 1
        refresh(mount)
        assert inodes(mount) == {name: inode for name, inode in before.items() if name != FILES[0]}
        assert status(mount)["pending_removal_count"] == 1
        assert len(server.sessions) == 3
        assert server.commands("DELE") == []
    assert server.commands("DELE") == ["DELE 1"]


def test_no_uidl_at_all_refuses_the_mount(serve, place):
    server = serve(Script(messages=MAILS, garbled={"UIDL": EMPTY}))
    done = place.refused(place.command(script_source(server), script_options(place, server, "timeout=3")))
    assert done.returncode == 32
    assert len(done.stderr.strip().splitlines()) == 1
    assert "lists none that can be shown" in done.stderr
    assert len(server.sessions) == 2


def test_what_both_lists_hold_is_shown_when_two_sessions_disagree_alike(serve, on_script):
    rows = "".join(f"{number} {mail.name}\r\n" for number, mail in enumerate(MAILS[:5], 1)).encode()
    server = serve(Script(messages=MAILS, garbled={"UIDL": b"+OK\r\n" + rows + b".\r\n"}))
    with on_script(server) as mount:
        assert sorted(names(mount.path)) == FILES[:5]
        assert status(mount)["unshown_count"] == 3
        assert len(server.sessions) == 2


def test_a_maildrop_that_another_client_emptied_is_empty_after_a_second_session(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        server.script.messages = []
        refresh(mount)
        assert names(mount.path) == []
        assert len(server.sessions) == 3


def test_a_list_without_its_end_is_not_ended_by_a_guessed_top(serve, on_script):
    rows = "".join(f"{number} {len(mail.data)}\r\n" for number, mail in enumerate(MAILS, 1)).encode()
    server = serve(Script(messages=MAILS))
    with on_script(server):
        truth = {mail.name: mail.data for mail in MAILS}
    server = serve(Script(messages=MAILS, garbled={"LIST": b"+OK\r\n" + rows}, garbled_times=1))
    with on_script(server) as mount:
        assert {name: cat(mount.path / f"{name}.eml") for name in truth} == truth
        assert len({os.stat(mount.path / name).st_mtime for name in FILES}) == len(FILES)


def test_new_uidls_for_all_end_each_wish_by_name_and_nobody_is_told_deleted(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        for name in FILES[:2]:
            os.unlink(mount.path / name)
        server.script.messages = [mailbox.Mail(f"new-{mail.name}", mail.data) for mail in MAILS]
        server.drop_all()
        done = run(os.environ["POPFSCTL"], "commit", mount.path, check=False)
        assert done.returncode != 0
        assert len(names(mount.path)) == 8
        log = mount.log()
        assert "deleted" not in log
        assert all(mail.name in log for mail in MAILS[:2])
    assert server.commands("DELE") == []


@pytest.mark.parametrize("row", [b"3\r\n", b"3 " + b"x" * 501 + b"\r\n", b"3 " + b"x" * 20_000 + b"\r\n"])
def test_a_row_without_a_usable_id_concerns_that_message_alone(row, serve, on_script):
    uidls = b"".join(row if number == 3 else f"{number} {mail.name}\r\n".encode() for number, mail in enumerate(MAILS, 1))
    server = serve(Script(messages=MAILS, garbled={"UIDL": b"+OK\r\n" + uidls + b".\r\n"}))
    shown = sorted(["msg-3.eml", *(name for name in FILES if name != FILES[2])])
    with on_script(server) as mount:
        assert sorted(names(mount.path)) == shown
        assert cat(mount.path / "msg-3.eml") == MAILS[2].data
        before = inodes(mount)
        refresh(mount)
        after = inodes(mount)
        assert sorted(after) == shown
        assert [name for name in shown if before[name] != after[name]] == ["msg-3.eml"]
    with on_script(server) as mount:
        os.unlink(mount.path / "msg-3.eml")
    assert [mail.name for mail in server.script.messages] == [mail.name for mail in MAILS if mail is not MAILS[2]]


def test_rows_that_name_no_message_are_counted_in_the_status(serve, on_script):
    server = serve(Script(messages=MAILS, list_extra=b"x 1\r\n0 5\r\n", uidl_extra=b"2 another\r\n"))
    with on_script(server) as mount:
        wait_until("the listing", lambda: len(names(mount.path)) == 7)
        assert status(mount)["skipped_row_count"] == 2
        assert status(mount)["unshown_count"] == 1
        assert b"not shown" in cat(mount.path / ".popfs/status")


def test_no_list_at_all_refuses_the_mount_and_never_shows_an_empty_folder(serve, place, on_script):
    server = serve(Script(messages=MAILS, garbled={"LIST": EMPTY}))
    done = place.refused(place.command(script_source(server), script_options(place, server, "timeout=3")))
    assert done.returncode == 32
    assert "lists none that can be shown" in done.stderr
    server.script.garbled_times = 0
    with on_script(server) as mount:
        before = inodes(mount)
        server.script.garbled_times = 10**6
        assert refresh(mount, check=False).returncode != 0
        assert inodes(mount) == before


def test_a_remount_to_which_the_server_shows_nothing_once_keeps_what_it_knew(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        before = inodes(mount)
        for name in FILES:
            cat(mount.path / name)
    server.script.stat_said, server.script.stat_said_times = "0 0", 1
    logins, fetched = len(server.sessions), len(server.commands("RETR"))
    with on_script(server) as mount:
        assert inodes(mount) == before
        assert [cat(mount.path / f"{mail.name}.eml") for mail in MAILS] == [mail.data for mail in MAILS]
        assert len(server.sessions) == logins + 2
    assert len(server.commands("RETR")) == fetched
    with on_script(server) as mount:
        assert inodes(mount) == before
        assert len(server.sessions) == logins + 3  # a listing that is in order costs one login


def test_a_remount_that_may_not_ask_again_shows_what_it_knew(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        before = inodes(mount)
    server.script.stat_said, server.script.login_delay = "0 0", 3600
    logins = len(server.sessions)
    with on_script(server, "timeout=3") as mount:
        assert inodes(mount) == before
        assert status(mount)["listing_doubted"]
    assert len(server.sessions) == logins + 1


def test_a_uidl_without_its_end_is_never_believed(serve, place, on_script):
    rows = "".join(f"{number} {mail.name}\r\n" for number, mail in enumerate(MAILS, 1)).encode()
    server = serve(Script(messages=MAILS))
    with on_script(server):
        pass
    server.script.garbled, server.script.garbled_times = {"UIDL": b"+OK\r\n" + rows}, 1
    with on_script(server, "timeout=3") as mount:
        assert {mail.name: cat(mount.path / f"{mail.name}.eml") for mail in MAILS} == {mail.name: mail.data for mail in MAILS}
    server = serve(Script(messages=MAILS, garbled={"UIDL": b"+OK\r\n" + rows}))
    assert place.refused(place.command(script_source(server), script_options(place, server, "timeout=3,cache=off,state=off"))).returncode == 32


def test_a_doubt_waits_for_login_delay_only_where_nobody_waits_for_it(serve, place, on_script):
    server = serve(Script(messages=MAILS, garbled={"UIDL": EMPTY}, login_delay=3600))
    done = place.refused(place.command(script_source(server), script_options(place, server, "timeout=3")))
    assert done.returncode == 32
    assert "cannot be believed yet" in done.stderr
    assert len(server.sessions) == 1
    server.script.garbled_times, server.script.login_delay = 0, 2
    with on_script(server) as mount:
        before = inodes(mount)
        server.script.garbled_times, server.script.login_delay = 1, 3600
        os.unlink(mount.path / FILES[0])
        wait_until("the pause is over", lambda: refresh(mount, check=False).returncode != 0)
        assert status(mount)["listing_doubted"]
        assert len(server.sessions) == 3
        assert inodes(mount) == {name: inode for name, inode in before.items() if name != FILES[0]}
        assert run(os.environ["POPFSCTL"], "commit", mount.path, check=False).returncode != 0
        assert len(server.sessions) == 3
        run(os.environ["POPFSCTL"], "rollback", mount.path)
    assert server.commands("DELE") == []


def test_most_that_went_because_it_was_to_go_does_not_mean_new_uidls(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        for name in FILES[:6]:
            os.unlink(mount.path / name)
        gone = {name.removesuffix(".eml") for name in FILES[:6]}
        server.script.messages = [mail for mail in MAILS if mail.name not in gone]
        server.drop_all()
        run(os.environ["POPFSCTL"], "commit", mount.path)
        assert sorted(names(mount.path)) == FILES[6:]
        assert "identified" not in mount.log()
    assert server.commands("DELE") == []


def test_without_uidl_other_numbers_in_each_session_are_no_reason_for_doubt(serve, on_script):
    server = serve(Script(messages=MAILS, uidl=False))
    with on_script(server) as mount:
        server.script.number = lambda number: 100 * len(server.sessions) + number
        refresh(mount)
        assert sorted(names(mount.path)) == [f"msg-{200 + number}.eml" for number in range(1, 9)]
        assert len(server.sessions) == 2
        server.script.messages = MAILS[:2]
        refresh(mount)
        assert sorted(names(mount.path)) == ["msg-401.eml", "msg-402.eml"], "fewer are a reason still"


def test_numbers_with_gaps_that_both_lists_have_are_believed_at_once(serve, on_script):
    server = serve(Script(messages=MAILS, number=lambda number: 3 * number, login_delay=3600))
    with on_script(server) as mount:
        assert sorted(names(mount.path)) == FILES
        assert [cat(mount.path / f"{mail.name}.eml") for mail in MAILS] == [mail.data for mail in MAILS]
        assert len(server.sessions) == 1
