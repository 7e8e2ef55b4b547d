# SPDX-License-Identifier: MIT
"""Only the user's own rm deletes, only a commit carries it out, and what failed is said by name."""

import errno
import os
import signal
import subprocess

import mailbox
import pytest
from mounting import unmount_hard, wait_for_end, wait_until
from reading import cat, control, error_of, names, run
from scripted import Script

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}


def test_rm_hides_and_the_server_keeps_until_the_end(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account) as mount:
        run("rm", mount.path / "m00002.eml", mount.path / "m00005.eml")
        assert set(names(mount.path)) == {f"m0000{i}.eml" for i in (1, 3, 4, 6)}
        assert error_of(os.stat, mount.path / "m00002.eml") == errno.ENOENT
        assert error_of(os.unlink, mount.path / "m00002.eml") == errno.ENOENT
        assert account.remaining() == UIDLS
        assert mount.unmount() == 0
        assert account.remaining() == UIDLS - {"m00002", "m00005"}
    wait_until("Dovecot's count", lambda: len(account.sessions()) == 1)
    assert account.sessions()[0].dele == 2


def test_unmounting_without_rm_deletes_nothing(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account) as mount:
        run("cp", "-r", mount.path, mount.place.folder / "copy")
    assert account.remaining() == UIDLS
    assert sum(session.dele for session in account.sessions()) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_commits(number, account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account) as mount:
        os.unlink(mount.path / "m00003.eml")
        mount.kill(number)
        assert mount.wait_end() == 0
        assert account.remaining() == UIDLS - {"m00003"}


def test_the_daemon_commits_too(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, foreground=False) as mount:
        os.unlink(mount.path / "m00001.eml")
        mount.unmount()
    assert account.remaining() == UIDLS - {"m00001"}


def test_sigterm_ends_the_daemon_and_commits(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, foreground=False) as mount:
        os.unlink(mount.path / "m00001.eml")
        mount.kill(signal.SIGTERM)
        mount.wait_end()
    assert account.remaining() == UIDLS - {"m00001"}


def test_a_signal_commits_even_while_a_file_is_open(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account) as mount, open(mount.path / "m00004.eml", "rb"):
        os.unlink(mount.path / "m00003.eml")
        mount.kill(signal.SIGTERM)
        assert mount.wait_end() == 0
        assert account.remaining() == UIDLS - {"m00003"}


def test_rm_of_everything_empties_the_maildrop(account, on_dovecot):
    account.add(mailbox.many(300, octets=100))
    with on_dovecot(account) as mount:
        run("find", mount.path, "-name", "*.eml", "-delete")
        assert names(mount.path) == []
    assert account.remaining() == set()


def test_kill_minus_nine_deletes_nothing(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, expect_exit=None) as mount:
        os.unlink(mount.path / "m00001.eml")
        mount.kill(signal.SIGKILL)
        mount.wait_end()
        unmount_hard(mount.path)
    wait_until("the end of the session", lambda: len(account.sessions()) == 1)
    assert account.remaining() == UIDLS


def test_a_file_open_before_rm_stays_readable(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account) as mount:
        with open(mount.path / "m00001.eml", "rb") as file:
            os.unlink(mount.path / "m00001.eml")
            assert file.read() == SIX[0].data
            assert os.fstat(file.fileno()).st_nlink == 1, "it has a name in .popfs/trash"


def test_a_read_only_mount_cannot_delete(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "ro") as mount:
        path = mount.path / "m00001.eml"
        assert error_of(os.unlink, path) == errno.EROFS
        assert error_of(open, path, "r+b") == errno.EROFS
        assert error_of(os.mkdir, mount.path / "new") == errno.EROFS
        assert cat(path) == SIX[0].data
    assert server.commands("DELE") == []
    assert len(server.script.messages) == 6


