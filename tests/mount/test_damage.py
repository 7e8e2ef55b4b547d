# SPDX-License-Identifier: MIT
"""Copies in the cache that are not what they were when they arrived: nobody reads a wrong byte, and the server is asked again."""

import contextlib
import errno
import os
import sqlite3

import mailbox
import pytest
from mounting import unmount_hard, wait_until
from reading import control, error_of, outcome_of, status
from scripted import Script
from test_popfsctl import ctl

MAILS = [*mailbox.many(4, octets=700), *mailbox.many(5, octets=100_000)[4:], *mailbox.many(6, octets=3_000_000)[5:]]
PACKED, FILE, LARGE = "m00002", "m00005", "m00006"
TRUTH = {f"{mail.name}.eml": mail.data for mail in MAILS}


def read_all(mount):
    return {name: (mount.path / name).read_bytes() for name in TRUTH}


def place_of(place, uidl):
    """Path and offset of a body on the disk."""
    data = TRUTH[f"{uidl}.eml"].replace(b"\r\n", b"\n")
    for path in place.folder.glob("cache/popfs/*/bodies-*/*"):
        held = path.read_bytes()
        for wanted in (TRUTH[f"{uidl}.eml"], data):
            at = held.find(wanted)
            if at >= 0:
                return path, at
    raise AssertionError(f"{uidl} is not in the cache")


def write_at(path, at, octets):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(octets)


def flip(place, uidl, offset):
    path, at = place_of(place, uidl)
    octet = path.read_bytes()[at + offset]
    write_at(path, at + offset, bytes([octet ^ 0x10]))


def zero(place, uidl, offset):
    path, at = place_of(place, uidl)
    write_at(path, at + offset, bytes(512))


def tear(place, uidl, offset):
    path, at = place_of(place, uidl)
    os.truncate(path, at + offset)


def spoil_header(place, uidl, _):
    path, at = place_of(place, uidl)
    write_at(path, at - 16 if at > 0 else 0, b"\0\0\0\0")


def damages_said(mount):
    return [line for line in mount.log().splitlines() if "in the cache is damaged" in line]


