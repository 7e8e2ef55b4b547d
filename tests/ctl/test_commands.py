# SPDX-License-Identifier: MIT
"""What popfsctl writes to a mount, what it makes of the answer, and how it ends."""

import errno
import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest

FAILURE = {"name": "a.eml", "uidl": "a", "from": "Jan <jan@example.org>", "subject": "Offer", "reason": "message is locked"}


def now():
    return int(time.time())


def committed(deleted, *failures, failed=None, number=2):
    return {"number": number, "at_s": now() + 5, "deleted": deleted, "failed": len(failures) if failed is None else failed,
            "failures": list(failures)}


def last_error(text, at_s=None):
    return {"at_s": now() + 5 if at_s is None else at_s, "fault": "offline", "text": text}


# -- where


@pytest.mark.parametrize("command", ["status", "refresh", "commit", "rollback", "prefetch", "verify"])
def test_a_folder_that_is_no_popfs_is_refused_by_name(command, unmounted):
    done = unmounted.run(command, code=1)
    assert done.stderr == f"popfsctl: {unmounted.mountpoint} is not a popfs mount point\n"
    assert unmounted.commands() == []


def test_a_folder_that_only_looks_like_popfs_gets_no_command(unmounted):
    (unmounted.mountpoint / ".popfs").symlink_to(unmounted.backing)
    unmounted.run("commit", code=1)
    assert (unmounted.backing / "control").read_text() == ""
    (unmounted.mountpoint / ".popfs").unlink()


def test_a_folder_that_does_not_exist_is_said_to_be_missing(unmounted):
    done = unmounted.run("status", path=unmounted.folder / "nowhere", code=1)
    assert "nowhere: No such file or directory" in done.stderr


def test_a_path_in_the_mount_stands_for_the_mount(fake):
    fake.run("refresh", path=fake.mountpoint / ".popfs")
    assert fake.commands() == ["refresh"]


def test_a_link_to_the_mount_stands_for_the_mount(fake):
    link = fake.folder / "a link"
    link.symlink_to(fake.mountpoint)
    fake.run("refresh", path=link)
    assert fake.commands() == ["refresh"]


