# SPDX-License-Identifier: MIT
"""What is read is what the server sent, however it is read, and one slow message holds up nobody else."""

import itertools
import mmap
import os
import signal
import subprocess
import tarfile
from datetime import datetime, timezone

import mailbox
import pytest
from mounting import wait_until
from reading import cat, expected_sums, names, run, sums
from scripted import Script

HOWS = ("plain", "stls", "tls")
AUTH_METHODS = {  # option word -> what Dovecot calls it
    "user": "PLAIN",
    "apop": "APOP",
    "plain": "PLAIN",
    "login": "LOGIN",
    "cram-md5": "CRAM-MD5",
    "scram-sha-1": "SCRAM-SHA-1",
    "scram-sha-256": "SCRAM-SHA-256",
}


@pytest.mark.parametrize("how", HOWS)
def test_every_file_is_what_the_server_sends(how, mail_server, truth, on_dovecot):
    with on_dovecot(mail_server.reader, how) as mount:
        assert sums(mount.path) == expected_sums(truth)


# No APOP behind STLS: its stamp came in the clear and has been forgotten (POP3.md 25).
@pytest.mark.parametrize("word, how", [pair for pair in itertools.product(AUTH_METHODS, HOWS) if pair != ("apop", "stls")])
def test_every_mechanism_logs_in(word, how, account, on_dovecot):
    account.add([mailbox.plain("one")])
    for _ in range(2):  # the second time together with CAPA
        with on_dovecot(account, how, f"auth={word}") as mount:
            assert names(mount.path) == ["one.eml"]
    assert account.methods() == [AUTH_METHODS[word]] * 2


@pytest.mark.parametrize("how, strongest", [("plain", "SCRAM-SHA-256"), ("tls", "SCRAM-SHA-256")])
def test_auto_takes_the_strongest_mechanism(how, strongest, account, on_dovecot):
    with on_dovecot(account, how):
        pass
    assert account.methods() == [strongest]


def test_the_size_is_exact_once_a_file_was_read(mail_server, truth, on_dovecot):
    with on_dovecot(mail_server.reader) as mount:
        for uidl, octets in truth.items():
            path = mount.path / f"{uidl}.eml"
            assert cat(path) == octets
            assert os.stat(path).st_size == len(octets), uidl
            assert os.stat(path).st_blocks == (len(octets) + 511) // 512, uidl


def test_the_size_of_an_open_file_is_exact(mail_server, truth, on_dovecot):
    with on_dovecot(mail_server.reader) as mount:
        for uidl, octets in truth.items():
            with open(mount.path / f"{uidl}.eml", "rb") as file:
                assert os.fstat(file.fileno()).st_size == len(octets), uidl


def at(*when):
    return datetime(*when, tzinfo=timezone.utc).timestamp()


def test_mtime_is_the_date_of_the_message(mail_server, on_dovecot):
    expected = {
        "mime": at(2026, 11, 3, 9, 20, 30),
        "date-received": at(2026, 11, 5, 4, 7, 8),
        "date-comment": at(2026, 11, 3, 9, 20, 30),
        "date-folded": at(2026, 11, 3, 15, 20, 30),
        "lf-only": at(2026, 11, 4),
    }
    with on_dovecot(mail_server.reader) as mount:
        found = {name.split("-", 1)[1].removesuffix(".eml"): os.stat(mount.path / name).st_mtime for name in names(mount.path)}
    assert {name: found[name] for name in expected} == expected
    assert all(time > 0 for time in found.values())


def test_a_date_after_2038_stays_itself(serve, on_script):
    dates = {"soon": at(2038, 1, 19, 3, 14, 8), "later": at(2050, 1, 1), "last": at(2105, 12, 31)}
    mails = [mailbox.plain(name, date=f"{datetime.fromtimestamp(when, timezone.utc):%d %b %Y %H:%M:%S +0000}") for name, when in dates.items()]
    with on_script(serve(Script(messages=mails))) as mount:
        assert {name: os.stat(mount.path / f"{name}.eml").st_mtime for name in dates} == dates
        with os.scandir(mount.path) as entries:
            assert {entry.name.removesuffix(".eml"): entry.stat().st_mtime for entry in entries} == dates


def test_mtime_does_not_change_between_two_looks(mail_server, on_dovecot):
    with on_dovecot(mail_server.reader) as mount:
        first = {name: os.stat(mount.path / name).st_mtime_ns for name in names(mount.path)}
        sums(mount.path)
        assert {name: os.stat(mount.path / name).st_mtime_ns for name in first} == first


def test_inode_numbers_rise_in_listing_order(account, on_dovecot):
    account.add(mailbox.many(50, octets=100))
    order = account.uidls_in_order()
    with on_dovecot(account) as mount:
        by_inode = sorted(names(mount.path), key=lambda name: os.stat(mount.path / name).st_ino)
        assert by_inode == [uidl + ".eml" for uidl in order]


def test_files_are_regular_and_the_users_own(account, on_dovecot):
    account.add([mailbox.plain("one")])
    with on_dovecot(account, options="uid=8,gid=12,umask=027") as mount:
        one, top = os.stat(mount.path / "one.eml"), os.stat(mount.path)
        assert (one.st_uid, one.st_gid, one.st_nlink) == (8, 12, 1)
        assert oct(one.st_mode) in ("0o100600", "0o100640")
        assert (top.st_uid, top.st_gid, oct(top.st_mode)) in ((8, 12, "0o40700"), (8, 12, "0o40750"))


