# SPDX-License-Identifier: MIT
"""popfsctl and umount(8) with a real popfs under them: what they say is what the server has."""

import json
import os
import signal
import subprocess
import time

import mailbox
import pytest
from mounting import wait_for_end, wait_until
from reading import cat, names
from scripted import Script

SIX = mailbox.many(6, octets=300)
UIDLS = {mail.name for mail in SIX}


def ctl(mount, command, *rest, code=0):
    words = [os.environ["POPFSCTL"], command, str(mount.path), *rest]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=mount.place.environment)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{mount.log()}"
    return done


def remove(mount, *numbers):
    for number in numbers:
        os.unlink(mount.path / f"m0000{number}.eml")


def status(mount):
    return json.loads(ctl(mount, "status", "--json").stdout)


def test_status_is_what_the_files_say(serve, on_script):
    with on_script(serve(Script(messages=SIX))) as mount:
        assert ctl(mount, "status").stdout.splitlines()[0].split() == ["state:", "online"]
        facts = status(mount)
        assert (facts["message_count"], facts["pending_removal_count"], facts["read_only"]) == (6, 0, False)
        assert facts["pid"] == mount.pid and facts["mountpoint"] == str(mount.path)


def test_commit_deletes_and_counts(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        assert ctl(mount, "commit").stdout == "nothing to delete\n"
        remove(mount, 1, 2, 3)
        assert ctl(mount, "commit").stdout == "deleted 3 messages\n"
        assert {mail.name for mail in server.script.messages} == UIDLS - {"m00001", "m00002", "m00003"}
        assert ctl(mount, "commit").stdout == "nothing to delete\n"
        assert status(mount)["pending_removal_count"] == 0 and len(names(mount.path)) == 3


def test_two_commits_at_once_both_say_what_was_deleted(serve, on_script):
    server = serve(Script(messages=SIX, quit_s=1))
    with on_script(server) as mount:
        remove(mount, 1, 2, 3)
        words = [os.environ["POPFSCTL"], "commit", str(mount.path)]
        first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        wait_until("QUIT", lambda: server.commands("QUIT"))
        assert ctl(mount, "commit").stdout == "deleted 3 messages\n"
        assert first.communicate(timeout=30)[0] == "deleted 3 messages\n"


def test_commit_names_what_the_server_refused(serve, on_script):
    server = serve(Script(messages=SIX, dele_refused={"m00002"}))
    with on_script(server, expect_exit=None) as mount:
        remove(mount, 1, 2)
        done = ctl(mount, "commit", code=1)
        assert done.stdout == "deleted 1 message\n"
        assert "could not delete m00002.eml: " in done.stderr and "may not delete this" in done.stderr
        found = json.loads(ctl(mount, "commit", "--json", code=1).stdout)
        assert found["failed"] == 1 and found["failures"][0]["uidl"] == "m00002" and found["pending_removal_count"] == 1


@pytest.mark.slow
def test_commit_without_server_says_why_and_forgets_nothing(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "timeout=2", expect_exit=None) as mount:
        remove(mount, 1)
        server.__exit__()
        assert ctl(mount, "commit", code=1).stderr.startswith("popfsctl: ")
        assert status(mount)["pending_removal_count"] == 1


def test_undelete_and_rollback_bring_back(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        remove(mount, 1, 2, 3, 4)
        assert ctl(mount, "undelete", "m00001.eml", f"{mount.path}/.popfs/trash/m00002.eml").stdout == "brought back 2 messages\n"
        assert cat(mount.path / "m00001.eml") == SIX[0].data
        done = ctl(mount, "undelete", "m00006.eml", "nonsense", code=1)
        assert "could not bring back m00006.eml" in done.stderr and "could not bring back nonsense" in done.stderr
        assert ctl(mount, "rollback").stdout == "brought back 2 messages\n"
        assert len(names(mount.path)) == 6
        assert ctl(mount, "rollback").stdout == "nothing to bring back\n"
    assert server.commands("DELE") == []


def test_refresh_counts_new_mail(serve, on_script):
    server = serve(Script(messages=SIX[:4]))
    with on_script(server) as mount:
        server.script.messages = list(SIX)
        assert ctl(mount, "refresh").stdout == "2 new messages, 6 in all\n"
        assert len(names(mount.path)) == 6
        server.script.messages = SIX[:5]
        assert ctl(mount, "refresh").stdout == "1 message fewer, 5 in all\n"


def test_prefetch_fetches_all_or_some(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server) as mount:
        assert ctl(mount, "prefetch", "m00003.eml").stdout == "1 message on the local disk\n"
        assert len(server.commands("RETR")) == 1
        assert "no message has this name" in ctl(mount, "prefetch", "nonsense", code=1).stderr
        assert ctl(mount, "prefetch").stdout == "6 messages on the local disk\n"
        assert len(server.commands("RETR")) == 6


def test_prefetch_says_that_the_cache_is_too_small(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "cache_size=1") as mount:
        assert "the cache is full" in ctl(mount, "prefetch", code=1).stderr


def test_read_only_refuses_to_commit(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "ro") as mount:
        assert "read-only" in ctl(mount, "commit", code=1).stderr
    assert server.commands("DELE") == []


def test_control_off_is_named(serve, on_script):
    with on_script(serve(Script(messages=SIX)), "control=off") as mount:
        assert "control=off" in ctl(mount, "commit", code=1).stderr


def test_an_interrupted_wait_leaves_the_mount_alone(serve, on_script):
    server = serve(Script(messages=SIX, hold_retr={"m00001": 10}))
    with on_script(server) as mount:
        process = subprocess.Popen([os.environ["POPFSCTL"], "prefetch", mount.path], stderr=subprocess.PIPE, text=True)
        assert server.held.wait(20)
        time.sleep(0.2)
        process.send_signal(2)
        assert process.wait(20) == 130 and "interrupted" in process.stderr.read()
        process.stderr.close()
        server.release.set()
        assert cat(mount.path / "m00001.eml") == SIX[0].data


def test_popfsctl_umount_waits_for_the_daemon(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, foreground=False) as mount:
        remove(mount, 1, 2)
        assert ctl(mount, "umount").stdout == "deleted 2 messages\n"
        assert mount.is_over()
        assert account.remaining() == UIDLS - {"m00001", "m00002"}


def test_popfsctl_umount_of_a_busy_mount_deletes_nothing(account, on_dovecot):
    account.add(SIX)
    with on_dovecot(account, foreground=False) as mount:
        remove(mount, 1)
        with open(mount.path / "m00002.eml", "rb"):
            assert "target is busy" in ctl(mount, "umount", code=32).stderr
        assert account.remaining() == UIDLS
        ctl(mount, "umount")
        assert account.remaining() == UIDLS - {"m00001"}


def test_popfsctl_umount_of_what_is_refused_is_exit_1(serve, on_script):
    server = serve(Script(messages=SIX, dele_refused={"m00002"}))
    with on_script(server, foreground=False) as mount:
        remove(mount, 1, 2)
        done = ctl(mount, "umount", code=1)
        assert done.stdout == "deleted 1 message\n" and "could not delete m00002.eml" in done.stderr
        assert mount.is_over()


@pytest.mark.slow
def test_popfsctl_umount_without_server_unmounts(serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, "timeout=2", foreground=False) as mount:
        remove(mount, 1)
        server.__exit__()
        assert "stays pending" in ctl(mount, "umount", code=1).stderr
        assert mount.is_over()


@pytest.mark.parametrize("flag", ["-l", "-f"])
def test_lazily_or_by_force_nothing_is_deleted(flag, serve, on_script):
    server = serve(Script(messages=SIX))
    with on_script(server, foreground=False) as mount:
        remove(mount, 1)
        assert "1 removal stays pending" in ctl(mount, "umount", flag).stderr
        wait_for_end([mount.pid])
    assert server.commands("DELE") == []


IN_NAMESPACE = """
umount -a -i -l -t fuse.popfs # copies of mounts of other tests, which would outlive those
mount -t overlay overlay -o lowerdir={folder}/sbin:/usr/sbin /usr/sbin && mkdir -p /run/mount && mount -t tmpfs tmpfs /run/mount || exit 99
{popfs} || exit 98
rm {path}/m00001.eml {path}/m00002.eml
umount {path}
echo "exit code $?"
"""


def test_plain_umount_reports_and_waits(account, on_dovecot, place):
    """umount(8) finds the helper by what popfs wrote into utab; in a mount namespace, so that the machine's stay as they are."""
    account.add(SIX)
    (place.folder / "sbin").mkdir()
    (place.folder / "sbin/umount.fuse.popfs").symlink_to(os.environ["POPFSCTL"])
    popfs = place.command(f"pop3://{account.user}@127.0.0.1:{account.server.port}",
                          f"passfile={place.passfile(account.password)},tls=off,timeout=20")
    script = IN_NAMESPACE.format(folder=place.folder, path=place.mountpoint, popfs=" ".join(popfs))
    done = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True, timeout=60, env=place.environment)
    assert done.stdout == "deleted 2 messages\nexit code 0\n", done
    assert account.remaining() == UIDLS - {"m00001", "m00002"}


def test_an_idle_mount_can_be_asked_at_once(account, on_dovecot):
    """A first question that comes while the daemon has no session."""
    account.add(SIX)
    with on_dovecot(account, options="idle=1") as mount:
        wait_until("the end of the session", lambda: status(mount)["state"] == "idle", 20)
        remove(mount, 1)
        assert ctl(mount, "commit").stdout == "deleted 1 message\n"


# -- a mount that goes while popfsctl waits

def run_and(mount, command, begun, what):
    """`what` happens once the server has `begun`; gives popfsctl's exit code, output and errors."""
    running = subprocess.Popen([os.environ["POPFSCTL"], command, mount.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(f"{command} to begin", begun)
    what()
    said, complained = running.communicate(timeout=30)
    return running.returncode, said, complained


def detach(mount):
    subprocess.run(["umount", "-i", "-l", mount.path], check=True)


def test_a_commit_says_what_was_deleted_though_the_mount_was_unmounted_lazily_meanwhile(serve, on_script):
    server = serve(Script(messages=SIX, quit_s=1, dele_refused={"m00002"}))
    with on_script(server, expect_exit=None) as mount:
        remove(mount, 1, 2, 3)
        code, said, complained = run_and(mount, "commit", lambda: server.commands("QUIT"), lambda: detach(mount))
        assert (code, said) == (1, "deleted 2 messages\n"), complained
        assert "could not delete m00002.eml: " in complained and "may not delete this" in complained
        mount.wait_end()


def test_a_refresh_says_what_came_though_the_mount_was_unmounted_lazily_meanwhile(serve, on_script):
    server = serve(Script(messages=SIX[:4]))
    with on_script(server, expect_exit=None) as mount:
        server.script.messages, server.script.login_s = list(SIX), 1
        assert run_and(mount, "refresh", lambda: len(server.sessions) > 1, lambda: detach(mount)) == (0, "2 new messages, 6 in all\n", "")
        mount.wait_end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_commit_says_that_popfs_has_ended_meanwhile(number, serve, on_script):
    server = serve(Script(messages=SIX, quit_s=1))
    with on_script(server, expect_exit=None) as mount:
        remove(mount, 1, 2, 3)
        code, said, complained = run_and(mount, "commit", lambda: server.commands("QUIT"), lambda: mount.kill(number))
        how, cure = ("died", "; clear the place with fusermount3 -uz") if number == signal.SIGKILL else ("ended", "")
        assert (code, said) == (1, "")
        assert complained == (f"popfsctl: commit: popfs has {how} with 3 removals pending; "
                              f"what the server has not deleted stays pending for the next mount{cure}\n")
        mount.wait_end()
