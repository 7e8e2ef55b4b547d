# SPDX-License-Identifier: MIT
"""The command itself: mounting in every way that people do, and failing with one line."""

import fcntl
import json
import os
import pty
import re
import socket
import subprocess
from pathlib import Path

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import binary, is_mounted, mounted, wait_until
from reading import cat, names, run
from scripted import Script

ONE = [mailbox.plain("one")]


def only_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, f"one line was expected:\n{text}"
    return lines[0]


def test_a_wrong_password_is_one_line_and_nothing_is_left(account, place):
    passfile = place.passfile("not the password")
    source = f"pop3://{account.user}@127.0.0.1:{account.server.port}"
    done = place.refused(place.command(source, f"tls=off,passfile={passfile}"))
    assert done.returncode == 32
    assert "not the password" not in only_line(done.stderr)
    assert len(re.findall("auth failed", account.server.log())) >= 1


def test_a_refused_connection_is_one_line(place):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        source = f"pop3://alice@127.0.0.1:{closed.getsockname()[1]}"
        done = place.refused(place.command(source, f"tls=off,passfile={place.passfile('x')}"))
    assert done.returncode == 32
    assert "refused" in only_line(done.stderr).lower()


def test_an_unknown_host_is_one_line(place):
    done = place.refused(place.command("pop3://alice@no.such.host.invalid", f"tls=off,passfile={place.passfile('x')}"))
    assert done.returncode == 32
    assert "no.such.host.invalid" in only_line(done.stderr)


@pytest.mark.parametrize("option, word", [("bogus=1", "bogus"), ("colour", "colour"), ("timeout=soon", "timeout"), ("auth=magic", "magic"), ("tls=maybe", "tls")])
def test_a_bad_option_is_named_before_anything_is_sent(option, word, serve, place):
    server = serve(Script())
    done = place.refused(place.command(script_source(server), script_options(place, server, option)))
    assert done.returncode == 1
    assert word in done.stderr
    assert server.sessions == []


@pytest.mark.parametrize("source", ["pop3://alice:secret@127.0.0.1", "http://alice@127.0.0.1", "pop3://", "pop3://alice@127.0.0.1:99999"])
def test_a_bad_source_is_refused(source, place):
    done = place.refused(place.command(source, f"passfile={place.passfile('x')}"))
    assert done.returncode == 1
    assert done.stderr.strip() and "secret" not in done.stderr


def test_a_missing_mount_point_is_a_clear_error(serve, place):
    server = serve(Script())
    place.mountpoint.rmdir()
    done = place.refused(place.command(script_source(server), script_options(place, server)))
    assert done.returncode != 0 and str(place.mountpoint) in done.stderr


def test_a_password_file_that_others_can_read_is_refused(serve, place):
    server = serve(Script())
    options = script_options(place, server)
    (place.folder / "password").chmod(0o644)
    done = place.refused(place.command(script_source(server), options))
    assert "password" in done.stderr and server.script.password not in done.stderr
    assert not server.heard_secret()


