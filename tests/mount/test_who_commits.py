# SPDX-License-Identifier: MIT
"""With allow_other: a reader may open the folder, but only owner and root make removals final."""

import errno
import fcntl
import os

import mailbox
import pytest
from others import OTHER, OWNER, as_other
from reading import control, error_of, names, outcome_of, run
from scripted import Script

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}


def left(server):
    return {mail.name for mail in server.script.messages}


def on_folder(call):
    def make(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            call(descriptor)
        finally:
            os.close(descriptor)

    return make


def on_file(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_file_system(folder):
    run("sync", "-f", folder)


FS_IOC_GETFLAGS = 0x80086601

# How -> what it is answered.
WAYS = {
    "fsync": (on_folder(os.fsync), errno.EACCES),
    "fdatasync": (on_folder(os.fdatasync), errno.EACCES),
    "fsync of .popfs": (lambda folder: on_folder(os.fsync)(folder / ".popfs"), 0),
    "fsync of the trash": (lambda folder: on_folder(os.fsync)(folder / ".popfs/trash"), 0),
    "fsync of a message": (lambda folder: on_file(folder / "m00002.eml"), 0),
    "syncfs": (sync_file_system, 0),
    "ioctl": (on_folder(lambda descriptor: fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, b"\0" * 8)), errno.ENOTTY),
    "control": (lambda folder: os.open(folder / ".popfs/control", os.O_WRONLY), errno.EACCES),
    "control, truncated": (lambda folder: os.truncate(folder / ".popfs/control", 0), errno.EACCES),
    "chmod of control": (lambda folder: os.chmod(folder / ".popfs/control", 0o666), errno.EPERM),
}


@pytest.fixture
def shared(serve, on_script, place):
    """shared(umask) mounts for everybody, as OWNER's, with m00001 removed; gives server and mount."""
    place.folder.chmod(0o755)

    def mount(umask):
        server = serve(Script(SIX))
        return server, on_script(server, f"refresh=0,allow_other,uid={OWNER},gid={OWNER},umask={umask}")

    return mount


@pytest.mark.parametrize("umask", ["022", "000"])
@pytest.mark.parametrize("how", WAYS)
def test_nobody_but_owner_and_root_makes_a_removal_final(how, umask, shared):
    """Users who may write are no exception: they may remove, and take back."""
    call, answer = WAYS[how]
    server, mounting = shared(umask)
    with mounting as mount:
        os.unlink(mount.path / "m00001.eml")
        assert as_other(OTHER, outcome_of, call, mount.path) == answer
        assert as_other(OTHER, outcome_of, call, mount.path, gid=OWNER) == answer
        assert names(mount.path / ".popfs/trash") == ["m00001.eml"]
        assert left(server) == UIDLS and not server.commands("DELE")
        control(mount, "rollback")
    assert left(server) == UIDLS


@pytest.mark.parametrize("uid", [0, OWNER])
@pytest.mark.parametrize("call", [os.fsync, os.fdatasync])
def test_owner_and_root_commit_by_fsync(call, uid, shared):
    server, mounting = shared("022")
    with mounting as mount:
        os.unlink(mount.path / "m00001.eml")
        assert as_other(uid, outcome_of, on_folder(call), mount.path) == 0
        assert left(server) == UIDLS - {"m00001"}


def test_a_folder_that_root_opened_commits_for_nobody_else(shared):
    """The caller of fsync counts, not the one who opened the folder."""
    server, mounting = shared("022")
    with mounting as mount:
        os.unlink(mount.path / "m00001.eml")
        descriptor = os.open(mount.path, os.O_RDONLY)
        assert as_other(OTHER, outcome_of, os.fsync, descriptor) == errno.EACCES
        assert left(server) == UIDLS
        os.fsync(descriptor)
        assert left(server) == UIDLS - {"m00001"}
        os.close(descriptor)
        assert error_of(os.stat, mount.path / "m00001.eml") == errno.ENOENT
