# SPDX-License-Identifier: MIT
"""Rule 12: whatever LIST says of the sizes, each tool that people have gets the right octets at the first try.

A tool alone has a mount of its own, so that nothing was read before it looks. bsdtar, cpio, and wc -c with several files take the size
before they open a file: for them there is size=strict.
"""

import contextlib
import hashlib
import itertools
import os
import pty
import select
import shutil
import subprocess
import tarfile
import threading
import time

import mailbox
import mounting
import pytest
from conftest import script_options, script_source, side_by_side
from reading import run
from scripted import Script, Server

LONG = "POPFS_LONG" in os.environ
AT_ONCE = 4  # tools; they are what takes the time

LIES = {
    "30-percent-less": lambda octets: str(octets * 7 // 10),
    "one-less": lambda octets: str(octets - 1),
    "one-more": lambda octets: str(octets + 1),
    "30-percent-more": lambda octets: str(octets * 13 // 10),
    "zero": lambda octets: "0",
    "garbage": lambda octets: f"%!d(float64={octets})",
}

MAILS = [mailbox.plain(f"m{lines}", b"".join(b"line %06d of the message\r\n" % line for line in range(lines)) + b"the very end\r\n")
         for lines in (1, 200, 3000)]
CONTENT = {f"{mail.name}.eml": mail.data for mail in MAILS}


def files(folder):
    """What a tool has made: file name -> octets."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.eml")}


def of_tar(path):
    with tarfile.open(path) as archive:
        return {os.path.basename(member.name): archive.extractfile(member).read() for member in archive if member.isfile()}


# ---- each gives what the tool got: name -> octets, or whatever it makes of octets ----


def tar(mount, work):
    run("tar", "-C", mount, "-cf", work / "all.tar", ".")
    return of_tar(work / "all.tar")


def cp(mount, work):
    run("cp", "-r", f"{mount}/.", work / "copy")
    return files(work / "copy")


def rsync(mount, work):
    run("rsync", "-a", f"{mount}/", work / "copy")
    return files(work / "copy")


def dd(mount, work):
    return {name: run("dd", f"if={mount / name}", "bs=333", "status=none").stdout for name in CONTENT}


def bsdtar(mount, work):
    run("bsdtar", "-C", mount, "-cf", work / "all.tar", ".")
    return of_tar(work / "all.tar")


def cpio(mount, work):
    archive = run("cpio", "-o", "--format=newc", "--quiet", input="\n".join(CONTENT).encode(), cwd=mount).stdout
    run("cpio", "-i", "--quiet", input=archive, cwd=work)
    return files(work)


def restic(mount, work):
    environment = {**os.environ, "RESTIC_REPOSITORY": str(work / "restic"), "RESTIC_PASSWORD": "x"}
    run("restic", "--no-cache", "backup", ".", cwd=mount, env=environment)
    (work / "all.tar").write_bytes(run("restic", "--no-cache", "dump", "-a", "tar", "latest", "/", env=environment).stdout)
    return of_tar(work / "all.tar")


def borg(mount, work):
    environment = borg_environment(work)
    run("borg", "create", "::first", ".", cwd=mount, env=environment)
    (work / "copy").mkdir()
    run("borg", "extract", "::first", cwd=work / "copy", env=environment)
    return files(work / "copy")


def borg_environment(work):
    return {**os.environ, "BORG_REPO": str(work / "borg"), "BORG_BASE_DIR": str(work / "borg-home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}


def sha256sum(mount, work):
    lines = run("sha256sum", *CONTENT, cwd=mount).stdout.decode().splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


def wc(mount, work):
    return {name: int(run("wc", "-c", mount / name).stdout.split()[0]) for name in CONTENT}


def wc_of_many(mount, work):
    lines = run("wc", "-c", *CONTENT, cwd=mount).stdout.decode().splitlines()
    return {name: int(count) for count, name in map(str.split, lines) if name != "total"}


def git(mount, work):
    digests = run("git", "hash-object", "--no-filters", *CONTENT, cwd=mount).stdout.decode().split()
    return dict(zip(CONTENT, digests, strict=True))


def rg(mount, work):
    lines = run("rg", "--mmap", "-c", "-a", "^", *CONTENT, cwd=mount).stdout.decode().splitlines()
    return {name: int(count) for name, count in (line.split(":") for line in lines)}


def less(mount, work):
    return {name: end_in_less(mount / name) for name in CONTENT}


def end_in_less(path):
    """What `G` shows at the bottom of a terminal of ten lines."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe("less", ["less", str(path)], {"PATH": os.environ["PATH"], "TERM": "vt100", "LINES": "10", "COLUMNS": "80"})
    try:
        shown = until(terminal, b"eml")
        os.write(terminal, b"G")
        shown = until(terminal, b"END", shown)
        os.write(terminal, b"q")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return b"the very end" in shown


def until(terminal, word, shown=b"", seconds=20):
    """What is shown until `word` is."""
    end = time.monotonic() + seconds
    while word not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown


def itself(octets):
    return octets


WHAT_IS_RIGHT = {  # tool -> what it should make of the octets
    tar: itself, cp: itself, rsync: itself, dd: itself, restic: itself, borg: itself,
    sha256sum: lambda octets: hashlib.sha256(octets).hexdigest(),
    wc: len,
    git: lambda octets: hashlib.sha1(b"blob %d\0" % len(octets) + octets).hexdigest(),
    rg: lambda octets: octets.count(b"\n"),
    less: lambda octets: True,
}
WHAT_IS_RIGHT_WHEN_STRICT = {bsdtar: itself, cpio: itself, wc_of_many: len, tar: itself}


def cells():
    """Every tool and lie; in a normal run restic and borg, which take seconds, meet two lies alone."""
    for tool, lie in itertools.product(WHAT_IS_RIGHT, LIES):
        if LONG or tool not in (restic, borg) or lie.startswith("30-percent"):
            yield tool, lie, ""
    for tool, lie in itertools.product(WHAT_IS_RIGHT_WHEN_STRICT, LIES):
        yield tool, lie, "size=strict"


@pytest.fixture(scope="module")
def repositories(root_folder):
    """copy(work): empty ones of restic and borg, made by whoever is the first to want them, for that takes seconds."""
    folder = root_folder / "repositories"
    lock = threading.Lock()

    def copy(work):
        with lock:
            if not folder.exists():
                folder.mkdir()
                run("restic", "--no-cache", "init", env={**os.environ, "RESTIC_REPOSITORY": str(folder / "restic"), "RESTIC_PASSWORD": "x"})
                run("borg", "init", "-e", "none", env=borg_environment(folder))
        shutil.copytree(folder, work)

    return copy


def first_try(tool, lie, options, repositories):
    with contextlib.ExitStack() as stack:
        place = mounting.Place()
        stack.callback(subprocess.run, ["rm", "-rf", place.folder], check=True)
        server = stack.enter_context(Server(Script(messages=list(MAILS), size_said=LIES[lie])))
        work = place.folder / "work"
        if tool in (restic, borg):
            repositories(work)
        work.mkdir(exist_ok=True)
        mount = stack.enter_context(mounting.mounted(place, script_source(server), script_options(place, server, options)))
        right = {**WHAT_IS_RIGHT, **WHAT_IS_RIGHT_WHEN_STRICT}[tool]
        got = tool(mount.path, work)
        assert got.keys() == CONTENT.keys()
        wrong = [name for name, octets in CONTENT.items() if got[name] != right(octets)]
        assert wrong == []
        assert {name: os.stat(mount.path / name).st_size for name in CONTENT} == {name: len(octets) for name, octets in CONTENT.items()}


@pytest.fixture(scope="module")
def runs(request, repositories):
    with side_by_side(request, "cell", lambda cell: first_try(*cell, repositories), AT_ONCE) as futures:
        yield futures


def cell_id(cell):
    tool, lie, options = cell
    return "-".join(filter(None, [tool.__name__, lie, options]))


@pytest.mark.parametrize("cell", cells(), ids=cell_id)
def test_a_tool_gets_the_right_octets_at_the_first_try(cell, runs):
    runs[cell].result()


def test_strict_waits_in_stat_for_the_exact_size(serve, on_script):
    """Rule 12: and only there: a listing and a look-up wait for nobody."""
    server = serve(Script(messages=list(MAILS), size_said=LIES["one-less"], hold_retr={"m200": 100}))
    with on_script(server, "size=strict,timeout=60") as mount:
        waiting = subprocess.Popen(["stat", "-c", "%s", mount.path / "m200.eml"], stdout=subprocess.PIPE)
        mounting.wait_until("the RETR", server.held.is_set)
        assert len(run("ls", "-U", mount.path).stdout.split()) == len(MAILS)
        assert waiting.poll() is None
        server.release.set()
        assert int(waiting.communicate(timeout=20)[0]) == len(CONTENT["m200.eml"])
