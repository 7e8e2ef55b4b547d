# SPDX-License-Identifier: MIT
"""popfs takes away its own mount and no other, wherever that is by then and whatever stands at its path."""

import ctypes
import errno
import os
import signal
import subprocess

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import END_S, is_mounted, mounted, wait_for_end, wait_until
from reading import cat, run
from scripted import Script

LONG = "POPFS_LONG" in os.environ

NOBODY = 65534
SANDBOX = pytest.mark.parametrize("sandbox", ["sandbox=auto", "sandbox=off"])
# What the kernel's table writes in octal, and what merely looks like that.
HARD_NAMES = ["a b", "a\tb", "a\nb", "a\\b", "a\\040b", "a#b", "ä", "-z"]


def three():
    return [mailbox.plain(name) for name in ("one", "two", "three")]


def left(server):
    return [mail.name for mail in server.script.messages]


def end_by(mount, number=signal.SIGTERM):
    """Unlike Mount.wait_end(): something may be mounted at the end."""
    mount.kill(number)
    mount.exit_code = mount._process.wait(END_S)
    return mount.exit_code


class Other:
    """A file system of somebody else, in use all the while."""

    def __init__(self, path):
        self.path = path
        run("mount", "-t", "tmpfs", "-o", "size=64k", "other", path)
        self._file = open(path / "theirs", "w")

    def leave(self, still_reached=True):
        """Checks that it is there as it was, and unmounts it."""
        self._file.close()
        if still_reached:
            assert os.listdir(self.path) == ["theirs"]
        run("umount", self.path)


def lazily_unmounted(mount):
    """Keeps a file open, so that popfs lives on; gives the file."""
    file = open(mount.path / "one.eml", "rb")
    run("umount", "-il", mount.path)
    return file