def test_what_makes_no_sense_on_mail_is_refused(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        path, new = mount.path / "m00001.eml", mount.path / "new"
        assert error_of(open, path, "r+b") == errno.EPERM
        assert error_of(open, new, "wb") == errno.EPERM
        assert error_of(os.mkdir, new) == errno.EPERM
        assert error_of(os.truncate, path, 3) == errno.EPERM
        assert error_of(os.chmod, path, 0o777) == errno.EPERM
        assert error_of(os.rename, path, new) == errno.EPERM
        assert error_of(os.symlink, "x", new) == errno.EPERM
        assert error_of(os.link, path, new) == errno.EPERM
        assert cat(path) == SIX[0].data
    assert server.commands("DELE") == []


def test_rm_that_finds_no_room_for_the_wish_is_an_error_and_does_no_harm(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        path = mount.path / "m00001.eml"
        with mount.full_disk(0):
            assert error_of(os.unlink, path) == errno.ENOSPC
        assert cat(path) == SIX[0].data
        os.unlink(mount.path / "m00002.eml")
    assert {mail.name for mail in server.script.messages} == {mail.name for mail in SIX} - {"m00002"}


def test_rm_whose_wish_was_written_but_for_the_last_octet_has_not_happened(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00001.eml")
        line_octets = mount.journal().stat().st_size
        with mount.full_disk(2 * line_octets - 1):
            assert error_of(os.unlink, mount.path / "m00002.eml") == errno.ENOSPC
        os.unlink(mount.path / "m00003.eml")
        mount.die()
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00001.eml", "m00003.eml"]
    assert {mail.name for mail in server.script.messages} == {mail.name for mail in SIX} - {"m00001", "m00003"}


def test_a_wish_for_mail_that_the_index_could_not_take_goes_with_it(serve, on_script):
    """A new mail may come to have the UIDL of one that was deleted."""
    late = mailbox.plain("late", b"")
    server = serve(Script(messages=SIX))
    with on_script(server, "refresh=0") as mount:
        with mount.full_disk(2000):  # enough for a line of the journal, but not for a page
            server.deliver([late])
            control(mount, "refresh")
        os.unlink(mount.path / "late.eml")
        control(mount, "commit")
        server.deliver([late])
    assert "what is learnt is not remembered" in mount.log()
    for _ in range(2):
        with on_script(server) as mount:
            assert "late.eml" in names(mount.path) and names(mount.path / ".popfs/trash") == []
    assert len(server.script.messages) == 7


def test_a_wish_that_came_true_while_the_disk_was_full_is_over(serve, on_script):
    """A new mail may come to have the UIDL of one that was deleted."""
    server = serve(Script(messages=SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / "m00002.eml")
        with mount.full_disk(mount.journal().stat().st_size):
            control(mount, "commit")
            noted = mount.journal().read_bytes()
        assert len(server.script.messages) == 5
        wait_until("it to be noted", lambda: mount.journal().read_bytes() != noted)
        server.deliver([SIX[1]])
    for _ in range(2):
        with on_script(server) as mount:
            assert len(names(mount.path)) == 6 and names(mount.path / ".popfs/trash") == []
    assert len(server.script.messages) == 6


def test_a_refused_dele_is_named_and_the_others_go(serve, on_script):
    server = serve(Script(messages=SIX, dele_refused={"m00002"}))
    with on_script(server, expect_exit=None) as mount:
        for number in (1, 2, 3):
            os.unlink(mount.path / f"m0000{number}.eml")
        assert mount.unmount() not in (0, None)
        assert "m00002" in mount.log() and "m00003" not in mount.log()
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001", "m00003"}


@pytest.mark.parametrize("how", ["refused", "nothing", "lying"])
def test_a_quit_that_did_not_delete_is_an_error_by_name(how, serve, on_script):
    server = serve(Script(messages=SIX, quit=how))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        code = mount.unmount()
        if how != "lying":  # +OK is believed when no later session comes (POP3.md 18)
            assert code not in (0, None)
            assert "m00002" in mount.log()
    assert {mail.name for mail in server.script.messages} == UIDLS


@pytest.mark.parametrize("how, at_once", [({}, 9), ({"pipelining": False}, 1), ({"pipelining_cuts": "but listing"}, None)])
def test_at_the_end_quit_follows_the_last_dele(how, at_once, serve, on_script):
    """Nobody is left to take a wish back: a round trip less, and what the DELEs are answered is heard all the same."""
    server = serve(Script(messages=mailbox.many(9), top=False, dele_refused={"m00003"} if at_once == 9 else set(), **how))
    with on_script(server, expect_exit=None) as mount:
        for number in range(1, 9):
            if at_once is None:  # the server hangs up on the first session: in another one each is proven
                cat(mount.path / f"m{number:05}.eml")
            os.unlink(mount.path / f"m{number:05}.eml")
        assert mount.unmount() == (1 if at_once == 9 else 0)
        assert ("could not delete m00003" in mount.log()) == (at_once == 9)
    assert [mail.name for mail in server.script.messages] == (["m00003", "m00009"] if at_once == 9 else ["m00009"])
    assert at_once is None or max(session.most_at_once for session in server.sessions) == at_once
    assert not server.violations()


def test_removal_survives_a_lost_connection(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        os.unlink(mount.path / "m00002.eml")
        server.script.messages = list(reversed(SIX))
        server.drop_all()
        assert mount.unmount() == 0
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00002"}


def test_a_message_that_is_another_now_is_not_deleted(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        other = mailbox.plain("m00002", b"quite another text, and longer " * 40)
        server.script.messages = [other if mail.name == "m00002" else mail for mail in SIX]
        server.drop_all()
        mount.unmount()
    assert other in server.script.messages
    assert server.commands("DELE") == []


def test_a_server_that_is_away_at_the_end_is_an_error_and_not_a_hang(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "timeout=2", expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        server.__exit__()
        assert mount.unmount() not in (0, None)
        assert "m00002" in mount.log()


def test_no_dele_is_sent_before_the_commit(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "keepalive=1") as mount:
        os.unlink(mount.path / "m00002.eml")
        cat(mount.path / "m00003.eml")
        wait_until("a NOOP", lambda: server.commands("NOOP"))
        assert server.commands("DELE") == []
    assert server.commands("DELE") == ["DELE 2"]
    assert server.commands()[-1] == "QUIT"


def test_umount_of_a_daemon_needs_no_help(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, foreground=False) as mount:
        os.unlink(mount.path / "m00006.eml")
        subprocess.run(["umount", mount.path], check=True, timeout=30)
        wait_for_end([mount.pid])
    assert account.remaining() == UIDLS - {"m00006"}
