# SPDX-License-Identifier: MIT
"""Starts popfs, waits until it is mounted, and undoes it whatever happens."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

READY_S = 30
BUSY_S = 3
END_S = 40
DEATH_S = 60  # a machine may stand still for half a minute (fsync() took 26 s beside the fuzzers and the soak)
WATCHDOG_S = 100  # a mount older than this is stuck: popfs is killed, so that the test can fail

REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


def binary():
    path = os.environ.get("POPFS")
    assert path and os.access(path, os.X_OK), "POPFS must name the program to test (meson test sets it)"
    return path


def is_mounted(path):
    escaped = "".join(f"\\{ord(octet):03o}" if octet in " \t\n\\" else octet for octet in str(path))
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == escaped for line in table)


def daemons_of(mountpoint):
    """The ids of processes that have the mount point among their arguments and are popfs, but no helpers: those end with it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            # Not by name: popfs may run from where it is bound over an installed one.
            is_popfs = os.path.samefile(entry / "exe", binary())
            is_helper = (entry / "comm").read_text().startswith("popfs-")
        except OSError:
            continue
        if str(mountpoint).encode() in words and is_popfs and not is_helper:
            found.append(int(entry.name))
    return found


def wait_until(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.02)


def wait_for_end(pids, seconds=END_S):
    wait_until(f"the end of {pids}", lambda: not any(_runs(pid) for pid in pids), seconds)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def unmount_hard(mountpoint):
    for pid in daemons_of(mountpoint):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while is_mounted(mountpoint):
        done = subprocess.run(["fusermount3", "-uz", mountpoint], capture_output=True, timeout=30)
        if done.returncode != 0:
            subprocess.run(["umount", "-l", mountpoint], capture_output=True, timeout=30, check=True)


def unmount_below(folder):
    """Whatever a test that failed has left there, the latest first."""
    with open("/proc/self/mountinfo") as table:
        paths = [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4]) for line in table]
    for path in reversed(paths):
        if path.startswith(f"{folder}/"):
            subprocess.run(["umount", "-il", path], timeout=30, check=True)


# As it was: pytest changes its own variables all the while, and places are made on several threads.
ENVIRONMENT = dict(os.environ)


