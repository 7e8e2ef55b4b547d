# SPDX-License-Identifier: MIT
"""popfsctl umount, and umount.fuse.popfs under umount(8): what is deleted, what is waited for, and the exit code."""

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import SOURCE, mount_rows
from test_commands import FAILURE, committed, last_error, on_terminal

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def pending(fake):
    """Twelve removals wait, and a commit carries them out."""
    return expect_commit(fake)


def expect_commit(fake):
    fake.says(pending_removal_count=12)
    fake.can_become("after", pending_removal_count=0, last_commit=committed(12))
    fake.answers("become after")
    return fake


def test_umount_commits_reports_and_unmounts(pending):
    done = pending.run("umount")
    assert (done.stdout, done.stderr) == ("deleted 12 messages\n", "")
    assert pending.commands() == ["settle"] and not pending.is_mounted()


def test_umount_says_the_same_to_a_program(pending):
    found = json.loads(pending.run("umount", "--json").stdout)
    assert found == {"command": "umount", "mountpoint": str(pending.mountpoint), "problems": [], "deleted": 12, "failed": 0,
                     "failures": [], "pending_removal_count": 0, "unmounted": True, "exit_code": 0}


def test_umount_comes_back_when_the_process_has_ended(unmounted):
    expect_commit(unmounted.mount(end_s=2))
    begun = time.monotonic()
    unmounted.run("umount")
    assert time.monotonic() - begun >= 2 and unmounted.has_ended()


def test_a_long_wait_is_explained(unmounted):
    unmounted.mount(end_s=7)
    done = unmounted.run("umount")
    assert done.stderr == "popfsctl: unmounted; waiting for popfs to end its session\n" and unmounted.has_ended()


def test_a_process_that_is_no_popfs_is_not_waited_for(fake):
    fake.says(pid=os.getpid())
    begun = time.monotonic()
    fake.run("umount")
    assert time.monotonic() - begun < 5 and not fake.is_mounted()


def test_umount_with_nothing_removed_sends_no_command(fake):
    done = fake.run("umount")
    assert (done.stdout, done.stderr, fake.commands()) == ("", "", []) and not fake.is_mounted()


def test_umount_of_a_read_only_mount_sends_no_command(fake):
    fake.says(pending_removal_count=3, read_only=True)
    fake.run("umount")
    assert fake.commands() == [] and not fake.is_mounted()


def test_while_somebody_uses_it_nothing_is_deleted(pending):
    with open(pending.mountpoint / ".popfs/status"):
        for _ in range(3):  # once asked, MNT_EXPIRE of an idle mount would unmount it
            done = pending.run("umount", code=32)
            assert done.stderr == f"popfsctl: {pending.mountpoint}: target is busy\n"
    assert pending.is_mounted() and pending.commands() == []
    pending.run("umount")
    assert pending.commands() == ["settle"]


def test_an_interrupted_umount_leaves_no_mark_behind(pending):
    pending.answers("exec sleep 20")
    code, _ = on_terminal([pending.ctl, "umount", str(pending.mountpoint)], b"waiting", press=b"\x03")
    assert code == 130 and pending.is_mounted()
    expect_commit(pending)
    pending.run("umount")
    assert pending.commands() == ["settle", "settle"]


def test_what_cannot_be_deleted_is_named_and_it_is_unmounted_all_the_same(fake):
    fake.says(pending_removal_count=5)
    fake.can_become("after", pending_removal_count=1, last_commit=committed(4, FAILURE))
    fake.answers(f"become after; exit {errno.EIO}")
    done = fake.run("umount", code=1)
    assert done.stdout == "deleted 4 messages\n"
    assert done.stderr.splitlines() == [
        "popfsctl: could not delete a.eml: message is locked (Jan <jan@example.org>, Offer)",
        "popfsctl: popfs tries again as it ends; what cannot be deleted then stays pending for the next mount, if its UIDL is its own",
    ]
    assert not fake.is_mounted()


def test_a_machine_without_network_can_unmount(fake):
    fake.says(pending_removal_count=5)
    fake.can_become("after", last_error=last_error("no route to host"))
    fake.answers(f"become after; exit {errno.EIO}")
    done = fake.run("umount", code=1)
    assert "commit: no route to host" in done.stderr and "stays pending" in done.stderr
    assert not fake.is_mounted()