@pytest.mark.parametrize("spoil", [flip, zero, tear, spoil_header])
@pytest.mark.parametrize("uidl", [PACKED, FILE, LARGE])
def test_a_copy_that_was_damaged_between_two_mounts_comes_from_the_server(uidl, spoil, serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH
    spoil(place, uidl, 150)
    before = len(server.commands("RETR"))
    with on_script(server) as mount:
        for _ in range(2):
            assert read_all(mount) == TRUTH
        retrs = server.commands("RETR")[before:]
        assert len(retrs) == (3 if (uidl, spoil) == (PACKED, tear) else 1), "those behind the tear are torn, too"
        if (uidl, spoil) == (PACKED, tear):
            assert "3 copies in the cache are cut off" in mount.log() and not damages_said(mount)
        else:
            (said,) = damages_said(mount)
            assert uidl in said
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH and not damages_said(mount)


@pytest.mark.parametrize("uidl", [PACKED, FILE, LARGE])
def test_lf_copies_are_compared_as_they_are_kept(uidl, serve, on_script, place):
    server = serve(Script(MAILS))
    lf = {name: data.replace(b"\r\n", b"\n") for name, data in TRUTH.items()}
    with on_script(server, "eol=lf") as mount:
        assert read_all(mount) == lf
    flip(place, uidl, 90)
    with on_script(server, "eol=lf") as mount:
        assert read_all(mount) == lf
        assert len(damages_said(mount)) == 1


def test_a_body_that_was_read_while_it_arrived_has_a_checksum(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, "lazy=64K") as mount:
        (mount.path / "m00001.eml").read_bytes()  # LIST is right
        assert (mount.path / f"{LARGE}.eml").read_bytes() == TRUTH[f"{LARGE}.eml"]
    flip(place, LARGE, 2_000_000)
    with on_script(server, "lazy=64K") as mount:
        assert (mount.path / f"{LARGE}.eml").read_bytes() == TRUTH[f"{LARGE}.eml"]
        assert len(damages_said(mount)) == 1


def test_a_damaged_copy_is_an_error_while_the_server_is_away_and_others_are_read(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        read_all(mount)
    flip(place, LARGE, 7)
    flip(place, PACKED, 7)
    with on_script(server, "timeout=1,refresh=0") as mount:
        server.script.refuse_connections = True
        server.drop_all()
        for name, data in TRUTH.items():
            if name[:-4] in (LARGE, PACKED):
                assert error_of((mount.path / name).read_bytes) in (errno.EIO, errno.ETIMEDOUT)
            else:
                assert (mount.path / name).read_bytes() == data
        server.script.refuse_connections = False
        wait_until("the server", lambda: outcome_of(control, mount, "refresh") == 0)
        assert read_all(mount) == TRUTH


def test_copies_without_a_checksum_get_one_at_their_first_open(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        read_all(mount)
    (index,) = place.folder.glob("cache/popfs/*/index.sqlite")

    def count():
        with contextlib.closing(sqlite3.connect(index)) as database:
            return database.execute("SELECT count(*) FROM message WHERE sum IS NOT NULL").fetchone()[0]

    assert count() == len(MAILS)
    with contextlib.closing(sqlite3.connect(index)) as database, database:
        database.execute("UPDATE message SET sum = NULL")
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH
    assert count() == len(MAILS) and len(server.commands("RETR")) == len(MAILS)


def test_what_a_killed_popfs_kept_is_believed_and_then_compared(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, expect_exit=None) as mount:
        read_all(mount)
        mount.die()
        unmount_hard(place.mountpoint)
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH and not damages_said(mount)
    assert len(server.commands("RETR")) == len(MAILS)
    flip(place, FILE, 50_000)
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH and len(damages_said(mount)) == 1


# -- verify


def test_verify_finds_what_was_damaged_and_fetches_it_again(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        assert read_all(mount) == TRUTH
        assert ctl(mount, "verify").stdout == "checked 6 local messages, 0 damaged\n"
        flip(place, PACKED, 30)
        flip(place, LARGE, 2_999_000)
        done = ctl(mount, "verify")
        assert done.stdout.splitlines() == [f"{PACKED}.eml was damaged, and has been fetched again",
                                            f"{LARGE}.eml was damaged, and has been fetched again", "checked 6 local messages, 2 damaged"]
        assert status(mount)["verification"] == {"checked": 12, "damaged": 2, "names": [f"{PACKED}.eml", f"{LARGE}.eml"]}
        assert len(damages_said(mount)) == 2
        assert ctl(mount, "verify").stdout == "checked 6 local messages, 0 damaged\n"
        assert read_all(mount) == TRUTH
    assert len(server.commands("RETR")) == len(MAILS) + 2


def test_verify_looks_at_those_that_are_named_and_in_the_trash(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server) as mount:
        (mount.path / f"{PACKED}.eml").read_bytes()
        (mount.path / f"{FILE}.eml").read_bytes()
        flip(place, PACKED, 30)
        flip(place, FILE, 30)
        os.unlink(mount.path / f"{PACKED}.eml")
        assert ctl(mount, "verify", "m00001.eml").stdout == "checked 0 local messages, 0 damaged\n"
        assert "checked 1 local message, 1 damaged" in ctl(mount, "verify", f"{PACKED}.eml").stdout
        assert "checked 1 local message, 1 damaged" in ctl(mount, "verify", f"{FILE}.eml").stdout
        assert "no message has this name" in ctl(mount, "verify", "nobody.eml", code=1).stderr
        ctl(mount, "rollback")


def test_verify_of_a_damaged_copy_fails_while_the_server_is_away(serve, on_script, place):
    server = serve(Script(MAILS))
    with on_script(server, "timeout=1,refresh=0") as mount:
        read_all(mount)
        flip(place, PACKED, 30)
        server.script.refuse_connections = True
        server.drop_all()
        done = ctl(mount, "verify", code=1)
        assert done.returncode == 1 and f"could not fetch {PACKED}.eml" in done.stderr
        assert "checked 6 local messages, 1 damaged" in done.stdout
        server.script.refuse_connections = False
        wait_until("the server", lambda: outcome_of(control, mount, "refresh") == 0)
        assert read_all(mount) == TRUTH
