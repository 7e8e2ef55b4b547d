# SPDX-License-Identifier: MIT
"""How each program of the benchmark is started and measured: the floor, the peers, popfs, and the line between them.

A measurement is wall-clock seconds from start to the last octet, and the processor time of the program itself.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = Path(os.environ.get("BENCH_TOOLS", "."))
LONGEST_S = 900  # no single program may take longer
END_S = 120  # nor the end of popfs
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Site:
    """A mailbox, as a program reaches it."""

    port: int
    user: str
    password: str


@dataclass
class Sample:
    seconds: float
    cpu_s: float = 0.0
    octets: int = 0
    parts: dict = field(default_factory=dict)


class Failed(Exception):
    """A program did not do its work: there is nothing to measure."""


def adopt_orphans():
    """Daemons become our children, so that their end and their processor time can be waited for."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def tool(name):
    path = TOOLS / f"bench-{name}"
    if not os.access(path, os.X_OK):
        raise Failed(f"{path} is not there: set BENCH_TOOLS to the folder in which meson built it")
    return str(path)


def _wait(process):
    """The end of `process`, within bounds; gives its processor time."""
    watchdog = threading.Timer(LONGEST_S, process.kill)
    watchdog.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def measure(command, allowed=(0,), **popen):
    """Runs to the end; gives the sample and what was said."""
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, **popen)
        cpu_s = _wait(process)
        seconds = time.monotonic() - start
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode not in allowed:
        raise Failed(f"{' '.join(map(str, command))} ended with {process.returncode}: {text[-600:]}")
    return Sample(seconds, cpu_s), text


@contextlib.contextmanager
def bindfs(tree, path):
    """The tree once more, shown by a file system in user space that has nothing else to do."""
    path.mkdir(parents=True, exist_ok=True)
    measure(["bindfs", "-o", "kernel_cache,attr_timeout=3600,entry_timeout=3600", tree, path])
    try:
        yield path
    finally:
        measure(["fusermount3", "-u", path])


# ---- servers of our own ----


@contextlib.contextmanager
def background(name, *arguments):
    """link or server: gives its port and its process id, and stops it at the end."""
    command = [tool(name), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline().split()
        if len(line) != 2 or line[0] != "port":
            raise Failed(f"{command} does not start")
        yield int(line[1]), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=10)


@dataclass(frozen=True)
class Link:
    rtt_ms: float
    mbit: float  # 0: no limit

    def __str__(self):
        if not self.rtt_ms and not self.mbit:
            return "loopback"
        return f"{self.rtt_ms:g} ms, {self.mbit:g} Mbit/s"

    @contextlib.contextmanager
    def to(self, site):
        """The same site as seen through this line."""
        if not self.rtt_ms and not self.mbit:
            yield site
            return
        options = ("--to", f"127.0.0.1:{site.port}", "--rtt", self.rtt_ms, "--rate", self.mbit)
        with background("link", *options) as (port, _):
            yield Site(port, site.user, site.password)


# ---- the floor and the peers ----


def floor(site, work, count=None, lines=None):
    command = [tool("floor"), "--to", f"127.0.0.1:{site.port}", "--user", site.user, "--pass", site.password, work]
    if count is not None:
        command += ["--count", str(count)]
    if lines is not None:
        command += ["--lines", str(lines)]
    sample, said = measure(command)
    parts = json.loads(said)
    if parts["refused"]:
        raise Failed(f"the server refused {parts['refused']} commands of {work}")
    # What QUIT costs afterwards is not part of the work.
    return Sample(parts["total_s"], sample.cpu_s, parts["octets"], parts)


def _with_count(sample, came, count):
    if came != count:
        raise Failed(f"{came} messages came instead of {count}")
    return sample


