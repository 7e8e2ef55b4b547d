# SPDX-License-Identifier: MIT
"""What is remembered between mounts: names, sizes, times, bodies, and what is still to go."""

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

import mailbox
import mounting
import pytest
from conftest import script_options, script_source
from mounting import unmount_hard, wait_until
from reading import cat, names, outcome_of, status
from scripted import Script

MAILS = mailbox.many(30, octets=700)
UIDLS = {mail.name for mail in MAILS}
TRUTH = {f"{mail.name}.eml": mail.data for mail in MAILS}


def look(path):
    """All that a backup program compares."""
    found = {}
    for name in names(path):
        stat = os.stat(path / name)
        found[name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def read_all(path):
    return {name: cat(path / name) for name in names(path)}


def kill(mount):
    """As the machine's memory runs out: nothing is said to anybody."""
    mount.die()
    unmount_hard(mount.path)


def account_folder(place):
    (folder,) = (place.folder / "cache" / "popfs").iterdir()
    return folder


def check_index(place):
    with sqlite3.connect(f"file:{account_folder(place)}/index.sqlite?mode=ro", uri=True) as index:
        assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def counts(server):
    """TOP, RETR and DELE of the last session."""
    commands = [line.split()[0].upper() for line in server.sessions[-1].commands]
    return tuple(commands.count(verb) for verb in ("TOP", "RETR", "DELE"))


def test_a_second_mount_knows_everything_and_fetches_nothing(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        before = look(mount.path)
        assert read_all(mount.path) == TRUTH
    assert len({ctime for _, _, _, ctime in before.values()}) == len(MAILS)
    with on_script(server) as mount:
        assert look(mount.path) == before
        assert read_all(mount.path) == TRUTH
    tops, *rest = counts(server)
    assert tops <= 8 and rest == [0, 0]  # eight messages are compared with what is kept, in each session
    check_index(mount.place)


def test_the_folder_is_ours_alone(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        read_all(mount.path)
        for path in [account_folder(mount.place), *account_folder(mount.place).rglob("*")]:
            assert path.stat().st_mode & 0o077 == 0, path


def test_new_mail_gets_new_numbers_and_the_rest_keeps_its_own(serve, on_script):
    server = serve(Script(MAILS[10:20]))
    with on_script(server) as mount:
        before = look(mount.path)
    server.script.messages = MAILS[5:15] + MAILS[20:25]
    with on_script(server) as mount:
        after = look(mount.path)
    for name, facts in after.items():
        if name in before:
            assert facts == before[name]
        else:
            assert facts[0] > max(ino for ino, *_ in before.values())


def test_killed_it_remembers_what_was_read(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        assert read_all(mount.path) == TRUTH
        kill(mount)
    with on_script(server) as mount:
        assert read_all(mount.path) == TRUTH
    assert counts(server)[1] == 0
    check_index(mount.place)


def test_killed_it_deletes_nothing_and_remembers_what_was_to_go(serve, on_script):
    server = serve(Script(MAILS))
    gone = ["m00003.eml", "m00017.eml"]
    with on_script(server, expect_exit=None) as mount:
        for name in gone:
            os.unlink(mount.path / name)
        kill(mount)
    assert {mail.name for mail in server.script.messages} == UIDLS
    with on_script(server) as mount:
        assert set(names(mount.path)) == set(TRUTH) - set(gone)
        assert set(names(mount.path / ".popfs/trash")) == set(gone)
        assert cat(mount.path / ".popfs/trash" / gone[0]) == TRUTH[gone[0]]
        assert "2 removed" in mount.log() or "2 messages" in mount.log()
    assert {f"{mail.name}.eml" for mail in server.script.messages} == set(TRUTH) - set(gone)


def test_what_failed_to_be_deleted_stays_pending(serve, on_script):
    server = serve(Script(MAILS, dele_refused={"m00002"}))
    with on_script(server, expect_exit=1) as mount:
        os.unlink(mount.path / "m00001.eml")
        os.unlink(mount.path / "m00002.eml")
    server.script.dele_refused = set()
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00002.eml"]
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001", "m00002"}


def test_a_wish_that_was_fulfilled_by_somebody_else_is_over(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00003.eml")
        kill(mount)
    server.script.messages = [mail for mail in MAILS if mail.name != "m00003"]
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == []
    # Another message that gets the same name later is not the one that was to go.
    server.script.messages = MAILS
    with on_script(server) as mount:
        assert "m00003.eml" in names(mount.path)
    assert {mail.name for mail in server.script.messages} == UIDLS


def test_a_uidl_of_another_message_stays(serve, on_script):
    server = serve(Script(MAILS[:5]))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00003.eml")
        kill(mount)
    other = mailbox.plain("m00003", b"quite another one\r\n")
    server.script.messages = [*MAILS[:2], other, *MAILS[3:5]]
    with on_script(server) as mount:
        wait_until("its header", lambda: "m00003.eml" in names(mount.path))
        assert cat(mount.path / "m00003.eml") == other.data
    assert other in server.script.messages


def test_without_a_cache_and_a_state_nothing_is_left(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, "cache=off,state=off", expect_exit=None) as mount:
        assert read_all(mount.path) == TRUTH
        os.unlink(mount.path / "m00001.eml")
        assert mount.unmount() == 0
        left = [path for path in mount.place.folder.rglob("*") if path.is_file() and path.parent != mount.place.folder]
        assert left == []
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001"}


def test_without_a_cache_removals_are_remembered(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, "cache=off", expect_exit=None) as mount:
        os.unlink(mount.path / "m00001.eml")
        kill(mount)
    for _ in range(2):
        with on_script(server, "cache=off", expect_exit=None) as mount:
            assert names(mount.path / ".popfs/trash") == ["m00001.eml"]
            assert names(mount.path) == sorted(set(TRUTH) - {"m00001.eml"})
            kill(mount)
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00001.eml"]
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001"}


def test_without_a_state_removals_are_forgotten_at_the_end(serve, on_script):
    server = serve(Script(MAILS))
    for cache in ("", "cache=off,"):
        with on_script(server, cache + "state=off", expect_exit=None) as mount:
            os.unlink(mount.path / "m00001.eml")
            assert status(mount)["state_folder"] is None
            kill(mount)
        with on_script(server, cache + "state=off") as mount:
            assert read_all(mount.path) == TRUTH
    assert {mail.name for mail in server.script.messages} == UIDLS


def test_a_wiped_cache_loses_no_wish(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        read_all(mount.path)
        os.unlink(mount.path / "m00003.eml")
        kill(mount)
    shutil.rmtree(place.folder / "cache")
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00003.eml"]
        assert "m00003.eml" not in names(mount.path)


def test_both_folders_wiped_deletes_nothing(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00003.eml")
        kill(mount)
    shutil.rmtree(place.folder / "cache")
    shutil.rmtree(place.folder / "state")
    with on_script(server) as mount:
        assert read_all(mount.path) == TRUTH
        subprocess.run(["sync", mount.path], check=True)
    assert {mail.name for mail in server.script.messages} == UIDLS


def spoil_the_journal(place):
    """The line with which a removal was taken back cannot be read any more."""
    (journal,) = (place.folder / "state").glob("**/removals")
    lines = journal.read_bytes().split(b"\n")
    assert b" - " in lines[-2] and lines[-1].split()[2] == b"="
    lines[-2] = lines[-2].replace(b" - ", b" + ", 1)
    journal.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize("end", ["unmount", "sync", "signal", "popfsctl umount"])
def test_behind_damage_nothing_is_deleted_before_popfsctl_commit(end, serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "m00003.eml")
        os.unlink(mount.path / "m00005.eml")
        os.rename(mount.path / ".popfs/trash/m00005.eml", mount.path / "m00005.eml")
        kill(mount)
    spoil_the_journal(place)
    with on_script(server) as mount:
        assert "lines are missing from the journal of removals" in mount.log()
        assert names(mount.path / ".popfs/trash") == ["m00003.eml", "m00005.eml"]
        assert status(mount)["held_removal_count"] == 2
        os.unlink(mount.path / "m00007.eml")
        if end == "sync":
            subprocess.run(["sync", mount.path], check=True)
        elif end == "signal":
            mount.kill(signal.SIGTERM)
            mount.wait_end()
        elif end == "popfsctl umount":
            subprocess.run([os.environ["POPFSCTL"], "umount", mount.path], check=True)
            mount.wait_end()
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00007"}
    with on_script(server) as mount:
        assert status(mount)["held_removal_count"] == 2
        os.rename(mount.path / ".popfs/trash/m00005.eml", mount.path / "m00005.eml")
        assert status(mount)["held_removal_count"] == 1
        subprocess.run([os.environ["POPFSCTL"], "commit", mount.path], check=True)
        assert status(mount)["pending_removal_count"] == 0
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00003", "m00007"}


INDEX_0_1 = """
CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, uidl BLOB NOT NULL UNIQUE, listed INTEGER NOT NULL, exact INTEGER, time INTEGER,
    first_seen INTEGER NOT NULL, sender TEXT, subject TEXT, going INTEGER NOT NULL DEFAULT 0, flags INTEGER NOT NULL DEFAULT 0, used INTEGER,
    pack INTEGER, place INTEGER);
CREATE INDEX message_going ON message(id) WHERE going = 1;
CREATE TABLE fact(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pack(name INTEGER PRIMARY KEY, used INTEGER NOT NULL, erased INTEGER NOT NULL);
CREATE TABLE state(generation TEXT NOT NULL, boot TEXT NOT NULL, opening INTEGER NOT NULL, synced INTEGER NOT NULL, lf INTEGER NOT NULL);
INSERT INTO state VALUES('', '', 0, 0, 0);
PRAGMA application_id = 0x706f7066;
PRAGMA user_version = 1;
"""


def line_0_1(text):
    checksum = 2166136261
    for octet in text.encode():
        checksum = (checksum ^ octet) * 16777619 % 2**32
    return f"\n{text} {checksum:08x}"


def test_what_popfs_0_1_left_in_the_cache_is_taken_over(serve, on_script, place):
    """A removal that the index and the journal know, one for each alone, and one that was taken back."""
    server = serve(Script(MAILS))
    with on_script(server):
        pass
    folder = account_folder(place)
    for path in [*folder.glob("index.*"), *(place.folder / "state").glob("**/removals")]:
        path.unlink()
    with sqlite3.connect(folder / "index.sqlite") as index:
        index.executescript(INDEX_0_1)
        index.executemany("INSERT INTO message(uidl, listed, first_seen, going) VALUES(?, ?, ?, ?)",
                          [(mail.name.encode(), len(mail.data), 1700000000000000000 + at, mail.name in ("m00001", "m00002", "m00004"))
                           for at, mail in enumerate(MAILS)])
    index.close()
    octets = {mail.name: len(mail.data) for mail in MAILS}
    lines = [f"+ {octets['m00001']} m00001", f"+ {octets['m00003']} m00003", f"- {octets['m00004']} m00004"]
    (folder / "removals").write_text("".join(map(line_0_1, lines)))
    with on_script(server, expect_exit=None) as mount:
        assert set(names(mount.path / ".popfs/trash")) == {"m00001.eml", "m00002.eml", "m00003.eml"}
        assert status(mount)["held_removal_count"] == 0
        assert "m00004.eml" in names(mount.path)
        assert not (folder / "removals").exists()
        kill(mount)
    shutil.rmtree(place.folder / "cache")
    with on_script(server, expect_exit=None) as mount:
        assert set(names(mount.path / ".popfs/trash")) == {"m00001.eml", "m00002.eml", "m00003.eml"}
        subprocess.run([os.environ["POPFSCTL"], "rollback", mount.path], check=True)
        assert mount.unmount() == 0
    assert {mail.name for mail in server.script.messages} == UIDLS


def test_of_two_journals_that_in_the_state_counts(serve, on_script, place):
    server = serve(Script(MAILS))
    for name in ("m00003.eml", "m00004.eml"):
        with on_script(server, expect_exit=None) as mount:
            os.unlink(mount.path / name)
            kill(mount)
        (journal,) = (place.folder / "state").glob("**/removals")
        if name == "m00003.eml":
            saved = journal.read_bytes()
            shutil.rmtree(place.folder / "state")
            shutil.rmtree(place.folder / "cache")
    (account_folder(place) / "removals").write_bytes(saved)
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00004.eml"]
        assert "two journals of removals" in mount.log() and "removals.aside-" in mount.log()
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00004"}


def test_a_second_mount_of_the_same_account_is_told_who_has_it(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        second = mounting.Place()
        try:
            second.environment["XDG_CACHE_HOME"] = place.environment["XDG_CACHE_HOME"]
            done = second.refused(second.command(script_source(server), script_options(second, server)))
            assert done.returncode in (2, 32)
            assert str(place.mountpoint) in done.stderr and str(mount.pid) in done.stderr, done.stderr
        finally:
            subprocess.run(["rm", "-rf", second.folder], check=True)
        assert read_all(mount.path) == TRUTH


def test_an_index_that_cannot_be_read_is_set_aside(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        read_all(mount.path)
        os.unlink(mount.path / "m00004.eml")
        kill(mount)
    folder = account_folder(mount.place)
    for path in folder.glob("index.sqlite-*"):
        path.unlink()
    (folder / "index.sqlite").write_bytes(b"this is not a database, " * 1000)
    with on_script(server) as mount:
        assert "index" in mount.log()
        # The wish was in the journal.
        assert "m00004.eml" not in names(mount.path)
        assert all(cat(mount.path / name) == TRUTH[name] for name in names(mount.path))
    assert {mail.name for mail in server.script.messages} == UIDLS - {"m00004"}
    assert any("unreadable" in path.name for path in folder.iterdir())
    check_index(mount.place)


def body_files(place):
    return [path for path in account_folder(place).rglob("*") if path.parent.name.startswith("bodies")]


def test_bodies_that_a_power_cut_truncated_are_fetched_again(serve, on_script):
    mails = [*MAILS[:5], *mailbox.many(6, octets=100_000)[5:]]
    server = serve(Script(mails))
    truth = {f"{mail.name}.eml": mail.data for mail in mails}
    with on_script(server) as mount:
        assert read_all(mount.path) == truth
    bodies = body_files(mount.place)
    assert sorted(path.name.startswith("pack.") for path in bodies) == [False, True]
    for path in bodies:
        os.truncate(path, path.stat().st_size // 2)
    with on_script(server) as mount:
        assert read_all(mount.path) == truth
    assert counts(server)[1] == 4, "two of five small ones are left"
    assert len(body_files(mount.place)) == 3


def test_deleted_mail_does_not_stay_on_the_disk(serve, on_script):
    mails = [mailbox.plain(name, f"the secret of {name}\r\n".encode()) for name in ("one", "two", "three")]
    server = serve(Script(mails))
    with on_script(server) as mount:
        read_all(mount.path)
        os.unlink(mount.path / "two.eml")
    (pack,) = body_files(mount.place)
    assert b"secret of one" in pack.read_bytes() and b"secret of two" not in pack.read_bytes()
    with on_script(server) as mount:
        assert read_all(mount.path) == {f"{mail.name}.eml": mail.data for mail in (mails[0], mails[2])}
    assert counts(server)[1] == 0


def test_the_cache_stays_within_its_size(serve, on_script):
    server = serve(Script(MAILS))
    with on_script(server, "cache_size=8K") as mount:
        assert read_all(mount.path) == TRUTH
        assert 0 < sum(path.stat().st_size for path in body_files(mount.place)) <= 8192
        # What was pushed out is fetched again, and open files do not care.
        with open(mount.path / "m00001.eml", "rb") as file:
            assert read_all(mount.path) == TRUTH
            assert file.read() == TRUTH["m00001.eml"]


@contextlib.contextmanager
def disk(place, size):
    folder = place.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(place):
    """A full disk is quickly had."""
    with disk(place, "400k") as folder:
        yield folder


@pytest.fixture
def roomy_disk(place):
    with disk(place, "140m") as folder:
        yield folder


def test_on_a_full_disk_everything_can_still_be_read(serve, on_script, small_disk):
    server = serve(Script(MAILS + mailbox.many(40, octets=40000)[30:]))
    truth = {f"{mail.name}.eml": mail.data for mail in server.script.messages}
    with on_script(server, f"cache={small_disk}") as mount:
        assert read_all(mount.path) == truth
        assert read_all(mount.path) == truth
        (small_disk / "ballast").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096))
        assert read_all(mount.path) == truth


HUGE = mailbox.Mail("huge", b"Subject: huge\r\n\r\n" + (b"x" * 998 + b"\r\n") * (100 * 1024))


def said_of_huge(octets):
    return lambda real: str(octets if real == len(HUGE.data) else real)


def read_through(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


@pytest.mark.parametrize("said", [10**12, 40 << 20, len(HUGE.data)], ids=["too-much", "too-little", "true"])
@pytest.mark.parametrize("lazy", ["lazy=0", "lazy=100K"])
def test_a_message_that_finds_no_room_drives_out_no_other(said, lazy, serve, on_script, roomy_disk):
    others = mailbox.many(30, octets=40000)
    truth = {f"{mail.name}.eml": mail.data for mail in others}
    server = serve(Script([*others, HUGE], size_said=said_of_huge(said)))
    with on_script(server, f"cache={roomy_disk},{lazy}") as mount:
        assert {name: cat(mount.path / name) for name in truth} == truth
        for _ in range(2):
            assert outcome_of(read_through, mount.path / "huge.eml") == errno.ENOSPC
        assert os.statvfs(roomy_disk).f_bavail * 4096 >= 64 << 20
        before = server.commands("RETR")
        assert {name: cat(mount.path / name) for name in truth} == truth
        assert server.commands("RETR") == before
        assert "64 MiB at most" in status(mount)["last_error"]["text"]


@pytest.mark.parametrize("lazy", ["lazy=0", "lazy=100K"])
def test_a_message_without_an_end_does_not_hold_the_line(lazy, serve, on_script):
    others = mailbox.many(3, octets=40000)
    server = serve(Script([HUGE, *others], size_said=said_of_huge(10**12)))
    with on_script(server, f"cache_size=1M,{lazy}") as mount:
        assert outcome_of(read_through, mount.path / "huge.eml") == errno.ENOSPC
        for mail in others:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        assert (64 << 20) < status(mount)["received_octets"] < (90 << 20)
        assert [line.split()[0] for line in server.commands("RETR")].count("RETR") == 4
        assert server.logins() == 2
        assert "one at a time" not in mount.log()


def test_the_limit_of_the_cache_counts_what_is_arriving(serve, on_script, roomy_disk):
    """And nothing is written to another folder for what does not fit."""
    others, large = mailbox.many(30, octets=40000), mailbox.Mail("large", HUGE.data[: HUGE.data.index(b"\r\n", 40 << 20) + 2])
    server = serve(Script([*others, large], hold_retr={"large": 30 << 20}))
    with on_script(server, f"cache={roomy_disk},cache_size=20M") as mount:
        truth = {f"{mail.name}.eml": mail.data for mail in others}
        assert {name: cat(mount.path / name) for name in truth} == truth
        free = os.statvfs(roomy_disk).f_bavail
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit((mount.path / "large.eml").read_bytes)
            wait_until("the RETR", server.held.is_set)
            assert os.statvfs(roomy_disk).f_bavail > free - 256  # a mebibyte for the index
            server.release.set()
            assert reading.result() == large.data
        before = len(server.commands("RETR"))
        assert {name: cat(mount.path / name) for name in truth} == truth
        assert len(server.commands("RETR")) == before


def test_lf_line_ends(serve, on_script):
    mails = [mailbox.plain("a", b"one\r\ntwo\r\n"), mailbox.plain("b", b"a\rb\r\r\nc\nd\r\n\r\n"), mailbox.plain("c", b"x\r\n" * 70000)]
    server = serve(Script(mails))
    for _ in range(2):
        with on_script(server, "eol=lf") as mount:
            for mail in mails:
                path = mount.path / f"{mail.name}.eml"
                wanted = mail.data.replace(b"\r\n", b"\n")
                assert os.stat(path).st_size == len(wanted)
                assert cat(path) == wanted
    assert counts(server)[1] == 0
    with on_script(server) as mount:
        assert all(cat(mount.path / f"{mail.name}.eml") == mail.data for mail in mails)


def test_strict_sizes_are_exact_before_anything_is_opened(serve, on_script):
    server = serve(Script(MAILS[:8], size_said=lambda octets: str(octets + 7)))
    with on_script(server, "size=strict") as mount:
        assert {name: os.stat(mount.path / name).st_size for name in names(mount.path)} == {
            name: len(TRUTH[name]) for name in names(mount.path)}


def test_a_server_that_lied_once_is_not_believed_again(serve, on_script):
    server = serve(Script(MAILS[:8], size_said=lambda octets: str(octets + 7)))
    with on_script(server) as mount:
        cat(mount.path / "m00001.eml")
        assert os.stat(mount.path / "m00005.eml").st_size == len(TRUTH["m00005.eml"])
    with on_script(server) as mount:
        assert os.stat(mount.path / "m00007.eml").st_size == len(TRUTH["m00007.eml"])


@pytest.mark.slow
def test_a_session_without_uidl_makes_nobody_a_stranger(serve, on_script):
    """Rule 9: what was named by UIDLs is not named by numbers all of a sudden, and what is to go is not forgotten."""
    server = serve(Script(MAILS[:5]))
    with on_script(server, expect_exit=None) as mount:
        assert len(read_all(mount.path)) == 5
        os.unlink(mount.path / "m00002.eml")
        kill(mount)
    server.script.uidl = False
    done = mount.place.refused(mount.place.command(script_source(server), script_options(mount.place, server)))
    assert "UIDL" in done.stderr
    server.script.uidl = True
    with on_script(server) as mount:
        assert names(mount.path / ".popfs/trash") == ["m00002.eml"]
        assert len(read_all(mount.path)) == 4
    assert counts(server)[1] == 0
