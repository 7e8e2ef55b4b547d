# SPDX-License-Identifier: MIT
"""The rows of the table in DESIGN.md 7: what is done, on which line, and what must hold.

A row is a function of the bench that gives figures. The programs of a row take turns, run after run, and the median counts.
"""

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field

import programs
from programs import Failed, Link, Sample

LOOPBACK = Link(0, 0)
FAR = Link(40, 100)
MIB = 1 << 20
FEW_OF_PLOTS = 20  # messages that curl and fetchmail read where a plot needs more


@dataclass
class Figure:
    row: str
    line: str
    what: str
    program: str
    value: float
    unit: str = "s"
    samples: list = field(default_factory=list)
    ratio: float = 0.0  # 0: none
    against: str = ""
    limit: float = 0.0  # of the ratio if there is one, else of the value; 0: nothing must hold
    note: str = ""

    @property
    def holds(self):
        """None if nothing must."""
        return None if not self.limit else (self.ratio or self.value) <= self.limit


def _median(samples, part=None):
    return statistics.median(sample.parts[part] if part else sample.seconds for sample in samples)


class Contest:
    """Programs that do the same work on the same line, in turns."""

    def __init__(self, bench, row, line, what):
        self.bench, self.row, self.line, self.what = bench, row, line, what
        self._entries, self.samples, self.figures = {}, {}, []

    def enter(self, name, run):
        self._entries[name] = run

    def run(self):
        for turn in range(self.bench.runs):
            for name, run in self._entries.items():
                sample = run()
                self.bench.say(f"  {self.row}: {name} {turn + 1}/{self.bench.runs}: {sample.seconds:.3f} s")
                self.samples.setdefault(name, []).append(sample)

    def figure(self, name, against="", limit=0.0, part=None, against_part=None, note="", what=""):
        """The median of `name`, and its ratio to the median of `against`."""
        samples = self.samples.get(name)
        if not samples:
            return
        value = _median(samples, part)
        ratio = value / _median(self.samples[against], against_part) if against else 0.0
        few = samples[0].parts.get("measured_messages")
        if few:
            note = f"drawn out from {few} messages"
        self.figures.append(Figure(self.row, str(self.line), what or self.what, name, value,
                                   samples=[sample.parts[part] if part else sample.seconds for sample in samples],
                                   ratio=ratio, against=against, limit=limit, note=note))

    def cpu(self, name, against, limit):
        if name not in self.samples:
            return
        value, other = (statistics.median(s.cpu_s for s in self.samples[n]) for n in (name, against))
        self.figures.append(Figure(self.row, str(self.line), "processor time of the same", name, value,
                                   samples=[s.cpu_s for s in self.samples[name]], ratio=value / other, against=against,
                                   limit=limit, note=f"{against} {other:.2f} s"))


# ---- what popfs is asked to do ----


def popfs_crawl(bench, site, octets):
    """Mount with nothing cached, read everything in listing order."""
    with bench.folder("popfs") as folder, programs.Mount(site, folder) as mount:
        read = programs.read_folder(mount.path)
        if octets and read.octets != octets:
            raise Failed(f"popfs delivered {read.octets} octets instead of {octets}")
        resident = mount.resident()
        mount.unmount()
    return Sample(mount.mount_s + read.seconds, mount.cpu_s, read.octets,
                  {"mount_s": mount.mount_s, "read_s": read.seconds, "resident": resident})


def popfs_long_listing(bench, site):
    with bench.folder("popfs") as folder, programs.Mount(site, folder) as mount:
        listing, _ = programs.measure(["ls", "-l", mount.path], env=dict(os.environ, TZ="UTC"))
        mount.unmount()
    return Sample(mount.mount_s + listing.seconds, mount.cpu_s, parts={"mount_s": mount.mount_s})


def popfs_mount_and_list(site, folder):
    with programs.Mount(site, folder) as mount:
        listing, said = programs.measure(["ls", mount.path])
        mount.unmount()
    return Sample(mount.mount_s + listing.seconds, mount.cpu_s, len(said.splitlines()))


