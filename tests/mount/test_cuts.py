# SPDX-License-Identifier: MIT
"""Rule 20: a line that breaks at any octet of a session gives the right octets or an errno; never wrong ones, a hang or a leak.

The session is that of a user: mount, list, read three messages, remove one, unmount. At octet k of what the server sends, or of what
it receives, the line is cut, reset, falls silent, turns to nonsense, or flips a bit; faults and ways to ask take turns. The normal run
takes every 97th octet, POPFS_LONG every one.

Two faults are left out because nobody could see them: a flipped bit in the clear (TCP's checksum and the mail itself are all there is;
under TLS each is found), and nonsense in the clear that is followed by the rest of the mail, for which it is followed by a cut here.
"""

import os
import time
from dataclasses import dataclass

import mailbox
import mounting
import pytest
from conftest import script_options, script_source
from faultproxy import FAULTS, FaultProxy, everywhere
from mounting import mount_or_refusal, wait_until
from reading import read_at_last, read_or_errno
from scripted import Script, Server

LONG = "POPFS_LONG" in os.environ
STEP = 1 if LONG else 97
AT_ONCE = 16 if LONG else 8  # mounts; most of their time is back-off and silence
EVERY_LINE = 10**6

READ = [
    mailbox.plain("first", b".dots\r\n..\r\n" + b"first " * 20 + b"\r\n"),
    mailbox.plain("second", bytes(range(1, 10)) + b"\0\r\n.\r\nsecond\r\n"),
    mailbox.plain("third", b"no dots, but some length " * 12 + b"\r\n"),
]
GONER = mailbox.plain("goner", b"to be removed\r\n")
MAILS = [*READ, GONER]

# The answer to QUIT is waited for a minute, however short the time-out: silence there has a test of its own, and a flipped length in
# the record that holds QUIT makes the server wait for more.
QUIT_OCTETS = {"clear": {"up": 8, "down": 12}, "stls": {"up": 64, "down": 40}, "tls": {"up": 64, "down": 40}}


@dataclass(frozen=True)
class Fault:
    direction: str
    octet: int
    how: str
    times: int  # connections
    pipeline: str


