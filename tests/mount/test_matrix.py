# SPDX-License-Identifier: MIT
"""Each misbehaviour of POP3.md over each transport, with pipelining and without.

A case is what one server does wrong and what a user may see of it. Whatever the server does: a file holds the right octets or cannot
be read, a mount that fails says why in one line, each call ends in time, the mount lives on, and a removal deletes that message or
nothing. How often popfs may log in is a part of each case.

The normal run has each case once, transports and pipelining taking turns; POPFS_LONG has every cell.
"""

import errno
import itertools
import os
import re
import subprocess
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Callable

import mailbox
import mounting
import pytest
from conftest import script_options, script_source, side_by_side
from mounting import wait_until
from scripted import Script, Server

LONG = "POPFS_LONG" in os.environ
AT_ONCE = 6  # cells; most of the time of a cell is waiting
TRANSPORTS = ("plain", "stls", "tls")
FAILS = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY}

A, B, C, D, E = (  # small, but with all that framing can get wrong
    mailbox.plain("dots", b".\r\n..\r\n.x\r\nLF\n.\nno\n.\r\nend\r\n.\r\n"),
    mailbox.plain("octets", bytes(range(1, 10)) + b"\0\0\r\n" + bytes(range(128, 256)) + b"\r\na\rb\r\r\nc\r\n"),
    mailbox.plain("lines", b"The quick brown fox, number 12345.\r\n" * 90),
    mailbox.plain("one-line", b"0123456789abcdef" * 600 + b"\r\n"),
    mailbox.plain("goner"),
)
FIVE = [A, B, C, D, E]
NICE = mailbox.many(4, octets=500) + [E]
NO_LONE_DOT = [mailbox.plain("unstuffed", b".x\r\n.hidden\r\n x\r\n"), E]
FOREIGN = [mailbox.Mail("foreign", b"From: M\xfcller <m@example.org>\r\nDate: Tue, 03 Nov 2026 10:20:30 +0100\r\n\r\nbody\r\n"), C, E]
MANY = [*mailbox.many(150, octets=400), E]


@dataclass(frozen=True)
class Case:
    rules: str
    switches: Callable[[], dict]  # of the server; made anew for each cell
    mails: list = field(default_factory=lambda: FIVE)
    options: str = "timeout=10"
    transports: tuple = TRANSPORTS
    pipelining: tuple = (True, False)
    refused: str = ""  # nothing is mounted, and the line on stderr has this
    perhaps: bool = False  # or it is mounted all the same
    says: str = ""  # the log has this
    hidden: frozenset = frozenset()  # UIDLs without a file
    fails: frozenset = frozenset()  # UIDLs whose file cannot be read
    may_fail: frozenset = frozenset()  # UIDLs whose file perhaps cannot be read at the first try
    octets: Callable[[mailbox.Mail], bytes] = lambda mail: mail.data
    name: Callable[[str, int], str] = lambda uidl, number: uidl + ".eml"
    deletes: bool | None = True  # the removal of the last message; None: popfs cannot know
    logins: int = 1  # at most
    seconds: float = 20  # for all of it; a machine with two cores and sanitizers is slow


def switches(**values):
    return lambda: {key: value.copy() if isinstance(value, (set, dict)) else value for key, value in values.items()}


NOT_POP3 = r"not POP3"
LOST = r"lost|closed|ended the session"
LONG_LINE = b"x" * 9000 + b"\r\n"

