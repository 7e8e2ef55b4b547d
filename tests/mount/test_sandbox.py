# SPDX-License-Identifier: MIT
"""What the daemon can no longer do, that it does all the same what it is for, and who it can run as."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import is_mounted, mounted, unmount_hard, wait_for_end, wait_until
from reading import cat, run
from scripted import Script

NOBODY = 65534
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_RESTRICT_SELF = 446


def sandbox_of_this_kernel():
    """What popfs must say here; every kernel that these tests run on has seccomp."""
    abi = ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    return f"Landlock (ABI {abi}) and seccomp" if abi > 0 else "seccomp; this kernel has no Landlock"


def thread_states(pid):
    """(Seccomp, NoNewPrivs) of each thread."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return {tuple(re.search(rf"^{key}:\s*(\d)", text, re.M)[1] for key in ("Seccomp", "NoNewPrivs")) for text in texts}


def helpers_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if Path(f"/proc/{child}/comm").read_text() == "popfs-unmount\n"]


def descriptors(pid):
    return [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]


def three():
    return [mailbox.plain(name) for name in ("one", "two", "three")]


@pytest.fixture
def far_folder():
    """A folder to which no rule of the sandbox leads by itself, as those below /tmp do."""
    folder = Path(tempfile.mkdtemp(prefix="popfs-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def test_every_thread_is_confined_and_the_log_says_how(serve, place):
    server = serve(Script(messages=three()))
    source = script_source(server).replace("127.0.0.1", "localhost")  # glibc's look-up thread is there as well
    with mounted(place, source, script_options(place, server)) as mount:
        wait_until("its word", lambda: f": sandbox: {sandbox_of_this_kernel()}\n" in mount.log())
        assert thread_states(mount.pid) == {("2", "1")}


def test_sandbox_off(serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server, "sandbox=off") as mount:
        wait_until("its word", lambda: ": sandbox: off (-o sandbox=off)\n" in mount.log())
        assert thread_states(mount.pid) == {("0", "0")}
        assert helpers_of(mount.pid) == []
        mount.kill(signal.SIGTERM)
        assert mount.wait_end() == 0


def test_look_up_reconnect_read_remove_and_commit_go_on(serve, certificate, authority, far_folder, place):
    server = serve(Script(messages=three()), certificate=certificate)
    options = script_options(place, server, f"cache={far_folder}/deep/cache,state={far_folder}/deep/state,cafile={authority.folder}/ca.pem", tls="tls=starttls")
    with mounted(place, script_source(server).replace("127.0.0.1", "localhost"), options) as mount:
        assert cat(mount.path / "one.eml") == three()[0].data
        server.drop_all()
        wait_until("the second session", lambda: run("cat", mount.path / "two.eml", check=False).returncode == 0, 20)
        assert len(server.sessions) == 2
        os.unlink(mount.path / "one.eml")
        os.unlink(mount.path / "three.eml")
        mount.unmount()
        assert "deleted 2 messages" in mount.log()
    assert [mail.name for mail in server.script.messages] == ["two"]
    assert [path.name for path in (far_folder / "deep/state").glob("*/removals")] == ["removals"]
    (account,) = (far_folder / "deep/cache").iterdir()
    assert (account / "index.sqlite").exists()


def test_certificates_are_looked_up_in_a_folder_when_they_are_needed(serve, certificate, authority, far_folder, place):
    shutil.copy(authority.folder / "ca.pem", far_folder)
    run("openssl", "rehash", far_folder)
    place.environment["SSL_CERT_DIR"] = f"/nowhere:{far_folder}"
    server = serve(Script(messages=three()), certificate=certificate, implicit_tls=True)
    with mounted(place, script_source(server, "pops"), script_options(place, server, tls="")) as mount:
        assert cat(mount.path / "one.eml") == three()[0].data


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_leaves_nothing(foreground, number, serve, place):
    server = serve(Script(messages=three()))
    with mounted(place, script_source(server), script_options(place, server), foreground=foreground) as mount:
        (helper,) = helpers_of(mount.pid)
        os.unlink(mount.path / "one.eml")
        # As systemd and a terminal do it: to all at once.
        os.kill(helper, number)
        mount.kill(number)
        mount.wait_end()
        wait_for_end([helper], 5)
        assert "unmount" not in mount.log()
    assert len(server.script.messages) == 2


def test_a_signal_unmounts_although_a_file_is_open(serve, on_script):
    server = serve(Script(messages=three()))
    with on_script(server) as mount, open(mount.path / "one.eml", "rb") as file:
        mount.kill(signal.SIGTERM)
        assert mount.wait_end() == 0
        assert "unmount" not in mount.log()
        with pytest.raises(OSError):
            os.fstat(os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY))


def test_the_helper_ends_with_a_killed_daemon(serve, place):
    server = serve(Script(messages=three()))
    with mounted(place, script_source(server), script_options(place, server), expect_exit=None) as mount:
        helpers = helpers_of(mount.pid)
        mount.kill(signal.SIGKILL)
        wait_for_end([mount.pid, *helpers], 5)
        unmount_hard(mount.path)


def test_a_dead_helper_is_said_and_no_wait(serve, place):
    server = serve(Script(messages=three()))
    with mounted(place, script_source(server), script_options(place, server), expect_exit=None) as mount:
        (helper,) = helpers_of(mount.pid)
        os.kill(helper, signal.SIGKILL)
        os.unlink(mount.path / "one.eml")
        begun = time.monotonic()
        mount.kill(signal.SIGTERM)
        wait_for_end([mount.pid], 10)
        assert time.monotonic() - begun < 5
        assert "fusermount3 -uz clears the place" in mount.log()
        assert is_mounted(mount.path)
        unmount_hard(mount.path)
    assert len(server.script.messages) == 2


def test_no_descriptor_is_inherited(serve, place):
    server = serve(Script(messages=three()))
    ends = [*os.pipe(), os.open("/etc/passwd", os.O_RDONLY)]
    command = place.command(script_source(server), script_options(place, server))
    done = subprocess.run(command, env=place.environment, stdin=subprocess.DEVNULL, pass_fds=ends, timeout=30, cwd=place.folder)
    assert done.returncode == 0
    with mounted(place, None, None, command=["true"], foreground=False) as mount:
        os.close(ends[1])
        assert os.read(ends[0], 1) == b"", "somebody still holds the pipe"
        (helper,) = helpers_of(mount.pid)
        assert "/etc/passwd" not in descriptors(mount.pid) + descriptors(helper)
        assert set(descriptors(helper)) - {"/dev/null"} == {name for name in descriptors(helper) if name.startswith("pipe:")}
        assert len(descriptors(helper)) == 3
        assert [name for name in descriptors(mount.pid) if name.startswith("/") and not name.startswith(str(place.folder))
                and name not in ("/dev/null", "/dev/fuse", f"/proc/{mount.pid}/mountinfo")] == []
    os.close(ends[0])
    os.close(ends[2])


def test_the_cafile_may_be_what_a_shell_hands_over(serve, certificate, authority, place):
    server = serve(Script(messages=three()), certificate=certificate, implicit_tls=True)
    with open(authority.folder / "ca.pem") as file:
        command = place.command(script_source(server, "pops"), script_options(place, server, f"cafile=/dev/fd/{file.fileno()}", tls=""))
        done = subprocess.run(command, env=place.environment, stdin=subprocess.DEVNULL, pass_fds=[file.fileno()], timeout=30, cwd=place.folder)
        assert done.returncode == 0
    with mounted(place, None, None, command=["true"], foreground=False) as mount:
        assert cat(mount.path / "one.eml") == three()[0].data


def fill_landlock():
    """As many layers as the kernel allows, each of a rule that popfs does not need; one more is refused."""
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    make_block_device = ctypes.c_uint64(1 << 11)
    while libc.syscall(LANDLOCK_RESTRICT_SELF, libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(make_block_device), 8, 0), 0) == 0:
        pass


