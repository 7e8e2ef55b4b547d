# SPDX-License-Identifier: MIT
"""The bin: what was on the local disk when a commit deleted it can be had back for some days, and nothing else."""

import json
import os
import shutil
import struct
import subprocess
import time

import mailbox
import pytest
from mounting import unmount_hard, wait_until
from reading import cat, control, names, status
from scripted import Script

SIX = mailbox.many(6, octets=300)
LARGE = mailbox.many(1, octets=200_000)[0]
MASK = 2**64 - 1


def ctl(mount, *words, code=0):
    """popfsctl in an empty folder; gives what it said, and the files that are there then."""
    here = mount.place.folder / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    done = subprocess.run([os.environ["POPFSCTL"], *words[:1], str(mount.path), *words[1:]], capture_output=True, text=True, cwd=here,
                          timeout=60, stdin=subprocess.DEVNULL, env=mount.place.environment)
    assert done.returncode == code, f"{words}: {done}\n{mount.log()}"
    return done, {path.name: path.read_bytes() for path in here.iterdir()}


def listed(mount):
    done, _ = ctl(mount, "bin", "--json")
    return json.loads(done.stdout)["bin"]


def in_bin(mount):
    return [message["name"] for message in listed(mount)]


def read_and_remove(mount, *mails):
    for mail in mails:
        cat(mount.path / f"{mail.name}.eml")
    for mail in mails:
        os.unlink(mount.path / f"{mail.name}.eml")


def bin_folder(place):
    (account,) = (place.folder / "state/popfs").iterdir()
    return account / "bin"


def test_what_a_commit_deleted_is_listed_and_copied_out(serve, on_script):
    server = serve(Script([*SIX, mailbox.Mail("large", LARGE.data)]))
    with on_script(server, "refresh=0") as mount:
        large = mailbox.Mail("large", LARGE.data)
        read_and_remove(mount, SIX[0], large, SIX[2])
        assert in_bin(mount) == []
        begun = int(time.time())
        assert ctl(mount, "commit")[0].stdout == "deleted 3 messages\n"
        found = listed(mount)
        assert [message["name"] for message in found] == ["m00001.eml", "m00003.eml", "large.eml"]
        assert all(begun <= message["deleted_s"] <= time.time() for message in found)
        assert found[0]["subject"] == "Message 1" and found[0]["from"] == "Ann Example" and found[0]["date_s"] == 1780362060
        assert (found[0]["octets"], found[0]["eol"]) == (len(SIX[0].data), "crlf")
        facts = status(mount)["bin"]
        assert (facts["messages"], facts["octets"]) == (3, sum(len(mail.data) for mail in (SIX[0], SIX[2], LARGE)))
        assert (facts["limit"], facts["keep_s"], facts["folder"]) == (256 << 20, 7 * 86400, str(bin_folder(mount.place)))
        _, files = ctl(mount, "bin", "m00001.eml", "large", "m00003.eml")
        assert files == {"m00001.eml": SIX[0].data, "m00003.eml": SIX[2].data, "large.eml": LARGE.data}
        assert "bin:               3 deleted messages" in ctl(mount, "status")[0].stdout
    assert len(server.script.messages) == 4