def test_a_blank_in_the_path_is_no_obstacle(unmounted):
    unmounted.mountpoint = unmounted.folder / "my mail"
    unmounted.mountpoint.mkdir()
    process = subprocess.Popen([os.environ["POPFS_FAKE"], unmounted.backing, unmounted.mountpoint],
                               stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while not os.path.ismount(unmounted.mountpoint) and time.monotonic() < end:
            time.sleep(0.02)
        unmounted.run("refresh")
        assert unmounted.commands() == ["refresh"]
    finally:
        subprocess.run(["fusermount3", "-uz", unmounted.mountpoint], check=True)
        process.wait(20)


def test_a_mount_without_popfs_folder_says_so(fake):
    (fake.backing / "control").unlink()
    (fake.backing / "status.json").unlink()
    assert "control=off" in fake.run("commit", code=1).stderr
    assert "control=off" in fake.run("undelete", "a.eml", code=1).stderr


def test_a_dead_mount_is_named_with_the_cure(fake):
    fake.process.kill()
    fake.process.wait(20)
    for command in ("status", "refresh"):
        assert "fusermount3 -uz" in fake.run(command, code=1).stderr


# -- the command line


@pytest.mark.parametrize("words, said", [
    ([], "which command"), (["nonsense", "/"], "unknown command"), (["commit"], "which mount point"),
    (["undelete", "/"], "which messages"), (["commit", "/", "a.eml"], "no names"), (["-x"], "'-x'"),
    (["--nonsense"], "'--nonsense'"), (["commit", "-l", "/"], "for umount"),
])
def test_a_wrong_command_line_is_exit_1_and_one_line(words, said, unmounted):
    done = subprocess.run([unmounted.ctl, *words], capture_output=True, text=True)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_help_and_version_go_to_stdout(unmounted):
    for word, said in (("-h", "usage: popfsctl"), ("--help", "umount"), ("-V", "popfsctl ")):
        done = subprocess.run([unmounted.ctl, word], capture_output=True, text=True, check=True)
        assert said in done.stdout and done.stderr == ""


def test_a_full_disk_under_stdout_is_an_error(fake):
    with open("/dev/full", "w") as full:
        done = subprocess.run([fake.ctl, "status", fake.mountpoint], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "cannot write the output" in done.stderr


# -- status


def test_status_is_shown_as_it_is(fake):
    (fake.backing / "status").write_text("state:   online\nserver:  Žižkov 日本\n")
    assert fake.run("status").stdout == "state:   online\nserver:  Žižkov 日本\n"
    assert json.loads(fake.run("status", "--json").stdout) == fake.facts


def test_status_cannot_move_the_cursor(fake):
    (fake.backing / "status").write_bytes(b"a\x1b[2Jb\x07\r\xc2\x9bc\xff\xe2\x80\xaed\n")
    shown = fake.run("status").stdout
    assert shown == "a\\x1b[2Jb\\x07\\x0d\\xc2\\x9bc\\xff\\xe2\\x80\\xaed\n"


def test_json_cannot_move_the_cursor_and_says_the_same(fake):
    text = "\x9b\x7f\u202e \U0001f600 \"\\"
    (fake.backing / "status.json").write_text(json.dumps({"text": text}, ensure_ascii=False))
    shown = fake.run("status", "--json").stdout
    assert not set(shown) & set("\x9b\x7f\u202e") and json.loads(shown) == {"text": text}


@pytest.mark.parametrize("content", ["", "[]", "{", "{\"a\": \"\n", "[" * 100, "x" * 100])
def test_a_status_that_makes_no_sense_is_an_error(content, fake):
    (fake.backing / "status.json").write_text(content)
    assert "makes no sense" in fake.run("commit", code=1).stderr


def test_a_status_without_end_is_not_read(fake):
    (fake.backing / "status.json").write_text("{\"a\": \"" + "x" * 5_000_000 + "\"}")
    assert "makes no sense" in fake.run("commit", code=1).stderr


def test_numbers_of_another_kind_are_no_numbers(fake):
    fake.says(message_count="many", pending_removal_count=None, last_commit=[], last_error=3, work="x", cache=1, verification=4)
    for command in ("refresh", "commit", "rollback", "prefetch", "verify"):
        fake.run(command)


# -- refresh, rollback, undelete, prefetch, verify


@pytest.mark.parametrize("after, said", [
    (123, "3 new messages, 123 in all"), (121, "1 new message, 121 in all"),
    (118, "2 messages fewer, 118 in all"), (120, "120 messages, as many as before"),
])
def test_refresh_says_how_many_came(after, said, fake):
    fake.can_become("after", message_count=after)
    fake.answers("become after")
    assert fake.run("refresh").stdout == said + "\n"
    assert fake.commands() == ["refresh"]


def test_quiet_says_nothing_when_all_is_well(fake):
    assert fake.run("refresh", "-q").stdout == ""
    fake.answers(f"exit {errno.EBUSY}")
    assert fake.run("refresh", "-q", code=1).stderr != ""


def test_rollback_counts_what_is_no_longer_pending(fake):
    fake.says(pending_removal_count=12)
    fake.can_become("after", pending_removal_count=0)
    fake.answers("become after")
    assert fake.run("rollback").stdout == "brought back 12 messages\n"
    assert fake.run("rollback").stdout == "nothing to bring back\n"


def test_undelete_takes_names_and_paths_one_by_one(fake):
    done = fake.run("undelete", "a.eml", f"{fake.mountpoint}/.popfs/trash/b.eml", "with blank.eml")
    assert fake.commands() == ["undelete a.eml", "undelete b.eml", "undelete with blank.eml"]
    assert done.stdout == "brought back 3 messages\n"


def test_undelete_names_what_it_could_not_and_goes_on(fake):
    fake.answers(f"[ \"$1\" != 'undelete b.eml' ] || exit {errno.ENOENT}")
    done = fake.run("undelete", "a.eml", "b.eml", "c.eml", code=1)
    assert done.stderr == "popfsctl: could not bring back b.eml: no removed message has this name\n"
    assert done.stdout == "brought back 2 messages\n"
    found = json.loads(fake.run("undelete", "--json", "a.eml", "b.eml", code=1).stdout)
    assert found["restored"] == 1 and "b.eml" in found["problems"][0] and found["exit_code"] == 1


@pytest.mark.parametrize("name", ["a\ncommit", "x" * 300])
def test_a_name_cannot_smuggle_a_second_command(name, fake):
    fake.run("undelete", name, code=1)
    assert fake.commands() == []


def test_an_option_like_name_comes_after_two_dashes(fake):
    done = subprocess.run([fake.ctl, "undelete", fake.mountpoint, "--", "-q"], capture_output=True, text=True)
    assert done.returncode == 0 and fake.commands() == ["undelete -q"]


def test_prefetch_of_all_and_of_some(fake):
    assert fake.run("prefetch").stdout == "7 messages on the local disk\n"
    assert fake.run("prefetch", "a.eml").stdout == "1 message on the local disk\n"
    assert fake.commands() == ["prefetch", "prefetch a.eml"]


def test_verify_of_all_and_of_some_says_how_many_were_sound(fake):
    fake.says(verification={"checked": 3, "damaged": 1, "names": ["old.eml"]})
    fake.can_become("after", verification={"checked": 10, "damaged": 1, "names": ["old.eml"]})
    fake.answers("become after")
    assert fake.run("verify").stdout == "checked 7 local messages, 0 damaged\n"
    fake.says(verification={"checked": 9, "damaged": 1, "names": ["old.eml"]})
    assert fake.run("verify", "a.eml").stdout == "checked 1 local message, 0 damaged\n"
    assert fake.commands() == ["verify", "verify a.eml"]
    assert "no message has this name" in (fake.answers(f"exit {errno.ENOENT}") or fake.run("verify", "b.eml", code=1).stderr)


def test_verify_fetches_again_what_was_damaged_and_names_it(fake):
    fake.says(verification={"checked": 0, "damaged": 1, "names": ["old.eml"]})
    fake.can_become("after", verification={"checked": 7, "damaged": 3, "names": ["old.eml", "a.eml", "b.eml"]})
    fake.answers("become after")
    said = fake.run("verify").stdout
    assert said == ("a.eml was damaged, and has been fetched again\nb.eml was damaged, and has been fetched again\n"
                    "checked 7 local messages, 2 damaged\n")
    assert fake.commands() == ["verify", "prefetch a.eml", "prefetch b.eml"]


def test_verify_fails_if_what_was_damaged_cannot_be_had(fake):
    fake.says(verification={"checked": 0, "damaged": 0, "names": []})
    fake.can_become("after", verification={"checked": 7, "damaged": 1200, "names": ["a.eml", "b.eml"]})
    fake.answers(f"case $1 in *a.eml) exit {errno.EIO};; esac\nbecome after")
    done = fake.run("verify", "--json", code=1)
    assert "could not fetch a.eml" in done.stderr
    found = json.loads(done.stdout)
    assert (found["checked"], found["damaged"], found["names"], found["exit_code"]) == (7, 1200, ["a.eml", "b.eml"], 1)
    fake.says(verification={"checked": 0, "damaged": 0, "names": []})
    assert "1198 more were damaged; they are fetched when they are opened next\n" in fake.run("verify", code=1).stdout


# -- errors


@pytest.mark.parametrize("error, said", [
    (errno.EBUSY, "locked by another session"), (errno.ETIMEDOUT, "did not answer in time"),
    (errno.EACCES, "refused the login"), (errno.EROFS, "read-only"), (errno.EIO, "could not be reached"),
    (errno.EINVAL, "does not know this command"), (errno.EINPROGRESS, "too late"),
])
def test_each_errno_has_words(error, said, fake):
    fake.answers(f"exit {error}")
    assert said in fake.run("refresh", code=1).stderr


def test_the_reason_is_what_the_mount_heard_but_nothing_old(fake):
    fake.says(last_error=last_error("an old story", at_s=now() - 100))
    fake.answers(f"exit {errno.EIO}")
    assert "old story" not in fake.run("refresh", code=1).stderr
    fake.says(last_error=last_error("mail.example.org said \x1b[31mno"))
    assert fake.run("refresh", code=1).stderr == "popfsctl: refresh: mail.example.org said \\x1b[31mno\n"


# -- commit


def test_commit_says_how_many_were_deleted(fake):
    fake.says(pending_removal_count=12)
    fake.can_become("after", pending_removal_count=0, last_commit=committed(12))
    fake.answers("become after")
    assert fake.run("commit").stdout == "deleted 12 messages\n"
    assert fake.commands() == ["commit"]


def test_commit_of_nothing_does_not_repeat_an_old_outcome(fake):
    fake.says(last_commit=committed(12))
    assert fake.run("commit").stdout == "nothing to delete\n"


def test_commit_names_each_that_failed(fake):
    second = dict(FAILURE, name="b.eml", subject="", reason="")
    third = {"name": "c.eml", "reason": "\x1b]0;x\x07"}
    fake.says(pending_removal_count=9)
    fake.can_become("after", pending_removal_count=5, last_commit=committed(4, FAILURE, second, third, failed=5))
    fake.answers(f"become after; exit {errno.EIO}")
    done = fake.run("commit", code=1)
    assert done.stdout == "deleted 4 messages\n"
    assert done.stderr.splitlines() == [
        "popfsctl: could not delete a.eml: message is locked (Jan <jan@example.org>, Offer)",
        "popfsctl: could not delete b.eml: no reason given (Jan <jan@example.org>)",
        "popfsctl: could not delete c.eml: \\x1b]0;x\\x07",
        "popfsctl: could not delete 2 more messages; the log names them",
    ]
    fake.can_become("after", pending_removal_count=5, last_commit=committed(4, FAILURE, second, third, failed=5, number=3))
    found = json.loads(fake.run("commit", "--json", code=1).stdout)
    assert (found["deleted"], found["failed"], found["pending_removal_count"]) == (4, 5, 5)
    assert found["failures"][0] == FAILURE and found["exit_code"] == 1


def test_commit_while_the_server_is_away_says_why_and_not_what_was_before(fake):
    fake.says(pending_removal_count=2, last_commit=committed(7, FAILURE))
    fake.can_become("after", last_error=last_error("no route to host"))
    fake.answers(f"become after; exit {errno.EIO}")
    done = fake.run("commit", code=1)
    assert done.stdout == "" and done.stderr == "popfsctl: commit: no route to host\n"


# -- a terminal, and Ctrl-C


def on_terminal(words, until, press=None):
    """Runs popfsctl on a terminal; presses a key once `until` was shown; gives the exit code and all that was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(words[0], words)
    shown, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
        if press and until in shown:
            os.write(terminal, press)
            press = None
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def test_a_bar_is_drawn_and_taken_away(fake):
    fake.can_become("half", work={"kind": "prefetch", "done": 60, "total": 120}, received_octets=0)
    fake.can_become("later", work={"kind": "prefetch", "done": 90, "total": 120}, received_octets=10_000_000)
    fake.answers("become half; sleep 1; become later; sleep 1")
    code, shown = on_terminal([fake.ctl, "prefetch", str(fake.mountpoint)], b"")
    assert code == 0
    assert b"prefetch [####" in shown and b" 50%   60 of 120" in shown
    assert b" 75%   90 of 120" in shown and b"MiB/s" in shown
    assert shown.rstrip().split(b"\r\x1b[K")[-1] == b"7 messages on the local disk"


def test_no_bar_where_no_terminal_is_or_none_is_wanted(fake):
    fake.can_become("half", work={"kind": "prefetch", "done": 60, "total": 120})
    fake.answers("become half; sleep 0.6")
    assert fake.run("prefetch").stderr == ""
    code, shown = on_terminal([fake.ctl, "-q", "prefetch", str(fake.mountpoint)], b"")
    assert (code, shown) == (0, b"")


def test_ctrl_c_ends_the_wait_and_not_the_mount(fake):
    fake.says(work={"kind": "prefetch", "done": 1, "total": 120})
    fake.answers("exec sleep 20")
    begun = time.monotonic()
    code, shown = on_terminal([fake.ctl, "prefetch", str(fake.mountpoint)], b"1 of 120", press=b"\x03")
    assert code == 130, shown
    assert b"interrupted" in shown and time.monotonic() - begun < 10
    fake.answers("exit 0")
    fake.run("refresh")


def test_sigterm_ends_the_wait_too(fake):
    fake.answers("exec sleep 20")
    process = subprocess.Popen([fake.ctl, "commit", fake.mountpoint], stderr=subprocess.PIPE, text=True)
    while not fake.commands():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    process.stderr.close()
