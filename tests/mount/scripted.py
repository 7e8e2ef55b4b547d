# SPDX-License-Identifier: MIT
"""A POP3 server that misbehaves on demand, remembers all that it received, and notices what a client may not do.

`Script` holds one switch per misbehaviour; a test may change it between (or during) sessions. Each login takes
the messages as they are at that moment.
"""

import base64
import hashlib
import hmac
import socket
import ssl
import struct
import threading
import time
import warnings
from dataclasses import dataclass, field
from typing import Callable

GREETING_STAMP = "<1896.697170952@scripted.example>"
LATE_S = 0.3  # between the +OK of a server and what it promised
BARRIERS = {"STLS", "PASS", "APOP", "AUTH", "QUIT"}  # nothing may be said behind one before it is answered


@dataclass
class Script:
    """The table of misbehaviours. Before the colon of each comment: the rule of POP3.md, 3.x being a line of its section 3."""

    messages: list = field(default_factory=list)  # of mailbox.Mail: UIDL and octets, CRLF lines
    user: str = "alice"
    password: str = "correct horse %41 staple"

    # framing
    status: str = "usual"  # 1, 3.12: bare (no text) | blank (no text, a blank) | tab (small letters, a tab and blanks)
    greeting: bytes = b""  # 1, 5: sent as it is in place of the greeting
    garbled: dict = field(default_factory=dict)  # 1, 5: command, or its verb -> octets that are sent in place of the answer
    garbled_times: int = 10**6  # 1: how often
    unasked: dict = field(default_factory=dict)  # 3.7, 30: verb -> (count, octets): sent before the answer to the verb of that count, once
    split: int = 0  # 2: octets in one write, and so in one TLS record
    bare_lf: bool = False  # 2: the server's own lines end in LF, and those of its messages
    stuffing: bool = True  # 3: off: dots at line starts are sent as they are
    uidl_one: str = ""  # 30: how `UIDL n` is answered: bare (without the number) | refused | wrong (another id) | silence | close
    spoilt: dict = field(default_factory=dict)  # 30: verb -> (count, f(octets)): what becomes of the answer of that count, once

    # login and capabilities
    capa: bool = True  # 3.8: off: -ERR
    capa_extra: bytes = b""  # 5, 3.8: more rows
    capa_after_login: bool = True  # 15: off: refused there
    uidl: bool = True  # 9: off: -ERR, and not in CAPA
    top: bool = True  # 14: off: -ERR, and not in CAPA
    top_hidden: bool = False  # 3.8: TOP is there, but CAPA does not say so
    pipelining: bool = True  # 15: offered; when it is not, two commands in one read are refused
    pipelining_early: bool = False  # 15: offered before the login, whatever is true after it
    pipelining_cuts: str = ""  # 15, 17: "always": hangs up when a second command comes early; "but listing": not on LIST
    sasl: str = "PLAIN LOGIN CRAM-MD5"  # 27: what is offered
    challenge: str = "+ "  # 27: what stands where an empty challenge belongs
    utf8: str = ""  # 3.6: ok | refused: offered, and what becomes of it
    rewrites_8bit: bool = False  # 3.6: 8-bit headers become something else each time, unless UTF8 was said
    loses_early: bool = False  # 15, 3.2: what comes behind PASS or AUTH before its answer is lost
    capa_deaf: str = ""  # 15: to what comes behind the CAPA before the login: loses | hangs-up | refuses
    line_limit: int = 10**6  # 3.12: octets of a command line; hangs up on longer ones
    errors_limit: int = 10**6  # 13, 3.8: hangs up after so many -ERR
    wrong_said: str = "-ERR [AUTH] wrong user or password"  # 22, 35: to a login with the wrong password
    refusal: str = ""  # 22: said to the login instead of +OK, before hanging up
    refusal_times: int = 10**6  # 22: how often
    in_use: bool = False  # 22: a login is told that the maildrop is locked
    login_s: float = 0  # 21, 3.9: how long the answer to a login takes
    hold_login: bool = False  # 21: PASS is not answered before Server.release is set
    graffiti: str = ""  # 3.12: ends the greeting, every -ERR and what CAPA calls the implementation
    error_after_login: bytes = b""  # 3.7: sent unasked behind +OK, then the link is closed
    refuse_connections: bool = False  # 22: they are cut before the greeting
    silent: set = field(default_factory=set)  # 21: commands, or verbs, that are never answered; "greeting" is one
    tls_only_1_1: bool = False  # 24: no other version
    tls_1_2: bool = False  # 24: and nothing newer
    mechanisms: dict = field(default_factory=dict)  # 27: name -> f(session, initial response) -> may it enter?
    login_delay: int = 0  # 22: seconds, said in CAPA; 0: nothing is said
    stls: str = "ok"  # 25: stripped | refused | silent | injected | injected-later | fake (goes on in the clear)

    # listing
    cut_listing: dict = field(default_factory=dict)  # 6: verb -> octets of its answer after which the link is cut, cut_times
    row: Callable[[str], str] = str  # 7: what becomes of a row of UIDL or LIST
    order: Callable[[list], list] = list  # 7: of the rows
    number: Callable[[int], int] = int  # 7: 1, 2, 3 -> the message numbers
    list_extra: bytes = b""  # 5, 7: rows that make no sense, before the others
    uidl_extra: bytes = b""  # 5, 7, 9: the same in UIDL
    stat_said: str = ""  # 7: said in place of the numbers
    stat_said_times: int = 10**6  # 6, 7: how often
    empty_listing: str = ""  # 8: refuses | hangs: what becomes of UIDL and LIST in an empty maildrop
    hold_uidl: bool = False  # 21: UIDL is not answered before Server.release is set
    uidl_refused_times: int = 0  # 9: though CAPA has it
    uidl_adds_header: bool = False  # 3.5: the first UIDL adds an X-UIDL field to each message
    size_said: Callable[[int], str] = str  # 12, 3.4: octets -> what LIST says

    # bodies
    retr_refused: set = field(default_factory=set)  # 13: UIDLs
    retr_limit: int = 10**6  # 34: bodies that one session sends
    empty_retr: set = field(default_factory=set)  # 13, 3.5: UIDLs that are answered by +OK and no octet
    short_retr: dict = field(default_factory=dict)  # 13: UIDL -> octets that are followed by a valid end
    short_times: int = 1  # 13: how often
    hangs_up_on: set = field(default_factory=set)  # 13, 3.5: UIDLs
    cut_retr: int | None = None  # 6, 13: octets of a body after which the link is cut
    cut_how: str = "reset"  # 13: close | goodbye (TLS is ended properly) | silence
    cut_times: int = 1  # 6, 13: how often
    hold_retr: dict = field(default_factory=dict)  # 21: UIDL -> octets sent before waiting for Server.release
    drips: dict = field(default_factory=dict)  # 36: UIDL -> octets that its body has in each twentieth of a second
    top_as: dict = field(default_factory=dict)  # 14: UIDL -> octets that TOP takes for the message
    top_style: str = ""  # 14: whole (with the body) | no-blank (without the line behind the header) | refused
    top_limit: int = 10**9  # 14: octets after which TOP ends
    start_said: bytes = b""  # 14, 30: sent as it is in place of the answer to TOP with lines
    nagle: bool = False  # 3.1: small writes wait for the client's ACK
    send_buffer: int = 0  # 16: octets that may wait to be read before no more commands are taken

    # deleting
    dele_refused: set = field(default_factory=set)  # 18: UIDLs
    dele_how: dict = field(default_factory=dict)  # 34: UIDL -> empty (an empty line) | silence | close | spoils-quit (which is refused then)
    dele_limit: int = 10**6  # 34: DELEs that one session takes
    dele_limit_how: str = "refused"  # 34: what becomes of one more: refused | bare (without a text) | close
    dele_s: float = 0  # 34: seconds that the server needs for one
    dele_together: int = 0  # 34: DELEs of a session that must have come before the first is answered
    hold_dele: set = field(default_factory=set)  # 18: UIDLs whose DELE is not answered before Server.release is set
    quit: str = "ok"  # 18, 3.3: refused | nothing (closes without a word and without deleting) | mute (deletes, without a word)
    #                   lying (+OK, deletes nothing) | late (+OK before it deletes)
    quit_keeps: set = field(default_factory=set)  # 18, 3.3: UIDLs that are there still after the +OK
    given_again: dict = field(default_factory=dict)  # 29: UIDL -> the message that has it as soon as the first has been deleted
    quit_s: float = 0  # 21: how long the answer to QUIT takes
    hides_read: bool = False  # 19: what was fetched is not listed again once the session ended in QUIT
    idle_s: float = 60  # 3.10: closes without a word after that much silence


