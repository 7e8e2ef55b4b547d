# SPDX-License-Identifier: MIT
"""A UIDL is a name and not a proof: what is deleted or shown under it is the message that it was, by its header."""

import errno
import os
import time

import mailbox
import pytest
from mounting import unmount_hard, wait_until
from reading import cat, control, names, outcome_of, status
from scripted import Script

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}
INDEX_S = 1.5  # then what was learnt is in the index


def like(mail, word):
    """Another message of the same UIDL and the same size."""
    data = mail.data.replace(b"Subject: Message ", b"Subject: " + word.encode())
    assert len(data) == len(mail.data) and data != mail.data
    return mailbox.Mail(mail.name, data)


OTHER = like(SIX[0], "Invoices")


def kill(mount):
    mount.die()
    unmount_hard(mount.path)


def refresh(mount):
    wait_until("a listing", lambda: outcome_of(control, mount, "refresh") == 0)


def read_other(mount, mail=OTHER):
    """The file has the octets of the other message, sooner or later, and those of the first one never again."""

    def is_other():
        try:
            return (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.ESTALE)
            return False

    wait_until("the other message", is_other)


def test_a_uidl_given_again_at_once_is_another_message(serve, on_script):
    """mailutils gives the lowest free number: it is there in the very session that is to prove the commit."""
    server = serve(Script(SIX, given_again={"m00001": OTHER}))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / "m00001.eml")
        control(mount, "commit")
        assert status(mount)["last_commit"]["deleted"] == 1
        read_other(mount)
    assert OTHER in server.script.messages
    assert len(server.commands("DELE")) == 1


def removed_all(server, on_script):
    """What a commit of all messages is told that there were, and whether it says that the server has some under other UIDLs."""
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        for mail in SIX:
            os.stat(mount.path / f"{mail.name}.eml")
            os.unlink(mount.path / f"{mail.name}.eml")
        outcome = outcome_of(control, mount, "commit")
        return outcome, status(mount)["last_commit"]["deleted"], mount.log().count("under another one")


def test_what_is_listed_under_another_uidl_is_not_said_to_be_deleted(serve, on_script):
    """All are removed, the server deletes none of two and numbers them anew: no UIDL that stays tells of it, but their headers do."""
    again = {mail.name: mailbox.Mail(f"new-{mail.name}", mail.data) for mail in SIX[:2]}
    server = serve(Script(SIX, given_again=again))
    assert removed_all(server, on_script) == (errno.EIO, 4, 2)
    assert [mail.name for mail in server.script.messages] == ["new-m00001", "new-m00002"]


def test_what_moved_to_the_uidl_of_another_message_is_not_said_to_be_deleted(serve, on_script):
    """The first of six has gone and the others moved up: the UIDL of the last is not listed, but the one before it is its own now."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        for mail in SIX:
            os.stat(mount.path / f"{mail.name}.eml")
        for mail in SIX[4:]:
            os.unlink(mount.path / f"{mail.name}.eml")
        server.script.messages = [mailbox.Mail(old.name, new.data) for old, new in zip(SIX, SIX[1:])]
        server.drop_all()
        assert outcome_of(control, mount, "commit") == errno.EIO
        assert status(mount)["last_commit"]["deleted"] == 0
        assert mount.log().count("under another one") == 1
    assert server.commands("DELE") == []


def test_new_mail_is_not_what_was_deleted_before_it_came(serve, on_script):
    """The same number of messages and octets as before, but other headers."""
    new = [mailbox.Mail(f"new-{mail.name}", like(mail, "Invoices").data) for mail in SIX]
    server = serve(Script(SIX, given_again={mail.name: other for mail, other in zip(SIX, new)}))
    assert removed_all(server, on_script) == (0, 6, 0)
    assert server.script.messages == new


def test_a_removal_is_not_carried_out_on_the_message_that_has_its_uidl_now(serve, on_script):
    """A removal outlives a session after which the server numbers anew: the wish ends, and the log names both."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        os.unlink(mount.path / "m00001.eml")
        server.script.messages = [OTHER, *SIX[1:]]
        server.drop_all()
        mount.unmount()
        assert "Message 1" in mount.log() and "Invoices" in mount.log()
    assert OTHER in server.script.messages
    assert server.commands("DELE") == []