def test_listing_and_stat_cost_no_retr(account, on_dovecot):
    account.add(mailbox.many(100))
    with on_dovecot(account) as mount:
        run("ls", "-l", mount.path)
        run("find", mount.path, "-size", "+1k", "-newermt", "2026-01-01")
    wait_until("Dovecot's count", lambda: len(account.sessions()) == 1)
    assert account.sessions()[0].retr == 0


def test_eight_readers_share_one_retr(serve, on_script):
    mail = mailbox.plain("large", b"line of a large message\r\n" * 20000)
    server = serve(Script(messages=[mail], hold_retr={"large": 1000}))
    with on_script(server, "timeout=60") as mount:
        readers = [subprocess.Popen(["cat", mount.path / "large.eml"], stdout=subprocess.PIPE) for _ in range(8)]
        wait_until("the RETR", server.held.is_set)
        server.release.set()
        assert all(reader.communicate(timeout=30)[0] == mail.data for reader in readers)
        assert cat(mount.path / "large.eml") == mail.data
    assert len(server.commands("RETR")) == 1


def test_a_stalled_message_holds_up_nobody_else(serve, on_script):
    mails = [mailbox.plain("cached"), mailbox.plain("stalled", b"x\r\n" * 50000)]
    server = serve(Script(messages=mails, hold_retr={"stalled": 1000}))
    with on_script(server, "timeout=60") as mount:
        cat(mount.path / "cached.eml")
        run("ls", "-l", mount.path)
        readers = [subprocess.Popen(["cat", mount.path / "stalled.eml"], stdout=subprocess.PIPE) for _ in range(15)]
        wait_until("the RETR", server.held.is_set)
        for command in (["ls", "-l", "."], ["stat", "cached.eml", "stalled.eml"], ["cat", "cached.eml"], ["df", "."],
                        ["cat", ".popfs/status"]):
            subprocess.run(command, cwd=mount.path, check=True, timeout=5, stdout=subprocess.DEVNULL)
        assert all(reader.poll() is None for reader in readers)
        server.release.set()
        assert all(reader.communicate(timeout=30)[0] == mails[1].data for reader in readers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.slow
def test_a_blocked_reader_can_be_interrupted(number, serve, on_script):
    mails = [mailbox.plain("stalled", b"x\r\n" * 50000), mailbox.plain("other")]
    server = serve(Script(messages=mails, hold_retr={"stalled": 1000}))
    with on_script(server, "timeout=60") as mount:
        first, second = (subprocess.Popen(["cat", mount.path / "stalled.eml"], stdout=subprocess.PIPE) for _ in range(2))
        wait_until("the RETR", server.held.is_set)
        first.send_signal(number)
        assert first.wait(timeout=5) == -number
        assert second.poll() is None, "it ended a reader that nobody interrupted"
        server.release.set()
        assert second.communicate(timeout=30)[0] == mails[0].data
        assert cat(mount.path / "other.eml") == mails[1].data


def test_copies_by_tar_cp_and_rsync_equal_the_server(mail_server, truth, on_dovecot, tmp_path):
    want = expected_sums(truth)
    for tool in ("tar", "cp", "rsync"):
        with on_dovecot(mail_server.reader) as mount:
            target = tmp_path / tool
            target.mkdir()
            if tool == "tar":
                run("tar", "-C", mount.path, "-cf", tmp_path / "all.tar", ".")
                with tarfile.open(tmp_path / "all.tar") as archive:
                    archive.extractall(target)
            elif tool == "cp":
                run("cp", "-r", f"{mount.path}/.", target)
            else:
                run("rsync", "-a", f"{mount.path}/", target)
            assert sums(target) == want, tool
            run("diff", "-r", mount.path, target)


def test_grep_wc_and_find_see_the_right_octets(account, on_dovecot):
    mails = mailbox.many(60)
    account.add(mails)
    with on_dovecot(account) as mount:
        found = run("grep", "-rl", "number 37", mount.path).stdout.decode().split()
        assert found == [f"{mount.path}/m00037.eml"]
        total = run("sh", "-c", "cat * | wc -c", cwd=mount.path).stdout
        assert int(total) == sum(len(mail.data) for mail in mails)
        sizes = run("find", mount.path, "-name", "*.eml", "-printf", "%s %f\n").stdout.decode().split("\n")[:-1]
        assert sorted(sizes) == sorted(f"{len(mail.data)} {mail.name}.eml" for mail in mails)


def test_seeking_and_mapping_give_the_same_octets(mail_server, truth, on_dovecot):
    uidl = next(uidl for uidl in truth if uidl.endswith("long-line"))
    octets = truth[uidl]
    with on_dovecot(mail_server.reader) as mount, open(mount.path / f"{uidl}.eml", "rb") as file:
        for offset in (0, 1, 4095, 131071, 5_000_001, len(octets) - 3, len(octets), len(octets) + 10):
            assert os.pread(file.fileno(), 70001, offset) == octets[offset : offset + 70001]
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            assert mapping[:] == octets


def test_a_thousand_messages_can_be_browsed(account, on_dovecot):
    mails = mailbox.many(1000, octets=600)
    account.add(mails)
    with on_dovecot(account) as mount:
        assert len(run("ls", "-l", mount.path).stdout.splitlines()) == 1001
        run("grep", "-rc", "number", mount.path)
        assert {mail.name: (mount.path / f"{mail.name}.eml").read_bytes() for mail in mails} == {mail.name: mail.data for mail in mails}
