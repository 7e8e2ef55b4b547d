#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the single tests in meson's logs and prints `N passed, N failed`. count.py FILE…

FILE.json is a log of meson: a program of cmocka or pytest counts as the tests that it ran, any other as one. One that failed without
naming a failed test (a crash, a time-out, a fixture) is one more failure. One that cannot run here (exit code 77, or skipped by
pytest) is named and counts neither way. Any other FILE is what check.sh said somewhere else; its closing line counts, and none is a failure.
Exit code 1 if anything failed, or nothing ran.
"""

import json
import re
import sys


def count(result, output):
    cmocka = re.findall(r"^\[ +(OK|FAILED) +\] \S", output, re.MULTILINE)
    summary = re.search(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", output, re.MULTILINE)
    if "OK" in cmocka or "FAILED" in cmocka:
        # The list at the end repeats the names of the failed ones.
        tests = re.findall(r"^\[ RUN      \]", output, re.MULTILINE)
        passed = cmocka.count("OK")
        failed = len(tests) - passed
    elif summary:
        words = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", summary.group(1))}
        passed = words.get("passed", 0)
        failed = sum(words.get(word, 0) for word in ("failed", "error", "errors"))
    else:
        passed, failed = (1, 0) if result == "OK" else (0, 1)
    if result != "OK" and failed == 0:
        failed = 1
    return passed, failed


def closing(text):
    """What the last line says."""
    found = re.search(r"^(\d+) passed, (\d+) failed\n*\Z", text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else (0, 1)


def rows(path):
    """Name, passed, failed, and where more is said."""
    with open(path, errors="replace") as log:
        if not path.endswith(".json"):
            yield path, *closing(log.read()), path
            return
        for row in map(json.loads, log):
            output = row.get("stdout", "")
            if row["result"] == "SKIP":
                print(f"skipped: {row['name']}: {output.strip()}")
            else:
                for said in re.findall(r"^SKIPPED \[\d+\] (.*)", output, re.MULTILINE):
                    print(f"skipped: {said}")
                yield row["name"], *count(row["result"], output), path.removesuffix(".json") + ".txt"


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        for name, more_passed, more_failed, where in rows(path):
            passed, failed = passed + more_passed, failed + more_failed
            if more_failed:
                print(f"failed: {name} ({more_failed} of {more_passed + more_failed}), see {where}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


if __name__ == "__main__":
    main()