class _Over(Exception):
    """The session is at its end."""


class Session(threading.Thread):
    def __init__(self, server, connection, secured):
        super().__init__(daemon=True)
        self._server, self._script = server, server.script
        self._socket = connection
        self.secured = secured
        self.handshake_failed = False
        self.received = b""  # everything, decrypted
        self.commands = []  # every line, as text
        self.most_at_once = 0  # whole commands in hand at one time
        self.behind_capa = 0  # of these, behind the CAPA after the login
        self.behind_first_capa = 0  # and behind the last one before it
        self.violations = []  # what no client may do, whatever the server offers
        self.logged_in = False
        self.deleted = set()  # UIDLs
        self._deles_taken = 0  # those that RSET took back as well
        self.committed = False
        self._pending = b""
        self._user = None
        self._messages = {}
        self._utf8 = False
        self._uidl_asked = False
        self._errors = 0
        self._fetched = set()  # UIDLs
        self._spoils = None  # what becomes of the answer that is being made
        self._held = b""

    # -- bytes

    def run(self):
        try:
            self._socket.settimeout(self._script.idle_s)
            if self._script.refuse_connections:
                raise _Over
            if self.secured:
                self._start_tls()
            self._greet()
            while True:
                self._answer(self._line())
        except (_Over, OSError):
            pass
        finally:
            self._socket.close()

    def drop(self):
        """Cuts the link as a router does that has forgotten it."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _start_tls(self):
        try:
            self._socket = self._server.tls_context().wrap_socket(self._socket, server_side=True)
        except (ssl.SSLError, OSError):
            self.handshake_failed = True
            raise _Over from None
        self.secured = True

    def _goodbye(self):
        """Ends TLS as it should be ended; what the client still says is of no interest."""
        if self.secured:
            self._socket.settimeout(0.2)
            self._socket.unwrap()

    def _hang(self):
        self._server.release.wait(60)
        raise _Over

    def _line(self):
        while b"\n" not in self._pending:
            got = self._socket.recv(65536)
            if not got:
                raise _Over
            self.received += got
            self._pending += got
            if len(got) < 16384 and not got.endswith(b"\r\n"):
                self.violations.append(f"a command was cut: {got[-40:]}")
        self.most_at_once = max(self.most_at_once, self._pending.count(b"\n"))
        line, self._pending = self._pending.split(b"\n", 1)
        if self.logged_in and line == b"CAPA\r":
            self.behind_capa = self._pending.count(b"\n")
        elif line == b"CAPA\r":
            self.behind_first_capa = self._pending.count(b"\n")
            if self._pending and self._script.capa_deaf == "hangs-up":
                raise _Over
            if self._pending and self._script.capa_deaf == "refuses":
                self._capa("")
                self._say("-ERR one command at a time")
                raise _Over
            if self._script.capa_deaf:
                self._pending = b""
        if len(line) + 1 > self._script.line_limit:
            raise _Over
        if self._pending and self.logged_in and not self._script.pipelining:
            self._say("-ERR one command at a time")
            raise _Over
        cuts = self._script.pipelining_cuts
        if self._pending and self.logged_in and (cuts == "always" or cuts and not self._pending.startswith(b"LIST")):
            raise _Over
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def _send(self, data):
        if self._spoils is not None:
            self._held += data
            return
        step = self._script.split or len(data)
        for at in range(0, len(data), step or 1):
            self._socket.sendall(data[at : at + step])

    def _end_lines(self, data):
        return data.replace(b"\r\n", b"\n") if self._script.bare_lf else data

    def _status(self, text):
        """A status line as this server likes to write it; numbers behind it are no text."""
        word, _, rest = text.partition(" ")
        style = self._script.status
        if style == "tab":
            return f"{word.lower()}\t {rest}  "
        if style == "usual" or rest[:1].isdigit() or word == "+":
            return text
        return word + " " * (style == "blank")

    def _say(self, text):
        if text.startswith("-"):
            self._errors += 1
        if text.startswith("-ERR"):
            text += self._script.graffiti
        self._send(self._end_lines(self._status(text).encode() + b"\r\n"))
        if self._errors >= self._script.errors_limit:
            raise _Over

    def _multiline(self, first, data, cut=None):
        if data and not data.endswith(b"\r\n"):
            data += b"\r\n"
        if self._script.stuffing:
            data = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
        first = self._status(first).encode() + b"\r\n"
        if self._script.nagle:
            self._send(first)
            self._send(data)
            self._send(b".\r\n")
            return
        self._send(self._end_lines(first + data + b".\r\n")[:cut])

    def _greet(self):
        if "greeting" in self._script.silent:
            self._hang()
        if self._script.greeting:
            self._send(self._script.greeting)
        else:
            self._say(f"+OK scripted ready {GREETING_STAMP}{self._script.graffiti}")

    # -- commands

    def _notice(self, verb):
        """What breaks a server that reads what it should not have been sent yet."""
        if verb in BARRIERS and self._pending:
            self.violations.append(f"{self._pending[:40]} behind {verb}")
        if verb in ("LIST", "UIDL") and self.deleted:  # with a number, too
            self.violations.append(f"{verb} behind DELE, where Courier counts anew")
        if verb == "LIST" and "UIDL" not in self.commands and self._script.uidl:
            self.violations.append("LIST before UIDL")

    def _answer(self, line):
        word, _, rest = line.partition(" ")
        self._notice(word.upper())
        self.commands.append(line)
        self._say_unasked(word.upper())
        self._spoils = self._spoil_of(word.upper())
        keys = {line, word.upper()}
        if keys & self._script.silent:
            self._hang()
        garbled = next((self._script.garbled[key] for key in keys if key in self._script.garbled), None)
        if garbled is not None and self._script.garbled_times > 0:
            self._script.garbled_times -= 1
            self._send(garbled)
            return
        before = {"CAPA": self._capa, "QUIT": self._quit, "STLS": self._stls, "USER": self._take_user,
                  "PASS": self._pass, "APOP": self._apop, "AUTH": self._auth, "UTF8": self._take_utf8}
        after = {"CAPA": self._capa, "QUIT": self._quit, "NOOP": self._ok, "RSET": self._rset, "STAT": self._stat,
                 "LIST": self._list, "UIDL": self._uidl, "RETR": self._retr, "TOP": self._top, "DELE": self._dele}
        handler = (after if self.logged_in else before).get(word.upper())
        if handler is None:
            self._say("-ERR unknown command")
        else:
            handler(rest)
        if self._spoils is not None:
            spoils, self._spoils = self._spoils, None
            held, self._held = self._held, b""
            self._send(spoils(held))

    def _say_unasked(self, verb):
        """What answers nothing, and pushes every later answer one command further."""
        if not self.logged_in or verb not in self._script.unasked:
            return
        count, octets = self._script.unasked[verb]
        if sum(line.split(" ")[0].upper() == verb for line in self.commands) == count:
            self._script.unasked = {key: said for key, said in self._script.unasked.items() if key != verb}
            self._send(octets)

    def _spoil_of(self, verb):
        count, spoils = self._script.spoilt.get(verb, (0, None))
        if not self.logged_in or count != sum(line.split(" ")[0].upper() == verb for line in self.commands):
            return None
        self._script.spoilt = {key: how for key, how in self._script.spoilt.items() if key != verb}
        return spoils

    def _ok(self, _rest):
        self._say("+OK")

    def _capa(self, _rest):
        script = self._script
        if not script.capa or self.logged_in and not script.capa_after_login:
            self._say("-ERR unknown command")
            return
        rows = ["RESP-CODES", "AUTH-RESP-CODE", "USER", f"SASL {script.sasl}"]
        rows += [f"LOGIN-DELAY {script.login_delay}"] * (script.login_delay > 0)
        rows += ["TOP"] * (script.top and not script.top_hidden) + ["UIDL"] * script.uidl
        rows += ["PIPELINING"] * (script.pipelining if self.logged_in else script.pipelining_early)
        rows += ["IMPLEMENTATION scripted" + script.graffiti] * bool(script.graffiti)
        rows += ["STLS"] * (not self.secured and script.stls != "stripped")
        rows += ["UTF8"] * (script.utf8 != "")
        self._multiline("+OK", "".join(row + "\r\n" for row in rows).encode() + script.capa_extra)

    def _stls(self, _rest):
        how = self._script.stls
        if how in ("stripped", "refused"):
            self._say("-ERR no TLS today")
            return
        if how == "silent":
            self._hang()
        self._send(b"+OK begin\r\n" + (b"+OK injected\r\n" if how == "injected" else b""))
        if how == "fake":
            self.received += self._socket.recv(65536)
            self._send(b"+OK and what else?\r\n")
            raise _Over
        if how == "injected-later":
            time.sleep(LATE_S)
            self._send(b"+OK injected\r\n")
        self._start_tls()

    def _enter(self, good):
        time.sleep(self._script.login_s)
        if self._script.hold_login:
            self._server.release.wait(60)
        if self._script.loses_early:
            self._pending = b""
        if not good:
            self._say(self._script.wrong_said)
            return
        if self._script.refusal and self._script.refusal_times > 0:
            self._script.refusal_times -= 1
            self._say(self._script.refusal)
            raise _Over
        if self._script.in_use:
            self._say("-ERR [IN-USE] somebody else has it")
            raise _Over
        self._messages = {self._script.number(place): mail for place, mail in enumerate(self._script.messages, 1)}
        self.logged_in = True
        self._say("+OK logged in")
        if self._script.error_after_login:
            self._send(self._script.error_after_login)
            raise _Over

    def _take_user(self, rest):
        self._user = rest
        self._say("+OK")

    def _pass(self, rest):
        self._enter((self._user, rest) == (self._script.user, self._script.password))

    def _apop(self, rest):
        digest = hashlib.md5((GREETING_STAMP + self._script.password).encode()).hexdigest()
        self._enter(rest == f"{self._script.user} {digest}")

    def _auth(self, rest):
        mechanism, _, initial = rest.partition(" ")
        user, password = self._script.user, self._script.password
        if mechanism.upper() == "PLAIN":
            got = self.challenge(b"") if not initial else base64.b64decode(initial)
            self._enter(got.split(b"\0")[-2:] == [user.encode(), password.encode()])
        elif mechanism.upper() == "LOGIN":
            got = [self.challenge(b"Username:") if not initial else base64.b64decode(initial), self.challenge(b"Password:")]
            self._enter(got == [user.encode(), password.encode()])
        elif mechanism.upper() == "CRAM-MD5":
            digest = hmac.new(password.encode(), GREETING_STAMP.encode(), "md5").hexdigest()
            self._enter(self.challenge(GREETING_STAMP.encode()) == f"{user} {digest}".encode())
        elif mechanism.upper() in self._script.mechanisms:
            self._enter(self._script.mechanisms[mechanism.upper()](self, initial))
        else:
            self._say("-ERR no such mechanism")

    def _take_utf8(self, _rest):
        self._utf8 = self._script.utf8 == "ok"
        self._say("+OK" if self._utf8 else "-ERR not today")

    def challenge(self, data):
        """Asks in base64 and gives the client's answer, decoded."""
        self._say("+ " + base64.b64encode(data).decode() if data else self._script.challenge)
        line = self._line()
        if self._pending:
            self.violations.append(f"{self._pending[:40]} behind a line of AUTH")
        self.commands.append(line)
        return base64.b64decode(line)

    def hang_up(self):
        raise _Over

    def tls_unique(self):
        return self._socket.get_channel_binding("tls-unique")

    def _alive(self):
        return {n: mail for n, mail in self._messages.items() if mail.name not in self.deleted}

    def _stat(self, _rest):
        alive = self._alive()
        said = (self._script.stat_said_times > 0 and self._script.stat_said) or f"{len(alive)} {sum(len(mail.data) for mail in alive.values())}"
        self._script.stat_said_times -= 1
        self._say(f"+OK {said}")

    def _octets(self, mail):
        """The message as this server serves it today."""
        data = mail.data
        if self._uidl_asked and self._script.uidl_adds_header:
            data = f"X-UIDL: {mail.name}\r\n".encode() + data
        if self._script.rewrites_8bit and not self._utf8 and not data.partition(b"\r\n\r\n")[0].isascii():
            data = b"X-Rewritten: %d\r\n" % time.monotonic_ns() + data
        return data

    def _rows(self, verb, extra, rows):
        rows = self._script.order([self._script.row(row) for row in rows])
        data = extra + "".join(row + "\r\n" for row in rows).encode("utf-8", "surrogateescape")
        cut = self._script.cut_listing.get(verb)
        if cut is None or self._script.cut_times <= 0:
            self._multiline("+OK", data)
            return
        self._script.cut_times -= 1
        self._multiline("+OK", data, cut)
        raise _Over

    def _cannot_list(self):
        if self._alive() or not self._script.empty_listing:
            return False
        if self._script.empty_listing == "hangs":
            self._hang()
        self._say("-ERR nothing to list")
        return True

    def _list(self, _rest):
        if self._cannot_list():
            return
        sizes = {n: len(self._octets(mail)) for n, mail in self._alive().items()}
        self._rows("LIST", self._script.list_extra, [f"{n} {self._script.size_said(size)}" for n, size in sizes.items()])

    def _uidl_one(self, rest):
        mail, how = self._message(rest), self._script.uidl_one
        if mail is None:
            return
        if how == "silence":
            self._hang()
        if how == "close":
            raise _Over
        if how == "refused" or not self._script.uidl:
            self._say("-ERR unknown command")
            return
        row = self._script.row(f"{rest} {'wrong' if how == 'wrong' else mail.name}")
        self._send(self._end_lines(f"+OK {row.partition(' ')[2] if how == 'bare' else row}\r\n".encode("utf-8", "surrogateescape")))

    def _uidl(self, rest):
        if rest:
            self._uidl_one(rest)
            return
        if self._cannot_list():
            return
        if not self._script.uidl or self._script.uidl_refused_times > 0:
            self._script.uidl_refused_times -= 1
            self._say("-ERR unknown command")
            return
        if self._script.hold_uidl:
            self._server.release.wait(60)
        self._uidl_asked = True
        self._rows("UIDL", self._script.uidl_extra, [f"{n} {mail.name}" for n, mail in self._alive().items()])

    def _message(self, rest):
        number = rest.split()[0] if rest else ""
        mail = self._alive().get(int(number)) if number.isdigit() else None
        if mail is None:
            self._say("-ERR no such message")
        return mail

    def _retr(self, rest):
        mail, script = self._message(rest), self._script
        if mail is None:
            return
        if mail.name in script.retr_refused or len(self._fetched) >= script.retr_limit:
            self._say("-ERR this message cannot be read")
            return
        if mail.name in script.hangs_up_on:
            raise _Over
        self._fetched.add(mail.name)
        data = self._octets(mail)
        if mail.name in script.hold_retr:
            octets = script.hold_retr[mail.name]
            self._say("+OK message follows")
            self._send(data[:octets])
            self._server.held.set()
            self._server.release.wait(60)
            self._multiline_rest(data[octets:])
            return
        if script.cut_retr is not None and script.cut_times > 0:
            script.cut_times -= 1
            self._say("+OK message follows")
            self._send(data[: script.cut_retr])
            self._cut()
        if mail.name in script.short_retr and script.short_times > 0:
            script.short_times -= 1
            data = data[: script.short_retr[mail.name]]
        if mail.name in script.drips:
            self._say("+OK message follows")
            self._drip(data, script.drips[mail.name])
            return
        self._multiline("+OK message follows", b"" if mail.name in script.empty_retr else data)

    def _drip(self, data, octets):
        """Held messages have no dots at line starts, either."""
        self._server.held.set()
        while data and not self._server.release.wait(0.05):
            self._send(data[:octets])
            data = data[octets:]
        self._multiline_rest(data)

    def _cut(self):
        how = self._script.cut_how
        if how == "silence":
            self._hang()
        if how == "reset":
            self.drop()
        if how == "goodbye":
            self._goodbye()
        raise _Over

    def _multiline_rest(self, data):
        # Held messages have no dots at line starts.
        self._send(data + (b"" if not data or data.endswith(b"\r\n") else b"\r\n") + b".\r\n")

    def _top(self, rest):
        if not self._script.top:
            self._say("-ERR unknown command")
            return
        mail = self._message(rest)
        if mail is None:
            return
        if self._script.start_said and not rest.endswith(" 0"):
            self._send(self._script.start_said)
            return
        style = self._script.top_style
        if style == "refused":
            self._say("-ERR TOP is for others")
            return
        head, blank, body = self._script.top_as.get(mail.name, self._octets(mail)).partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[: int(rest.split()[1])]
        top = head + blank + (body if style == "whole" else b"".join(line + b"\r\n" for line in lines))
        if style == "no-blank" and not lines:
            top = head + b"\r\n"
        self._multiline("+OK", top[: self._script.top_limit])

    def _dele(self, rest):
        mail = self._message(rest)
        if mail is None:
            return
        if mail.name in self._script.dele_refused:
            self._say("-ERR [SYS/PERM] you may not delete this")
            return
        how = self._script.dele_how.get(mail.name)
        if self._deles_taken >= self._script.dele_limit:
            how = self._script.dele_limit_how
        if how in ("refused", "bare"):
            self._say("-ERR" if how == "bare" else "-ERR enough for today")
            return
        if how == "empty":
            self._send(b"\r\n")
            return
        if how == "silence":
            self._hang()
        if how == "close":
            raise _Over
        if mail.name in self._script.hold_dele:
            self._server.held.set()
            self._server.release.wait(60)
        time.sleep(self._script.dele_s)
        self.deleted.add(mail.name)
        self._deles_taken += 1
        if len(self.deleted) == self._script.dele_together:
            self._send(b"+OK\r\n" * (len(self.deleted) - 1))
        if len(self.deleted) >= self._script.dele_together:
            self._say("+OK")

    def _rset(self, _rest):
        self.deleted.clear()
        self._say("+OK")

    def _quit(self, _rest):
        how = self._script.quit if self.logged_in else "ok"
        if any(self._script.dele_how.get(name) == "spoils-quit" for name in self.deleted):
            how = "refused"
        time.sleep(self._script.quit_s)
        if how in ("ok", "mute"):
            self._commit()
        if how in ("ok", "lying", "late"):
            self._say("+OK bye")
        if how == "refused":
            self._say("-ERR some messages were not deleted")
        if how == "late":
            time.sleep(LATE_S)
            self._commit()
        raise _Over

    def _commit(self):
        if not self.logged_in:
            return
        self.committed = True
        names = self.deleted - self._script.quit_keeps | (self._fetched if self._script.hides_read else set())
        gone = {id(mail) for mail in self._messages.values() if mail.name in names}
        with self._server.maildrop_lock:
            self._script.messages = [mail for mail in self._script.messages if id(mail) not in gone]
            self._script.messages += [self._script.given_again.pop(name) for name in sorted(names & self._script.given_again.keys())]