def test_without_a_state_nothing_stays_pending(fake):
    fake.says(pending_removal_count=5, state_folder=None)
    fake.can_become("after", last_error=last_error("no route to host"))
    fake.answers(f"become after; exit {errno.EIO}")
    done = fake.run("umount", code=1)
    assert "forgotten" in done.stderr and "stays pending" not in done.stderr
    assert not fake.is_mounted()


def test_what_is_not_mounted_is_exit_32(unmounted):
    assert "is not a popfs mount point" in unmounted.run("umount", code=32).stderr


def test_a_path_in_the_mount_does_not_stand_for_the_mount(pending):
    assert "is not a popfs mount point" in pending.run("umount", path=pending.mountpoint / ".popfs", code=32).stderr
    assert pending.is_mounted() and pending.commands() == []


def test_umount_of_a_dead_mount_just_unmounts(pending):
    pending.process.kill()
    pending.process.wait(20)
    done = pending.run("umount")
    assert done.stderr == "" and not pending.is_mounted()


def test_umount_without_popfs_folder_says_where_to_look(fake):
    (fake.backing / "control").unlink()
    (fake.backing / "status.json").unlink()
    assert "the log" in fake.run("umount").stderr and not fake.is_mounted()


@pytest.mark.parametrize("flag", ["-l", "-f"])
def test_lazily_or_by_force_nothing_is_committed(flag, pending):
    done = pending.run("umount", flag)
    assert done.stderr == "popfsctl: nothing is deleted; 12 removals stay pending\n"
    assert pending.commands() == ["keep"] and not pending.is_mounted()


@pytest.mark.parametrize("flags", ["-l", "-lf"])
def test_lazily_works_while_somebody_uses_it(flags, pending):
    with open(pending.mountpoint / ".popfs/status"):
        pending.run("umount", flags)
        assert not pending.is_mounted()


def test_by_force_a_busy_mount_leaves_no_dead_place(pending):
    with open(pending.mountpoint / ".popfs/status") as used:
        done = pending.run("umount", "-f")
        assert (pending.commands(), pending.is_mounted()) == (["keep"], False), done
        with pytest.raises(OSError):
            used.read()
    assert os.listdir(pending.mountpoint) == []


def test_by_force_one_of_several_mounts_that_is_busy_leaves_the_others_alive(pending, bound):
    with open(bound / ".popfs/status"):
        pending.run("umount", "-f", path=bound)
    assert not mount_rows(bound)
    assert json.loads((pending.mountpoint / ".popfs/status.json").read_text())["state"] == "online"


# -- a popfs that hangs


def halt(process):
    """Until no thread of it can take a request any more."""
    process.send_signal(signal.SIGSTOP)
    states = [path / "stat" for path in Path(f"/proc/{process.pid}/task").iterdir()]
    while any(state.read_text().rsplit(")", 1)[1].split()[0] != "T" for state in states):
        time.sleep(0.02)


@pytest.fixture(params=["stopped", "in a request"])
def hanging(request, pending):
    """Stopped it takes no request; otherwise it has taken each one for status.json, and answers none."""
    if request.param == "stopped":
        halt(pending.process)
        yield pending
        pending.process.send_signal(signal.SIGCONT)
        return
    status = pending.backing / "status.json"
    kept = status.read_bytes()
    status.unlink()
    os.mkfifo(status)
    yield pending
    writers = os.open(status, os.O_RDWR)
    status.unlink()
    status.write_bytes(kept)
    os.close(writers)


def took_s(call, *args, **rest):
    begun = time.monotonic()
    done = call(*args, **rest)
    return done, time.monotonic() - begun


@pytest.mark.parametrize("flag", ["-l", "-f", "-lf"])
def test_a_popfs_that_hangs_is_taken_away_within_seconds(flag, hanging):
    done, seconds = took_s(hanging.run, "umount", flag)
    assert "popfs does not answer" in done.stderr and seconds < 8
    assert not hanging.is_mounted() and os.listdir(hanging.mountpoint) == []