def has_header(path):
    """stat waits for the date, and so for the header."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


class Sessions:
    """Those over one transport."""

    def __init__(self, one_place, transport, authority, certificate):
        self.one_place, self.transport = one_place, transport
        self.trust = "tls=off" if transport == "clear" else f"cafile={authority.cert}"
        self.certificate = certificate

    def server(self):
        return Server(Script(messages=list(MAILS)), certificate=self.certificate, implicit_tls=self.transport == "tls")

    def how_to_connect(self, place, server, proxy, pipeline):
        seconds = 1 if proxy.how in ("silence", "flip") else 5  # a flipped length makes either side wait for more
        options = script_options(place, server, f"timeout={seconds},pipeline={pipeline}", self.trust)
        return script_source(proxy, "pops" if self.transport == "tls" else "pop3"), options

    def whole(self, pipeline):
        """Octets down and up of a session that nobody disturbs."""
        with self.one_place() as place, self.server() as server, FaultProxy(server) as proxy:
            with mounting.mounted(place, *self.how_to_connect(place, server, proxy, pipeline)) as mount:
                for mail in READ:
                    assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
                os.unlink(mount.path / "goner.eml")
            assert server.script.messages == READ and len(proxy.passed_down) == 1
            return {"down": proxy.passed_down[0], "up": proxy.passed_up[0]}

    def faulty(self, fault):
        """One session with one fault; True if popfs was mounted when the line broke."""
        begin = time.monotonic()
        with self.one_place() as place, self.server() as server, \
                FaultProxy(server, times=fault.times, how=fault.how, **{fault.direction: fault.octet}) as proxy:
            mount = mount_or_refusal(place, *self.how_to_connect(place, server, proxy, fault.pipeline))
            if mount is None:
                assert server.commands("DELE") == []
                return False
            before = proxy.cut_count
            self.use(mount, healed=fault.times == 1)
            self.judge(mount, server, healed=fault.times == 1)
            assert time.monotonic() - begin < 60
            return before < proxy.cut_count

    def use(self, mount, healed):
        assert sorted(os.listdir(mount.path)) == sorted(f"{mail.name}.eml" for mail in MAILS)
        wanted = READ if healed else READ[:1]  # where each line breaks, each read takes several tries
        for mail in wanted:
            assert read_or_errno(mount.path / f"{mail.name}.eml") in (mail.data, None), mail.name
        if healed:
            for mail in READ:
                assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
        assert (mount.path / ".popfs/status").read_bytes()
        # Twenty-three, two more under TLS for the process that reads the authorities, and two for a moment while a connection is made.
        wait_until("no descriptor too many", lambda: len(os.listdir(f"/proc/{mount.pid}/fd")) <= 27)
        if healed:  # its header proves in a later session which message is meant
            wait_until("its header", lambda: has_header(mount.path / "goner.eml"))
        os.unlink(mount.path / "goner.eml")

    def judge(self, mount, server, healed):
        """What popfs says of the removal is what became of it, unless no line could tell."""
        code = mount.unmount()
        is_gone = server.script.messages == READ
        assert is_gone or server.script.messages == MAILS, "a message is gone that nobody removed"
        said = f"exit code {code}, gone: {is_gone}\n{mount.log()}{server.commands()}"
        if healed:
            assert is_gone and code == 0, said
        if code == 0:
            assert is_gone and "deleted 1 message" in mount.log(), said
        else:
            unknowable = any(session.committed for session in server.sessions)
            assert not is_gone or unknowable, said
            assert "goner" in mount.log(), said


def faults(sessions):
    """In each third turn every line breaks, and not the first alone."""
    hows = [how for how in FAULTS if sessions.transport != "clear" or how != "flip"]
    found = []
    octets = {pipeline: sessions.whole(pipeline) for pipeline in ("auto", "off")}
    for direction in ("down", "up"):
        total = max(of[direction] for of in octets.values())
        step = STEP if direction == "down" else min(STEP, 31)  # the commands are short
        for octet in range(0, total, step):
            turn, place = divmod(len(found), len(hows))
            how, pipeline = hows[place], ("auto", "off")[turn % 2]
            times = EVERY_LINE if turn % 3 == 2 and how in ("reset", "close") else 1
            if how in ("silence", "flip") and octet >= octets[pipeline][direction] - QUIT_OCTETS[sessions.transport][direction]:
                how = "close"
            found.append(Fault(direction, octet, how, times, pipeline))
    return found


@pytest.mark.parametrize("transport", QUIT_OCTETS)
@pytest.mark.slow
def test_a_session_that_breaks_anywhere(transport, one_place, authority, certificate):
    sessions = Sessions(one_place, transport, authority, certificate)
    chosen = faults(sessions)
    mounted_count = sum(everywhere(sessions.faulty, chosen, AT_ONCE))
    assert mounted_count >= len(chosen) // 8, "only the login was disturbed"


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("pipeline", ["auto", "off"])
@pytest.mark.slow
def test_a_commit_cut_anywhere_deletes_what_was_removed_and_says_so(pipeline, direction, one_place):
    """After the listing the line is cut `point` octets later, up or down, in the first session or in every one."""
    mails = mailbox.many(8, octets=100)
    goners = {mail.name for mail in mails[1:6]}

    def case(point):
        times = 1 if point % 2 == 0 else 10**6
        with one_place() as place, Server(Script(messages=mails)) as server, FaultProxy(server, times=times) as cutter:
            mount = mount_or_refusal(place, script_source(cutter), script_options(place, server, f"timeout=5,top=off,pipeline={pipeline}"))
            for mail in mails:  # what proves in a later session which message is meant
                assert read_at_last(mount.path / f"{mail.name}.eml") == mail.data
            for name in goners:
                os.unlink(mount.path / f"{name}.eml")
            after = cutter.passed_down[0] if direction == "down" else cutter.passed_up[0]
            setattr(cutter, direction, after + point)
            code = mount.unmount()
            gone = {mail.name for mail in mails} - {mail.name for mail in server.script.messages}
            assert gone in (set(), goners), "a commit is all or nothing"
            assert (code == 0) == (gone == goners), f"exit code {code}, but {gone} are gone:\n{mount.log()}"
            if times == 1:
                assert gone == goners, mount.log()
            for name in goners - gone:
                assert name in mount.log()
            if gone:
                assert f"deleted {len(gone)} messages" in mount.log()
            return cutter.cut_count

    # The answers to five DELE and a QUIT are 33 octets, the commands 46.
    step = 1 if LONG else 3
    assert sum(everywhere(case, range(0, 33 if direction == "down" else 46, step), AT_ONCE)) >= 10