class Server:
    """with Server(Script(…), certificate=…, implicit_tls=False) as server: …"""

    def __init__(self, script, certificate=None, implicit_tls=False, address="127.0.0.1"):
        self.script = script
        self.maildrop_lock = threading.Lock()  # for who changes script.messages while a session may commit
        self.certificate = certificate
        self.release = threading.Event()  # ends every wait that a switch has made
        self.held = threading.Event()  # a RETR has reached its hold
        self.sessions = []
        self._implicit_tls = implicit_tls
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family, backlog=50)
        self.port = self._socket.getsockname()[1]
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        if self._closing:
            return
        self._closing = True
        self.release.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        self.drop_all()
        for session in self.sessions:
            session.join(10)

    def _accept(self):
        while not self._closing:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not self.script.nagle)
            if self.script.send_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.script.send_buffer)
            session = Session(self, connection, self._implicit_tls)
            self.sessions.append(session)
            session.start()

    def tls_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.cert, self.certificate.key)
        if self.script.tls_only_1_1:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings(action="ignore"):  # deprecated: that is why it is refused
                context.minimum_version = ssl.TLSVersion.TLSv1_1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        if self.script.tls_1_2:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def deliver(self, mails):
        with self.maildrop_lock:
            self.script.messages = [*self.script.messages, *mails]

    def drop_all(self):
        for session in self.sessions:
            session.drop()

    def commands(self, verb=None):
        """All lines of all sessions, or those of one command."""
        lines = [line for session in self.sessions for line in session.commands]
        if verb == "UIDL":  # with a number it is a marker
            return [line for line in lines if line.upper() == verb]
        return lines if verb is None else [line for line in lines if line.split(" ")[0].upper() == verb]

    def markers(self):
        """All that came with a message number."""
        return [line for session in self.sessions for line in session.commands if line.upper().startswith("UIDL ")]

    def logins(self):
        return sum(session.logged_in for session in self.sessions)

    def violations(self):
        return [violation for session in self.sessions for violation in session.violations]

    def heard_secret(self):
        """True if the password was received in any form that gives it away."""
        secret = self.script.password.encode()
        received = b"\n".join(session.received for session in self.sessions)
        plain = base64.b64encode(b"\0" + self.script.user.encode() + b"\0" + secret)
        verbs = (b"PASS", b"AUTH", b"APOP")
        return any(text in received for text in (secret, base64.b64encode(secret), plain)) or any(
            line.upper().startswith(verbs) for line in received.splitlines())
