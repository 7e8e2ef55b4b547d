#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The closing line of contrib/check.sh: what counts as passed, what as failed and what neither way; also where an emulated machine was stopped
before its end. closing.py ROOT"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CMOCKA = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n"
CMOCKA_SKIPS = "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  SKIPPED ] b\n[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] b\n"


def row(result, said=""):
    return json.dumps({"name": "one", "result": result, "stdout": said}) + "\n"


CASES = {  # name of the file, what it holds -> the closing line
    ("a.json", row("OK") + row("FAIL")): "1 passed, 1 failed",
    ("cmocka.json", row("FAIL", CMOCKA)): "1 passed, 1 failed",
    ("cmocka-skips.json", row("OK", CMOCKA_SKIPS)): "1 passed, 0 failed",
    ("cmocka-dies-and-skips.json", row("FAIL", CMOCKA_SKIPS)): "1 passed, 1 failed",
    ("pytest.json", row("FAIL", "==== 1 failed, 7 passed in 3.2s ====\n")): "7 passed, 1 failed",
    ("pytest-skips.json", row("OK", "SKIPPED [1] one.py:3: not here\n7 passed, 1 skipped in 3.2s\n")): "7 passed, 0 failed",
    ("crash.json", row("FAIL", "[ RUN      ] a\n[       OK ] a\n")): "1 passed, 1 failed",
    ("timeout.json", row("OK") + row("TIMEOUT")): "1 passed, 1 failed",
    ("cannot-run-here.json", row("OK") + row("SKIP", "it is not here\n")): "1 passed, 0 failed",
    ("all-cannot-run-here.json", row("SKIP")): "0 passed, 0 failed",
    ("elsewhere.log", "== result\n12 passed, 3 failed\n"): "12 passed, 3 failed",
    ("ended-early.log", "12 passed, 0 failed\n== sanitize: build\n"): "0 passed, 1 failed",
    ("never-began.log", ""): "0 passed, 1 failed",
}


STOPPED = row("OK") + row("OK")[:9]  # while it wrote its second row
PLAN = [{"name": "one", "suite": ["popfs:unit"]}, {"name": "two", "suite": ["popfs:fuzz"]}, {"name": "mount", "suite": ["popfs:mount"]}]


def stopped_machine(root, folder):
    """The log of a machine that was stopped early, after what emulate.sh does with it."""
    (folder / "meson-info").mkdir()
    (folder / "meson-info/intro-tests.json").write_text(json.dumps(PLAN))
    log = folder / "stopped.json"
    log.write_text(STOPPED)
    subprocess.run([sys.executable, "-B", f"{root}/contrib/emulated.py", "close", folder, log], check=True, stdout=subprocess.DEVNULL)
    return log.read_text()


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        # "two", and the mounts.
        CASES["stopped-machine.json", stopped_machine(sys.argv[1], Path(folder))] = "1 passed, 2 failed"
        for (name, text), wanted in CASES.items():
            path = Path(folder) / name
            path.write_text(text)
            done = subprocess.run([sys.executable, "-B", f"{sys.argv[1]}/contrib/count.py", path], capture_output=True, text=True)
            lines = done.stdout.splitlines() or [""]
            good = wanted.endswith(" 0 failed") and not wanted.startswith("0 ")
            if lines[-1] != wanted or (done.returncode == 0) != good:
                wrong.append(f"{name}: {lines[-1]!r} and exit code {done.returncode}; wanted {wanted!r} {done.stderr}")
            if "SKIP" in text and not lines[0].startswith("skipped: one"):
                wrong.append(f"{name}: nothing says what was skipped")
    print("\n".join(wrong) or f"{len(CASES)} logs are counted right")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