def mpop(site, count, folder):
    """Everything into a Maildir, mail kept on the server."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("cur", "new", "tmp"):
        (folder / "Maildir" / part).mkdir(parents=True)
    config = folder / "mpoprc"
    config.write_text(
        f"account bench\nhost 127.0.0.1\nport {site.port}\nuser {site.user}\npassword {site.password}\n"
        f"auth user\ntls off\nkeep on\nuidls_file {folder}/uidls\ndelivery maildir {folder}/Maildir\n"
    )
    config.chmod(0o600)
    sample, _ = measure(["mpop", "-q", "-C", config, "bench"])
    return _with_count(sample, len(os.listdir(folder / "Maildir" / "new")), count)


def curl(site, count):
    """RETR 1 to `count` in one session, thrown away."""
    url = f"pop3://127.0.0.1:{site.port}/[1-{count}]"
    sample, _ = measure(["curl", "-s", "-S", "-u", f"{site.user}:{site.password}", "-o", os.devnull, url])
    return sample


def fetchmail(site, count, folder):
    """Into one file; it reads the size and the header of each message first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "fetchmailrc"
    config.write_text(
        f"poll 127.0.0.1 service {site.port} protocol pop3 user '{site.user}' password '{site.password}' "
        f"sslproto '' keep fetchall fetchlimit {count} bsmtp '{folder}/out'\n"
    )
    config.chmod(0o600)
    environment = dict(os.environ, HOME=str(folder), FETCHMAILHOME=str(folder))
    # 13: stopped at the limit, as asked.
    sample, _ = measure(["fetchmail", "--silent", "-f", config, "--pidfile", folder / "pid"], (0, 13), env=environment)
    return _with_count(sample, (folder / "out").read_bytes().count(b"\nDATA\r\n"), count)


def scaled(program, count, few):
    """`program(n)` for n = `few`, drawn out to `count`: what one message costs, times the number, and the login once.
    Not less than was measured, where one run was disturbed."""
    if few >= count:
        return program(count)
    one, some = program(1), program(few)
    share = (count - 1) / (few - 1)
    seconds, cpu_s = one.seconds + (some.seconds - one.seconds) * share, one.cpu_s + (some.cpu_s - one.cpu_s) * share
    return Sample(max(seconds, some.seconds), max(cpu_s, some.cpu_s),
                  parts={"measured_messages": few, "measured_s": some.seconds})


# ---- popfs ----


def popfs_path():
    return os.environ.get("POPFS", "popfs")


def _process_status(pid, key):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise Failed(f"no {key} for process {pid}")


def _is_mounted(path):
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == str(path) for line in table)


class Mount:
    """A popfs that has been mounted; `mount_s` is how long that took, as its user waits for it."""

    def __init__(self, site, folder, options=""):
        self.path, self.cpu_s, self._pid = folder / "mnt", 0.0, 0
        self.path.mkdir(parents=True, exist_ok=True)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(site.password + "\n")
        words = f"tls=off,auth=user,passfile={password},cache={folder}/cache" + ("," + options if options else "")
        environment = dict(os.environ, HOME=str(folder), XDG_CACHE_HOME=str(folder / "xdg"), XDG_STATE_HOME=str(folder / "state"))
        self.said = folder / "said"
        self.command = [popfs_path(), f"pop3://{site.user}@127.0.0.1:{site.port}", str(self.path), "-o", words]
        start = time.monotonic()
        with open(self.said, "ab") as said:
            starter = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
        self.cpu_s = _wait(starter)
        self.mount_s = time.monotonic() - start
        if starter.returncode != 0 or not _is_mounted(self.path):
            raise Failed(f"popfs ended with {starter.returncode}: {self.said.read_text()[-600:]}")
        self._pid = self._find_daemon()

    def _find_daemon(self):
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == os.getpid() and str(self.path).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    return int(entry.name)
        raise Failed("popfs is mounted, but its process cannot be found")

    def resident(self):
        """Resident memory now and at its highest, octets."""
        return _process_status(self._pid, "VmRSS"), _process_status(self._pid, "VmHWM")

    def unmount(self):
        """As a user does it; gives the seconds until the daemon has ended, commit included."""
        start = time.monotonic()
        subprocess.run(["fusermount3", "-u", self.path], check=True, timeout=END_S)
        while True:
            pid, status, usage = os.wait4(self._pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - start > END_S:
                raise Failed("popfs does not end")
            time.sleep(0.001)
        self._pid = 0
        self.cpu_s += usage.ru_utime + usage.ru_stime
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise Failed(f"popfs ended with {code}: {self.said.read_text()[-600:]}")
        return time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self._pid:
            return
        if kind is None:
            self.unmount()
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        subprocess.run(["fusermount3", "-uz", self.path], capture_output=True, timeout=END_S)


def read_folder(path):
    """One process that reads every file in the order of the listing."""
    sample, said = measure([tool("reader"), path])
    parts = json.loads(said)
    return Sample(sample.seconds, sample.cpu_s, parts["octets"], parts)
