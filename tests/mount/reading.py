# SPDX-License-Identifier: MIT
"""Reading a mounted tree with the tools that people use, each with a time limit."""

import errno
import hashlib
import json
import os
import subprocess
import time

import pytest

LIMIT_S = 60
NETWORK = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY}


def run(*command, check=True, **rest):
    done = subprocess.run([os.fspath(word) for word in command], capture_output=True, timeout=LIMIT_S, **rest)
    assert not check or done.returncode == 0, f"{command}: exit code {done.returncode}: {done.stderr.decode()}"
    return done


def cat(path):
    return run("cat", "--", path).stdout


def names(folder):
    return run("ls", "-U", "--", folder).stdout.decode().splitlines()


def error_of(call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    return caught.value.errno


def outcome_of(call, *args):
    """0, or the errno of what failed."""
    try:
        call(*args)
    except OSError as error:
        return error.errno
    return 0


def control(mount, line):
    """As `echo line > .popfs/control`; what fails there raises OSError."""
    descriptor = os.open(mount.path / ".popfs/control", os.O_WRONLY)
    try:
        os.write(descriptor, line.encode() + b"\n")
    finally:
        os.close(descriptor)


def status(mount):
    return json.loads((mount.path / ".popfs/status.json").read_text())


def sums(folder):
    """File name -> SHA-256, of every message."""
    return {name: hashlib.sha256(cat(folder / name)).hexdigest() for name in names(folder)}


def expected_sums(octets_by_uidl):
    return {uidl + ".eml": hashlib.sha256(octets).hexdigest() for uidl, octets in octets_by_uidl.items()}


def read_or_errno(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        assert error.errno in NETWORK, error
        return None


def read_at_last(path, seconds=20):
    end = time.monotonic() + seconds
    while (octets := read_or_errno(path)) is None:
        assert time.monotonic() < end, f"{path} cannot be read any more"
        time.sleep(0.1)
    return octets
