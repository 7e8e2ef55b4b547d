# SPDX-License-Identifier: MIT
"""Servers that lie, refuse, stall and vanish: the right bytes or an errno, never wrong bytes and never a hang."""

import errno
import hashlib
import os
import subprocess
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import mailbox
import pytest
from conftest import script_options, script_source
from mounting import wait_until
from reading import cat, names, read_at_last, run, status
from scripted import Script

MAILS = mailbox.many(6, octets=3000)

LIES = {
    "30-percent-less": lambda octets: str(octets * 7 // 10),
    "one-less": lambda octets: str(octets - 1),
    "one-more": lambda octets: str(octets + 1),
    "30-percent-more": lambda octets: str(octets * 13 // 10),
    "zero": lambda octets: "0",
    "garbage": lambda octets: f"%!d(float64={octets})",
    "negative": lambda octets: "-1",
    "huge": lambda octets: "9" * 30,
}


def error_of_reading(path):
    with pytest.raises(OSError) as caught:
        with open(path, "rb") as file:
            file.read()
    return caught.value.errno


def sendfile(target, source):
    return os.sendfile(target, source, None, 100_000)


def splice(target, source):
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer):
        moved = os.splice(source, writer, 4096)
        return os.splice(reader, target, moved) if moved else 0


def without_stat(call, source, target):
    """Copies as some servers do, which trust the size that the kernel has and never ask for it."""
    with open(target, "wb") as copy:
        descriptor = os.open(source, os.O_RDONLY)
        while call(copy.fileno(), descriptor):
            pass
        os.close(descriptor)
    return target.read_bytes()


@pytest.mark.parametrize("lie", LIES)
def test_wrong_sizes_give_the_right_octets_at_the_first_try(lie, serve, on_script):
    tools = ("cat", "cp", "tar", "rsync", "sha256sum", "wc", "head", "dd", "sendfile", "splice")
    mails = {tool: mailbox.plain(f"for-{tool}", b"a line of some length, with a number in it 12345\r\n" * (400 + i))
             for i, tool in enumerate(tools)}
    server = serve(Script(messages=list(mails.values()), size_said=LIES[lie]))
    with on_script(server) as mount:
        copies = mount.place.folder / "copies"
        copies.mkdir()
        path = {tool: mount.path / f"for-{tool}.eml" for tool in tools}
        want = {tool: mail.data for tool, mail in mails.items()}
        assert all(os.stat(file).st_size > 0 for file in path.values()), "a size of 0 makes tools skip the file"
        assert cat(path["cat"]) == want["cat"]
        run("cp", path["cp"], copies / "cp")
        assert (copies / "cp").read_bytes() == want["cp"]
        run("tar", "-C", mount.path, "-cf", copies / "tar", "for-tar.eml")
        with tarfile.open(copies / "tar") as archive:
            assert archive.extractfile("for-tar.eml").read() == want["tar"]
        run("rsync", "-a", path["rsync"], copies / "rsync")
        assert (copies / "rsync").read_bytes() == want["rsync"]
        assert run("sha256sum", path["sha256sum"]).stdout.split()[0].decode() == hashlib.sha256(want["sha256sum"]).hexdigest()
        assert int(run("wc", "-c", path["wc"]).stdout.split()[0]) == len(want["wc"])
        assert run("head", "-c", "999999", path["head"]).stdout == want["head"]
        assert run("dd", f"if={path['dd']}", "bs=333").stdout == want["dd"]
        for tool, call in (("sendfile", sendfile), ("splice", splice)):
            assert without_stat(call, path[tool], copies / tool) == want[tool], tool
        for tool in tools:
            assert os.stat(path[tool]).st_size == len(want[tool])


def test_twenty_openers_of_a_lie_all_get_the_right_octets(serve, on_script):
    mail = mailbox.plain("large", (b"x" * 70 + b"\r\n") * 3000)
    server = serve(Script(messages=[mail], size_said=lambda octets: str(octets // 2), hold_retr={"large": 100}))
    with on_script(server, "timeout=60") as mount:
        readers = [subprocess.Popen(["cat", mount.path / "large.eml"], stdout=subprocess.PIPE) for _ in range(20)]
        wait_until("the RETR", server.held.is_set)
        server.release.set()
        for reader in readers:
            assert reader.communicate(timeout=30)[0] == mail.data
            assert reader.returncode == 0
    assert len(server.commands("RETR")) == 2  # once more, because it is larger than LIST says


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("octets", [0, 1, 1000, 2999])
def test_a_body_cut_short_is_never_shown_as_whole(how, octets, serve, on_script):
    server = serve(Script(messages=MAILS, cut_retr=octets, cut_how=how))
    with on_script(server) as mount:
        first, second = MAILS[0], MAILS[1]
        try:
            with open(mount.path / "m00001.eml", "rb") as file:
                assert file.read() == first.data  # fetched again behind our back: fine
        except OSError as error:
            assert error.errno in (errno.EIO, errno.ETIMEDOUT)
        assert eventually_read(mount.path / "m00001.eml") == first.data
        assert cat(mount.path / "m00002.eml") == second.data


def eventually_read(path, seconds=20):
    """Reads, trying again for as long as popfs says that the line is down."""
    end = time.monotonic() + seconds
    while True:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            assert error.errno in (errno.EIO, errno.ETIMEDOUT), error
            assert time.monotonic() < end, f"still {error}"
            time.sleep(0.2)


def test_silence_is_an_error_and_not_a_hang(serve, on_script):
    server = serve(Script(messages=MAILS, cut_retr=100, cut_how="silence", cut_times=99))
    with on_script(server, "timeout=2") as mount:
        begin = time.monotonic()
        assert error_of_reading(mount.path / "m00001.eml") in (errno.EIO, errno.ETIMEDOUT)
        assert time.monotonic() - begin < 20
        assert len(names(mount.path)) == 6
        server.script.cut_retr = None
        assert eventually_read(mount.path / "m00001.eml") == MAILS[0].data


def test_a_refused_retr_is_eio_for_that_message_alone(serve, on_script):
    server = serve(Script(messages=MAILS, retr_refused={"m00002"}))
    with on_script(server) as mount:
        assert error_of_reading(mount.path / "m00002.eml") == errno.EIO
        for mail in MAILS[:1] + MAILS[2:]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        archive = mount.place.folder / "all.tar"
        done = run("tar", "-C", mount.path, "-cf", archive, ".", check=False)
        assert done.returncode != 0
        with tarfile.open(archive) as members:
            assert all(b"\0" not in members.extractfile(member).read() for member in members if member.isfile())
    assert 1 <= server.commands("RETR").count("RETR 2") <= 4
    assert len(server.sessions) <= 2  # one more, because others were sent before


def test_a_body_that_is_refused_after_others_is_asked_for_in_a_new_session(serve, on_script):
    server = serve(Script(messages=MAILS, retr_limit=2))
    with on_script(server) as mount:
        for mail in MAILS:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
    assert len(server.sessions) == 3


def copy_all(mount, target):
    run("cp", "-a", f"{mount.path}/.", target)


def read_at_once(mount, target):
    with ThreadPoolExecutor(8) as pool:
        for path, octets in pool.map(lambda path: (path, cat(path)), sorted(mount.path.iterdir())):
            (target / path.name).write_bytes(octets)


def prefetch_all(mount, target):
    (mount.path / ".popfs/control").write_text("prefetch\n")
    copy_all(mount, target)


@pytest.mark.parametrize("octets", [3000, 300_000])
@pytest.mark.parametrize("read", [copy_all, read_at_once, prefetch_all])
def test_a_server_that_refuses_after_ten_in_each_session_gives_all_forty(read, octets, serve, on_script, tmp_path):
    """Rule 34."""
    mails = mailbox.many(40, octets=octets)
    server = serve(Script(messages=mails, retr_limit=10))
    with on_script(server, "lazy=100000") as mount:
        read(mount, tmp_path)
        said = mount.log()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {f"{mail.name}.eml": mail.data for mail in mails}
    assert "refuses message" not in said
    assert len(server.sessions) <= 6


def test_a_prefetch_of_what_is_always_refused_ends_and_causes_no_storm_of_logins(serve, on_script):
    mails = mailbox.many(60, octets=300)
    refused = {mail.name for mail in mails[1::2]}
    server = serve(Script(messages=mails, retr_refused=refused))
    with on_script(server) as mount:
        with pytest.raises(OSError):
            (mount.path / ".popfs/control").write_text("prefetch\n")
        for mail in mails[::2]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
    assert len(server.sessions) <= 40


def test_bodies_that_are_always_refused_cause_no_storm_of_logins(serve, on_script):
    mails = mailbox.many(60, octets=300)
    server = serve(Script(messages=mails, retr_refused={mail.name for mail in mails[1:]}))
    with on_script(server) as mount:
        for mail in mails + mails[1:]:
            if mail == mails[0]:
                assert cat(mount.path / f"{mail.name}.eml") == mail.data
            else:
                assert error_of_reading(mount.path / f"{mail.name}.eml") == errno.EIO
    assert len(server.sessions) <= 18


def test_a_server_without_top_is_not_stormed_with_retr(serve, on_script):
    server = serve(Script(messages=mailbox.many(30), top=False))
    with on_script(server) as mount:
        run("ls", "-l", mount.path)
        assert cat(mount.path / "m00007.eml") == server.script.messages[6].data
        run("ls", "-l", mount.path)
        assert os.stat(mount.path / "m00007.eml").st_mtime > 0
    assert len(server.commands("RETR")) == 1
    assert len(server.commands("TOP")) <= 3


def test_a_server_without_uidl_can_be_read_but_not_deleted_after_a_reconnect(serve, on_script):
    server = serve(Script(messages=MAILS, uidl=False))
    with on_script(server, expect_exit=None) as mount:
        found = names(mount.path)
        assert sorted(found) == [f"msg-{n}.eml" for n in range(1, 7)]
        assert [cat(mount.path / name) for name in sorted(found)] == [mail.data for mail in MAILS]
        os.unlink(mount.path / "msg-2.eml")
        server.script.messages = MAILS[::-1]
        server.drop_all()
        mount.unmount()
    assert server.commands("DELE") == []


def test_a_server_without_capa_works(serve, on_script):
    server = serve(Script(messages=MAILS, capa=False, pipelining=False))
    with on_script(server) as mount:
        for mail in MAILS:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data


def test_one_command_at_a_time_where_pipelining_is_not_offered(serve, on_script):
    server = serve(Script(messages=mailbox.many(40), pipelining=False))
    with on_script(server) as mount:
        run("cp", "-r", mount.path, mount.place.folder / "copy")
        run("sh", "-c", "cat * & cat * & ls -l & wait", cwd=mount.path)
        os.unlink(mount.path / "m00009.eml")
    assert len(server.sessions) == 1, "the server hung up"
    assert len(server.script.messages) == 39


def test_a_server_that_ends_its_lines_in_lf_works(serve, on_script):
    server = serve(Script(messages=MAILS, bare_lf=True))
    with on_script(server) as mount:
        for mail in MAILS:
            assert cat(mount.path / f"{mail.name}.eml").replace(b"\r\n", b"\n") == mail.data.replace(b"\r\n", b"\n")


def test_an_empty_maildrop_is_not_asked_for_a_listing(serve, on_script):
    server = serve(Script(pipelining=False))
    with on_script(server) as mount:
        assert names(mount.path) == []
    assert server.commands("LIST") == [] and server.commands("UIDL") == []


@pytest.mark.parametrize("answer", ["refuses", "hangs"])
def test_a_server_that_cannot_list_nothing_shows_an_empty_directory(answer, serve, on_script):
    server = serve(Script(empty_listing=answer))
    with on_script(server) as mount:
        assert names(mount.path) == []


def test_uidl_is_asked_before_list(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server):
        pass
    commands = server.commands()
    assert commands.index("UIDL") < commands.index("LIST")


def test_senseless_rows_are_skipped(serve, on_script):
    server = serve(Script(messages=MAILS, list_extra=b"x 1\r\n0 5\r\n-1 5\r\n4294967297 5\r\n\r\n77 5\r\n"))
    with on_script(server) as mount:
        assert len(names(mount.path)) == 6
        assert cat(mount.path / "m00003.eml") == MAILS[2].data


@pytest.mark.parametrize("then_close", [b"-ERR [SYS/TEMP] Internal error occurred\r\n", b"", b"* what\r\n"])
def test_an_error_behind_the_login_is_not_taken_for_an_answer(then_close, serve, place):
    server = serve(Script(messages=MAILS, error_after_login=then_close or b"\0"))
    done = place.refused(place.command(script_source(server), script_options(place, server, "timeout=3")))
    assert done.returncode == 32
    assert len(done.stderr.strip().splitlines()) == 1


def read_at_once(mount, mails):
    """What each reader got, while the commands for all of them are pipelined."""
    got = {}
    readers = [threading.Thread(target=lambda mail=mail: got.update({mail.name: cat(mount.path / f"{mail.name}.eml")}))
               for mail in mails]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return got


TEMPORARY = [b"-ERR [SYS/TEMP] Internal error occurred\r\n", b"-ERR [sys/temp/disk] later\r\n", b"-ERR [IN-USE] gone\r\n"]


@pytest.mark.parametrize("line", TEMPORARY)
@pytest.mark.parametrize("count", [1, 4, 12])
def test_an_unasked_temporary_error_shifts_no_body(line, count, serve, on_script):
    mails = mailbox.many(12, octets=3000)
    server = serve(Script(messages=mails, unasked={"RETR": (count, line)}))
    truth = {mail.name: mail.data for mail in mails}
    with on_script(server, "prefetch") as mount:
        wait_until("the line has been said", lambda: not server.script.unasked)
        assert read_at_once(mount, mails) == truth
        assert read_at_once(mount, mails) == truth
    with on_script(server) as mount:
        assert read_at_once(mount, mails) == truth


def seconds_of(mount, mails):
    return {mail.name: int(os.stat(mount.path / f"{mail.name}.eml").st_mtime) for mail in mails}


@pytest.mark.parametrize("line", TEMPORARY)
@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.slow
def test_an_unasked_temporary_error_shifts_no_date(line, count, serve, on_script):
    mails = mailbox.many(12)
    with on_script(serve(Script(messages=mails))) as mount:
        truth = seconds_of(mount, mails)
    assert len(set(truth.values())) == 12
    server = serve(Script(messages=mails, unasked={"TOP": (count, line)}))
    with on_script(server) as mount:
        assert seconds_of(mount, mails) == truth
        assert not server.script.unasked
    with on_script(server) as mount:
        assert seconds_of(mount, mails) == truth


def test_a_date_behind_a_header_of_hundreds_of_kilobytes_counts(serve, on_script):
    filler = b"X-Filler: 0123456789\r\n" * 15000
    date = b"Date: Sun, 22 Nov 2026 15:30:00 +02:00\r\n"
    mails = [mailbox.Mail("long", b"Subject: x\r\n" + filler + date + b"\r\nbody\r\n"), mailbox.plain("short")]
    server = serve(Script(messages=mails))
    with on_script(server) as mount:
        assert seconds_of(mount, mails) == {"long": 1795354200, "short": 1793697630}
    assert server.commands("RETR") == []


def test_df_does_not_take_a_maildrop_for_a_full_disk(serve, on_script):
    with on_script(serve(Script(messages=mailbox.many(5)))) as mount:
        for words in (["df", "-P"], ["df", "-Pi"]):
            row = run(*words, str(mount.path)).stdout.decode().splitlines()[1].split()
            assert row[-2] in ("-", "0%") and row[1] != "0", row


@pytest.mark.slow
@pytest.mark.parametrize("first", ["another", "nothing"])
def test_what_another_client_deleted_is_not_there_whatever_was_read_before(first, serve, on_script):
    mails = mailbox.many(6)
    server = serve(Script(messages=list(mails)))
    with on_script(server) as mount:
        if first == "another":
            (mount.path / "m00001.eml").read_bytes()
        else:
            time.sleep(4.1)  # until the listing is not new any more
        server.script.messages, server.script.retr_refused = mails[:2] + mails[3:], {"m00003"}
        assert error_of_reading(mount.path / "m00003.eml") == errno.ENOENT
        assert error_of_reading(mount.path / "m00003.eml") == errno.ENOENT
        assert "m00003.eml" not in os.listdir(mount.path)
        assert len(server.sessions) == 2


def test_a_temporary_error_makes_popfs_ask_again_for_what_no_marker_has_proven(serve, on_script):
    mails = mailbox.many(6, octets=3000)
    server = serve(Script(messages=mails, unasked={"RETR": (4, TEMPORARY[0])}))
    with on_script(server, "prefetch") as mount:
        wait_until("the line has been said", lambda: not server.script.unasked)
        wait_until("the session is over", lambda: not server.sessions[0].is_alive())
        assert read_at_once(mount, mails) == {mail.name: mail.data for mail in mails}
        asked = [line for line in server.sessions[1].commands if line.startswith("RETR")]
        assert sorted(asked) == [f"RETR {number}" for number in range(4, 7)]
        assert "one at a time" not in mount.log()


def after_the_last_dot(octets):
    return octets[: -len(b".\r\n")]


SPOILT = {
    "missing": lambda octets: b"",
    "twice": lambda octets: octets * 2,
    "torn": lambda octets: octets[: len(octets) // 2],
    "line-feed-missing": lambda octets: octets[:-1],
    "status-before-the-dot": lambda octets: after_the_last_dot(octets) + b"-ERR [SYS/TEMP] read error\r\n",
    "line-before": lambda octets: b"+OK 120 octets\r\n" + octets,
    "refusal-before": lambda octets: b"-ERR try later\r\n" + octets,
    "line-behind": lambda octets: octets + b"+OK\r\n",
    "dot-behind": lambda octets: octets + b".\r\n",
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("count", [1, 4])
def test_one_answer_out_of_step_gives_nobody_the_octets_of_another_message(how, count, serve, on_script):
    mails = mailbox.many(12, octets=3000)
    server = serve(Script(messages=mails, spoilt={"RETR": (count, SPOILT[how])}))
    truth = {mail.name: mail.data for mail in mails}
    with on_script(server, "prefetch,timeout=3") as mount:
        wait_until("the answer is spoilt", lambda: not server.script.spoilt)
        for _ in range(2):
            for mail in mails:
                assert read_at_last(mount.path / f"{mail.name}.eml") == truth[mail.name]
    with on_script(server) as mount:
        assert read_at_once(mount, mails) == truth
    assert not server.violations()


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("count", [1, 4])
def test_one_answer_out_of_step_gives_no_message_the_date_of_another(how, count, serve, on_script):
    mails = mailbox.many(12)
    with on_script(serve(Script(messages=mails))) as mount:
        truth = seconds_of(mount, mails)
    server = serve(Script(messages=mails, spoilt={"TOP": (count, SPOILT[how])}))
    with on_script(server, "timeout=3") as mount:
        wait_until("the answer is spoilt", lambda: not server.script.spoilt)
        for name, seconds in seconds_of(mount, mails).items():  # or when it was first seen, where nothing came in time
            assert seconds == truth[name] or seconds not in truth.values()
    with on_script(server) as mount:
        assert seconds_of(mount, mails) == truth


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_dot_that_was_not_stuffed_makes_an_error_of_its_own_message_alone(pipelining, serve, on_script):
    lone = mailbox.plain("lone", b"A\r\n.\r\nB\r\n")
    mails = [*mailbox.many(4, octets=3000), lone]
    server = serve(Script(messages=mails, stuffing=False, pipelining=pipelining))
    with on_script(server) as mount:
        for _ in range(2):
            assert error_of_reading(mount.path / "lone.eml") == errno.EIO
            for mail in mails[:-1]:
                assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        assert status(mount)["sizes"] == "trusted"


@pytest.mark.parametrize("how, use", [("", "UIDL"), ("bare", "UIDL"), ("refused", "NOOP"), ("wrong", "NOOP"), ("close", "NOOP")])
def test_how_a_server_answers_uidl_with_a_number_is_found_out_once(how, use, serve, on_script):
    mails = mailbox.many(12, octets=3000)
    server = serve(Script(messages=mails, uidl_one=how))
    truth = {mail.name: mail.data for mail in mails}
    with on_script(server) as mount:
        for mail in mails:
            assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
    server.script.messages = [*mails, *(mailbox.plain(f"n{i}", b"new\r\n" * i) for i in range(1, 20))]
    before = len(server.sessions)
    with on_script(server) as mount:
        assert read_at_once(mount, server.script.messages) == truth | {mail.name: mail.data for mail in server.script.messages[12:]}
    assert len(server.sessions) <= before + 2
    asked = {line.split(" ")[0] for session in server.sessions[before:] for line in session.commands}
    assert ("NOOP" in asked) == (use == "NOOP")
    assert bool([line for session in server.sessions[before:] for line in session.commands if line.startswith("UIDL ")]) == (use == "UIDL")


@pytest.mark.slow
def test_a_message_whose_retr_is_a_temporary_error_each_time_holds_no_other_back(serve, on_script):
    mails = mailbox.many(6, octets=3000)
    server = serve(Script(messages=mails, garbled={"RETR 4": TEMPORARY[0]}))
    with on_script(server, "timeout=20") as mount:
        assert error_of_reading(mount.path / "m00004.eml") in (errno.EIO, errno.EBUSY)
        for mail in mails[:3] + mails[4:]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        assert len(set(seconds_of(mount, mails).values())) == 6


def test_a_prefetch_asks_few_messages_twice_for_one_that_is_a_temporary_error(serve, on_script):
    mails = mailbox.many(100, octets=3000)
    server = serve(Script(messages=mails, garbled={"RETR 60": TEMPORARY[0]}))
    with on_script(server) as mount:
        done = run(os.environ["POPFSCTL"], "prefetch", mount.path, check=False)
        assert done.returncode != 0
        assert len(server.commands("RETR")) <= 200, [len([c for c in s.commands if c.startswith("RETR")]) for s in server.sessions]
        assert server.commands("RETR").count("RETR 60") == 2
        for mail in mails[:59] + mails[60:]:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
        assert len(server.commands("RETR")) <= 200
        server.script.garbled = {}
        assert cat(mount.path / "m00060.eml") == mails[59].data


def start_of(path):
    descriptor = os.open(path, os.O_RDONLY)
    start = os.read(descriptor, 4096)
    os.close(descriptor)
    return start


def test_a_start_that_is_a_temporary_error_comes_by_retr_from_then_on(serve, on_script):
    mails = [*mailbox.many(4, octets=400_000)[:3], mailbox.plain("small")]
    server = serve(Script(messages=mails, start_said=TEMPORARY[0]))
    with on_script(server, "lazy=100K") as mount:
        seconds_of(mount, mails)
        for mail in mails[2::-1]:  # who goes up the listing is read ahead for, and is not given TOP
            assert start_of(mount.path / f"{mail.name}.eml") == mail.data[:4096]
    assert len([line for line in server.commands("TOP") if not line.endswith(" 0")]) == 1
    assert server.logins() == 2


def refresh(mount):
    run(os.environ["POPFSCTL"], "refresh", mount.path)


@pytest.mark.parametrize("line", TEMPORARY[:2])
@pytest.mark.slow
def test_dates_come_right_when_the_server_can_answer_top_again(line, serve, on_script):
    mails = mailbox.many(12)
    with on_script(serve(Script(messages=mails))) as mount:
        truth = seconds_of(mount, mails)
    server = serve(Script(messages=mails, garbled={"TOP": line}))
    with on_script(server) as mount:
        begin = time.monotonic()
        substitutes = seconds_of(mount, mails)
        assert not set(substitutes.values()) & set(truth.values())
        assert time.monotonic() - begin < 20
        server.script.garbled = {}
        refresh(mount)
        assert seconds_of(mount, mails) == truth
    with on_script(server) as mount:
        assert seconds_of(mount, mails) == truth


def test_one_header_that_is_a_temporary_error_takes_no_other_date(serve, on_script):
    mails = mailbox.many(12)
    with on_script(serve(Script(messages=mails))) as mount:
        truth = seconds_of(mount, mails)
    server = serve(Script(messages=mails, garbled={"TOP 5 0": TEMPORARY[0]}))
    with on_script(server) as mount:
        wrong = {name for name, seconds in seconds_of(mount, mails).items() if seconds != truth[name]}
        assert wrong == {"m00005"}
        assert server.logins() <= 5, [s.commands for s in server.sessions]
        server.script.garbled = {}
        refresh(mount)
        assert seconds_of(mount, mails) == truth


@pytest.mark.slow
def test_a_body_brings_the_date_that_top_could_not(serve, on_script):
    mails = mailbox.many(3)
    server = serve(Script(messages=mails, garbled={"TOP": TEMPORARY[0]}))
    with on_script(server) as mount:
        seconds_of(mount, mails)
        assert cat(mount.path / "m00002.eml") == mails[1].data
        seconds = seconds_of(mount, mails)
        assert seconds["m00002"] < seconds["m00001"] - 86400


@pytest.mark.slow
def test_a_server_that_is_always_out_at_top_is_not_logged_in_to_for_ever(serve, on_script):
    mails = mailbox.many(12, octets=3000)
    server = serve(Script(messages=mails, garbled={"TOP": TEMPORARY[0]}))
    with on_script(server) as mount:
        for _ in range(3):
            seconds_of(mount, mails)
        for mail in mails:
            assert cat(mount.path / f"{mail.name}.eml") == mail.data
            time.sleep(0.5)
        assert len(server.sessions) <= 5


def test_a_lost_connection_is_made_anew_and_remapped_by_uidl(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        inodes = {name: os.stat(mount.path / name).st_ino for name in names(mount.path)}
        assert cat(mount.path / "m00001.eml") == MAILS[0].data
        server.script.messages = MAILS[::-1]
        server.drop_all()
        for mail in MAILS:
            assert eventually_read(mount.path / f"{mail.name}.eml") == mail.data
        assert {name: os.stat(mount.path / name).st_ino for name in names(mount.path)} == inodes
    assert len(server.sessions) == 2


def test_what_is_local_stays_readable_while_the_server_is_away(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server, "timeout=2", expect_exit=None) as mount:
        assert cat(mount.path / "m00001.eml") == MAILS[0].data
        run("ls", "-l", mount.path)
        server.__exit__()
        assert error_of_reading(mount.path / "m00002.eml") in (errno.EIO, errno.ETIMEDOUT)
        assert cat(mount.path / "m00001.eml") == MAILS[0].data
        assert len(names(mount.path)) == 6
        status = cat(mount.path / ".popfs/status").decode()
        assert "offline" in status.lower() or "connecting" in status.lower() or "refused" in status.lower(), status


def test_a_message_that_vanished_between_sessions_disappears(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        assert cat(mount.path / "m00002.eml") == MAILS[1].data
        with open(mount.path / "m00002.eml", "rb") as still_open:
            server.script.messages = MAILS[:1] + MAILS[3:] + [mailbox.plain("arrived")]
            server.drop_all()
            assert eventually_read(mount.path / "m00001.eml") == MAILS[0].data
            wait_until("the new listing", lambda: "arrived.eml" in names(mount.path))
            assert sorted(names(mount.path)) == sorted([f"m0000{n}.eml" for n in (1, 4, 5, 6)] + ["arrived.eml"])
            assert error_of_reading(mount.path / "m00002.eml") == errno.ENOENT
            assert error_of_reading(mount.path / "m00003.eml") == errno.ENOENT
            assert still_open.read() == MAILS[1].data
        assert cat(mount.path / "arrived.eml") == mailbox.plain("arrived").data


def test_one_uidl_with_another_size_is_proven_before_it_is_shown(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server) as mount:
        assert cat(mount.path / "m00002.eml") == MAILS[1].data
        other = mailbox.plain("m00002", b"something else, longer than before\r\n" * 200)
        server.script.messages = [other if mail.name == "m00002" else mail for mail in MAILS]
        server.drop_all()
        assert eventually_read(mount.path / "m00001.eml") == MAILS[0].data
        assert eventually_read(mount.path / "m00002.eml") == other.data


SMALL = mailbox.plain("small", b"smaller than all others\r\n").data
NOTHING_SAID = {
    "empty": (b"\r\n", "0"),
    "one-with-a-text": (SMALL, "0"),
    "garbage": (SMALL, "%!d(float64=5461)"),
    "negative": (SMALL, "-2"),
}


@pytest.mark.parametrize("kind", NOTHING_SAID)
def test_a_row_of_list_without_a_size_makes_no_other_size_doubtful(kind, serve, on_script):
    data, said = NOTHING_SAID[kind]
    first = mailbox.Mail("m00000", data)
    others = MAILS[1:]
    server = serve(Script(messages=[first, *others], size_said=lambda octets: said if octets == len(data) else str(octets)))
    for mails_asked in ([first], []):
        with on_script(server) as mount:
            before = len(server.commands("RETR"))
            for mail in mails_asked:
                assert cat(mount.path / f"{mail.name}.eml") == mail.data
            run("ls", "-l", mount.path)
            assert {mail.name: os.stat(mount.path / f"{mail.name}.eml").st_size for mail in others} == {
                mail.name: len(mail.data) for mail in others}
            assert len(server.commands("RETR")) - before == len(mails_asked)
            assert "sizes are waited for" not in cat(mount.path / ".popfs/status").decode()


@pytest.mark.parametrize("later", ["0", "-2"])
def test_a_size_of_an_earlier_listing_judges_no_body_where_the_newest_says_none(later, serve, on_script):
    small = mailbox.plain("small")
    said = ["4000"]
    server = serve(Script(messages=[small, *MAILS[1:]], size_said=lambda octets: said[0] if octets == len(small.data) else str(octets)))
    with on_script(server) as mount:
        assert os.stat(mount.path / "small.eml").st_size == 4000
    said[0] = later
    with on_script(server) as mount:
        assert [cat(mount.path / f"{mail.name}.eml") for mail in MAILS[1:]] == [mail.data for mail in MAILS[1:]]
        assert cat(mount.path / "small.eml") == small.data
        assert status(mount)["sizes"] == "trusted"


def test_equal_uidls_are_two_files(serve, on_script):
    twins = [mailbox.plain("twin", b"first\r\n"), mailbox.plain("single"), mailbox.plain("twin", b"the second one\r\n")]
    server = serve(Script(messages=twins))
    with on_script(server) as mount:
        found = names(mount.path)
        assert len(found) == len(set(found)) == 3 and "twin.eml" in found
        assert sorted(cat(mount.path / name) for name in found) == sorted(mail.data for mail in twins)


HOSTILE = ["../../etc/passwd", "a/b/c", ".hidden", ".", "..", "...", "%41", "a%2Fb", "-rf", "$(reboot)", "`x`", "*", "a\\b", "a'b\"c",
           "\udce9\udcff", "\x01\x1b[31m\x7f", "u" * 70, "w" * 240, "w" * 251, "w" * 252, "w" * 400, "w" * 401 + "z", "x.eml", "A", "a",
           "con:aux|<>?", "~", "<a@b>"]


def test_hostile_uidls_become_harmless_names(serve, on_script):
    mails = [mailbox.plain(uidl, b"text of %d\r\n" % number) for number, uidl in enumerate(HOSTILE)]
    server = serve(Script(messages=mails))
    with on_script(server) as mount:
        found = os.listdir(os.fsencode(mount.path))
        assert len(set(found)) == len(HOSTILE)
        for name in found:
            assert len(name) <= 255 and not name.startswith(b".") and name.endswith(b".eml"), name
            assert all(32 < byte < 127 and byte != ord("/") for byte in name), name
        assert sorted(cat(os.path.join(os.fsencode(mount.path), name)) for name in found) == sorted(mail.data for mail in mails)
        for name in found:
            os.unlink(os.path.join(os.fsencode(mount.path), name))
    assert server.script.messages == []


def test_keepalive_keeps_the_session(serve, on_script):
    server = serve(Script(messages=MAILS))
    with on_script(server, "keepalive=1") as mount:
        wait_until("two NOOPs", lambda: len(server.commands("NOOP")) >= 2)
        assert cat(mount.path / "m00001.eml") == MAILS[0].data
    assert len(server.sessions) == 1


def test_dots_at_line_starts_come_through(serve, on_script):
    mail = mailbox.plain("dots", b".\r\n..\r\n.x\r\n...\r\n\r\n.\r\n")
    server = serve(Script(messages=[mail]))
    with on_script(server) as mount:
        assert cat(mount.path / "dots.eml") == mail.data


def test_a_login_that_takes_long_is_waited_for(serve, on_script):
    server = serve(Script(messages=MAILS, hold_login=True))
    threading.Timer(3, server.release.set).start()
    with on_script(server, "timeout=20") as mount:
        assert len(names(mount.path)) == 6
