# SPDX-License-Identifier: MIT
"""Rule 10: what stays the same over mounts is the same message, so a second backup of an unchanged mailbox fetches nothing."""

import itertools
import os

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import mounted
from reading import run
from scripted import Script
from test_sizes import LIES, borg_environment, files, of_tar

MAILS = [mailbox.plain(f"m{number}", b"text %d\r\n" % number * (10 + number)) for number in range(12)]
NEW = mailbox.plain("new", b"arrived between two backups\r\n")
LONG = "POPFS_LONG" in os.environ
SIZES = {"right": str, "30-percent-less": LIES["30-percent-less"]}


class Restic:
    def __init__(self, work):
        self._work = work
        self._environment = {**os.environ, "RESTIC_REPOSITORY": str(work / "restic"), "RESTIC_PASSWORD": "x",
                             "RESTIC_CACHE_DIR": str(work / "restic-cache")}
        self._restic("init")

    def _restic(self, *words):
        return run("restic", *words, env=self._environment).stdout

    def back_up(self, mount):
        self._restic("backup", mount)

    def content(self):
        (self._work / "all.tar").write_bytes(self._restic("dump", "-a", "tar", "latest", "/"))
        return of_tar(self._work / "all.tar")


class Borg:
    def __init__(self, work):
        self._work, self._count = work, 0
        self._environment = borg_environment(work)
        run("borg", "init", "-e", "none", env=self._environment)

    def back_up(self, mount):
        self._count += 1
        run("borg", "create", f"::b{self._count}", mount, env=self._environment)

    def content(self):
        folder = self._work / f"copy{self._count}"
        folder.mkdir()
        run("borg", "extract", f"::b{self._count}", env=self._environment, cwd=folder)
        return files(folder)


class Rsync:
    def __init__(self, work):
        self._copy = work / "copy"

    def back_up(self, mount):
        run("rsync", "-a", f"{mount}/", self._copy)

    def content(self):
        return files(self._copy)


class Kept:
    """One account and one cache over several mounts."""

    def __init__(self, serve, place, size_said=str):
        self.server = serve(Script(messages=list(MAILS), size_said=size_said))
        self._place = place
        self.work = place.folder / "work"
        self.work.mkdir()

    def mounted(self, options=""):
        return mounted(self._place, script_source(self.server), script_options(self._place, self.server, options))

    def back_up(self, tool):
        """How many RETRs one backup cost, mounting and unmounting included."""
        before = len(self.server.commands("RETR"))
        with self.mounted() as mount:
            tool.back_up(mount.path)
        return len(self.server.commands("RETR")) - before


def content(mails):
    return {f"{mail.name}.eml": mail.data for mail in mails}


def tools_and_sizes():
    """restic and borg take seconds: in a normal run each meets one kind of sizes."""
    every = itertools.product([Restic, Borg, Rsync], SIZES)
    return [(tool, sizes) for tool, sizes in every if LONG or (tool, sizes) not in ((Restic, "30-percent-less"), (Borg, "right"))]


@pytest.mark.parametrize("tool, sizes", tools_and_sizes())
@pytest.mark.slow
def test_a_second_backup_fetches_what_is_new_and_nothing_else(tool, sizes, serve, place):
    kept = Kept(serve, place, SIZES[sizes])
    backup = tool(kept.work)
    asked_twice = 0 if sizes == "right" else 2  # the two that show that LIST is wrong
    assert kept.back_up(backup) == len(MAILS) + asked_twice
    assert backup.content() == content(MAILS)
    assert kept.back_up(backup) == 0
    assert backup.content() == content(MAILS)
    kept.server.script.messages.append(NEW)
    assert kept.back_up(backup) == 1
    assert backup.content() == content([*MAILS, NEW])


def test_what_backups_compare_is_the_same_in_each_mount(serve, place):
    """Inode, size, mtime and ctime; and no two files share a ctime, or borg would read the newest of them each time."""
    kept = Kept(serve, place)
    seen = []
    for _ in range(2):
        with kept.mounted() as mount:
            if not seen:
                run("cp", "-r", mount.path, kept.work / "copy")
            found = {name: os.stat(mount.path / name) for name in os.listdir(mount.path)}
            seen.append({name: (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for name, status in found.items()})
    assert seen[0] == seen[1]
    assert len({ctime for *_, ctime in seen[0].values()}) == len(MAILS)


def test_a_reordered_maildrop_keeps_inodes_over_mounts(serve, place):
    """Rule 10: numbers mean nothing in the next session."""
    kept = Kept(serve, place)
    with kept.mounted() as mount:
        before = {name: os.stat(mount.path / name).st_ino for name in os.listdir(mount.path)}
    kept.server.script.messages.reverse()
    with kept.mounted() as mount:
        assert {name: os.stat(mount.path / name).st_ino for name in os.listdir(mount.path)} == before
        for mail in MAILS:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
