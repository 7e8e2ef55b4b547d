#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures popfs against the floor and against mpop, curl, fetchmail and bindfs, on one mailbox, server and line, in one run.

Environment: POPFS, the program; BENCH_TOOLS, the folder with bench-link, bench-floor, bench-server and bench-reader.
Writes table.txt, results.json, rtt.svg and count.svg. The exit code is 0 if every row holds that was run, 1 if not, 2 if it could
not be measured.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "mount"))

import certs  # noqa: E402
import dovecot  # noqa: E402

import mailboxes  # noqa: E402
import plot  # noqa: E402
import programs  # noqa: E402
import rows  # noqa: E402

PASSWORD = "a-secret"
PLOTS = ("plot-rtt", "plot-count")
PLOT_NOTE = f"floor: every command sent at once. curl and fetchmail: drawn out from {rows.FEW_OF_PLOTS} messages."


class Mailbox:
    """A Maildir behind Dovecot, and what is in it."""

    def __init__(self, server, user):
        self._account = server.account(user, PASSWORD)
        self.site = programs.Site(server.port, user, PASSWORD)
        self.count, self.octets = 0, 0
        owner = pwd.getpwnam(dovecot.MAIL_USER)
        self._owner = owner.pw_uid, owner.pw_gid

    def fill(self, mails):
        mails = list(mails)
        self.count = len(mails)
        self.octets = mailboxes.write_maildir(self._account.maildir, mails, *self._owner)

    def fill_from(self, other, count):
        """The first `count` messages of `other`, as further names of the same files."""
        names = sorted(os.listdir(other._account.maildir / "cur"))[:count]
        for part in ("cur", "new", "tmp"):
            (self._account.maildir / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            os.link(other._account.maildir / "cur" / name, self._account.maildir / "cur" / name)
        for path in (self._account.maildir, *self._account.maildir.iterdir()):
            os.chown(path, *self._owner)
        self.count, self.octets = len(names), other.octets * len(names) // max(1, other.count)


class Removable(Mailbox):
    """A mailbox that is emptied and comes back."""

    def __init__(self, server, user, original):
        super().__init__(server, user)
        self._original, self._discarded = original, 0

    def restore(self):
        # Renamed, not emptied: a process of the last session may still be closing its index.
        self._discarded += 1
        away = self._account.maildir.with_name(f"discarded-{self._discarded}")
        self._account.maildir.rename(away)
        self.fill_from(self._original, self._original.count)
        time.sleep(0.2)
        shutil.rmtree(away, ignore_errors=True)

    def remaining(self):
        return len(self._account.remaining())

    def copy_to(self, folder):
        shutil.copytree(self._original._account.maildir / "cur", folder / "cur")


class Bench:
    """What the rows share: the mailboxes, how often, where to put things."""

    def __init__(self, options, folder):
        self.runs, self.quick, self.popfs = options.runs, options.quick, not options.peers_only
        self._folder, self._count = folder, 0
        authority = certs.Authority(folder / "ca")
        self.server = dovecot.Dovecot(folder / "dovecot", authority.issue("server"))
        self.small = Mailbox(self.server, "small")
        self.mixed = Mailbox(self.server, "mixed")
        self.removable = Removable(self.server, "removable", self.small)
        self.parts = {count: Mailbox(self.server, f"part{count}") for count in self._part_counts()}

    def _part_counts(self):
        return (10, 30, 100, 300) if self.quick else (10, 30, 100, 300, 1000, 3000, 10000)

    def fill(self, names):
        self.say("making the mailboxes")
        self.small.fill(mailboxes.small(500 if self.quick else 10_000))
        if "mixed" in names:
            self.mixed.fill(mailboxes.mixed(200, 17_000_000) if self.quick else mailboxes.mixed())
        if set(PLOTS) & set(names):
            for count, mailbox in self.parts.items():
                mailbox.fill_from(self.small, count)

    @staticmethod
    def say(text):
        print(text, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def folder(self, name):
        """A fresh folder for one run of one program, gone afterwards."""
        self._count += 1
        path = self._folder / f"{name}-{self._count}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def in_folder(self, name, run):
        with self.folder(name) as folder:
            return run(folder)


# ---- what comes out ----


def _first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "not there"
    lines = (done.stdout or done.stderr).splitlines()
    return next((line for line in lines if "WARNING" not in line), "")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal:"))
    release = platform.freedesktop_os_release()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": f"{os.cpu_count()} × {model}",
        "memory_gib": round(memory / (1 << 20), 1),
        "system": f"{release.get('PRETTY_NAME', '?')}, Linux {platform.release()}",
        "dovecot": _first_line(["/usr/sbin/dovecot", "--version"]),
        "mpop": _first_line(["mpop", "--version"]),
        "curl": _first_line(["curl", "--version"])[:12],
        "fetchmail": _first_line(["fetchmail", "--version"]),
        "bindfs": _first_line(["bindfs", "--version"]),
    }


def _cells(figure):
    value = f"{figure.value:.3f} s" if figure.unit == "s" else f"{figure.value:.1f} {figure.unit}"
    ratio = f"{figure.ratio:.2f} × {figure.against}" if figure.ratio else ""
    must = ""
    if figure.limit:
        must = f"≤ {figure.limit:g}" + (" ×" if figure.ratio else f" {figure.unit}")
    holds = {None: "", True: "holds", False: "MISSED"}[figure.holds]
    return [figure.row, figure.line, figure.what, figure.program, value, ratio, must, holds, figure.note]


def table(figures, about, options):
    heads = ["row", "line", "what", "program", "median", "ratio", "must be", "", "note"]
    lines = [heads] + [_cells(figure) for figure in figures]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = [f"{key}: {value}" for key, value in about.items()]
    text += [f"runs: {options.runs}, in turns; the median counts", ""]
    for number, line in enumerate(lines):
        text.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text) + "\n"


