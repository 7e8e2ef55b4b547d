# SPDX-License-Identifier: MIT
"""Programs remove a file in order to put another in its place. popfs refuses the other one, and so they have removed nothing."""

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import mailbox
import pytest
from mounting import is_mounted, wait_until
from others import OTHER, as_other
from reading import cat, control, error_of, names, outcome_of, run, status
from scripted import Script
from test_sizes import borg_environment

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}
TRUTH = {f"{mail.name}.eml": mail.data for mail in SIX}
ONE = "m00001.eml"
TAKEN_BACK = "is not to be deleted any more"  # as the log says it
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400


def left(server):
    return {mail.name for mail in server.script.messages}


def dele_count(server):
    return len(server.commands("DELE"))


def assert_whole(server, mount):
    """Every message is there as before, and nothing is to go."""
    assert set(names(mount.path)) == set(TRUTH)
    assert all(cat(mount.path / name) == TRUTH[name] for name in TRUTH)
    assert names(mount.path / ".popfs/trash") == []
    assert status(mount)["pending_removal_count"] == 0
    control(mount, "commit")
    assert left(server) == UIDLS and dele_count(server) == 0


@pytest.fixture
def backup(place):
    """A folder with a changed copy of each message, as a backup or an editor has them."""
    folder = place.folder / "backup"
    folder.mkdir()
    for name, data in TRUTH.items():
        (folder / name).write_bytes(b"X-Changed: yes\r\n" + data)
    return folder


# ---- a whole mailbox

def tar(*words):
    def extract(mount, backup):
        run("tar", "-cf", backup.parent / "all.tar", "-C", backup, ".")
        return run("tar", "-C", mount.path, *words, "-xf", backup.parent / "all.tar", check=False)

    return extract


def bsdtar(*words):
    def extract(mount, backup):
        run("tar", "-cf", backup.parent / "all.tar", "-C", backup, ".")
        return run("bsdtar", "-C", mount.path, *words, "-xf", backup.parent / "all.tar", check=False)

    return extract


def cpio_in(mount, backup):
    archive = run("cpio", "-o", input="\n".join(TRUTH).encode(), cwd=backup).stdout
    return run("cpio", "-iu", input=archive, cwd=mount.path, check=False)


def cpio_pass(mount, backup):
    return run("cpio", "-pu", mount.path, input="\n".join(TRUTH).encode(), cwd=backup, check=False)


def borg(mount, backup):
    environment = borg_environment(backup.parent)
    run("borg", "init", "-e", "none", env=environment)
    run("borg", "create", "::all", ".", env=environment, cwd=backup)
    return run("borg", "extract", "::all", env=environment, cwd=mount.path, check=False)


def rsync(*words):
    return lambda mount, backup: run("rsync", "-a", "--ignore-times", *words, f"{backup}/", mount.path, check=False)


def each(*command):
    """The command with the changed file and the message behind it, for each message."""
    return lambda mount, backup: [run(*command, backup / name, mount.path / name, check=False) for name in TRUTH][-1]


WHOLE = {
    "tar": tar(), "tar --unlink-first": tar("--unlink-first"), "tar --recursive-unlink": tar("--recursive-unlink"),
    "bsdtar": bsdtar(), "bsdtar -U": bsdtar("-U"), "cpio -iu": cpio_in, "cpio -pu": cpio_pass, "borg extract": borg,
    "cp -f": each("cp", "-f"), "cp --remove-destination": each("cp", "--remove-destination"),
    "install": each("install", "-m", "600"), "mv -f": each("mv", "-f"),
}
# These meet their refusal before they would remove anything.
HARMLESS = {
    "tar --overwrite": tar("--overwrite"), "rsync": rsync(), "rsync --inplace": rsync("--inplace"),
    "cp -lf": each("cp", "-lf"), "ln -f": each("ln", "-f"), "ln -sf": each("ln", "-sf"),
    "ln -f of another message": lambda mount, backup: run("ln", "-f", mount.path / "m00006.eml", mount.path / ONE, check=False),
    "mv of another message": lambda mount, backup: run("mv", "-f", mount.path / "m00006.eml", mount.path / ONE, check=False),
    "sed -i": lambda mount, backup: run("sed", "-i", "s/a/b/", *[mount.path / name for name in TRUTH], check=False),
}