def killed_with_a_removal(serve, on_script):
    """The server of a mount that was killed right after the removal of its first message, whose header is in the index."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        os.stat(mount.path / "m00001.eml")
        time.sleep(INDEX_S)
        os.unlink(mount.path / "m00001.eml")
        kill(mount)
    return server


def test_a_removal_of_an_earlier_mount_is_not_carried_out_on_another_message(serve, on_script):
    server = killed_with_a_removal(serve, on_script)
    server.script.messages = [OTHER, *SIX[1:]]
    with on_script(server, "refresh=0") as mount:
        read_other(mount)
    assert OTHER in server.script.messages
    assert server.commands("DELE") == []


def test_a_removal_of_an_earlier_mount_is_proven_and_carried_out(serve, on_script):
    server = killed_with_a_removal(serve, on_script)
    server.script.messages = list(reversed(SIX))
    with on_script(server, "refresh=0"):
        pass
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001"}


def test_a_removal_that_cannot_be_proven_stays_and_status_says_how_to_renew_it(serve, on_script):
    bare = mailbox.Mail("bare", b"\r\nno header at all\r\n")
    server = serve(Script([bare, *SIX]))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / "bare.eml")
        refresh(mount)
        assert outcome_of(control, mount, "commit") == errno.EIO
        assert "rm it again" in status(mount)["last_commit"]["failures"][0]["reason"]
        assert server.commands("DELE") == []
        os.rename(mount.path / ".popfs/trash/bare.eml", mount.path / "bare.eml")
        os.unlink(mount.path / "bare.eml")
    assert bare not in server.script.messages


def test_a_removal_of_what_may_be_another_message_can_be_renewed(serve, on_script):
    """Another message may have the UIDL, and its header has no end: what is removed again is what is there now."""
    endless = mailbox.Mail("m00001", b"Subject: no empty line follows\r\n")
    server = serve(Script(SIX, size_said=lambda octets: "0"))
    with on_script(server, "refresh=0") as mount:
        assert cat(mount.path / "m00001.eml") == SIX[0].data
        server.script.messages = [*SIX[1:], endless]
        refresh(mount)
        os.unlink(mount.path / "m00001.eml")
        assert outcome_of(control, mount, "commit") == errno.EIO
        assert "rm it again" in status(mount)["last_commit"]["failures"][0]["reason"]
        assert server.commands("DELE") == []
        os.rename(mount.path / ".popfs/trash/m00001.eml", mount.path / "m00001.eml")
        os.unlink(mount.path / "m00001.eml")
        control(mount, "commit")
    assert endless not in server.script.messages


def test_sizes_that_differ_in_each_session_change_nothing(serve, on_script):
    """Rule 12: LIST + 7 in each session. Inodes stay, nothing is fetched anew, and a removal is carried out."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        before = {name: os.stat(mount.path / name).st_ino for name in names(mount.path)}
        for mail in SIX:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        fetched = len(server.commands("RETR"))
        os.unlink(mount.path / "m00002.eml")
        for more in (7, 14):
            server.script.size_said = lambda size, more=more: str(size + more)
            refresh(mount)
            for mail in SIX[2:]:
                assert cat(mount.path / f"{mail.name}.eml") == mail.data
                assert os.stat(mount.path / f"{mail.name}.eml").st_ino == before[f"{mail.name}.eml"]
        assert len(server.commands("RETR")) == fetched
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00002"}


@pytest.mark.parametrize("top", [True, False])
def test_a_kept_body_is_not_shown_for_another_message(top, serve, on_script):
    """The message is at another place than before: its kept body is proven before it is shown."""
    server = serve(Script(SIX, top=top))
    with on_script(server, "refresh=0") as mount:
        assert cat(mount.path / "m00001.eml") == SIX[0].data
        old = os.stat(mount.path / "m00001.eml").st_ino
        server.script.messages = [*SIX[1:], OTHER]
        refresh(mount)
        read_other(mount)
        assert os.stat(mount.path / "m00001.eml").st_ino != old