def test_a_plain_umount_of_a_popfs_that_hangs_answers_within_seconds(hanging):
    """It is taken away, unless a question that popfs has taken keeps it busy."""
    is_stopped = (hanging.backing / "status.json").is_file()
    done, seconds = took_s(hanging.run, "umount", code=0 if is_stopped else 32)
    assert "does not answer" in done.stderr and seconds < 8
    assert hanging.is_mounted() != is_stopped and hanging.commands() == []


def test_a_popfs_that_wakes_up_after_a_lazy_unmount_is_told_to_keep_what_is_removed(pending):
    halt(pending.process)
    pending.run("umount", "-l")
    assert not pending.is_mounted() and pending.commands() == []
    pending.process.send_signal(signal.SIGCONT)
    pending.process.wait(20)
    assert pending.commands() == ["keep"]


def test_the_source_stands_for_the_mount(pending):
    pending.run("umount", path=SOURCE)
    assert not pending.is_mounted()


# -- what is at the mount point now is another mount


def upper_mount(fake):
    """Over the fake one; with a .popfs folder that must not be taken for that of the fake."""
    subprocess.run(["mount", "-t", "tmpfs", "other", fake.mountpoint], check=True)
    folder = fake.mountpoint / ".popfs"
    folder.mkdir()
    for name in ("control", "status", "status.json"):
        (folder / name).write_text("{}\n")


def upper_goes(fake):
    assert (fake.mountpoint / ".popfs/control").read_text() == "{}\n", "commands went to the other"
    subprocess.run(["umount", fake.mountpoint], check=True)


@pytest.mark.parametrize("flag", [[], ["-l"], ["-f"]])
def test_what_is_mounted_over_it_is_not_unmounted(flag, unmounted):
    source = f"pops://hidden-{os.getpid()}@example.org"
    fake = expect_commit(unmounted.mount(f"fsname={source}"))
    upper_mount(fake)
    assert "is not a popfs mount point" in fake.run("umount", *flag, code=32).stderr
    fake.run("umount", *flag, path=source, code=32)
    assert fake.commands() == []
    upper_goes(fake)
    fake.run("umount", *flag, path=source)
    assert not fake.is_mounted()


@pytest.mark.parametrize("command", ["status", "commit", "rollback", "umount"])
def test_a_popfs_below_a_mount_of_its_parent_folder_gets_no_command(command, pending):
    subprocess.run(["mount", "-t", "tmpfs", "other", pending.folder], check=True)
    (pending.mountpoint / ".popfs").mkdir(parents=True)
    for name in ("control", "status", "status.json"):
        (pending.mountpoint / ".popfs" / name).write_text("{}\n")
    try:
        done = pending.run(command, code=32 if command == "umount" else 1)
        assert "is not a popfs mount point" in done.stderr
        assert (pending.mountpoint / ".popfs/control").read_text() == "{}\n"
    finally:
        subprocess.run(["umount", pending.folder], check=True)
    assert pending.is_mounted() and pending.commands() == []


def test_what_is_mounted_over_it_while_it_commits_is_not_unmounted(pending):
    pending.answers(f"become after; mount -t tmpfs other {pending.mountpoint}")
    done = pending.run("umount", code=32)
    assert pending.commands() == ["settle"] and "mounted over it" in done.stderr
    assert len(mount_rows(pending.mountpoint)) == 2
    subprocess.run(["umount", pending.mountpoint], check=True)


@pytest.mark.parametrize("other", ["tmpfs", "popfs"])
def test_what_takes_its_place_while_it_commits_is_not_unmounted(other, pending):
    """Another popfs, too: what is detached must be that whose status was read."""
    second = "mount -t tmpfs other {0}" if other == "tmpfs" else "{1} {2} {0} -o fsname=second >/dev/null 2>&1 & while ! grep -q '^second ' /proc/mounts; do sleep 0.02; done"
    second = second.format(pending.mountpoint, os.environ["POPFS_FAKE"], pending.backing)
    pending.answers(f"become after; umount -i -l {pending.mountpoint}; {second}")
    done = pending.run("umount", code=32)
    assert pending.commands() == ["settle"], done.stderr
    assert len(mount_rows(pending.mountpoint)) == 1
    subprocess.run(["umount", "-i", pending.mountpoint], check=True)