class Place:
    """A folder of one test: mount point, cache, state, password files, sanitizer reports."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="popfs-test-"))
        self.mountpoint = self.folder / "mnt"
        self.mountpoint.mkdir()
        self.environment = dict(
            ENVIRONMENT,
            HOME=str(self.folder),
            XDG_CACHE_HOME=str(self.folder / "cache"),
            XDG_STATE_HOME=str(self.folder / "state"),
            ASAN_OPTIONS=f"log_path={self.folder}/report:detect_stack_use_after_return=1",
            LSAN_OPTIONS=f"suppressions={self._suppressions()}:print_suppressions=0",
            UBSAN_OPTIONS=f"log_path={self.folder}/report:print_stacktrace=1",
            TSAN_OPTIONS=f"log_path={self.folder}/report",
        )
        self._outputs = []

    def _suppressions(self):
        """A copy: it is read at the very end, when the sandbox lets popfs see little else than this folder."""
        return shutil.copy(Path(__file__).parents[1] / "sanitizers/leaks.supp", self.folder)

    def passfile(self, password):
        path = self.folder / "password"
        path.touch(mode=0o600)
        path.write_text(password + "\n")
        return path

    def new_output(self):
        path = self.folder / f"output-{len(self._outputs)}"
        self._outputs.append(path)
        return path

    def command(self, source, options="", flags=()):
        words = [binary(), *flags, source, str(self.mountpoint)]
        return words + ["-o", options] if options else words

    def refused(self, command):
        """Runs a mount that must fail and leave nothing behind; gives exit code and output."""
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=READY_S, cwd=self.folder, start_new_session=True)
        assert done.returncode != 0, f"{command} succeeded"
        assert not is_mounted(self.mountpoint), "something is mounted"
        assert not daemons_of(self.mountpoint), "a process is left"
        return done

    def check_reports(self):
        texts = [path.read_text(errors="replace") for path in [*self._outputs, *self.folder.glob("report.*")] if path.exists()]
        bad = [text for text in texts if any(report in text for report in REPORTS)]
        assert not bad, "a sanitizer complained:\n" + "\n".join(bad)


class Mount:
    """A mounted popfs: `path` to look into, `log()` of what it said, `pid`; stop() gives the exit code (None for a daemon)."""

    def __init__(self, place, command, foreground):
        self.place, self.path = place, place.mountpoint
        self._foreground = foreground
        self._output = place.new_output()
        self.exit_code = None
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=output, cwd=place.folder, start_new_session=True)
        if foreground:
            wait_until("the mount\n" + " ".join(command), self._is_up, READY_S)
            self.pid = self._process.pid
        else:
            code = self._process.wait(READY_S)
            assert code == 0, f"exit code {code}: {self.log()}"
            assert is_mounted(self.path), "popfs came back before it was mounted"
            (self.pid,) = daemons_of(self.path)

    def _is_up(self):
        code = self._process.poll()
        assert code is None, f"popfs ended with {code}: {self.log()}"
        return is_mounted(self.path)

    def log(self):
        return self._output.read_text(errors="replace")

    def kill(self, number):
        os.kill(self.pid, number)

    def die(self):
        """kill -9. Who waits inside the kernel for what only his own end would bring never ends."""
        self.kill(signal.SIGKILL)
        try:
            self.exit_code = self._process.wait(DEATH_S)
        except subprocess.TimeoutExpired as error:
            waits = "\n".join(f"{task.name}\n{(task / 'stack').read_text()}" for task in Path(f"/proc/{self.pid}/task").iterdir())
            subprocess.run(["umount", "-f", self.path])  # nothing else ends it
            raise AssertionError(f"killed, and has not ended; where its threads are:\n{waits}") from error

    def journal(self):
        """The file of the wishes."""
        (path,) = self.place.folder.glob("state/**/removals")
        return path

    @contextlib.contextmanager
    def full_disk(self, octets):
        """No file of popfs grows beyond `octets`: what is longer is written in part, or not at all."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def wait_end(self):
        if self._foreground:
            self.exit_code = self._process.wait(END_S)
        else:
            wait_for_end([self.pid])
        assert not is_mounted(self.path) or self.exit_code == -signal.SIGKILL, "ended, but still mounted"
        return self.exit_code

    def unmount(self):
        """fusermount3 -u as a user does it, then the daemon's own end. Where threads of a test start programs, a new process has the files
        that they all have open until it becomes the program: the mount may be busy for that long."""
        end = time.monotonic() + BUSY_S
        while True:
            done = subprocess.run(["fusermount3", "-u", self.path], capture_output=True, text=True, timeout=30)
            if done.returncode == 0 or "busy" not in done.stderr or time.monotonic() > end:
                break
            time.sleep(0.05)
        assert done.returncode == 0, done.stderr
        return self.wait_end()

    def is_over(self):
        return not is_mounted(self.path) and not _runs(self.pid)


@contextlib.contextmanager
def mounted(place, source, options, foreground=True, expect_exit=0, command=None, watchdog_s=WATCHDOG_S):
    """Mounts; a test that does not unmount gets it unmounted at the end, which must then exit with `expect_exit`."""
    flags = ("-f",) if foreground else ()
    watchdog = threading.Timer(watchdog_s, unmount_hard, [place.mountpoint])
    watchdog.daemon = True
    watchdog.start()
    mount = None
    try:
        mount = Mount(place, command or place.command(source, options, flags), foreground)
        yield mount
        if not mount.is_over():
            mount.unmount()
        if foreground and mount.exit_code is not None and expect_exit is not None:
            assert mount.exit_code == expect_exit, f"exit code {mount.exit_code}:\n{mount.log()}"
    except BaseException:
        if mount is not None:
            print(f"--- popfs said:\n{mount.log()}---")
        raise
    finally:
        watchdog.cancel()
        unmount_hard(place.mountpoint)
    place.check_reports()


def mount_or_refusal(place, source, options):
    """A Mount, or None when popfs would not mount and said so as it should."""
    command = place.command(source, options, ["-f"])
    try:
        return Mount(place, command, True)
    except AssertionError as refusal:
        assert "popfs ended with 32" in str(refusal), refusal
        said = Path(place.folder / "output-0").read_text()
        assert said.startswith("popfs: ") and said.count("\n") == 1, said
        assert not is_mounted(place.mountpoint) and not daemons_of(place.mountpoint), "something is left"
        return None