def test_without_top_some_kept_bodies_are_fetched_again_in_each_session(serve, on_script):
    """Nothing about the message has changed but what it is."""
    server = serve(Script(SIX, top=False))
    with on_script(server, "refresh=0") as mount:
        for mail in SIX:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        server.script.messages = [OTHER, *SIX[1:]]
        refresh(mount)
        read_other(mount)


def test_a_kept_body_is_not_shown_where_top_does_not_reach_the_end_of_the_header(serve, on_script):
    """What TOP gives of the other message cannot be compared: its body is asked for before anything is shown."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        for mail in SIX:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        server.script.top_style = "no-blank"
        server.script.messages = [OTHER, *SIX[1:]]
        refresh(mount)
        read_other(mount)


def test_a_message_without_a_header_is_not_one_with_a_header(serve, on_script):
    """Without a header there is no evidence, but what has none is neither what had one before nor what has one now."""
    bare = mailbox.Mail("m00001", b"\r\n" + b"no header\r\n" * 9)
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        old = SIX[0]
        for new in (bare, SIX[0]):
            assert cat(mount.path / "m00001.eml") == old.data
            inode = os.stat(mount.path / "m00001.eml").st_ino
            server.script.messages = [mail for mail in server.script.messages if mail.name != "m00001"]
            server.script.messages.insert(5 if new is bare else 0, new)
            refresh(mount)
            read_other(mount, new)
            assert os.stat(mount.path / "m00001.eml").st_ino != inode
            old = new


def test_a_date_without_evidence_is_not_kept_for_another_message(serve, on_script):
    """A header without its end is no evidence, but it has a date."""
    other = mailbox.Mail("m00001", SIX[0].data.replace(b"02 Jun 2026", b"07 May 2025").replace(b"Message 1", b"Invoices!"))
    assert other.data != SIX[0].data
    server = serve(Script(SIX, top_style="no-blank"))
    with on_script(server, "refresh=0") as mount:
        before = os.stat(mount.path / "m00001.eml").st_mtime
        server.script.messages = [*SIX[1:], other]
        refresh(mount)
        assert cat(mount.path / "m00001.eml") == other.data
        wait_until("its own date", lambda: before - os.stat(mount.path / "m00001.eml").st_mtime > 300 * 86400)


def test_a_server_that_was_caught_is_remembered(serve, on_script):
    """From then on a kept body is shown only after it was proven, in the next mount as well."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        for mail in SIX:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        server.script.messages = [*SIX[1:], OTHER]
        refresh(mount)
        read_other(mount)
    # Nothing about this one has changed but what it is.
    other = like(SIX[3], "Receipts")
    server.script.messages = [*SIX[1:3], other, *SIX[4:], OTHER]
    with on_script(server, "refresh=0") as mount:
        read_other(mount, other)
        assert cat(mount.path / "m00001.eml") == OTHER.data


def test_where_top_differs_from_retr_only_retr_is_evidence(serve, on_script):
    """Rule 14: Exchange gives other headers by TOP."""
    other = {mail.name: like(mail, "Invoices").data for mail in SIX}
    server = serve(Script(SIX, top_as=other))
    with on_script(server, "refresh=0") as mount:
        for mail in SIX:
            os.stat(mount.path / f"{mail.name}.eml")
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        assert "only RETR tells" in mount.log()
        os.unlink(mount.path / "m00001.eml")
        server.drop_all()
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001"}


def test_a_session_that_deletes_what_it_has_listed_asks_for_no_header(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        for mail in SIX:
            os.stat(mount.path / f"{mail.name}.eml")
        asked = len(server.commands("TOP"))
        os.unlink(mount.path / "m00001.eml")
    assert len(server.commands("TOP")) == asked
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001"}