# ---- rows ----


def _crawl(bench, row, line, mailbox, limit, few):
    """Every program reads the whole mailbox; gives the contest after it has run. `few`: what curl and fetchmail get."""
    contest = Contest(bench, row, line, f"all of {mailbox.count:,} messages, {mailbox.octets / 1e6:.0f} MB")
    with line.to(mailbox.site) as site:
        programs.floor(site, "list")  # the server has its index in memory for all alike
        contest.enter("floor", lambda: programs.floor(site, "retr"))
        if bench.popfs:
            contest.enter("popfs", lambda: popfs_crawl(bench, site, mailbox.octets))
        contest.enter("mpop", lambda: bench.in_folder("mpop", lambda folder: programs.mpop(site, mailbox.count, folder)))
        if few:
            count = mailbox.count
            contest.enter("curl", lambda: programs.scaled(lambda n: programs.curl(site, n), count, few))
            contest.enter("fetchmail", lambda: bench.in_folder(
                "fetchmail",
                lambda folder: programs.scaled(lambda n: programs.fetchmail(site, n, folder), count, few)))
        contest.run()
    for sample in contest.samples["floor"]:
        if sample.octets != mailbox.octets:
            raise Failed(f"the floor saw {sample.octets} octets instead of {mailbox.octets}")
    contest.figure("floor")
    contest.figure("popfs", "floor", limit)
    for peer in ("mpop", "curl", "fetchmail"):
        contest.figure(peer, "floor")
    return contest


def crawl(bench):
    """cat of all in listing order, nothing cached, 40 ms and 100 Mbit/s."""
    contest = _crawl(bench, "crawl", FAR, bench.small, 1.25, 100)
    contest.cpu("popfs", "mpop", 1.5)
    return contest.figures


def crawl_loopback(bench):
    """The same without a line between."""
    contest = _crawl(bench, "crawl-loopback", LOOPBACK, bench.small, 3.0, bench.small.count)
    contest.figure("popfs", "mpop", 1.0)
    contest.cpu("popfs", "mpop", 1.5)
    return contest.figures


def mixed(bench):
    """2,000 mixed messages, 170 MB."""
    contest = _crawl(bench, "mixed", FAR, bench.mixed, 1.05, 0)
    contest.cpu("popfs", "mpop", 1.5)
    return contest.figures


def long_listing(bench):
    """First ls -l after mounting for the first time."""
    contest = Contest(bench, "ls-l", FAR, f"first ls -l of {bench.small.count:,}")
    with FAR.to(bench.small.site) as site:
        programs.floor(site, "top")  # Dovecot parses each header once
        contest.enter("floor", lambda: programs.floor(site, "top"))
        if bench.popfs:
            contest.enter("popfs", lambda: popfs_long_listing(bench, site))
        contest.run()
    contest.figure("floor", what="the same by TOP n 0")
    contest.figure("popfs", "floor", 1.3)
    return contest.figures


def second_mount(bench):
    """Mount to first ls, second mount. The first has lived until it knew every header: otherwise the second would go on with that."""
    contest = Contest(bench, "second-mount", FAR, f"mount to first ls of {bench.small.count:,}, second mount")
    with FAR.to(bench.small.site) as site, bench.folder("popfs") as folder:
        programs.floor(site, "list")
        contest.enter("floor", lambda: programs.floor(site, "list"))
        if bench.popfs:
            with programs.Mount(site, folder) as first:
                programs.measure(["ls", "-l", first.path])
                first.unmount()
            contest.enter("popfs", lambda: popfs_mount_and_list(site, folder))
        contest.run()
    contest.figure("floor", what="login, UIDL and LIST")
    contest.figure("popfs", "floor", 1.5)
    return contest.figures


def _copy_to_local_disk(bench, mount, place):
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["cp", "-r", mount.path, place], check=True, timeout=programs.LONGEST_S)