def is_dead(path):
    try:
        os.listdir(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


# ---- unmounted lazily, and something else at the path


@SANDBOX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP] if LONG else [signal.SIGTERM])
@pytest.mark.slow
def test_after_a_lazy_unmount_a_signal_touches_nothing_and_deletes_nothing(number, sandbox, serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, sandbox, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        with lazily_unmounted(mount):
            other = Other(mount.path)
            assert end_by(mount, number) == 0
        other.leave()
        assert "cannot unmount" not in mount.log()
    assert server.commands("DELE") == []


@pytest.mark.slow
def test_after_a_lazy_unmount_another_popfs_at_the_path_goes_on(serve, on_script, place):
    first, second = serve(Script(messages=three())), serve(Script(messages=three(), user="bob"))
    with on_script(first, expect_exit=None) as mount:
        with lazily_unmounted(mount):
            command = place.command(script_source(second), script_options(place, second), ["-f"])
            with mounted(place, None, None, command=command) as upper:
                os.unlink(upper.path / "three.eml")
                with open(upper.path / "one.eml", "rb"):
                    assert end_by(mount) == 0
                    assert sorted(os.listdir(upper.path)) == ["one.eml", "two.eml"]
                assert second.commands("DELE") == []
                upper.unmount()
    assert first.commands("DELE") == [] and left(second) == ["one", "two"]


@SANDBOX
def test_auto_unmount_takes_away_the_own_mount_of_a_killed_popfs(sandbox, serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, f"auto_unmount,{sandbox}", expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        with open(mount.path / "one.eml", "rb"):
            end_by(mount, signal.SIGKILL)
            wait_until("the end of the mount", lambda: not is_mounted(mount.path))
    assert server.commands("DELE") == []


@SANDBOX
def test_auto_unmount_takes_away_no_other_mount(sandbox, serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, f"auto_unmount,{sandbox}", expect_exit=None) as mount:
        helpers = [int(pid) for pid in run("pgrep", "-P", str(mount.pid)).stdout.split()]
        with lazily_unmounted(mount):
            other = Other(mount.path)
            end_by(mount, signal.SIGKILL)
            wait_for_end(helpers)
        other.leave()


class Reused:
    """A tmpfs in use that the kernel has given both numbers of a mount that has gone; `path` is None if it gave them to none."""

    def __init__(self, folder, row):
        self._made, self.path = [], None
        for number in range(60):
            path = folder / f"fill-{number}"
            path.mkdir()
            run("mount", "-t", "tmpfs", "-o", "size=64k", "other", path)
            self._made.append(path)
            now = row_of(path)
            if now == row:
                self.path = path
                self._file = open(path / "theirs", "w")
                break
            if all(of_now > of_row for of_now, of_row in zip(numbers(now), numbers(row))):
                break

    def leave(self):
        if self.path is not None:
            self._file.close()
            assert os.listdir(self.path) == ["theirs"], "it has been unmounted"
        for path in self._made:
            run("umount", path)


def row_of(path):
    """The ids of mount and device."""
    with open("/proc/self/mountinfo") as table:
        return next((words[0], words[2]) for words in map(str.split, table) if words[4] == str(path))


def numbers(row):
    return int(row[0]), int(row[1].split(":")[1])


@SANDBOX
def test_auto_unmount_takes_away_nothing_that_has_got_the_numbers_of_the_own_mount(sandbox, serve, on_script, place):
    """While the session ends, which takes a server's time."""
    for _ in range(8):
        server = serve(Script(messages=three()))
        server.script.quit_s = 3
        with on_script(server, f"auto_unmount,{sandbox}", expect_exit=None) as mount:
            helpers = [int(pid) for pid in run("pgrep", "-P", str(mount.pid)).stdout.split()]
            row = row_of(mount.path)
            os.unlink(mount.path / "two.eml")
            run("umount", "-i", mount.path)
            other = Reused(place.folder, row)
            mount.exit_code = mount._process.wait(END_S)
            wait_for_end(helpers)
            was_reused = other.path is not None
            other.leave()
        assert mount.exit_code == 0 and left(server) == ["one", "three"]
        if was_reused:
            return
        run("rm", "-rf", *place.folder.glob("fill-*"))
    pytest.skip("the kernel gave the numbers to none")


# ---- something else on it or in it


@SANDBOX
@pytest.mark.parametrize("where", [".", ".popfs", ".popfs/trash"])
def test_what_is_mounted_over_it_or_in_it_stays_and_popfs_ends_all_the_same(where, sandbox, serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, sandbox, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        other = Other(mount.path / where)
        assert end_by(mount) == 0
        assert left(server) == ["one", "three"], "a signal commits what was removed here"
        assert "something else is mounted" in mount.log() and "-uz" not in mount.log()
        other.leave(still_reached=where == ".")
        assert is_dead(mount.path)
        run("umount", mount.path)


def test_a_popfs_below_another_popfs_ends_alone(serve, on_script, place):
    lower, upper = serve(Script(messages=three())), serve(Script(messages=three(), user="bob"))
    with on_script(lower, expect_exit=None) as mount:
        os.unlink(mount.path / "one.eml")
        command = place.command(script_source(upper), script_options(place, upper), ["-f"])
        with subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            wait_until("the upper mount", lambda: open("/proc/self/mountinfo").read().count(f" {mount.path} ") == 2)
            os.unlink(mount.path / "two.eml")
            assert end_by(mount) == 0
            assert left(lower) == ["two", "three"] and upper.commands("DELE") == []
            assert sorted(os.listdir(mount.path)) == ["one.eml", "three.eml"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0
            assert left(upper) == ["one", "three"]
        assert is_dead(mount.path)
        run("umount", mount.path)


def test_a_popfs_over_another_popfs_ends_alone(serve, on_script, place):
    lower, upper = serve(Script(messages=three())), serve(Script(messages=three(), user="bob"))
    with on_script(lower) as mount:
        os.unlink(mount.path / "one.eml")
        command = place.command(script_source(upper), script_options(place, upper), ["-f"])
        with subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            wait_until("the upper mount", lambda: open("/proc/self/mountinfo").read().count(f" {mount.path} ") == 2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0
        assert sorted(os.listdir(mount.path)) == ["three.eml", "two.eml"] and lower.commands("DELE") == []
        mount.unmount()
    assert left(lower) == ["two", "three"]


def test_a_mount_over_the_folder_that_holds_the_mountpoint_stays(serve, on_script, place):
    """And what is mounted at the same path in there."""
    place.mountpoint = place.folder / "deep/mnt"
    place.mountpoint.mkdir(parents=True)
    server = serve(Script(messages=three()))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        run("mount", "-t", "tmpfs", "tmpfs", mount.path.parent)
        mount.path.mkdir()
        other = Other(mount.path)
        assert end_by(mount) == 0
        assert left(server) == ["one", "three"]
        other.leave()
        run("umount", mount.path.parent)
        assert is_dead(mount.path)
        run("umount", mount.path)


# ---- its place has another name now


@SANDBOX
@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_mount_whose_folder_was_renamed_is_found_again(name, sandbox, serve, on_script, place):
    place.mountpoint = place.folder / "before/mnt"
    place.mountpoint.mkdir(parents=True)
    server = serve(Script(messages=three()))
    with on_script(server, sandbox, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        (place.folder / "before").rename(place.folder / name)
        other = Other(place.folder)  # a change of the table, at which popfs looks; and away with it
        other.leave()
        with open(place.folder / name / "mnt/one.eml", "rb"):
            assert end_by(mount) == 0
        assert os.listdir(place.folder / name / "mnt") == []
        assert "unmount" not in mount.log()
    assert left(server) == ["one", "three"]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_mountpoint_of_any_name_is_unmounted(name, serve, on_script, place):
    place.mountpoint = place.folder / name
    place.mountpoint.mkdir()
    server = serve(Script(messages=three()))
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        with open(mount.path / "one.eml", "rb"):
            assert end_by(mount) == 0
        assert os.listdir(mount.path) == []
        assert "unmount" not in mount.log()
    assert left(server) == ["one", "three"]


def test_an_unmount_where_the_folder_was_renamed_is_no_lazy_one(serve, on_script, place):
    place.mountpoint = place.folder / "before/mnt"
    place.mountpoint.mkdir(parents=True)
    server = serve(Script(messages=three()))
    with on_script(server) as mount:
        os.unlink(mount.path / "two.eml")
        (place.folder / "before").rename(place.folder / "after")
        run("fusermount3", "-u", place.folder / "after/mnt")
        assert mount.wait_end() == 0
    assert left(server) == ["one", "three"]


def test_a_mount_that_was_moved_is_taken_away_where_it_is(serve, on_script, place):
    server = serve(Script(messages=three()))
    (place.folder / "there").mkdir()
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        run("mount", "--move", mount.path, place.folder / "there")
        other = Other(mount.path)
        assert end_by(mount) == 0
        assert os.listdir(place.folder / "there") == []
        other.leave()
    assert left(server) == ["one", "three"]


def test_another_mount_of_the_same_file_system_stays(serve, on_script, place):
    server = serve(Script(messages=three()))
    (place.folder / "bound").mkdir()
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        run("mount", "--bind", mount.path, place.folder / "bound")
        assert end_by(mount) == 0
        assert not is_mounted(mount.path) and is_mounted(place.folder / "bound")
        run("umount", place.folder / "bound")
    assert left(server) == ["one", "three"]


@pytest.mark.slow
def test_a_mount_that_only_another_mount_of_it_outlives_was_unmounted(serve, on_script, place):
    """The same device and the same path, but not the mount that popfs has made."""
    server = serve(Script(messages=three()))
    (place.folder / "bound").mkdir()
    with on_script(server, expect_exit=None) as mount:
        run("mount", "--bind", mount.path, place.folder / "bound")
        run("umount", "-i", mount.path)
        run("mount", "--bind", place.folder / "bound", mount.path)
        assert end_by(mount) == 0
        assert is_mounted(mount.path) and is_mounted(place.folder / "bound")
        run("umount", place.folder / "bound")
        run("umount", mount.path)


# ---- as a user, by fusermount3; and what umount(8) is told


@pytest.fixture
def of_nobody(place, secluded):
    """Mounts there as nobody; gives the process."""

    def mount(server, more=""):
        for name in ("cache", "state"):
            (place.folder / name).mkdir(exist_ok=True)
        options = script_options(place, server, f"cache={place.folder}/cache,state={place.folder}/state,{more}".rstrip(","))
        for path in (place.folder, place.mountpoint, place.folder / "password", place.folder / "cache", place.folder / "state"):
            os.chown(path, NOBODY, NOBODY)
        done = secluded.run(*place.command(script_source(server), options), user=NOBODY, env=place.environment)
        assert done.returncode == 0, done.stderr
        (daemon,) = secluded.daemons()
        return daemon

    return mount


@SANDBOX
def test_a_users_signal_leaves_what_is_mounted_over_the_mount(sandbox, serve, place, secluded, of_nobody):
    server = serve(Script(messages=three()))
    daemon = of_nobody(server, sandbox)
    assert secluded.run("rm", place.mountpoint / "two.eml", user=NOBODY).returncode == 0
    assert secluded.run("mount", "-t", "tmpfs", "other", place.mountpoint).returncode == 0
    os.kill(daemon, signal.SIGTERM)
    wait_for_end([daemon])
    assert b"something else is mounted" in secluded.logged()
    assert secluded.run("findmnt", "-n", "-t", "tmpfs", place.mountpoint).returncode == 0
    assert left(server) == ["one", "three"]


@SANDBOX
@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_users_mount_is_found_again_whatever_its_name(name, sandbox, serve, place, secluded, of_nobody):
    place.mountpoint = place.folder / "before/mnt"
    place.mountpoint.mkdir(parents=True)
    os.chown(place.mountpoint.parent, NOBODY, NOBODY)
    server = serve(Script(messages=three()))
    daemon = of_nobody(server, sandbox)
    (place.folder / "before").rename(place.folder / name)
    os.kill(daemon, signal.SIGTERM)
    wait_for_end([daemon])
    assert f"127.0.0.1:{server.port}" not in secluded.run("cat", "/proc/self/mountinfo").stdout, secluded.logged()


def test_a_users_auto_unmount_needs_no_allow_other(serve, place, secluded, of_nobody):
    daemon = of_nobody(serve(Script(messages=three())), "auto_unmount")
    os.kill(daemon, signal.SIGKILL)
    secluded.wait_unmounted(place.mountpoint)


@pytest.mark.slow
def test_what_umount_is_told_of_another_popfs_at_the_path_stays(serve, place, secluded):
    first, second = serve(Script(messages=three())), serve(Script(messages=three(), user="bob"))
    assert secluded.run("sh", "-c", "mkdir -p /run/mount && mount -t tmpfs tmpfs /run/mount").returncode == 0
    assert secluded.run(*place.command(script_source(first), script_options(place, first)), env=place.environment).returncode == 0
    (lower,) = secluded.daemons()
    holding = secluded.command("sh", "-c", f"exec 3<{place.mountpoint}/one.eml; echo; exec sleep 60")
    with subprocess.Popen(holding, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert secluded.run("umount", "-il", place.mountpoint).returncode == 0
        assert secluded.run(*place.command(script_source(second), script_options(place, second)), env=place.environment).returncode == 0
        os.kill(lower, signal.SIGTERM)
        wait_for_end([lower])
        assert str(place.mountpoint) in secluded.run("cat", "/run/mount/utab").stdout
        holder.kill()
    (upper,) = secluded.daemons()
    os.kill(upper, signal.SIGTERM)
    wait_for_end([upper])
    wait_until("an empty utab", lambda: str(place.mountpoint) not in secluded.run("cat", "/run/mount/utab").stdout)


# ---- remounted read-only


MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096  # of <sys/mount.h>
REMOUNTS = [MS_REMOUNT, MS_REMOUNT | MS_BIND]


def remount(path, how, flags):
    """By mount(2): Debian 13's mount(8) sends the options of the file system again, which FUSE refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"none", os.fsencode(path), None, ctypes.c_ulong(how | flags), None) == 0, os.strerror(ctypes.get_errno())


@pytest.mark.parametrize("how", REMOUNTS, ids=["file-system", "mount"])
@pytest.mark.parametrize("by", ["signal", "fusermount3", "umount", "popfsctl"])
def test_a_mount_that_was_remounted_read_only_deletes_nothing(by, how, serve, on_script):
    server = serve(Script(messages=three()))
    ctl = os.environ["POPFSCTL"]
    with on_script(server, expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        remount(mount.path, how, MS_RDONLY)
        assert b"Read-only" in run("rm", mount.path / "one.eml", check=False).stderr
        assert b"Read-only" in run("sync", mount.path, check=False).stderr
        done = run(ctl, "commit", mount.path, check=False)
        assert done.returncode == 1 and b"commit: mounted read-only" in done.stderr
        assert b'"read_only": true' in cat(mount.path / ".popfs/status.json")
        if by == "signal":
            mount.kill(signal.SIGTERM)
        else:
            words = {"fusermount3": ("fusermount3", "-u"), "umount": ("umount", "-i"), "popfsctl": (ctl, "umount")}[by]
            run(*words, mount.path)
        assert mount.wait_end() == 0
        assert "mounted read-only: nothing will be deleted; 1 removal stays pending" in mount.log()
    assert server.commands("DELE") == []
    with on_script(server) as mount:
        assert os.listdir(mount.path / ".popfs/trash") == ["two.eml"]
        mount.unmount()
    assert left(server) == ["one", "three"]


@pytest.mark.parametrize("how", REMOUNTS, ids=["file-system", "mount"])
def test_a_mount_that_is_writable_again_commits(how, serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server) as mount:
        os.unlink(mount.path / "two.eml")
        remount(mount.path, how, MS_RDONLY)
        remount(mount.path, how, 0)
        run("sync", mount.path)
        assert left(server) == ["one", "three"]


# ---- the own mount has gone, and the file system lives on


def fsync_error(path_or_descriptor):
    descriptor = path_or_descriptor if isinstance(path_or_descriptor, int) else os.open(path_or_descriptor, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        return error.errno
    finally:
        os.close(descriptor)
    return 0


@pytest.mark.parametrize("how", REMOUNTS, ids=["file-system", "mount"])
def test_another_mount_that_was_remounted_read_only_commits_nothing(how, serve, on_script, place):
    server = serve(Script(messages=three()))
    bound = place.folder / "bound"
    bound.mkdir()
    with on_script(server, expect_exit=None) as mount:
        run("mount", "--bind", mount.path, bound)
        os.unlink(mount.path / "two.eml")
        run("umount", "-i", mount.path)
        remount(bound, how, MS_RDONLY)
        assert fsync_error(bound) == errno.EROFS
        run("umount", "-i", bound)
        mount.wait_end()
    assert server.commands("DELE") == []


def test_another_mount_that_can_be_written_to_commits(serve, on_script, place):
    server = serve(Script(messages=three()))
    bound = place.folder / "bound"
    bound.mkdir()
    with on_script(server, expect_exit=None) as mount:
        run("mount", "--bind", mount.path, bound)
        os.unlink(mount.path / "two.eml")
        run("umount", "-i", mount.path)
        assert fsync_error(bound) == 0
        assert left(server) == ["one", "three"]
        run("umount", "-i", bound)
        mount.wait_end()


@pytest.mark.slow
def test_after_a_lazy_unmount_whoever_has_it_open_commits_nothing(serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, expect_exit=None) as mount:
        folder = os.open(mount.path, os.O_RDONLY)
        control = os.open(mount.path / ".popfs/control", os.O_WRONLY)
        os.unlink(mount.path / "two.eml")
        run("umount", "-il", mount.path)
        with pytest.raises(OSError) as refused:
            os.write(control, b"commit")
        assert refused.value.errno == errno.ENODEV
        wait_until("the end of what may be a plain unmount", lambda: "unmounted lazily" in mount.log())
        os.close(control)
        assert fsync_error(folder) == errno.ENODEV
        mount.wait_end()
    assert server.commands("DELE") == []