def test_what_the_kernel_has_and_refuses_is_an_error_before_anything_is_sent(serve, place):
    server = serve(Script(messages=three()))
    command = place.command(script_source(server), script_options(place, server))
    done = subprocess.run(command, env=place.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          preexec_fn=fill_landlock)
    if "Landlock" in sandbox_of_this_kernel().split(";")[0]:
        assert (done.returncode, done.stderr) == (2, "popfs: Landlock: Argument list too long; try -o sandbox=off\n")
        assert server.sessions == [] and not is_mounted(place.mountpoint)
    else:
        assert done.returncode == 0 and is_mounted(place.mountpoint)


# ---- in a namespace of its own, where not only root may mount


@pytest.fixture
def of_nobody(place, secluded):
    """The folder, mount point and password file belong to nobody."""

    def give(server, more=""):
        options = script_options(place, server, f"cache={place.folder}/cache,state={place.folder}/state,{more}".rstrip(","))
        for name in ("cache", "state"):
            (place.folder / name).mkdir(exist_ok=True)
        for path in (place.folder, place.mountpoint, place.folder / "password", place.folder / "cache", place.folder / "state"):
            os.chown(path, NOBODY, NOBODY)
        return options

    return give


@pytest.mark.parametrize("more", ["", "auto_unmount"])
def test_a_user_who_is_not_root_mounts_and_a_signal_unmounts(more, serve, place, secluded, of_nobody):
    server = serve(Script(messages=three()))
    command = place.command(script_source(server), of_nobody(server, more))
    done = secluded.run(*command, user=NOBODY, env=place.environment)
    assert done.returncode == 0, done.stderr
    assert secluded.run("cat", place.mountpoint / "one.eml", user=NOBODY).stdout.encode() == three()[0].data.replace(b"\r\n", b"\n")
    (daemon,) = secluded.daemons()
    assert thread_states(daemon) == {("2", "1")}
    # Not dumpable: not even the same user looks into it.
    assert "denied" in secluded.run("cat", f"/proc/{daemon}/environ", user=NOBODY).stderr
    assert secluded.run("rm", place.mountpoint / "two.eml", user=NOBODY).returncode == 0
    os.kill(daemon, signal.SIGTERM)
    secluded.wait_unmounted(place.mountpoint)
    wait_for_end([daemon])
    assert [mail.name for mail in server.script.messages] == ["one", "three"]
    assert b"unmount" not in secluded.logged()