def _grep(path):
    # In the subject of a few: nearly every octet is looked at, and what is found shows that it was.
    sample, said = programs.measure(["grep", "-r", "-l", "-F", "no. 242", path], env=dict(os.environ, LC_ALL="C"))
    sample.parts["found"] = len(said.splitlines())
    return sample


def grep(bench):
    """grep -r of cached messages, first time after mounting, against the same tree on the local disk. What a look through the kernel
    and back costs differs from machine to machine by a factor of two; bindfs, which shows the local tree, pays the same."""
    contest = Contest(bench, "grep", LOOPBACK, f"grep -r of {bench.small.count:,} cached messages")
    if not bench.popfs:
        return []
    site = bench.small.site
    with bench.folder("popfs") as folder:
        local = folder / "local"
        with programs.Mount(site, folder) as mount:
            _copy_to_local_disk(bench, mount, local)
        found = _grep(local).parts["found"]

        def over_popfs():
            with programs.Mount(site, folder) as mount:
                first, second = _grep(mount.path), _grep(mount.path)
            if (first.parts["found"], second.parts["found"]) != (found, found):
                raise Failed(f"grep found {first.parts['found']} and {second.parts['found']} instead of {found}")
            first.parts["second_s"] = second.seconds
            return first

        def over_bindfs():
            with programs.bindfs(local, folder / "bindfs") as path:
                return _grep(path)

        contest.enter("local disk", lambda: _grep(local))
        contest.enter("bindfs", over_bindfs)
        contest.enter("popfs", over_popfs)
        contest.run()
    contest.figure("local disk", what="the same tree on the local disk, page cache warm")
    contest.figure("popfs", "local disk", 6.0)
    contest.figure("popfs", "local disk", part="second_s", what="the same again, nothing unmounted")
    contest.figure("bindfs", "local disk", what="the same tree through bindfs, after mounting")
    return contest.figures


def _remove_all(path):
    sample, _ = programs.measure(["find", path, "-maxdepth", "1", "-type", "f", "-delete"])
    return sample


def remove(bench):
    """rm of everything, and the commit at unmount."""
    contest = Contest(bench, "rm", FAR, f"rm of {bench.small.count:,}")
    mailbox = bench.removable

    def must_be_empty():
        left = mailbox.remaining()
        if left:
            raise Failed(f"{left} messages are still on the server after the commit")

    def over_floor(site):
        mailbox.restore()
        programs.floor(site, "list")
        deleted = programs.floor(site, "dele")
        must_be_empty()
        return deleted

    def over_popfs(site):
        mailbox.restore()
        programs.floor(site, "list")
        with bench.folder("popfs") as folder, programs.Mount(site, folder) as mount:
            removed = _remove_all(mount.path)
            removed.parts["commit_s"] = mount.unmount()
        must_be_empty()
        return removed

    def over_disk():
        with bench.folder("local") as folder:
            mailbox.copy_to(folder / "local")
            return _remove_all(folder / "local" / "cur")

    with FAR.to(mailbox.site) as site:
        contest.enter("floor", lambda: over_floor(site))
        if bench.popfs:
            contest.enter("popfs", lambda: over_popfs(site))
            contest.enter("local disk", over_disk)
        contest.run()
    contest.figure("local disk", what="the same tree on the local disk")
    contest.figure("popfs", "local disk", 5.0)
    contest.figure("floor", part="work_s", what="DELE of all and QUIT")
    contest.figure("popfs", "floor", 1.5, part="commit_s", against_part="work_s", what="commit at unmount")
    return contest.figures


