# SPDX-License-Identifier: MIT
"""A POP3 server that misbehaves on demand and remembers all that it received.

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
import warnings
from dataclasses import dataclass, field
from typing import Callable

GREETING_STAMP = "<1896.697170952@scripted.example>"


@dataclass
class Script:
    messages: list = field(default_factory=list)  # of mailbox.Mail: UIDL and octets, CRLF lines
    user: str = "alice"
    password: str = "correct horse %41 staple"

    # login and capabilities
    capa: bool = True
    uidl: bool = True
    top: bool = True
    pipelining: bool = True  # offered; when it is not, two commands in one read are refused
    sasl: str = "PLAIN LOGIN CRAM-MD5"
    hold_login: bool = False  # PASS is not answered before Server.release is set
    graffiti: str = ""  # ends the greeting, every -ERR and what CAPA calls the implementation
    error_after_login: bytes = b""  # sent unasked behind +OK, then the link is closed
    in_use: bool = False  # a login is told that the maildrop is locked
    refuse_connections: bool = False  # they are cut before the greeting
    tls_only_1_1: bool = False
    stls: str = "ok"  # stripped | refused | silent | injected

    # listing
    size_said: Callable[[int], str] = str  # octets -> what LIST says
    list_extra: bytes = b""  # rows that make no sense, before the others
    empty_listing: str = ""  # refuses | hangs: what becomes of UIDL and LIST in an empty maildrop
    hold_uidl: bool = False  # UIDL is not answered before Server.release is set
    uidl_refused_times: int = 0
    pipelining_cuts: str = ""  # "always": hangs up when a second command comes early; "but listing": not on LIST

    # bodies
    bare_lf: bool = False  # the server's own lines end in LF, and those of its messages
    retr_refused: set = field(default_factory=set)  # UIDLs
    empty_retr: set = field(default_factory=set)  # UIDLs that are answered by +OK and no octet
    cut_retr: int | None = None  # octets of a body after which the link is cut
    cut_how: str = "reset"  # close | silence
    cut_times: int = 1
    hold_retr: dict = field(default_factory=dict)  # UIDL -> octets sent before waiting for Server.release
    top_as: dict = field(default_factory=dict)  # UIDL -> octets that TOP takes for the message

    # deleting
    dele_refused: set = field(default_factory=set)  # UIDLs
    quit: str = "ok"  # refused | nothing (closes without a word and without deleting) | lying (+OK, deletes nothing)


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
        self.logged_in = False
        self.deleted = set()  # UIDLs
        self.committed = False
        self._pending = b""
        self._user = None
        self._messages = {}
        self._ended = False

    # -- bytes

    def run(self):
        try:
            self._socket.settimeout(60)
            if self._script.refuse_connections:
                raise _Over
            if self.secured:
                self._start_tls()
            self._say(f"+OK scripted ready {GREETING_STAMP}{self._script.graffiti}")
            while True:
                self._answer(self._line())
        except (_Over, OSError):
            pass
        finally:
            self._ended = True
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

    def _line(self):
        while b"\n" not in self._pending:
            got = self._socket.recv(65536)
            if not got:
                raise _Over
            self.received += got
            self._pending += got
        self.most_at_once = max(self.most_at_once, self._pending.count(b"\n"))
        line, self._pending = self._pending.split(b"\n", 1)
        if self._pending and self.logged_in and not self._script.pipelining:
            self._say("-ERR one command at a time")
            raise _Over
        cuts = self._script.pipelining_cuts
        if self._pending and self.logged_in and (cuts == "always" or cuts and not self._pending.startswith(b"LIST")):
            raise _Over
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def _send(self, data):
        self._socket.sendall(data)

    def _say(self, text):
        if text.startswith("-ERR"):
            text += self._script.graffiti
        self._send(text.encode() + (b"\n" if self._script.bare_lf else b"\r\n"))

    def _multiline(self, first, data):
        if data and not data.endswith(b"\r\n"):
            data += b"\r\n"
        data = first.encode() + b"\r\n" + (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
        self._send(data.replace(b"\r\n", b"\n") if self._script.bare_lf else data)

    # -- commands

    def _answer(self, line):
        self.commands.append(line)
        word, _, rest = line.partition(" ")
        before = {"CAPA": self._capa, "QUIT": self._quit, "STLS": self._stls, "USER": self._take_user,
                  "PASS": self._pass, "APOP": self._apop, "AUTH": self._auth}
        after = {"CAPA": self._capa, "QUIT": self._quit, "NOOP": self._ok, "RSET": self._rset, "STAT": self._stat,
                 "LIST": self._list, "UIDL": self._uidl, "RETR": self._retr, "TOP": self._top, "DELE": self._dele}
        handler = (after if self.logged_in else before).get(word.upper())
        if handler is None:
            self._say("-ERR unknown command")
        else:
            handler(rest)

    def _ok(self, _rest):
        self._say("+OK")

    def _capa(self, _rest):
        script = self._script
        if not script.capa:
            self._say("-ERR unknown command")
            return
        rows = ["RESP-CODES", "AUTH-RESP-CODE", "USER", f"SASL {script.sasl}"]
        rows += ["TOP"] * script.top + ["UIDL"] * script.uidl
        rows += ["PIPELINING"] * (script.pipelining and self.logged_in)
        rows += ["IMPLEMENTATION scripted" + self._script.graffiti] * bool(self._script.graffiti)
        rows += ["STLS"] * (not self.secured and script.stls != "stripped")
        self._multiline("+OK", "".join(row + "\r\n" for row in rows).encode())

    def _stls(self, _rest):
        how = self._script.stls
        if how in ("stripped", "refused"):
            self._say("-ERR no TLS today")
            return
        if how == "silent":
            self._server.release.wait(60)
            raise _Over
        self._send(b"+OK begin\r\n" + (b"+OK injected\r\n" if how == "injected" else b""))
        self._start_tls()

    def _enter(self, good):
        if self._script.hold_login:
            self._server.release.wait(60)
        if not good:
            self._say("-ERR [AUTH] wrong user or password")
            return
        if self._script.in_use:
            self._say("-ERR [IN-USE] somebody else has it")
            raise _Over
        self._messages = dict(enumerate(self._script.messages, 1))
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
            got = self._challenge(b"") if not initial else base64.b64decode(initial)
            self._enter(got.split(b"\0")[-2:] == [user.encode(), password.encode()])
        elif mechanism.upper() == "LOGIN":
            got = [self._challenge(b"Username:") if not initial else base64.b64decode(initial), self._challenge(b"Password:")]
            self._enter(got == [user.encode(), password.encode()])
        elif mechanism.upper() == "CRAM-MD5":
            digest = hmac.new(password.encode(), GREETING_STAMP.encode(), "md5").hexdigest()
            self._enter(self._challenge(GREETING_STAMP.encode()) == f"{user} {digest}".encode())
        else:
            self._say("-ERR no such mechanism")

    def _challenge(self, data):
        self._say("+ " + base64.b64encode(data).decode())
        line = self._line()
        self.commands.append(line)
        return base64.b64decode(line)

    def _alive(self):
        return {n: mail for n, mail in self._messages.items() if mail.name not in self.deleted}

    def _stat(self, _rest):
        alive = self._alive()
        self._say(f"+OK {len(alive)} {sum(len(mail.data) for mail in alive.values())}")

    def _cannot_list(self):
        if self._alive() or not self._script.empty_listing:
            return False
        if self._script.empty_listing == "hangs":
            self._server.release.wait(60)
        self._say("-ERR nothing to list")
        return True

    def _list(self, _rest):
        if self._cannot_list():
            return
        rows = (f"{n} {self._script.size_said(len(mail.data))}\r\n" for n, mail in self._alive().items())
        self._multiline("+OK", self._script.list_extra + "".join(rows).encode())

    def _uidl(self, _rest):
        if self._cannot_list():
            return
        if not self._script.uidl or self._script.uidl_refused_times > 0:
            self._script.uidl_refused_times -= 1
            self._say("-ERR unknown command")
            return
        if self._script.hold_uidl:
            self._server.release.wait(60)
        rows = (f"{n} {mail.name}\r\n" for n, mail in self._alive().items())
        self._multiline("+OK", "".join(rows).encode("utf-8", "surrogateescape"))

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
        if mail.name in script.retr_refused:
            self._say("-ERR this message cannot be read")
            return
        if mail.name in script.empty_retr:
            self._multiline("+OK", b"")
            return
        if mail.name in script.hold_retr:
            octets = script.hold_retr[mail.name]
            self._say("+OK message follows")
            self._send(mail.data[:octets])
            self._server.held.set()
            self._server.release.wait(60)
            self._multiline_rest(mail.data[octets:])
            return
        if script.cut_retr is not None and script.cut_times > 0:
            script.cut_times -= 1
            self._say("+OK message follows")
            self._send(mail.data[: script.cut_retr])
            if script.cut_how == "silence":
                self._server.release.wait(60)
            elif script.cut_how == "reset":
                self.drop()
            raise _Over
        self._multiline("+OK message follows", mail.data)

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
        head, blank, body = self._script.top_as.get(mail.name, mail.data).partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[: int(rest.split()[1])]
        self._multiline("+OK", head + blank + b"".join(line + b"\r\n" for line in lines))

    def _dele(self, rest):
        mail = self._message(rest)
        if mail is None:
            return
        if mail.name in self._script.dele_refused:
            self._say("-ERR [SYS/PERM] you may not delete this")
            return
        self.deleted.add(mail.name)
        self._say("+OK")

    def _rset(self, _rest):
        self.deleted.clear()
        self._say("+OK")

    def _quit(self, _rest):
        how = self._script.quit
        if not self.logged_in or how == "ok":
            self._commit()
            self._say("+OK bye")
        elif how == "lying":
            self._say("+OK bye")
        elif how == "refused":
            self._say("-ERR some messages were not deleted")
        raise _Over

    def _commit(self):
        if self.logged_in:
            self.committed = True
            gone = {id(mail) for mail in self._messages.values() if mail.name in self.deleted}
            self._script.messages = [mail for mail in self._script.messages if id(mail) not in gone]


class Server:
    """with Server(Script(…), certificate=…, implicit_tls=False) as server: …"""

    def __init__(self, script, certificate=None, implicit_tls=False):
        self.script = script
        self.certificate = certificate
        self.release = threading.Event()  # ends every wait that a switch has made
        self.held = threading.Event()  # a RETR has reached its hold
        self.sessions = []
        self._implicit_tls = implicit_tls
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
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
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        return context

    def drop_all(self):
        for session in self.sessions:
            session.drop()

    def commands(self, verb=None):
        """All lines of all sessions, or those of one command."""
        lines = [line for session in self.sessions for line in session.commands]
        return lines if verb is None else [line for line in lines if line.split(" ")[0].upper() == verb]

    def heard_secret(self):
        """True if the password was received in any form that gives it away."""
        secret = self.script.password.encode()
        received = b"\n".join(session.received for session in self.sessions)
        plain = base64.b64encode(b"\0" + self.script.user.encode() + b"\0" + secret)
        verbs = (b"PASS", b"AUTH", b"APOP")
        return any(text in received for text in (secret, base64.b64encode(secret), plain)) or any(
            line.upper().startswith(verbs) for line in received.splitlines())