@pytest.mark.parametrize("tool", WHOLE)
def test_restoring_a_backup_onto_its_own_mailbox_deletes_nothing(tool, serve, on_script, backup):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        assert WHOLE[tool](mount, backup).returncode != 0
        assert TAKEN_BACK in mount.log(), f"{tool} removes nothing: it is of the other kind"
        assert_whole(server, mount)
    assert left(server) == UIDLS and dele_count(server) == 0


@pytest.mark.parametrize("tool", HARMLESS)
def test_a_tool_that_removes_nothing_before_it_is_refused_deletes_nothing(tool, serve, on_script, backup):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        assert HARMLESS[tool](mount, backup).returncode != 0
        assert TAKEN_BACK not in mount.log(), f"{tool} removes first: it is of the other kind"
        assert_whole(server, mount)


def test_restoring_a_backup_deletes_nothing_on_dovecot(account, on_dovecot, backup):
    account.add(SIX)
    with on_dovecot(account) as mount:
        for extract in (tar(), cpio_in, each("cp", "-f")):
            assert extract(mount, backup).returncode != 0
        assert set(names(mount.path)) == set(TRUTH)
    assert account.remaining() == UIDLS
    assert sum(session.dele for session in account.sessions()) == 0


def test_the_log_names_each_message_that_stays(serve, on_script, backup):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        tar()(mount, backup)
    for name in TRUTH:
        assert mount.log().count(f"{name} is not to be deleted any more") == 1


# ---- one message

def vim(setting):
    def write(path):
        program = shutil.which("vim") or "vim.tiny"
        run(program, "-N", "-es", "-u", "NONE", "-i", "NONE", "-n", "-c", setting, "-c", "w!", "-c", "q!", path, check=False)

    return write


def unlink_and(make):
    def replace(path):
        os.unlink(path)
        assert error_of(make, path) == errno.EPERM

    return replace


def other_of(path):
    return path.parent / "m00006.eml"


def status_of(path):
    """A file of the same file system that is no message."""
    return path.parent / ".popfs/status"


def link_other(path):
    os.link(other_of(path), path)


def bind_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def link_nameless(path):
    """As a program goes on that was refused O_TMPFILE. The message is not opened: that would take a RETR."""
    assert error_of(os.open, path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600) in (errno.EOPNOTSUPP, errno.EROFS)
    descriptor = os.open(other_of(path), os.O_PATH)
    try:
        if LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{descriptor}".encode(), AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW) != 0:
            raise OSError(ctypes.get_errno(), "linkat")
    finally:
        os.close(descriptor)


OPERATIONS = {
    "open": lambda path: os.open(path, os.O_WRONLY | os.O_CREAT),
    "open O_EXCL": lambda path: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "open O_RDONLY": lambda path: os.open(path, os.O_RDONLY | os.O_CREAT),
    "mknod": lambda path: os.mknod(path, stat.S_IFREG | 0o600),
    "mkfifo": os.mkfifo,
    "bind": bind_socket,
    "mkdir": os.mkdir,
    "symlink": lambda path: os.symlink("/etc/passwd", path),
    "link": link_other,
    "linkat": link_nameless,
    "rename": lambda path: os.rename(other_of(path), path),
    "link of no message": lambda path: os.link(status_of(path), path),
    "rename of no message": lambda path: os.rename(status_of(path), path),
    "rename of a folder": lambda path: os.rename(status_of(path).parent, path),
}
ONE_FILE = {
    "vim :w!": vim("set backupcopy=auto"), "vim :w! with a copy": vim("set backupcopy=yes"), "vim :w! with a backup": vim("set backup"),
    **{f"unlink, {name}": unlink_and(make) for name, make in OPERATIONS.items()},
}