def test_help_and_version_go_to_stdout():
    for flag, word in (("-h", "usage"), ("-V", "popfs")):
        done = subprocess.run([binary(), flag], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0
        assert word in done.stdout.lower() and done.stderr == ""


def test_no_arguments_is_a_usage_error():
    done = subprocess.run([binary()], capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert done.stderr.strip()


def test_the_words_of_fstab_are_accepted(serve, on_script):
    server = serve(Script(messages=ONE))
    words = "defaults,user,noauto,nofail,_netdev,relatime,x-systemd.automount,comment=mail,dev,suid,exec"
    with on_script(server, words) as mount:
        assert names(mount.path) == ["one.eml"]


def test_a_daemon_is_there_when_the_command_returns(serve, on_script):
    server = serve(Script(messages=ONE))
    with on_script(server, foreground=False) as mount:
        assert os.listdir(mount.path) == ["one.eml"]
        assert mount.log() == ""
        session = int(open(f"/proc/{mount.pid}/stat").read().rsplit(")", 1)[1].split()[3])
        assert session == mount.pid


def test_the_daemon_holds_on_to_nothing_of_the_caller(serve, on_script):
    server = serve(Script(messages=ONE))
    with on_script(server, foreground=False) as mount:
        assert os.readlink(f"/proc/{mount.pid}/cwd") == "/"
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{mount.pid}/fd/{fd}") == "/dev/null"


def test_the_command_waits_until_the_login_is_over(serve, place):
    server = serve(Script(messages=ONE, hold_login=True))
    command = place.command(script_source(server), script_options(place, server))
    with subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_until("the PASS", lambda: server.heard_secret())
        assert process.poll() is None and not is_mounted(place.mountpoint)
        server.release.set()
        assert process.wait(20) == 0
        assert os.listdir(place.mountpoint) == ["one.eml"]


def test_the_password_is_nowhere_to_be_seen(serve, on_script):
    server = serve(Script(messages=ONE))
    secret = server.script.password.encode()
    with on_script(server) as mount:
        cat(mount.path / "one.eml")
        for name in ("cmdline", "environ"):
            assert secret not in open(f"/proc/{mount.pid}/{name}", "rb").read()
        assert secret not in open("/proc/self/mountinfo", "rb").read()
        for name in ("status", "status.json"):
            assert secret not in cat(mount.path / ".popfs" / name)
    assert server.script.password not in mount.log()


@pytest.mark.parametrize("auth", ["user", "plain", "login", "cram-md5"])
def test_debug_output_stars_the_secrets(auth, serve, place):
    import base64

    server = serve(Script(messages=ONE))
    command = place.command(script_source(server), script_options(place, server, f"auth={auth}"), ("-f", "-d"))
    with mounted(place, None, None, command=command) as mount:
        cat(mount.path / "one.eml")
    log, secret = mount.log(), server.script.password
    assert "UIDL" in log and "***" in log
    plain = base64.b64encode(f"\0{server.script.user}\0{secret}".encode()).decode()
    assert all(text not in log for text in (secret, base64.b64encode(secret.encode()).decode(), plain))


def test_passcmd_gives_the_password(serve, place):
    server = serve(Script(messages=ONE))
    (place.folder / "secret").write_text(server.script.password + "\nanother line\n")
    options = f"tls=off,passcmd=cat {place.folder}/secret"
    with mounted(place, script_source(server), options) as mount:
        assert names(mount.path) == ["one.eml"]


def test_a_failing_passcmd_is_a_clear_error(serve, place):
    server = serve(Script(messages=ONE))
    done = place.refused(place.command(script_source(server), "tls=off,passcmd=exit 3"))
    assert "passcmd" in only_line(done.stderr)
    assert not server.heard_secret()


def test_the_password_is_asked_for_on_a_terminal(serve, place):
    server = serve(Script(messages=ONE))
    command = place.command(script_source(server), "tls=off")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, place.environment)
    try:
        shown = b""
        while b":" not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, server.script.password.encode() + b"\n")
        try:
            while got := os.read(terminal, 1000):
                shown += got
        except OSError:
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
        assert os.listdir(place.mountpoint) == ["one.eml"]
        assert server.script.password.encode() not in shown
    finally:
        os.close(terminal)


def test_without_password_and_terminal_it_says_so(serve, place):
    server = serve(Script(messages=ONE))
    done = place.refused(place.command(script_source(server), "tls=off"))
    assert "password" in only_line(done.stderr).lower()


def test_status_is_for_people_and_for_programs(account, on_dovecot):
    account.add(mailbox.many(3))
    with on_dovecot(account, "tls") as mount:
        assert ".popfs" not in os.listdir(mount.path)
        assert set(os.listdir(mount.path / ".popfs")) >= {"status", "status.json"}
        os.unlink(mount.path / "m00002.eml")
        text = cat(mount.path / ".popfs/status").decode()
        assert "127.0.0.1" in text and "TLSv1.3" in text
        data = json.loads(cat(mount.path / ".popfs/status.json"))
        assert (data["state"], data["pending_removal_count"], data["session_count"]) == ("online", 1, 1)
        assert "TLSv1.3" in data["transport"] and data["login"] == "SCRAM-SHA-256"
        for name in ("status", "status.json"):
            path = mount.path / ".popfs" / name
            assert os.stat(path).st_mode & 0o222 == 0
            assert len(run("dd", f"if={path}", "bs=7").stdout) > 20


def test_findmnt_and_df_show_the_source(serve, on_script):
    server = serve(Script(messages=ONE))
    with on_script(server) as mount:
        row = run("findmnt", "-n", "-t", "fuse.popfs", "-o", "SOURCE,OPTIONS", mount.path).stdout.decode()
        source, options = row.split()
        assert source == f"pop3://alice@127.0.0.1:{server.port}"  # as given, so that mount -a and umount SOURCE know it again
        assert {"nosuid", "nodev"} <= set(options.split(","))
        assert f"127.0.0.1:{server.port}" in run("df", mount.path).stdout.decode()


def test_an_empty_maildrop_is_an_empty_directory(account, on_dovecot):
    with on_dovecot(account) as mount:
        assert names(mount.path) == []
        assert run("rsync", "-a", f"{mount.path}/", mount.place.folder / "copy").returncode == 0