@pytest.mark.parametrize("name", ["a b", "a\tb", "a\nb", "a\\b", "a\\040b", "a#b", "-l"])
def test_a_mountpoint_of_any_name_is_unmounted(name, unmounted):
    mountpoint = unmounted.folder / name
    unmounted.mountpoint.rename(mountpoint)
    unmounted.mountpoint = mountpoint
    expect_commit(unmounted.mount())
    assert unmounted.run("umount", path=mountpoint).stdout == "deleted 12 messages\n"
    assert not unmounted.is_mounted()


def test_a_mount_whose_folder_was_renamed_is_found(fake):
    old, new = fake.folder / "old", fake.folder / "new name"
    (old / "mnt").mkdir(parents=True)
    subprocess.run(["mount", "--move", fake.mountpoint, old / "mnt"], check=True)
    old.rename(new)
    assert fake.run("umount", path=new / "mnt").stdout == ""
    assert fake.has_ended() and os.listdir(new / "mnt") == []


# -- one of several mounts of it: the others keep what was removed


@pytest.fixture
def bound(pending):
    """A second mount of the same file system."""
    path = pending.folder / "second"
    path.mkdir()
    subprocess.run(["mount", "--bind", pending.mountpoint, path], check=True)
    yield path
    for _ in mount_rows(path):
        subprocess.run(["umount", "-i", "-l", path], check=True)


def goes_on(other):
    return f"popfs goes on: it is mounted on {other}, too\n"


@pytest.mark.parametrize("first", ["mounted", "bound"])
@pytest.mark.parametrize("flag", [[], ["-l"]])
def test_umount_of_one_of_several_mounts_commits_nothing_and_keeps_nothing(flag, first, pending, bound):
    one, other = (pending.mountpoint, bound) if first == "mounted" else (bound, pending.mountpoint)
    done = pending.run("umount", *flag, path=one)
    assert (done.stdout, done.stderr, pending.commands()) == (goes_on(other), "", [])
    assert not mount_rows(one) and mount_rows(other)
    assert pending.run("umount", path=other).stdout == "deleted 12 messages\n"
    assert pending.commands() == ["settle"] and pending.has_ended()


def test_umount_by_force_of_one_of_several_mounts_keeps_nothing(pending, bound):
    assert pending.run("umount", "-f", path=bound).stdout == goes_on(pending.mountpoint)
    assert pending.commands() == [] and pending.is_mounted()


def test_umount_of_a_read_only_one_of_several_mounts_succeeds(pending, bound):
    subprocess.run(["mount", "-o", "remount,bind,ro", bound], check=True)
    done = pending.run("umount", path=bound)
    assert (done.stdout, done.stderr, pending.commands()) == (goes_on(pending.mountpoint), "", [])


# -- not root, and umount(8): in a mount namespace, so that /sbin, /dev/fuse and utab of the machine stay as they are

IN_NAMESPACE = """
umount -a -i -l -t fuse.popfs # copies of mounts of other tests
mkdir -p {folder}/sbin /run/mount
ln -s {folder}/popfsctl {folder}/sbin/umount.fuse.popfs
cp {ctl} {folder}/popfsctl && cp {fake} {folder}/popfs-fake
mknod -m 666 {folder}/fuse c 10 229
chown -R {user}:{user} {backing} {mountpoint}
mount --bind {folder}/fuse /dev/fuse && mount -t tmpfs tmpfs /run/mount || exit 99
mount -t overlay overlay -o lowerdir={folder}/sbin:/usr/sbin /usr/sbin || exit 99
as_user="setpriv --reuid={user} --regid={user} --clear-groups"
FAKE_END_S=1 $as_user {folder}/popfs-fake {backing} {mountpoint} -o fsname={source} 2>/dev/null &
until grep -q ' {mountpoint} ' /proc/self/mounts; do sleep 0.02; done
sed -i "s/\\"pid\\": 0/\\"pid\\": $!/" {backing}/status.json {backing}/after.json
[[ {user} != 0 ]] || {announce}
{script}
code=$?
grep -q ' {mountpoint} ' /proc/self/mounts && umount -i -l {mountpoint} && code="$code and mounted"
readlink /proc/$!/exe >/dev/null && code="$code and running"
echo "$code"
"""