def write_plots(bench, names, out):
    data = {}
    if "plot-rtt" in names:
        count, lines = rows.times_by_rtt(bench)
        data["rtt"] = lines
        (out / "rtt.svg").write_text(plot.svg(f"Reading {count:,} messages of 4 KiB over 100 Mbit/s", PLOT_NOTE,
                                              "round-trip time, ms", "seconds", lines))
    if "plot-count" in names:
        lines = rows.times_by_count(bench)
        data["count"] = lines
        (out / "count.svg").write_text(plot.svg("Reading messages of 4 KiB over 40 ms, 100 Mbit/s", PLOT_NOTE, "messages",
                                                "seconds", lines, log_x=True))
    return data


def run(bench, options, names):
    figures, troubles = [], []
    for name in names:
        if name in PLOTS:
            continue
        bench.say(f"{name}: {rows.ROWS[name].__doc__}")
        try:
            figures += rows.ROWS[name](bench)
        except (programs.Failed, subprocess.SubprocessError, OSError) as error:
            troubles.append(f"{name}: {error}")
            bench.say(f"  {name} could not be measured: {error}")
    if bench.quick:
        for figure in figures:
            figure.limit = 0.0  # the limits are about the large mailboxes
    plots = {}
    try:
        plots = write_plots(bench, names, options.out)
    except (programs.Failed, subprocess.SubprocessError, OSError) as error:
        troubles.append(f"plots: {error}")
    about = machine()
    text = table(figures, about, options) + "".join(f"NOT MEASURED: {trouble}\n" for trouble in troubles)
    (options.out / "table.txt").write_text(text)
    results = {"about": about, "command": sys.argv, "figures": [dict(asdict(f), holds=f.holds) for f in figures],
               "plots": plots, "troubles": troubles}
    (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)
    print(f"written: {options.out}/table.txt, results.json" + "".join(f", {name}.svg" for name in plots))
    if troubles:
        return 2
    return 0 if all(figure.holds is not False for figure in figures) else 1


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*rows.ROWS, *PLOTS]
    parser.add_argument("--rows", default=",".join(every), help="which, by comma; default: all: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="how often each program runs (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small mailboxes: shows that it works, proves nothing")
    parser.add_argument("--peers-only", action="store_true", help="without popfs")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder for the results (default %(default)s)")
    options = parser.parse_args()
    names = options.rows.split(",")
    unknown = [name for name in names if name not in every]
    if unknown or options.runs < 1:
        parser.error(f"no such row: {', '.join(unknown)}" if unknown else "at least one run")
    if os.geteuid() != 0:
        parser.error("the private Dovecot needs root")
    missing = [name for name in ("mpop", "curl", "fetchmail", "bindfs") if not shutil.which(name)]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; contrib/packages.sh bench does it")
    if not options.peers_only and not shutil.which(programs.popfs_path()):
        parser.error("POPFS must name the program to measure")
    return options, names


def main():
    options, names = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    programs.adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that everything is undone
    folder = Path(tempfile.mkdtemp(prefix="popfs-bench-"))
    folder.chmod(0o755)  # Dovecot's mail processes are not root
    bench = Bench(options, folder)
    try:
        bench.fill(names)
        bench.server.start()
        return run(bench, options, names)
    finally:
        bench.server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception:  # Python's own exit code for that is 1, which says that a limit does not hold
        traceback.print_exc()
        sys.exit(2)