@pytest.mark.parametrize("how", ONE_FILE)
def test_replacing_a_message_deletes_nothing(how, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        ONE_FILE[how](mount.path / ONE)
        assert mount.log().count(f"{ONE} {TAKEN_BACK}") == 1, "has removed nothing"
        assert_whole(server, mount)


def test_a_message_that_was_taken_back_is_seen_at_once(serve, on_script):
    """Both in the listing that the kernel keeps and by name."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        before = os.stat(mount.path / ONE)
        os.unlink(mount.path / ONE)
        for _ in range(2):
            assert ONE not in names(mount.path) and not (mount.path / ONE).exists()
        assert outcome_of(OPERATIONS["open"], mount.path / ONE) == errno.EPERM
        after = os.stat(mount.path / ONE)
        assert ONE in os.listdir(mount.path) and ONE in names(mount.path)
        assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("how", OPERATIONS)
def test_a_removal_of_an_earlier_mount_is_taken_back_for_good(how, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / ONE)
        mount.die()
    with on_script(server, expect_exit=None) as mount:
        assert names(mount.path / ".popfs/trash") == [ONE]
        assert outcome_of(OPERATIONS[how], mount.path / ONE) == errno.EPERM
        mount.die()  # the journal has it already
    with on_script(server) as mount:
        assert_whole(server, mount)


# ---- what takes nothing back

def hard_link_backup(mount, backup):
    return run("cp", "-al", "--remove-destination", f"{backup}/.", mount.path, check=False)


def replace_each_by(make):
    """make(source, path) gives the errno of the kernel, which does not ask popfs."""
    def replace(mount, backup):
        for name in TRUTH:
            os.unlink(mount.path / name)
            assert outcome_of(make, backup / name, mount.path / name) != 0

    return replace


def open_without_a_free_descriptor(source, path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        os.open(path, os.O_CREAT | os.O_WRONLY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


UNHEARD = {
    "cp -al --remove-destination": hard_link_backup,
    "cp -l --remove-destination": each("cp", "-l", "--remove-destination"),
    "link": replace_each_by(os.link),
    "rename": replace_each_by(os.rename),
    "open without a free descriptor": replace_each_by(open_without_a_free_descriptor),
}


@pytest.mark.parametrize("how", UNHEARD)
def test_what_the_kernel_refuses_by_itself_leaves_removals_that_rollback_takes_back(how, serve, on_script, backup):
    """The source is on another disk, so popfs never hears of the replacement. The manual says so."""
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        UNHEARD[how](mount, backup)
        assert set(names(mount.path / ".popfs/trash")) == set(TRUTH) and names(mount.path) == []
        assert status(mount)["pending_removal_count"] == len(SIX) and TAKEN_BACK not in mount.log()
        control(mount, "rollback")
        assert_whole(server, mount)


def test_a_refusal_of_another_name_takes_nothing_back(serve, on_script, backup):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        run("cp", backup / ONE, mount.path / f".{ONE}.Xa3b", check=False)
        run("cp", backup / ONE, mount.path / "m00002.eml", check=False)
        run("tar", "-cf", backup.parent / "all.tar", "-C", backup, ".")
        run("tar", "-C", mount.path / ".popfs/trash", "-xf", backup.parent / "all.tar", check=False)
        run("mv", "-f", backup / ONE, mount.path / ".popfs/trash", check=False)
        assert names(mount.path / ".popfs/trash") == [ONE] and ONE not in names(mount.path)
    assert left(server) == UIDLS - {"m00001"}


def test_a_message_that_has_gone_from_the_server_is_not_taken_back(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        server.script.messages = SIX[1:]
        control(mount, "refresh")
        for name in OPERATIONS:
            assert outcome_of(OPERATIONS[name], mount.path / ONE) == errno.EPERM
        assert set(names(mount.path)) == set(TRUTH) - {ONE} and "not to be deleted" not in mount.log()


def test_a_full_disk_is_an_error_and_the_removal_stays_pending(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0", expect_exit=None) as mount:
        os.unlink(mount.path / ONE)
        with mount.full_disk(mount.journal().stat().st_size):
            for name in OPERATIONS:
                assert outcome_of(OPERATIONS[name], mount.path / ONE) == errno.ENOSPC
        assert names(mount.path / ".popfs/trash") == [ONE] and ONE not in names(mount.path)
        assert outcome_of(OPERATIONS["open"], mount.path / ONE) == errno.EPERM
        mount.die()
    with on_script(server) as mount:
        assert_whole(server, mount)


def test_a_read_only_mount_takes_nothing_back(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / ONE)
        mount.die()
    with on_script(server, "ro") as mount:
        for name in OPERATIONS:
            assert outcome_of(OPERATIONS[name], mount.path / ONE) == errno.EROFS
        assert names(mount.path / ".popfs/trash") == [ONE]


@pytest.mark.parametrize("umask, error", [("022", errno.EACCES), ("000", errno.EPERM)])
def test_a_user_takes_back_only_with_write_permission(umask, error, serve, on_script, place):
    server = serve(Script(SIX))
    place.folder.chmod(0o755)
    with on_script(server, f"refresh=0,allow_other,umask={umask}") as mount:
        os.unlink(mount.path / ONE)
        for name in ("open", "mkfifo", "mkdir", "symlink", "rename"):
            assert as_other(OTHER, outcome_of, OPERATIONS[name], mount.path / ONE) == error
            assert (ONE in names(mount.path)) == (error == errno.EPERM)
            if error == errno.EPERM:
                os.unlink(mount.path / ONE)


# ---- while a commit is under way

@contextlib.contextmanager
def committing(mount):
    """Gives a function that waits for the end of the commit and says what it was answered."""
    outcome = []
    committer = threading.Thread(target=lambda: outcome.append(outcome_of(control, mount, "commit")))

    def finish():
        committer.join(30)
        return outcome[0]

    committer.start()
    try:
        yield finish
    finally:
        committer.join(30)


@pytest.mark.parametrize("how", OPERATIONS)
def test_after_dele_one_removal_is_taken_back_and_the_others_are_asked_again(how, serve, on_script):
    """RSET goes first, then DELE for the rest, then QUIT."""
    server = serve(Script(SIX, hold_dele={"m00005"}))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / ONE, mount.path / "m00005.eml")
        with committing(mount) as finish:
            assert server.held.wait(10)
            assert outcome_of(OPERATIONS[how], mount.path / ONE) == errno.EPERM
            assert ONE in names(mount.path)
            server.script.hold_dele = set()
            server.release.set()
            assert finish() == 0
        assert left(server) == UIDLS - {"m00005"}
        assert cat(mount.path / ONE) == TRUTH[ONE]
    commands = [line for line in server.sessions[0].commands if line.split()[0] in ("DELE", "RSET", "QUIT")]
    assert commands == ["DELE 1", "DELE 5", "RSET", "DELE 5", "QUIT"]


def test_a_backup_restored_during_a_commit_keeps_all_but_what_was_removed(serve, on_script, backup):
    server = serve(Script(SIX, hold_dele={"m00005"}))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / "m00002.eml", mount.path / "m00005.eml")
        (backup / "m00005.eml").unlink()
        with committing(mount) as finish:
            assert server.held.wait(10)
            assert tar()(mount, backup).returncode != 0
            assert set(names(mount.path)) == set(TRUTH) - {"m00005.eml"}
            server.script.hold_dele = set()
            server.release.set()
            assert finish() == 0
        assert set(names(mount.path)) == set(TRUTH) - {"m00005.eml"}
    assert left(server) == UIDLS - {"m00005"}


@pytest.mark.parametrize("how", OPERATIONS)
def test_after_quit_a_replacement_is_busy_and_the_message_goes(how, serve, on_script):
    server = serve(Script(SIX))
    server.script.quit_s = 1
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        with committing(mount) as finish:
            wait_until("QUIT", lambda: server.commands("QUIT"))
            server.script.quit_s = 0
            assert outcome_of(OPERATIONS[how], mount.path / ONE) == errno.EBUSY
            assert ONE not in names(mount.path) and names(mount.path / ".popfs/trash") == [ONE]
            assert f"{ONE} is still to be deleted" in mount.log()
            assert finish() == 0
        assert outcome_of(OPERATIONS[how], mount.path / ONE) == errno.EPERM
        assert set(names(mount.path)) == set(TRUTH) - {ONE}
    assert left(server) == UIDLS - {"m00001"}


def test_after_a_quit_that_deleted_nothing_a_removal_is_taken_back(serve, on_script):
    server = serve(Script(SIX, quit="lying"))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        assert error_of(control, mount, "commit") == errno.EIO
        assert outcome_of(OPERATIONS["open"], mount.path / ONE) == errno.EPERM
        assert set(names(mount.path)) == set(TRUTH)
        server.script.quit = "ok"
    assert left(server) == UIDLS


def test_a_removal_is_taken_back_while_the_server_is_away(serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        server.script.refuse_connections = True
        server.drop_all()
        begun = time.monotonic()
        assert outcome_of(OPERATIONS["open"], mount.path / ONE) == errno.EPERM
        assert time.monotonic() - begun < 2 and ONE in names(mount.path)
        server.script.refuse_connections = False
    assert left(server) == UIDLS


# ---- while a signal ends the mount

@contextlib.contextmanager
def signal_after(mount, number, call, *args):
    """popfs stands still while call(*args) is asked for, and then finds it and the signal. Gives a list for its outcome."""
    outcome = []
    caller = threading.Thread(target=lambda: outcome.append(outcome_of(call, *args)))
    mount.kill(signal.SIGSTOP)
    try:
        caller.start()
        time.sleep(0.3)
        mount.kill(number)
    finally:
        mount.kill(signal.SIGCONT)
    try:
        yield outcome
    finally:
        caller.join(30)


@pytest.mark.parametrize("how", OPERATIONS)
def test_a_replacement_that_is_under_way_when_sigterm_comes_deletes_nothing(how, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        with signal_after(mount, signal.SIGTERM, OPERATIONS[how], mount.path / ONE) as outcome:
            assert mount.wait_end() == 0
        assert outcome == [errno.EPERM]
    assert left(server) == UIDLS and dele_count(server) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_replacement_that_is_under_way_at_another_signal_keeps_its_message_alone(number, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        run("rm", mount.path / ONE, mount.path / "m00002.eml")
        with signal_after(mount, number, OPERATIONS["open"], mount.path / ONE) as outcome:
            assert mount.wait_end() == 0
        assert outcome == [errno.EPERM]
    assert left(server) == UIDLS - {"m00002"}


def test_sigterm_amid_the_restoring_of_a_backup_deletes_nothing(serve, on_script, place):
    """popfs stands still for a moment each time, so that tar waits for an unlink, a create or something else."""
    mails = mailbox.many(1000, octets=100)
    server = serve(Script(mails))
    (place.folder / "backup").mkdir()
    for mail in mails:
        (place.folder / f"backup/{mail.name}.eml").write_bytes(b"X-Changed: yes\r\n" + mail.data)
    run("tar", "-cf", place.folder / "all.tar", "-C", place.folder / "backup", ".")
    for attempt in range(8):
        with on_script(server, "refresh=0") as mount:
            restoring = subprocess.Popen(["tar", "-C", mount.path, "-xf", place.folder / "all.tar"], stderr=subprocess.DEVNULL)
            wait_until("the first refusal", lambda: TAKEN_BACK in mount.log())
            time.sleep(0.01 * attempt)
            mount.kill(signal.SIGSTOP)
            time.sleep(0.05)
            mount.kill(signal.SIGTERM)
            mount.kill(signal.SIGCONT)
            assert mount.wait_end() == 0
            assert restoring.wait(60) != 0
    assert left(server) == {mail.name for mail in mails} and dele_count(server) == 0


def move_into_the_trash(path):
    os.rename(path, path.parent / ".popfs/trash" / path.name)


@pytest.mark.parametrize("remove", [os.unlink, move_into_the_trash])
def test_after_a_signal_nothing_more_is_removed(remove, serve, on_script):
    server = serve(Script(SIX))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        with signal_after(mount, signal.SIGTERM, remove, mount.path / "m00002.eml") as outcome:
            assert mount.wait_end() == 0
    # popfs may read a request before it sees the signal: then the removal counts. The unit test has no such race.
    assert (outcome[0], left(server)) in [(errno.EBUSY, UIDLS - {"m00001"}), (0, UIDLS - {"m00001", "m00002"})]


def test_a_reader_that_waits_for_the_server_does_not_hold_up_the_end(serve, on_script):
    server = serve(Script(SIX, hold_retr={"m00002": 10}))
    with on_script(server, "refresh=0") as mount:
        os.unlink(mount.path / ONE)
        reader = threading.Thread(target=run, args=("cat", mount.path / "m00002.eml"), kwargs={"check": False})
        reader.start()
        wait_until("RETR", lambda: server.commands("RETR"))
        mount.kill(signal.SIGTERM)
        wait_until("the end of the mount", lambda: not is_mounted(mount.path), 10)
        server.release.set()
        mount.wait_end()
        reader.join(30)