CASES = {
    # -- rules 1 to 6: framing
    "status-bare": Case("1, 3.12", switches(status="bare")),
    "status-blank": Case("1, 3.12", switches(status="blank")),
    "status-small-letters-and-tabs": Case("1", switches(status="tab")),
    "greeting-okay": Case("1", switches(greeting=b"+Okay then\r\n"), refused=NOT_POP3),
    "greeting-err-with-plus": Case("1", switches(greeting=b"+ERR busy\r\n"), refused=NOT_POP3),
    "greeting-plus": Case("1", switches(greeting=b"+\r\n"), refused=NOT_POP3),
    "greeting-empty": Case("1", switches(greeting=b"\r\n"), refused=NOT_POP3),
    "greeting-binary": Case("1", switches(greeting=bytes(range(256)) + b"\r\n"), refused=NOT_POP3),
    "greeting-of-smtp": Case("1", switches(greeting=b"220 ready\r\n"), refused=NOT_POP3),
    "greeting-too-long": Case("5", switches(greeting=b"+OK " + LONG_LINE), refused="line of more than"),
    "capa-garbled": Case("1", switches(garbled={"CAPA": b"OK\r\n"}), refused=NOT_POP3),
    "login-garbled": Case("1", switches(garbled=dict.fromkeys(("PASS", "AUTH", "APOP"), b"+Okay\r\n")), refused=NOT_POP3),
    "stat-garbled": Case("1", switches(garbled={"STAT": b"+OKAY 5 500\r\n"}), refused=NOT_POP3, logins=2),
    "uidl-garbled": Case("1", switches(garbled={"UIDL": b"\0\r\n"}), refused=NOT_POP3, logins=2),
    "list-garbled": Case("1", switches(garbled={"LIST": b"+ERR\r\n"}), refused=NOT_POP3, logins=2),
    "retr-garbled-once": Case("1", switches(garbled={"RETR": b"+Okay here it is\r\n.\r\n"}, garbled_times=1), says=NOT_POP3, logins=3),
    "retr-garbled-always": Case("1, 17", switches(garbled={"RETR 2": b"+Okay\r\n"}), fails={"octets"}, says=NOT_POP3, logins=4,
                                seconds=40),
    "dele-garbled-once": Case("1, 18", switches(garbled={"DELE": b"+Okay\r\n"}, garbled_times=1), says=NOT_POP3, logins=2),
    "dele-garbled-always": Case("1, 18", switches(garbled={"DELE": b"+Okay\r\n"}), says="goner", deletes=False, logins=4, seconds=40),
    "status-too-long": Case("5", switches(garbled={"RETR 2": b"+OK " + LONG_LINE}, garbled_times=1), says="line of more than", logins=3),
    "every-three-octets": Case("2", switches(split=3)),
    "every-octet": Case("2", switches(split=1), mails=NICE),
    "bare-lf": Case("2", switches(bare_lf=True), mails=NICE, octets=lambda mail: mail.data.replace(b"\r\n", b"\n")),
    "not-stuffed": Case("3", switches(stuffing=False), mails=NO_LONE_DOT),
    "capa-of-250-lines": Case("5", switches(capa_extra=b"X-WORD\r\n" * 250), refused="CAPA has more than"),
    "capa-line-too-long": Case("5", switches(capa_extra=LONG_LINE), refused="line of more than"),
    "list-line-too-long": Case("5", switches(list_extra=b"1 " + LONG_LINE), logins=2),
    "uidl-line-too-long": Case("5", switches(uidl_extra=b"1 " + LONG_LINE), logins=2),
    "uidl-cut-once": Case("6", switches(cut_listing={"UIDL": 20}), refused=LOST, perhaps=True, logins=2),
    "list-cut-once": Case("6", switches(cut_listing={"LIST": 20}), refused=LOST, perhaps=True, logins=2),
    "uidl-cut-always": Case("6", switches(cut_listing={"UIDL": 20}, cut_times=99), refused=LOST, logins=2),
    # -- rules 7 to 12: listing
    "rows-with-blanks": Case("7", switches(row=lambda row: "  " + row.replace(" ", " \t  ") + " \t ")),
    "rows-with-ok": Case("7", switches(row=lambda row: "+OK " + row)),
    "rows-backwards": Case("7", switches(order=lambda rows: rows[::-1])),
    "numbers-with-gaps": Case("7", switches(number=lambda place: place * 7)),
    "rows-without-sense": Case("7", switches(list_extra=b"x 1\r\n0 5\r\n-1 5\r\n4294967297 5\r\n\r\n77 5\r\n2147483648 1\r\n",
                                             uidl_extra=b"x y\r\n0 zero\r\n-1 less\r\n4294967297 more\r\n\r\n3\r\n"), says="no sense"),
    "stat-negative": Case("7", switches(stat_said="5 -1")),
    "stat-says-nothing-once": Case("6, 7", switches(stat_said="messages: five", stat_said_times=1)),
    "stat-without-numbers": Case("7", switches(stat_said="messages: five")),
    "number-with-two-uidls": Case("7", switches(uidl_extra=b"3 another\r\n"), hidden={"lines"}, says="two UIDLs"),
    "nothing-to-list": Case("8", switches(), mails=[]),
    "nothing-to-list-refused": Case("8", switches(empty_listing="refuses"), mails=[]),
    "nothing-to-list-hangs": Case("8", switches(empty_listing="hangs"), mails=[], options="timeout=2", logins=2),
    "no-uidl": Case("9", switches(uidl=False), name=lambda uidl, number: f"msg-{number}.eml", says="no UIDL"),
    "uidl-refused-once": Case("9", switches(uidl_refused_times=1), logins=2),
    "sizes-30-percent-less": Case("12", switches(size_said=lambda octets: str(octets * 7 // 10))),
    "sizes-one-more": Case("12", switches(size_said=lambda octets: str(octets + 1))),
    "sizes-zero": Case("12", switches(size_said=lambda octets: "0")),
    "sizes-garbage": Case("12", switches(size_said=lambda octets: f"%!d(float64={octets})")),
    "header-added-at-uidl": Case("3.5", switches(uidl_adds_header=True),
                                 octets=lambda mail: f"X-UIDL: {mail.name}\r\n".encode() + mail.data),
    # -- rules 13 and 14: data
    "retr-refused": Case("13, 34", switches(retr_refused={"octets"}), fails={"octets"}, says="refuses message", logins=2),
    "retr-short-once": Case("13", switches(short_retr={"octets": 40}, short_times=1), says="once more"),
    "retr-empty": Case("13, 3.5", switches(empty_retr={"octets"}), fails={"octets"}),
    "retr-reset-once": Case("13, 17", switches(cut_retr=90), logins=3),
    "retr-closed-once": Case("13, 17", switches(cut_retr=90, cut_how="close"), logins=3),
    "retr-ended-once": Case("13, 25", switches(cut_retr=90, cut_how="goodbye"), transports=("stls", "tls"), logins=3),
    "retr-hangs-up-always": Case("13, 17", switches(hangs_up_on={"octets"}), fails={"octets"}, logins=4, seconds=40),
    "retr-silent-once": Case("21", switches(cut_retr=90, cut_how="silence"), options="timeout=1", may_fail={"dots"}, logins=3),
    "retr-silent-always": Case("21, 17, 3.5", switches(silent={"RETR 2"}), options="timeout=1", fails={"octets"}, logins=4, seconds=40),
    "errors-are-counted": Case("13, 3.8", switches(errors_limit=5, capa=False), pipelining=(False,)),
    "top-with-body": Case("14", switches(top_style="whole")),
    "top-without-blank-line": Case("14", switches(top_style="no-blank")),
    "top-refused": Case("14", switches(top_style="refused")),
    "top-cut": Case("14", switches(top_limit=30)),
    "top-of-another-message": Case("14", switches(top_as={mail.name: mailbox.plain("other").data for mail in FIVE})),
    "no-top": Case("14", switches(top=False)),
    # -- rules 15 to 17: pipelining
    "capa-refused-after-login": Case("15", switches(capa_after_login=False, pipelining=False, pipelining_early=True)),
    "pipelining-before-login-only": Case("15", switches(pipelining=False, pipelining_early=True)),
    "pipelining-cuts-always": Case("15, 17", switches(pipelining_cuts="always"), pipelining=(True,), logins=6),
    "pipelining-cuts-but-listing": Case("15, 17", switches(pipelining_cuts="but listing"), pipelining=(True,), logins=6),
    "early-octets-are-lost": Case("15, 3.2", switches(loses_early=True)),
    "early-octets-are-lost-in-auth": Case("15, 3.2", switches(loses_early=True), options="timeout=10,auth=plain"),
    "output-waits-to-be-read": Case("16", switches(send_buffer=4096), mails=MANY, seconds=40),
    "nagle": Case("3.1", switches(nagle=True)),
    # -- rules 18 and 19: deleting
    "dele-refused": Case("18", switches(dele_refused={"goner"}), says="could not delete goner|goner: ", deletes=False, logins=3),
    "quit-refused": Case("18", switches(quit="refused"), says="goner", deletes=False, logins=4, seconds=40),
    "quit-without-a-word": Case("18", switches(quit="nothing"), says="goner", deletes=False, logins=4, seconds=40),
    "quit-deletes-without-a-word": Case("18", switches(quit="mute"), says="deleted 1 message", logins=2),
    "quit-lies": Case("18, 3.3", switches(quit="lying"), deletes=None, logins=2),
    "quit-deletes-later": Case("18", switches(quit="late"), says="deleted 1 message", logins=2),
    "quit-garbled": Case("1, 18", switches(garbled={"QUIT": b"+Okay\r\n"}), says="goner", deletes=False, logins=4, seconds=40),
    # -- rules 21 and 22: connection
    "silent-greeting": Case("21", switches(silent={"greeting"}), options="timeout=1", refused="silent|no answer|answer"),
    "silent-capa": Case("21", switches(silent={"CAPA"}), options="timeout=1", refused="silent"),
    "silent-login": Case("21", switches(hold_login=True), options="timeout=1", refused="silent"),
    "silent-stat": Case("21", switches(silent={"STAT"}), options="timeout=1", refused="silent", logins=2),
    "silent-uidl": Case("21", switches(hold_uidl=True), options="timeout=1", refused="silent", logins=2),
    "slow-login": Case("21, 3.9", switches(login_s=1.6), options="timeout=1"),
    "slow-quit": Case("21", switches(quit_s=2.5), options="timeout=1", says="deleted 1 message"),
    "silent-in-the-middle": Case("21", switches(hold_retr={"octets": 60}), options="timeout=1", fails={"octets"}, logins=6, seconds=40),
    "refused-by-code": Case("22", switches(refusal="-ERR [SYS/PERM] go away"), refused="go away"),
    "refused-by-auth": Case("22", switches(refusal="-ERR [AUTH] no"), refused="refused the login"),
    "refused-without-a-code": Case("22", switches(refusal="-ERR no"), refused="refused the login"),
    "refused-without-a-word": Case("22, 3.12", switches(refusal="-ERR"), refused="refused the login"),
    "in-use-always": Case("22", switches(in_use=True), options="timeout=2", refused="somebody else has it", logins=2),
    "in-use-once": Case("22, 3.9", switches(refusal="-ERR [IN-USE] held", refusal_times=1)),
    "locked-without-a-code-once": Case("22", switches(refusal="-ERR maildrop is locked", refusal_times=1)),
    "login-delay-once": Case("22", switches(refusal="-ERR [LOGIN-DELAY] too soon", refusal_times=1)),
    "sys-temp-once": Case("22", switches(refusal="-ERR [SYS/TEMP] try again", refusal_times=1)),
    "connections-refused": Case("22", switches(refuse_connections=True), refused="closed|lost"),
    "error-after-login": Case("3.7", switches(error_after_login=b"-ERR [SYS/TEMP] cannot open it\r\n"), options="timeout=2",
                              refused="cannot open it|closed|lost", logins=2),
    "temporary-error-unasked": Case("3.7", switches(unasked={"RETR": (2, b"-ERR [SYS/TEMP] internal error\r\n")}), logins=3),
    "idle-closes": Case("3.10", switches(idle_s=1.2), options="timeout=10,keepalive=0", logins=3),
    # -- rules 24 to 28: TLS and login
    "tls-1.1": Case("24, 26", switches(tls_only_1_1=True), transports=("stls", "tls"), refused="TLS"),
    "stls-stripped": Case("25, 26", switches(stls="stripped"), transports=("stls",), refused="does not offer STLS"),
    "stls-refused": Case("25", switches(stls="refused"), transports=("stls",), refused="refused STLS"),
    "stls-silent": Case("25", switches(stls="silent"), transports=("stls",), options="timeout=1", refused="silent"),
    "stls-injected": Case("25, 26", switches(stls="injected"), transports=("stls",), refused="more than its answer to STLS"),
    "stls-injected-later": Case("25", switches(stls="injected-later"), transports=("stls",), refused="did not speak TLS"),
    "stls-fake": Case("25", switches(stls="fake"), transports=("stls",), refused="did not speak TLS"),
    "challenge-without-blank": Case("27", switches(challenge="+"), options="timeout=10,auth=plain"),
    "challenge-with-text": Case("27", switches(challenge="+ go on"), options="timeout=10,auth=plain"),
    "challenge-of-ok": Case("27", switches(challenge="+OK"), options="timeout=10,auth=plain"),
    "login-of-two-steps": Case("27", switches(sasl="LOGIN"), options="timeout=10,auth=login"),
    "apop": Case("27", switches(capa_extra=b"EXPIRENEVER\r\n"), options="timeout=10,auth=apop", transports=("plain", "tls")),
    "password-of-1-kib": Case("28", switches(password="p%41 \u00e9" * 170), options="timeout=10,auth=user"),
    "utf8": Case("3.6", switches(utf8="ok", rewrites_8bit=True), mails=FOREIGN),
    "utf8-refused": Case("3.6", switches(utf8="refused")),
    # -- section 3: what real servers leave out
    "no-capa": Case("3.8", switches(capa=False), pipelining=(False,)),
    "capa-hides-top": Case("3.8", switches(top_hidden=True)),
    "long-commands-are-refused": Case("3.12", switches(line_limit=255)),
}

# Tested where they can be seen: with a second session, or with time.
ELSEWHERE = {
    "capa_deaf": "test_new_mail.py",
    "dele_how": "test_commit_isolation.py",
    "dele_limit": "test_commit_isolation.py",
    "dele_limit_how": "test_commit_isolation.py",
    "dele_s": "test_commit_isolation.py",
    "dele_together": "test_commit_isolation.py",
    "drips": "test_dripping.py",
    "given_again": "test_evidence.py",
    "retr_limit": "test_bad_server.py",
    "graffiti": "test_terminal.py",
    "hides_read": "test_matrix.py",
    "hold_dele": "test_undo.py",
    "login_delay": "test_new_mail.py",
    "quit_keeps": "test_new_mail.py",
    "spoilt": "test_bad_server.py",
    "start_said": "test_bad_server.py",
    "uidl_one": "test_bad_server.py",
    "mechanisms": "test_login.py",
    "tls_1_2": "test_login.py",
    "wrong_said": "test_login.py",
}


class Cell:
    """One mount: what a user does, and what the server then knows."""

    def __init__(self, case, transport, pipelining, certificate, authority):
        self.case, self.transport = case, transport
        made = {"pipelining": pipelining, **case.switches()}
        script = Script(messages=list(case.mails), **made)
        self.server = Server(script, certificate=certificate, implicit_tls=transport == "tls")
        self.place = mounting.Place()
        trust = "tls=off" if transport == "plain" else f"cafile={authority.cert}"
        self.options = script_options(self.place, self.server, case.options, trust)
        self.source = script_source(self.server, "pops" if transport == "tls" else "pop3")
        self.goner = case.mails[-1] if case.mails else None

    def run(self):
        begin = time.monotonic()
        try:
            with self.server:
                self.attempt()
                assert time.monotonic() - begin < self.case.seconds, "too slow"
                assert self.server.logins() <= self.case.logins, f"{self.server.logins()} logins: {self.server.commands()}"
                assert self.server.violations() == []
            self.place.check_reports()
        finally:
            mounting.unmount_hard(self.place.mountpoint)
            subprocess.run(["rm", "-rf", self.place.folder], check=True)

    def attempt(self):
        mount = mounting.mount_or_refusal(self.place, self.source, self.options)
        if mount is None:
            self.refusal((self.place.folder / "output-0").read_text())
            return
        assert self.case.perhaps or not self.case.refused, "mounted"
        try:
            self.use(mount)
        except BaseException:
            print(f"--- popfs said:\n{mount.log()}--- and the server heard:\n{self.server.commands()}")
            raise

    def refusal(self, said):
        assert self.case.refused and re.search(self.case.refused, said), said
        assert all(byte >= 32 for byte in said.strip().encode()), "octets of the server are not escaped"
        if "stls" in self.case.switches() or "tls_only_1_1" in self.case.switches():
            assert not self.server.heard_secret()
        assert self.server.commands("RETR") == [] and self.server.commands("DELE") == []

    def paths(self, mount):
        return {mail: mount.path / self.case.name(mail.name, number) for number, mail in enumerate(self.case.mails, 1)
                if mail.name not in self.case.hidden}

    def use(self, mount):
        paths = self.paths(mount)
        assert sorted(os.listdir(mount.path)) == sorted(path.name for path in paths.values())
        assert all(os.stat(path).st_mtime > 0 for path in paths.values())
        if self.server.script.idle_s < 10:
            time.sleep(self.server.script.idle_s + 0.3)
        for mail, path in paths.items():
            self.read(mail, path, self.case.fails | self.case.may_fail)
        assert len(self.server.commands("RETR")) <= 4 * len(paths), "a storm of RETRs"
        assert (mount.path / ".popfs/status").read_text()
        for mail, path in paths.items():  # what could be read stays, what could not spoils nothing
            if mail.name not in self.case.fails:
                wait_until(path.name, lambda: self.read(mail, path, self.case.may_fail), self.case.seconds)
        self.end(mount, paths)
        assert re.search(self.case.says, mount.log()), mount.log()

    def read(self, mail, path, may_fail):
        """True if it could be read, and was right."""
        begin = time.monotonic()
        try:
            octets = path.read_bytes()
        except OSError as error:
            assert mail.name in may_fail and error.errno in FAILS, f"{path.name}: {error}"
            assert time.monotonic() - begin < self.case.seconds / 2, f"{path.name}: {error}, but late"
            return False
        assert mail.name not in self.case.fails, f"{path.name} could be read"
        assert octets == self.case.octets(mail), f"{path.name}: {octets[:200]}"
        assert os.stat(path).st_size == len(octets)
        return True

    def end(self, mount, paths):
        before = list(self.server.script.messages)
        if self.goner is not None:
            os.unlink(paths[self.goner])
        code = mount.unmount()
        left = [mail for mail in before if mail is not self.goner]
        if self.case.deletes and self.server.script.quit == "late":
            wait_until("the late removal", lambda: self.server.script.messages == left, 5)
        if self.case.deletes is None:
            assert self.server.script.messages in (before, left)
        elif self.case.deletes:
            assert code == 0, mount.log()
            assert self.server.script.messages == left
        else:
            assert code not in (0, None), mount.log()
            assert self.server.script.messages in ((before,) if "QUIT" not in self.server.script.garbled else (before, left))


def cells():
    turns = itertools.cycle(itertools.product((True, False), TRANSPORTS))
    for name, case in CASES.items():
        every = [(name, transport, pipelining) for pipelining in case.pipelining for transport in case.transports]
        if LONG:
            yield from every
            continue
        turn = next(turns)
        wanted = [cell for cell in every if (cell[2], cell[1]) == turn]
        yield (wanted or every)[0]


def cell_id(cell):
    name, transport, pipelining = cell
    return f"{name}-{transport}-{'pipelined' if pipelining else 'one-by-one'}"


@pytest.fixture(scope="module")
def runs(request, certificate, authority):
    with side_by_side(request, "cell", lambda cell: Cell(CASES[cell[0]], *cell[1:], certificate, authority).run(), AT_ONCE) as futures:
        yield futures


@pytest.mark.parametrize("cell", cells(), ids=cell_id)
def test_a_misbehaviour_is_survived_or_named(cell, runs):
    """What each rule demands that the case names."""
    runs[cell].result()


def test_every_switch_of_the_server_has_a_case():
    used = {switch for case in CASES.values() for switch in case.switches()} | set(ELSEWHERE)
    assert {switch.name for switch in fields(Script)} - {"messages", "user"} - used == set()
    for switch, file in ELSEWHERE.items():
        assert f"{switch}=" in (Path(__file__).parent / file).read_text(), switch


def test_what_was_read_stays_listed_with_noquit(serve, on_script):
    """Rule 19: Gmail hides what was fetched once the session has ended in QUIT."""
    server = serve(Script(messages=list(FIVE), hides_read=True))
    with on_script(server, "noquit") as mount:
        for mail in FIVE[1:]:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
    assert server.commands("QUIT") == []
    assert server.script.messages == FIVE


def test_a_removal_under_noquit_is_committed_all_the_same(serve, on_script):
    """Rule 19: nothing but QUIT deletes."""
    server = serve(Script(messages=list(FIVE)))
    with on_script(server, "noquit") as mount:
        os.unlink(mount.path / "goner.eml")
    assert server.script.messages == FIVE[:-1]


def test_a_listing_cut_short_replaces_nothing(serve, on_script):
    """Rule 6: truncation is an error and never the end of a list."""
    server = serve(Script(messages=list(FIVE)))
    with on_script(server) as mount:
        assert len(os.listdir(mount.path)) == 5
        server.script.cut_listing, server.script.cut_times = {"UIDL": 20, "LIST": 20}, 2
        server.drop_all()
        wait_until("a read", lambda: could_read(mount.path / "lines.eml", C.data), 30)
        assert server.script.cut_times == 0
        assert len(os.listdir(mount.path)) == 5


def could_read(path, octets):
    try:
        assert path.read_bytes() == octets
    except OSError as error:
        assert error.errno in FAILS
        return False
    return True


def test_delayed_acks_do_not_slow_down_a_server_with_nagle(serve, on_script):
    """Rule 3.1: each answer of two writes would take 40 ms, and these 150 therefore more than 6 s."""
    mails = mailbox.many(75, octets=300)
    server = serve(Script(messages=mails, nagle=True, pipelining=False))
    with on_script(server) as mount:
        begin = time.monotonic()
        assert all(os.stat(mount.path / f"{mail.name}.eml").st_mtime > 0 for mail in mails)
        for mail in mails:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        assert time.monotonic() - begin < 3
    assert len(server.commands("RETR")) == 75


def test_twice_as_many_answers_as_fit_do_not_deadlock(serve, on_script):
    """Rule 16: a server takes no more commands while its output waits, and nobody reads the answers of a writer that only writes."""
    mails = mailbox.many(1500, octets=200)
    server = serve(Script(messages=mails, send_buffer=4096))
    with on_script(server) as mount:
        assert len(os.listdir(mount.path)) == 1500
        assert all(os.stat(mount.path / f"{mail.name}.eml").st_mtime > 0 for mail in mails)
        for mail in mails[::2]:
            os.unlink(mount.path / f"{mail.name}.eml")
    assert server.script.messages == mails[1::2]
    assert len(server.commands("TOP")) == 1500


def test_memory_does_not_grow_with_a_line(serve, on_script, place):
    """Rule 4: nor with a message, a header field or a line of dots."""
    place.environment["ASAN_OPTIONS"] += ":quarantine_size_mb=1"
    small = mailbox.plain("small")
    large = [mailbox.plain("one-line", b"0123456789abcdef" * 2**20 + b"\r\n"), mailbox.plain("dots", b"." * 2**22 + b"\r\n"),
             mailbox.Mail("field", b"Subject: " + b"s" * 2**22 + b"\r\n\r\n")]
    server = serve(Script(messages=[small, *large]))
    with on_script(server, "lazy=0") as mount:
        assert (mount.path / "small.eml").read_bytes() == small.data
        before = peak_kib(mount.pid)
        for mail in large:
            assert (mount.path / f"{mail.name}.eml").read_bytes() == mail.data
        assert peak_kib(mount.pid) - before < 8 * 1024


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as lines:
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