class _Prober:
    """Times stat, readdir and reading of what is cached, again and again, until told to stop."""

    def __init__(self, path, names):
        self._path, self._names = path, names
        self.times = {"stat": [], "readdir": [], "cached read": []}

    def _timed(self, kind, action):
        start = time.perf_counter()
        action()
        self.times[kind].append(time.perf_counter() - start)

    def _read(self, name):
        with open(self._path / name, "rb", buffering=0) as file:
            # Out of the kernel's memory, so that popfs has to answer.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while file.read(65536):
                pass

    def run_until(self, is_over):
        for turn in range(10**9):
            if is_over():
                return
            # Not the same message for both: each call is the first one that names it, until all have had their turn.
            stat_of = self._names[turn % len(self._names)]
            read_of = self._names[(turn + len(self._names) // 2) % len(self._names)]
            self._timed("stat", lambda: os.stat(self._path / stat_of))
            self._timed("cached read", lambda: self._read(read_of))
            if turn % 16 == 0:
                self._timed("readdir", lambda: os.listdir(self._path))
            time.sleep(0.002)


def latency(bench):
    """stat, readdir and cached reads while 100 MB arrive."""
    if not bench.popfs:
        return []
    small_count, big_count = (200, 5) if bench.quick else (2000, 25)
    figures, times = [], {}
    options = ("--messages", small_count + big_count, "--sizes", f"4K*{small_count},4M*{big_count}")
    for _ in range(bench.runs):
        with programs.background("server", *options) as (port, _), FAR.to(programs.Site(port, "a", "b")) as site, \
                bench.folder("popfs") as folder:
            with programs.Mount(site, folder) as mount:
                subprocess.run(["ls", "-l", mount.path], stdout=subprocess.DEVNULL, check=True)
                names = os.listdir(mount.path)
                subprocess.run([programs.tool("reader"), mount.path, str(small_count)], stdout=subprocess.DEVNULL, check=True)
                prober = _Prober(mount.path, names[:small_count])
                big = [mount.path / name for name in names[small_count:]]
                with subprocess.Popen(["cat", *big], stdout=subprocess.DEVNULL) as arriving:
                    prober.run_until(lambda: arriving.poll() is not None)
                if arriving.returncode != 0:
                    raise Failed("the large messages could not be read")
        for kind, values in prober.times.items():
            times.setdefault(kind, []).extend(values)
    for kind, values in times.items():
        values.sort()
        p50, p99 = values[len(values) // 2], values[int(len(values) * 0.99)]
        bench.say(f"  latency: {kind}: {len(values)} calls, p99 {p99 * 1000:.2f} ms")
        figures.append(Figure("latency", str(FAR), f"{kind} while {big_count * 4} MiB arrive, p99", "popfs", p99 * 1000, "ms",
                              limit=10, note=f"p50 {p50 * 1000:.2f}, most {values[-1] * 1000:.1f} ms, {len(values)} calls"))
    return figures


def memory(bench):
    """Resident memory with many messages, and with a large one."""
    if not bench.popfs:
        return []
    many = 100_000 if bench.quick else 1_000_000
    large = "256M" if bench.quick else "4G+1"
    cases = [
        (f"{bench.small.count:,} messages, all read", None, 20, "read"),
        (f"{many:,} messages, listed", ("--messages", many, "--sizes", "4K"), 300, "list"),
        (f"one message of {large}iB, read", ("--messages", 1, "--sizes", large), 20, "read"),
    ]
    figures = []
    for what, options, limit, work in cases:
        figures.append(_memory_of(bench, what, options, limit, work))
    return figures


def _memory_of(bench, what, options, limit, work):
    def inside(site):
        # A message that is larger than the cache may be cannot be read.
        with bench.folder("popfs") as folder, programs.Mount(site, folder, "cache_size=0") as mount:
            start = time.monotonic()
            if work == "read":
                programs.read_folder(mount.path)
            else:
                subprocess.run(["ls", "-f", mount.path], stdout=subprocess.DEVNULL, check=True, timeout=programs.LONGEST_S)
            worked_s = time.monotonic() - start
            now, most = mount.resident()
        bench.say(f"  memory: {what}: {most / MIB:.1f} MiB")
        note = f"{now / MIB:.1f} MiB at the end; mounted in {mount.mount_s:.2f} s, {work} in {worked_s:.2f} s"
        return Figure("memory", str(LOOPBACK), f"most resident: {what}", "popfs", most / MIB, "MiB", limit=limit, note=note)

    if options is None:
        return inside(bench.small.site)
    with programs.background("server", *options) as (port, _):
        return inside(programs.Site(port, "a", "b"))


def head(bench):
    """The first screen of a large message over a slow line."""
    if not bench.popfs:
        return []
    line, samples = Link(40, 10), []
    with programs.background("server", "--messages", 20, "--sizes", "4K*19,30M") as (port, _), \
            line.to(programs.Site(port, "a", "b")) as site:
        for _ in range(bench.runs):
            with bench.folder("popfs") as folder, programs.Mount(site, folder) as mount:
                largest = max((os.stat(mount.path / name).st_size, name) for name in os.listdir(mount.path))[1]
                # Messages whose size was as listed make the server one that can be believed.
                subprocess.run([programs.tool("reader"), mount.path, "5"], stdout=subprocess.DEVNULL, check=True)
                sample, said = programs.measure(["head", "-n", "50", mount.path / largest])
                samples.append(sample)
            if len(said.splitlines()) != 50:
                raise Failed("head did not get 50 lines")
    return [Figure("head", str(line), "head -n 50 of a message of 30 MiB", "popfs", _median(samples),
                   samples=[sample.seconds for sample in samples], limit=1.5)]


# ---- the plots ----


def _times(bench, site, count, few, programs_to_run):
    """Seconds for reading `count` messages of `site` by each of the programs, in turns."""
    contest = Contest(bench, "plot", LOOPBACK, "")
    programs.floor(site, "list")
    entries = {
        "floor": lambda: programs.floor(site, "retr"),
        "popfs": lambda: popfs_crawl(bench, site, 0),
        "mpop": lambda: bench.in_folder("mpop", lambda folder: programs.mpop(site, count, folder)),
        "curl": lambda: programs.scaled(lambda n: programs.curl(site, n), count, few),
        "fetchmail": lambda: bench.in_folder(
            "fetchmail", lambda folder: programs.scaled(lambda n: programs.fetchmail(site, n, folder), count, few)),
    }
    for name in programs_to_run:
        if name != "popfs" or bench.popfs:
            contest.enter(name, entries[name])
    contest.run()
    return {name: _median(samples) for name, samples in contest.samples.items()}


def times_by_rtt(bench):
    """Time against round-trip time: name to [(ms, s)]."""
    lines = {}
    mailbox = bench.parts[min(1000, max(bench.parts))]
    for rtt in (1, 10, 40) if bench.quick else (1, 10, 20, 40, 80, 160):
        with Link(rtt, 100).to(mailbox.site) as site:
            for name, seconds in _times(bench, site, mailbox.count, FEW_OF_PLOTS, programs_of_plots(bench)).items():
                lines.setdefault(name, []).append((rtt, seconds))
    return mailbox.count, lines


def times_by_count(bench):
    """Time against the number of messages: name to [(messages, s)]."""
    lines = {}
    for count, mailbox in sorted(bench.parts.items()):
        with FAR.to(mailbox.site) as site:
            for name, seconds in _times(bench, site, count, FEW_OF_PLOTS, programs_of_plots(bench)).items():
                lines.setdefault(name, []).append((count, seconds))
    return lines


def programs_of_plots(bench):
    return ("floor", "popfs", "mpop", "curl", "fetchmail") if bench.popfs else ("floor", "mpop", "curl", "fetchmail")


ROWS = {
    "crawl": crawl,
    "crawl-loopback": crawl_loopback,
    "mixed": mixed,
    "ls-l": long_listing,
    "second-mount": second_mount,
    "grep": grep,
    "rm": remove,
    "latency": latency,
    "memory": memory,
    "head": head,
}