# What popfs does as root, see src/cli/utab.c.
ANNOUNCE = "mount -i -f --no-canonicalize -t fuse.popfs -o x-popfs {source} {mountpoint}"

NOBODY = 65534


def in_namespace(fake, script, user=0, announce=ANNOUNCE):
    words = {"folder": fake.folder, "ctl": fake.ctl, "fake": os.environ["POPFS_FAKE"], "backing": fake.backing,
             "mountpoint": fake.mountpoint, "user": user, "source": SOURCE}
    text = IN_NAMESPACE.format(script=script.format(**words), announce=announce.format(**words), **words)
    return subprocess.run(["unshare", "--mount", "bash", "-c", text], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("program", ["{folder}/popfsctl umount", "umount"])
def test_a_user_can_unmount_what_is_theirs(program, unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, f"$as_user {program} {{mountpoint}}", user=NOBODY)
    assert done.stdout == "deleted 12 messages\n0\n" and unmounted.commands() == ["settle"], done


@pytest.mark.parametrize("program", ["{folder}/popfsctl umount", "umount"])
def test_root_commits_for_the_user_who_mounted(program, unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, f"{program} {{mountpoint}}", user=NOBODY)
    assert done.stdout == "deleted 12 messages\n0\n" and unmounted.commands() == ["settle"], done


def test_root_is_told_at_once_that_the_mount_of_a_user_is_busy(unmounted):
    expect_commit(unmounted)
    script = "exec 9< <(cd /; $as_user bash -c 'exec 3<{mountpoint}/.popfs/status; echo; exec sleep 3'); read -u 9; umount {mountpoint}"
    done = in_namespace(unmounted, script, user=NOBODY)
    assert done.stdout.startswith("32 and mounted") and unmounted.commands() == [], done


def test_another_user_is_told_to_keep_out(unmounted):
    done = in_namespace(unmounted, "{folder}/popfsctl status {mountpoint}", user=NOBODY)
    assert "permission denied" in done.stderr and done.stdout.startswith("1 and mounted")


def test_a_user_cannot_force(unmounted):
    """And popfs is not told to delete nothing at the end."""
    expect_commit(unmounted)
    done = in_namespace(unmounted, "$as_user {folder}/popfsctl umount -f {mountpoint}", user=NOBODY)
    assert "only root" in done.stderr and done.stdout.startswith("32 and mounted")
    assert unmounted.commands() == []


def test_plain_umount_commits_and_reports(unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, "umount {mountpoint}")
    assert done.stdout == "deleted 12 messages\n0\n", done
    assert unmounted.commands() == ["settle"]


def test_plain_umount_gives_the_exit_code_of_a_failed_commit(unmounted):
    unmounted.says(pending_removal_count=5)
    unmounted.can_become("after", pending_removal_count=1, last_commit=committed(4, FAILURE))
    unmounted.answers(f"become after; exit {errno.EIO}")
    done = in_namespace(unmounted, "umount {mountpoint}")
    assert done.stdout == "deleted 4 messages\n1\n" and "umount.fuse.popfs: could not delete a.eml" in done.stderr


def test_plain_umount_of_a_busy_mount_is_exit_32(unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, "exec 9<{mountpoint}/.popfs/status; umount {mountpoint}; code=$?; exec 9<&-; (exit $code)")
    assert done.stdout.startswith("32 and mounted") and "target is busy" in done.stderr and unmounted.commands() == []


@pytest.mark.parametrize("flags", ["-v", "-n", "-r", "-v -n -r", "-c"])
def test_the_flags_of_umount_do_no_harm(flags, unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, f"umount {flags} {{mountpoint}} >/dev/null")
    assert done.stdout == "0\n" and unmounted.commands() == ["settle"], done


@pytest.mark.parametrize("flags", ["-l", "-f", "-lf"])
def test_lazily_and_by_force_reach_the_helper(flags, unmounted):
    expect_commit(unmounted)
    done = in_namespace(unmounted, f"umount {flags} {{mountpoint}}")
    assert done.stdout == "0 and running\n" and "12 removals stay pending" in done.stderr and unmounted.commands() == ["keep"], done


def test_umount_by_source_reaches_the_helper(unmounted):
    expect_commit(unmounted)
    assert in_namespace(unmounted, f"umount {SOURCE}").stdout == "deleted 12 messages\n0\n"


@pytest.mark.parametrize("user", [0, NOBODY])
@pytest.mark.parametrize("flags", ["", "-l", "-f"])
def test_umount_of_a_popfs_that_hangs_ends_within_seconds(flags, user, unmounted):
    """Root's umount(8) looks into the file system before it runs the helper, unless there is a flag."""
    expect_commit(unmounted)
    program = "umount" if flags or user else "{folder}/sbin/umount.fuse.popfs"
    script = "kill -STOP $!; while grep -L '^State:.T' /proc/$!/task/*/status | grep -q .; do sleep 0.02; done; "
    script += f"begun=$SECONDS; {program} {flags} {{mountpoint}}; code=$?; " \
        "((SECONDS - begun < 9)) || code=late; grep -q ' {mountpoint} ' /proc/self/mounts && code=there; kill -CONT $!; (exit $code)"
    done = in_namespace(unmounted, script, user=user)
    assert done.stdout.startswith("0") and "does not answer" in done.stderr and "commit" not in unmounted.commands(), done


# -- a copy of the mount in another mount namespace

COPY = "exec 9< <(exec unshare --mount sh -c 'echo; exec sleep 30'); copy=$!; read -u 9; "


@pytest.mark.parametrize("user", [0, NOBODY])
def test_a_mount_that_another_namespace_holds_is_named_within_seconds(user, unmounted):
    expect_commit(unmounted)
    script = COPY + "begun=$SECONDS; $as_user {folder}/popfsctl umount {mountpoint}; code=$?; " \
        "((SECONDS - begun < 8)) || code=late; kill $copy; [[ $(readlink /proc/$copy/exe) != '' ]] && wait $copy; echo $copy >&2; (exit $code)"
    done = in_namespace(unmounted, script, user=user)
    *problems, copy = done.stderr.splitlines()
    assert done.stdout.startswith("deleted 12 messages\n1\n") and unmounted.commands() == ["settle"], done
    assert len(problems) == 1 and f"process {copy} (sleep)" in problems[0] and f"on {unmounted.mountpoint} still" in problems[0], done


def test_by_force_the_copy_in_another_namespace_stays_alive(unmounted):
    unmounted.says(pending_removal_count=12)
    script = COPY + "exec 8<{mountpoint}/.popfs/status; {folder}/popfsctl umount -f {mountpoint}; code=$?; exec 8<&-; " \
        "nsenter -t $copy -m cat {mountpoint}/.popfs/status || code=dead; kill $copy; (exit $code)"
    done = in_namespace(unmounted, script)
    assert "popfs goes on" in done.stdout and "state:   online\n0" in done.stdout and unmounted.commands() == ["keep"], done


def in_chroot():
    root = subprocess.run(["nsenter", "--mount=/proc/self/ns/mnt", "stat", "-c", "%d %i", "/"], capture_output=True, text=True)
    return root.returncode == 0 and root.stdout.split() != [str(part) for part in (os.stat("/").st_dev, os.stat("/").st_ino)]


@pytest.mark.skipif(in_chroot(), reason="who enters a mount namespace leaves a chroot")
def test_umount_in_another_namespace(unmounted):
    expect_commit(unmounted)
    script = "unshare --mount sh -c 'umount -n -i -l {mountpoint}; umount -N '$$' {mountpoint}'"
    done = in_namespace(unmounted, script)
    assert done.stdout == "deleted 12 messages\n0\n", done


def test_umount_dash_i_leaves_the_helper_out(unmounted):
    expect_commit(unmounted)
    assert in_namespace(unmounted, "umount -i {mountpoint}").stdout == "0 and running\n"
    assert unmounted.commands() == []