def test_what_the_end_of_a_mount_deleted_is_there_in_the_next(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        read_and_remove(mount, *SIX[:4])
    assert len(server.script.messages) == 2
    with on_script(server) as mount:
        assert ctl(mount, "bin", "m00004")[1] == {"m00004.eml": SIX[3].data}
        wait_until("the count", lambda: status(mount)["bin"]["messages"] == 4)


def test_all_files_are_the_users_alone(serve, on_script, place):
    server = serve(Script([SIX[0], LARGE]))
    before = os.umask(0)
    try:
        with on_script(server) as mount:
            read_and_remove(mount, SIX[0])
            control(mount, "commit")
            assert ctl(mount, "bin", "m00001")[1]
            assert (place.folder / "here/m00001.eml").stat().st_mode & 0o7777 == 0o600
    finally:
        os.umask(before)
    assert bin_folder(place).stat().st_mode & 0o7777 == 0o700
    assert {path.stat().st_mode & 0o7777 for path in bin_folder(place).iterdir()} == {0o600}


def test_what_was_not_local_or_not_deleted_is_not_kept(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / "m00001.eml")  # never read
        read_and_remove(mount, SIX[1], SIX[2])
        ctl(mount, "undelete", "m00003.eml")
        cat(mount.path / "m00004.eml")
        server.script.messages = [mail for mail in server.script.messages if mail.name != "m00004"]  # another client
        control(mount, "refresh")
        assert "m00004.eml" not in names(mount.path)
        control(mount, "commit")
        assert in_bin(mount) == ["m00002.eml"]


def test_a_refused_removal_is_not_kept(serve, on_script):
    server = serve(Script(SIX, dele_refused={"m00001"}))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        read_and_remove(mount, *SIX[:2])
        ctl(mount, "commit", code=1)
        assert in_bin(mount) == ["m00002.eml"]


def test_bin_0_keeps_nothing_and_empties_what_was_there(serve, on_script, place):
    server = serve(Script(SIX))
    with on_script(server) as mount:
        read_and_remove(mount, SIX[0])
    assert bin_folder(place).exists()
    with on_script(server, "bin=0") as mount:
        assert not bin_folder(place).exists()
        read_and_remove(mount, SIX[1])
        control(mount, "commit")
        assert "keeps no deleted messages" in ctl(mount, "bin", code=1)[0].stderr
        assert status(mount)["bin"] is None
    assert not bin_folder(place).exists()


@pytest.mark.parametrize("options, code", [("cache=off", 0), ("state=off", 1)])
def test_without_a_cache_or_a_state_folder_nothing_is_kept(serve, on_script, options, code):
    server = serve(Script(SIX))
    with on_script(server, options) as mount:
        read_and_remove(mount, SIX[0])
        control(mount, "commit")
        done, _ = ctl(mount, "bin", code=code)
        assert "m00001" not in done.stdout


def test_the_kept_body_has_the_line_ends_of_the_mount(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "eol=lf") as mount:
        read_and_remove(mount, SIX[0])
        control(mount, "commit")
        assert listed(mount)[0]["eol"] == "lf"
        assert ctl(mount, "bin", "m00001")[1] == {"m00001.eml": SIX[0].data.replace(b"\r\n", b"\n")}


def checksum(octets):
    total = len(octets)
    octets += bytes(-len(octets) % 8)
    for (word,) in struct.iter_unpack("<Q", octets):
        total = (total ^ word) * 1099511628211 & MASK
        total = (total << 29 | total >> 35) & MASK
    return b"%016x" % total


def make_older(place, seconds):
    """As if everything there had been deleted so much earlier."""
    for path in bin_folder(place).glob("*.list"):
        lines = [line.split(b"\t") for line in path.read_bytes().split(b"\n") if line]
        for fields in lines:
            assert fields[0] == checksum(b"\t".join(fields[1:]))
            fields[1] = b"%d" % (int(fields[1]) - seconds)
            fields[0] = checksum(b"\t".join(fields[1:]))
        path.write_bytes(b"".join(b"\n" + b"\t".join(fields) for fields in lines))


def test_a_message_is_kept_for_its_days_and_no_longer(serve, on_script, place):
    server = serve(Script(SIX))
    with on_script(server, "bin=2") as mount:
        read_and_remove(mount, SIX[0])
    make_older(place, 2 * 86400 - 600)
    with on_script(server, "bin=2") as mount:
        read_and_remove(mount, SIX[1])
        control(mount, "commit")
        assert in_bin(mount) == ["m00001.eml", "m00002.eml"]
    make_older(place, 600)
    with on_script(server, "bin=2") as mount:
        wait_until("the end of it", lambda: in_bin(mount) == ["m00002.eml"])
        wait_until("the count", lambda: status(mount)["bin"]["messages"] == 1)


def test_two_messages_that_had_one_name_are_both_copied_out(serve, on_script):
    """A server that gives the UIDL of a deleted message to a new one."""
    other = mailbox.plain("m00001", b"another one\r\n", subject="Another")
    server = serve(Script(SIX, given_again={"m00001": other}))
    with on_script(server, "refresh=0") as mount:
        read_and_remove(mount, SIX[0])
        control(mount, "commit")
        server.script.given_again = {}
        wait_until("the other message", lambda: cat(mount.path / "m00001.eml") == other.data)
        os.unlink(mount.path / "m00001.eml")
        control(mount, "commit")
        assert [(message["name"], message["subject"]) for message in listed(mount)] == [("m00001.eml", "Message 1"), ("m00001.eml", "Another")]
        assert ctl(mount, "bin", "m00001")[1] == {"m00001.eml": other.data, "m00001~bin2.eml": SIX[0].data}


def test_copies_of_one_uidl_are_kept_under_the_names_that_they_had(serve, on_script):
    twin = mailbox.plain("m00001", b"a twin\r\n", subject="Twin")
    server = serve(Script([SIX[0], twin, *SIX[1:]]))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        assert cat(mount.path / "m00001~2.eml") == twin.data
        os.unlink(mount.path / "m00001~2.eml")
        mount.unmount()
    with on_script(server) as mount:
        assert ctl(mount, "bin", "m00001~2")[1] == {"m00001~2.eml": twin.data}


def test_a_popfs_that_is_killed_before_it_hears_of_the_end_keeps_it_in_the_next_mount(serve, on_script):
    server = serve(Script(SIX, quit="mute", quit_s=0.5))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        read_and_remove(mount, *SIX[:3])
        commit = subprocess.Popen([os.environ["POPFSCTL"], "-q", "commit", mount.path], stderr=subprocess.DEVNULL)
        wait_until("the deletion", lambda: len(server.script.messages) == 3)
        mount.die()
        unmount_hard(mount.path)
        commit.wait(20)
    server.script.quit = "ok"
    with on_script(server) as mount:
        assert sorted(names(mount.path)) == ["m00004.eml", "m00005.eml", "m00006.eml"]
        assert ctl(mount, "bin", "m00001", "m00002", "m00003")[1] == {f"{mail.name}.eml": mail.data for mail in SIX[:3]}


@pytest.mark.parametrize("after_s", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_kill_at_any_moment_of_a_commit_loses_no_body(serve, on_script, after_s):
    """Each message is on the server or in the bin, if it was local."""
    many = mailbox.many(400, octets=3000)
    server = serve(Script(many))
    with on_script(server, "refresh=0,prefetch", expect_exit=None) as mount:
        control(mount, "prefetch")
        for mail in many:
            os.unlink(mount.path / f"{mail.name}.eml")
        commit = subprocess.Popen([os.environ["POPFSCTL"], "-q", "commit", mount.path], stderr=subprocess.DEVNULL)
        time.sleep(after_s)
        mount.die()
        unmount_hard(mount.path)
        commit.wait(20)
    left = len(server.script.messages)
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        assert len(set(in_bin(mount))) == len(many) - left
        control(mount, "commit")
        ctl(mount, "bin", *(f"{mail.name}.eml" for mail in many))
        files = {path.name: path.read_bytes() for path in (mount.place.folder / "here").iterdir()}
        assert all(files[f"{mail.name}.eml"] == mail.data for mail in many)


@pytest.mark.parametrize("kept", [set(), {"m00007"}, {"m00001", "m00300"}], ids=lambda kept: f"{len(kept)}-stay")
def test_of_many_those_are_kept_that_went(serve, on_script, kept):
    """Many are copied while QUIT is waited for."""
    many = mailbox.many(300, octets=1000)
    server = serve(Script(many, quit_keeps=kept, quit_s=0.3))
    with on_script(server, "refresh=0,prefetch", expect_exit=None) as mount:
        control(mount, "prefetch")
        for mail in many:
            os.unlink(mount.path / f"{mail.name}.eml")
        ctl(mount, "commit", code=1 if kept else 0)
        assert sorted(in_bin(mount)) == sorted(f"{mail.name}.eml" for mail in many if mail.name not in kept)
        _, files = ctl(mount, "bin", *in_bin(mount))
        assert files == {f"{mail.name}.eml": mail.data for mail in many if mail.name not in kept}
        ctl(mount, "rollback")


def test_a_quit_that_is_refused_keeps_nothing(serve, on_script):
    many = mailbox.many(100, octets=1000)
    server = serve(Script(many, quit="refused", quit_s=0.1))
    with on_script(server, "refresh=0,prefetch", expect_exit=None) as mount:
        control(mount, "prefetch")
        for mail in many:
            os.unlink(mount.path / f"{mail.name}.eml")
        ctl(mount, "commit", code=1)
        assert in_bin(mount) == [] and status(mount)["bin"]["messages"] == 0
        ctl(mount, "rollback")


def test_a_full_disk_hinders_no_commit_and_is_said_once(serve, on_script, place):
    mails = mailbox.many(60, octets=20_000)
    server = serve(Script(mails))
    state = place.folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", state], check=True)
    with on_script(server, "refresh=0") as mount:
        read_and_remove(mount, *mails[:30])
        assert ctl(mount, "commit")[0].stdout == "deleted 30 messages\n"
        read_and_remove(mount, *mails[30:])
        assert ctl(mount, "commit")[0].stdout == "deleted 30 messages\n"
        assert mount.log().count("not kept in the bin") == 1
        assert "No space left on device" in mount.log()
        kept = in_bin(mount)
        _, files = ctl(mount, "bin", *kept) if kept else (None, {})
        assert files == {f"{mail.name}.eml": mail.data for mail in mails if f"{mail.name}.eml" in kept}
    assert server.script.messages == []
