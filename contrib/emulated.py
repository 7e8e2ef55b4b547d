#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs what meson would run, in a system that has no meson, and writes the log that meson would write. For emulate.sh.

emulated.py run BUILD LOG   in the emulated system: runs each test, writes a row into LOG as soon as it ended
emulated.py close BUILD LOG afterwards, outside: adds a row for each test that has none, shows what failed, and writes it beside LOG
"""

import concurrent.futures
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUITES = {"popfs:unit", "popfs:system", "popfs:fuzz"}
PATIENCE = 40  # what is interpreted takes that much longer
MOUNTS_S = 900
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def known(build):
    return json.loads((build / "meson-info/intro-tests.json").read_text())


def planned(build):
    """What check.sh --short runs, but with each_transport.py for the suite of mount tests, which needs a whole Dovecot."""
    tests = known(build)
    plan = [test for test in tests if SUITES & set(test["suite"])]
    (mount,) = (test for test in tests if test["name"] == "mount")
    script = str(Path(__file__).resolve().parents[1] / "tests/mount/each_transport.py")
    return plan + [dict(mount, name="each_transport", cmd=["/usr/bin/python3", script], timeout=MOUNTS_S / PATIENCE)]


def run_one(test, build):
    """A row as meson writes it."""
    start = time.monotonic()
    # No pipe: what a test has left behind would hold it open.
    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(test["cmd"], env=os.environ | test["env"], cwd=build, stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=subprocess.STDOUT, timeout=test["timeout"] * PATIENCE, start_new_session=True).returncode
            result, why = {0: "OK", 77: "SKIP"}.get(code, "FAIL"), f"exit code {code}\n"
        except subprocess.TimeoutExpired:
            result, why = "TIMEOUT", "It did not come to an end.\n"
        except OSError as error:
            result, why = "FAIL", f"{error}\n"
        output.seek(0)
        said = output.read().decode(errors="replace")
    took = time.monotonic() - start
    print(f"{result:8} {test['name']:28} {took:6.1f} s", flush=True)
    return {"name": test["name"], "result": result, "duration": took, "stdout": said if result in ("OK", "SKIP") else said + why}


def start_loopback():
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def run(build, log):
    start_loopback()
    plan = planned(build)
    with open(log, "w") as rows, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # The last one is alone: it has time limits of its own.
        for some in plan[:-1], plan[-1:]:
            for done in concurrent.futures.as_completed([pool.submit(run_one, test, build) for test in some]):
                print(json.dumps(done.result()), file=rows, flush=True)


def complete(line):
    try:
        return json.loads(line)
    except ValueError:
        return None  # the emulated machine was stopped while it wrote


def close(build, log):
    rows = [row for row in map(complete, log.read_text().splitlines()) if row]
    ran = {row["name"] for row in rows}
    plan = planned(build)
    rows += [{"name": test["name"], "result": "FAIL", "stdout": "It did not come to an end."}
             for test in plan if test["name"] not in ran]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    failed = "".join(f"---- {row['name']}: {row['result']}\n{row['stdout']}\n" for row in rows if row["result"] not in ("OK", "SKIP"))
    log.with_suffix(".txt").write_text(failed)
    print(failed, end="")
    print("not run in the emulated machine:", *(test["name"] for test in known(build) if test not in plan))


if __name__ == "__main__":
    {"run": run, "close": close}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