def test_names_that_are_not_there_are_enoent(serve, on_script):
    server = serve(Script(messages=ONE))
    with on_script(server) as mount:
        for name in ("two.eml", "one", "one.EML", ".popfs/nothing", ".hidden", "n" * 255):
            assert not os.path.lexists(mount.path / name), name


FOUND_BY_MOUNT = Path("/usr/local/bin/popfs")  # mount.fuse3 asks /bin/sh for `popfs`, with a PATH of its own


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """What `meson install` makes of the build that is tested, in a folder: "bin/popfs" and so on -> where it lies."""
    build, folder = Path(binary()).resolve().parents[2], tmp_path_factory.mktemp("installation")
    run("meson", "install", "--no-rebuild", "-C", build, "--destdir", folder)
    options = json.loads(run("meson", "introspect", "--buildoptions", build).stdout)
    (prefix,) = (option["value"] for option in options if option["name"] == "prefix")
    top = folder / prefix.lstrip("/")
    assert top.is_dir(), sorted(folder.rglob("*"))
    return {str(path.relative_to(top)): path for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def installed(installation, monkeypatch, place):
    """The installed popfs where mount(8) finds it. Gives the options it needs."""
    program = installation["bin/popfs"]
    monkeypatch.setenv("POPFS", str(program))
    turn = os.open(FOUND_BY_MOUNT.parent, os.O_RDONLY)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)  # other workers want the same name
        if FOUND_BY_MOUNT.exists():
            run("mount", "--bind", program, FOUND_BY_MOUNT)
            undo = ("umount", FOUND_BY_MOUNT)
        else:
            FOUND_BY_MOUNT.symlink_to(program)
            undo = ("rm", FOUND_BY_MOUNT)
        yield f"cache={place.folder}/cache,state={place.folder}/state"
        run(*undo)
    finally:
        os.close(turn)


def test_an_installation_has_the_programs_and_their_manuals(installation):
    assert {"bin/popfs", "bin/popfsctl", "sbin/umount.fuse.popfs", "share/man/man1/popfs.1", "share/man/man1/popfsctl.1",
            "share/bash-completion/completions/popfs"} <= set(installation)
    for name in ("bin/popfs", "bin/popfsctl"):
        assert os.access(installation[name], os.X_OK)
    assert os.readlink(installation["sbin/umount.fuse.popfs"]).endswith("bin/popfsctl")
    assert run(installation["bin/popfs"], "-V").stdout == run(binary(), "-V").stdout
    for name in ("popfs.1", "popfsctl.1"):
        manual = Path(__file__).parents[2] / "man" / name
        assert installation[f"share/man/man1/{name}"].read_bytes() == manual.read_bytes()
    page = run("mandoc", "-T", "ascii", "-O", "width=78", installation["share/man/man1/popfs.1"]).stdout
    assert b"mount a POP3 maildrop as files" in page


def test_mount_minus_t_works(installed, serve, place):
    server = serve(Script(messages=ONE))
    options = script_options(place, server, f"noatime,nosuid,{installed}")
    command = ["mount", "-t", "fuse.popfs", script_source(server), str(place.mountpoint), "-o", options]
    with mounted(place, None, None, foreground=False, command=command) as mount:
        assert names(mount.path) == ["one.eml"]
        os.unlink(mount.path / "one.eml")
        mount.unmount()
    assert server.script.messages == []


def test_mount_minus_t_read_only(installed, serve, place):
    server = serve(Script(messages=ONE))
    command = ["mount", "-r", "-t", "fuse.popfs", script_source(server), str(place.mountpoint), "-o", script_options(place, server, installed)]
    with mounted(place, None, None, foreground=False, command=command) as mount:
        assert run("rm", "-f", mount.path / "one.eml", check=False).returncode != 0
    assert server.script.messages == ONE


def test_a_line_of_fstab_mounts(installed, serve, place):
    server = serve(Script(messages=ONE))
    table = place.folder / "fstab"
    options = script_options(place, server, f"noauto,user,nofail,_netdev,x-systemd.idle-timeout=60,{installed}")
    table.write_text(f"{script_source(server)} {place.mountpoint} fuse.popfs {options} 0 0\n")
    command = ["mount", "-T", str(table), str(place.mountpoint)]
    with mounted(place, None, None, foreground=False, command=command) as mount:
        assert names(mount.path) == ["one.eml"]


def test_mount_reports_a_failure(installed, serve, place):
    server = serve(Script(messages=ONE))
    options = script_options(place, server, installed)
    place.passfile("wrong")
    done = place.refused(["mount", "-t", "fuse.popfs", script_source(server), str(place.mountpoint), "-o", options])
    assert done.returncode == 32
    assert done.stderr.strip()
