#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the single tests in meson's logs and prints `N passed, N failed`. count.py FILE…

FILE.json is a log of meson: a program of cmocka or pytest counts as the tests that it ran, any other as one. One that failed without
naming a failed test (a crash, a time-out, a fixture) is one more failure. One that cannot run here (exit code 77, or skipped by
cmocka or pytest) is named and counts neither way. Any other FILE is what check.sh said somewhere else; its closing line counts, and none is a failure.
Exit code 1 if anything failed, or nothing ran.
"""

import json
import re
import sys


def count(result, output):
    """Passed, failed, and what is said of those that cannot run here."""
    tests = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    summary = re.search(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", output, re.MULTILINE)
    skipped = []
    if tests:
        # The lists at the end repeat the names of those that failed or were skipped.
        skipped = [test for test in tests if f"[  SKIPPED ] {test}\n" in output]
        passed = len(re.findall(r"^\[       OK \] \S", output, re.MULTILINE))
        failed = len(tests) - passed - len(skipped)
    elif summary:
        words = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", summary.group(1))}
        skipped = re.findall(r"^SKIPPED \[\d+\] (.*)", output, re.MULTILINE)
        passed = words.get("passed", 0)
        failed = sum(words.get(word, 0) for word in ("failed", "error", "errors"))
    else:
        skipped = [output.strip()] if result == "SKIP" else []
        passed, failed = int(result == "OK"), int(result not in ("OK", "SKIP"))
    if result not in ("OK", "SKIP") and failed == 0:
        failed = 1
    return passed, failed, skipped


def closing(text):
    """What the last line says."""
    found = re.search(r"^(\d+) passed, (\d+) failed\n*\Z", text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else (0, 1)


def rows(path):
    """Name, passed, failed, skipped, and where more is said."""
    with open(path, errors="replace") as log:
        if not path.endswith(".json"):
            yield path, *closing(log.read()), [], path
            return
        for row in map(json.loads, log):
            yield row["name"], *count(row["result"], row.get("stdout", "")), path.removesuffix(".json") + ".txt"


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        for name, more_passed, more_failed, skipped, where in rows(path):
            passed, failed = passed + more_passed, failed + more_failed
            for said in skipped:
                print(f"skipped: {name}: {said}")
            if more_failed:
                print(f"failed: {name} ({more_failed} of {more_passed + more_failed}), see {where}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


if __name__ == "__main__":
    main()
