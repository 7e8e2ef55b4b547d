#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the simulation as a test. seeds.py SIM fixed SEEDS | SIM random|replay

fixed     the same seeds each time, so many; too slow a machine fails, since it would have left some out
random    other seeds each time, for ten minutes; with POPFS_LONG=1 alone
replay    some seeds twice: both traces are the same, octet by octet
"""

import os
import re
import subprocess
import sys
import time

SKIPPED = 77
FIXED_SECONDS_MOST, RANDOM_SECONDS, REPLAYED_SEEDS = "120", "600", 25


def trace(sim, seed):
    return subprocess.run([sim, "--seed", str(seed), "--trace"], capture_output=True, check=False).stdout


def replay(sim):
    for seed in range(1, 1 + REPLAYED_SEEDS):
        first, second = trace(sim, seed), trace(sim, seed)
        if first != second or not first:
            sys.exit(f"seed {seed} was another history the second time, or has no trace")
    print(f"{REPLAYED_SEEDS} seeds were the same twice")


def fixed(sim, count):
    command = [sim, "--first", "1", "--seeds", count, "--seconds", FIXED_SECONDS_MOST]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout, end="", flush=True)
    if run.returncode != 0:
        sys.exit(run.returncode)
    if not re.search(rf"^{count} seeds in ", run.stdout, re.MULTILINE):
        sys.exit(f"not all of the {count} seeds ran in {FIXED_SECONDS_MOST} s")


def main():
    sim, what, *rest = sys.argv[1:]
    if what == "replay":
        replay(sim)
    elif what == "fixed":
        fixed(sim, *rest)
    elif "POPFS_LONG" not in os.environ:
        sys.exit(SKIPPED)
    else:
        first = str(int(time.time()) * 1000)
        sys.exit(subprocess.run([sim, "--first", first, "--seconds", RANDOM_SECONDS], check=False).returncode)


if __name__ == "__main__":
    main()