def test_the_log_is_found_again_after_it_was_started_anew(serve, place, secluded):
    server = serve(Script(messages=three()))
    assert secluded.run(*place.command(script_source(server), script_options(place, server)), env=place.environment).returncode == 0
    secluded.wait_logged(b"sandbox: " + sandbox_of_this_kernel().encode())
    secluded.listen()
    assert secluded.run("rm", place.mountpoint / "one.eml").returncode == 0
    assert secluded.run("umount", place.mountpoint).returncode == 0
    secluded.wait_logged(b"deleted 1 message")


@pytest.mark.parametrize("words", ["setuid=nobody", "setuid=nobody,drop_privileges", "drop_privileges"])
def test_mount_fuse3_hands_the_mount_to_another_user(words, serve, place, secluded, of_nobody):
    user = NOBODY if "setuid" in words else None
    server = serve(Script(messages=three()))
    options = of_nobody(server, words + f",uid={NOBODY}")
    if user is None:
        for path in (place.folder / "cache", place.folder / "state", place.folder / "password"):
            os.chown(path, 0, 0)
    done = secluded.run("mount", "-t", "fuse.popfs", script_source(server), place.mountpoint, "-o", options)
    assert done.returncode == 0, done.stderr
    (daemon,) = secluded.daemons()
    assert os.stat(f"/proc/{daemon}/environ").st_uid == 0, "it is dumpable"
    status = Path(f"/proc/{daemon}/status").read_text()
    assert f"Uid:\t{user or 0}\t" in status and "CapEff:\t0000000000000000" in status
    assert thread_states(daemon) == {("2", "1")}
    assert secluded.run("cat", place.mountpoint / "one.eml", user=user).stdout.startswith("From: ")
    assert secluded.run("umount", place.mountpoint).returncode == 0
    wait_for_end([daemon])
    assert server.commands("QUIT") == ["QUIT"]


def test_under_setuid_there_is_no_home_and_the_cache_is_a_temporary_folder(serve, place, secluded, of_nobody):
    server = serve(Script(messages=three()))
    options = of_nobody(server).replace(f",cache={place.folder}/cache", "") + ",setuid=nobody"
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "TMPDIR": str(place.folder)}
    stateless = options.replace(f",state={place.folder}/state", "")
    done = secluded.run("mount", "-t", "fuse.popfs", script_source(server), place.mountpoint, "-o", stateless, env=environment)
    assert done.returncode != 0 and "use -o state=FOLDER, or state=off" in done.stderr
    done = secluded.run("mount", "-t", "fuse.popfs", script_source(server), place.mountpoint, "-o", options, env=environment)
    assert done.returncode == 0, done.stderr
    (daemon,) = secluded.daemons()
    assert any(f"{place.folder}/popfs-{NOBODY}/" in name for name in descriptors(daemon))
    assert secluded.run("umount", place.mountpoint).returncode == 0
    secluded.wait_unmounted(place.mountpoint)
    wait_for_end([daemon])
