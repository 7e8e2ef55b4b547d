# SPDX-License-Identifier: MIT
"""Logins by token, by client certificate and bound to the TLS connection; refusals; secrets that a server repeats; and an
address as the host (POP3.md rules 24, 25, 27, 28 and 35)."""

import base64
import errno
import hashlib
import hmac
import http.server
import itertools
import json
import os
import socket
import subprocess
import threading
import urllib.parse

import dovecot
import mailbox
import pytest
from conftest import script_options, script_source
from mounting import mounted, wait_until
from reading import cat, control, error_of, outcome_of
from scripted import Script

LONG = "POPFS_LONG" in os.environ

ONE = [mailbox.plain("one")]
GOOD, EXPIRED = "good.token-of_tina~1+2/3==", "an.expired.token"


class TokenServer(http.server.ThreadingHTTPServer):
    """Says whose a token is (RFC 7662), and remembers which ones it was asked about."""

    def __init__(self, owners):
        super().__init__(("127.0.0.1", 0), _Introspection)
        self.owners, self.asked = owners, []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Introspection(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["token"][0]
        self.server.asked.append(token)
        owner = self.server.owners.get(token)
        body = json.dumps({"active": owner is not None, "username": owner or ""}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def tokens():
    with TokenServer({GOOD: "tina"}) as server:
        yield server


@pytest.fixture(scope="module")
def server(root_folder, authority, tokens):
    """A Dovecot that takes tokens and certificates."""
    folder = root_folder / "dovecot-login"
    service = f"http://127.0.0.1:{tokens.server_port}/introspect?token="
    running = dovecot.Dovecot(folder, authority.issue("login-server"), dovecot.Tokens(authority.cert, service))
    for user in ("tina", "cora"):
        account = running.account(user, "never said")
        account.add(ONE)
        setattr(running, user, account)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def token_command(place, token):
    path = place.folder / "token"
    path.write_text(token + "\nexpires_in: 3600\n")
    return f"passcmd=cat {path}"


def source_on(server, user, how):
    scheme, port = ("pops", server.tls_port) if how == "tls" else ("pop3", server.port)
    return f"{scheme}://{user}@127.0.0.1:{port}"


@pytest.mark.parametrize("how", ["tls", "stls"])
@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_logs_in(auth, how, server, tokens, authority, place):
    options = f"auth={auth},cafile={authority.cert},{token_command(place, GOOD)}"
    before, asked = len(server.tina.methods()), len(tokens.asked)
    for _ in range(2):  # the second time together with CAPA
        with mounted(place, source_on(server, "tina", how), options) as mount:
            assert cat(mount.path / "one.eml") == mailbox.wire(ONE[0].data)
    assert server.tina.methods()[before:] == [auth.upper()] * 2
    assert tokens.asked[asked:] == [GOOD] * 2


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_has_expired_is_refused_with_the_servers_reason(auth, server, authority, place):
    options = f"auth={auth},cafile={authority.cert},{token_command(place, EXPIRED)}"
    done = place.refused(place.command(source_on(server, "tina", "tls"), options))
    assert done.returncode == 32
    assert "the server refused the token ({" in done.stderr and '"status"' in done.stderr, done.stderr
    assert "[AUTH]" in done.stderr and EXPIRED not in done.stderr, done.stderr


def test_a_token_of_somebody_else_is_refused(server, authority, place):
    options = f"auth=xoauth2,cafile={authority.cert},{token_command(place, GOOD)}"
    done = place.refused(place.command(source_on(server, "cora", "tls"), options))
    assert done.returncode == 32 and server.cora.sessions() == []


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_is_never_shown(auth, server, authority, place):
    options = f"auth={auth},cafile={authority.cert},{token_command(place, GOOD)}"
    command = place.command(source_on(server, "tina", "tls"), options, ("-f", "-d"))
    with mounted(place, None, None, command=command) as mount:
        cat(mount.path / "one.eml")
        log = mount.log()
    assert f"AUTH {auth.upper()}" in log and "***" in log
    message = b"auth=Bearer " + GOOD.encode()
    within = [base64.b64encode(b"x" * shift + message)[4:-4].decode() for shift in range(3)]
    assert not [text for text in (GOOD, *within) if text in log]


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_of_16_kib_logs_in(auth, serve, place, authority, certificate):
    token = "t" * 16384
    heard = []

    def take(session, initial):
        assert not initial  # it cannot fit into the line
        heard.append(session.challenge(b""))
        return heard[-1].endswith(b"\1auth=Bearer " + token.encode() + b"\1\1")

    script = Script(messages=ONE, password=token, sasl="PLAIN " + auth.upper(), mechanisms={auth.upper(): take})
    server = serve(script, certificate=certificate, implicit_tls=True)
    options = script_options(place, server, f"auth={auth},cafile={authority.cert}", tls="")
    with mounted(place, script_source(server, "pops"), options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data
    first = b"user=alice" if auth == "xoauth2" else f"n,a=alice,\1host=127.0.0.1\1port={server.port}".encode()
    assert heard[0].startswith(first + b"\1auth")


def test_tokens_are_not_said_before_tls(serve, place, authority, certificate):
    server = serve(Script(messages=ONE, sasl="XOAUTH2", stls="stripped"), certificate=certificate)
    options = script_options(place, server, f"auth=xoauth2,cafile={authority.cert}", tls="")
    done = place.refused(place.command(script_source(server), options))
    assert done.returncode == 32 and "STLS" in done.stderr and not server.heard_secret()


# ---- EXTERNAL


@pytest.mark.parametrize("how", ["tls", "stls"])
def test_a_client_certificate_logs_in_without_a_password(how, server, authority, place):
    mine = authority.issue(f"cora-{how}", names=None, common_name="cora")
    options = f"auth=external,cafile={authority.cert},cert={mine.cert},key={mine.key}"
    before = len(server.cora.methods())
    for _ in range(2):  # the second time together with CAPA
        with mounted(place, source_on(server, "cora", how), options) as mount:
            assert cat(mount.path / "one.eml") == mailbox.wire(ONE[0].data)
    assert server.cora.methods()[before:] == ["EXTERNAL"] * 2


def test_a_client_certificate_of_somebody_else_is_refused(server, authority, place):
    other = authority.issue("tina-cert", names=None, common_name="tina")
    options = f"auth=external,cafile={authority.cert},cert={other.cert},key={other.key}"
    sessions = len(server.cora.methods()), len(server.tina.methods())
    done = place.refused(place.command(source_on(server, "cora", "tls"), options))
    assert done.returncode == 32 and "the server refused the login" in done.stderr, done.stderr
    assert (len(server.cora.methods()), len(server.tina.methods())) == sessions


def test_external_without_a_certificate_is_a_mistake(place):
    done = place.refused(place.command("pops://alice@127.0.0.1:9", "auth=external"))
    assert done.returncode == 1 and "cert=" in done.stderr


# ---- SCRAM-SHA-256-PLUS, which Dovecot 2.3 has not


def hmac_sha256(key, text):
    return hmac.new(key, text, "sha256").digest()


class Scram256:
    """The server's side of RFC 5802 with SHA-256 (RFC 7677), bound by tls-unique (RFC 5929) or not at all."""

    def __init__(self, password, relayed=False):
        self._password, self._relayed = password.encode(), relayed
        self.headers = []

    def __call__(self, session, initial):
        first = base64.b64decode(initial).decode()
        flag, who, bare = first.split(",", 2)
        self.headers.append(f"{flag},{who},")
        nonce = dict(part.split("=", 1) for part in bare.split(","))["r"] + "-of-the-server"
        salt = os.urandom(12)
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        final = session.challenge(challenge.encode()).decode()
        without_proof, proof = final.rsplit(",p=", 1)
        fields = dict(part.split("=", 1) for part in without_proof.split(","))

        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, 4096)
        said = ",".join((bare, challenge, without_proof)).encode()
        client_key = hmac_sha256(salted, b"Client Key")
        signature = hmac_sha256(hashlib.sha256(client_key).digest(), said)
        wanted = bytes(a ^ b for a, b in zip(client_key, signature))
        binding = b"of another connection" if self._relayed else b"" if flag == "n" else session.tls_unique()
        bound = base64.b64decode(fields["c"]) == self.headers[-1].encode() + binding
        if not bound or fields["r"] != nonce or base64.b64decode(proof) != wanted:
            return False
        signature = hmac_sha256(hmac_sha256(salted, b"Server Key"), said)
        return session.challenge(b"v=" + base64.b64encode(signature)) == b""


def plus_server(serve, certificate, how, offer="PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", **rest):
    script = Script(messages=ONE, sasl=offer, tls_1_2=True, pipelining_early=True)
    scram = Scram256(script.password, **rest)
    script.mechanisms = {"SCRAM-SHA-256-PLUS": scram}
    return serve(script, certificate=certificate, implicit_tls=how == "tls"), scram


@pytest.mark.parametrize("how", ["tls", "stls"])
@pytest.mark.parametrize("auth", ["auto", "scram-sha-256-plus"])
def test_a_login_is_bound_to_the_tls_connection(auth, how, serve, place, authority, certificate):
    server, scram = plus_server(serve, certificate, how)
    options = script_options(place, server, f"auth={auth},cafile={authority.cert}", tls="")
    source = script_source(server, "pops" if how == "tls" else "pop3")
    for _ in range(2):  # the second time together with CAPA
        with mounted(place, source, options) as mount:
            assert cat(mount.path / "one.eml") == ONE[0].data
            status = cat(mount.path / ".popfs" / "status").decode()
        assert "SCRAM-SHA-256-PLUS" in status
    assert scram.headers == ["p=tls-unique,,"] * 2
    assert [session.behind_first_capa for session in server.sessions] == [0, 1]
    assert not any(server.script.password.encode() in session.received for session in server.sessions)


def test_a_login_relayed_from_another_connection_is_refused(serve, place, authority, certificate):
    server, _ = plus_server(serve, certificate, "tls", relayed=True)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    done = place.refused(place.command(script_source(server, "pops"), options))
    assert done.returncode == 32 and "[AUTH]" in done.stderr, done.stderr


def test_plus_is_not_given_up_when_it_was_asked_for(serve, place, authority, certificate):
    server, _ = plus_server(serve, certificate, "tls", offer="PLAIN SCRAM-SHA-256")
    options = script_options(place, server, f"auth=scram-sha-256-plus,cafile={authority.cert}", tls="")
    done = place.refused(place.command(script_source(server, "pops"), options))
    assert "does not offer auth=scram-sha-256-plus" in done.stderr and not server.heard_secret()


def test_under_tls_1_3_the_exporter_is_what_binds(serve, place, authority, certificate):
    seen = []

    def refuse(_session, initial):
        seen.append(base64.b64decode(initial))
        return False

    script = Script(messages=ONE, sasl="SCRAM-SHA-256-PLUS", mechanisms={"SCRAM-SHA-256-PLUS": refuse})
    server = serve(script, certificate=certificate, implicit_tls=True)
    place.refused(place.command(script_source(server, "pops"), script_options(place, server, f"cafile={authority.cert}", tls="")))
    assert len(seen) == 1 and seen[0].startswith(b"p=tls-exporter,,n=alice,r=")


# ---- -PLUS that is listed and refused, as Cyrus 3.6 does under TLS 1.3


def says_why(session, _initial):
    session.commands.append(session.challenge(b"e=channel-binding-not-supported").decode("latin-1"))
    return False


def hangs_up(session, _initial):
    session.hang_up()


WAYS_TO_REFUSE = {
    "auth": (lambda _session, _initial: False, "-ERR [AUTH] authenticating: SASL(-15): mechanism too weak for this user"),
    "codeless": (lambda _session, _initial: False, "-ERR no"),
    "challenge": (says_why, "-ERR canceled"),
    "hang-up": (hangs_up, "-ERR"),
}


def server_without_binding(serve, certificate, how, way, offer="PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"):
    """It takes SCRAM-SHA-256; -PLUS it lists and does not take."""
    refuse, said = WAYS_TO_REFUSE[way]
    script = Script(messages=ONE, sasl=offer, pipelining_early=True, wrong_said=said)
    scram = Scram256(script.password)
    script.mechanisms = {"SCRAM-SHA-256-PLUS": refuse, "SCRAM-SHA-256": scram}
    return serve(script, certificate=certificate, implicit_tls=how == "tls"), scram


def mechanisms_tried(server):
    return [line.split()[1] for line in server.commands("AUTH")]


@pytest.mark.parametrize("how", ["tls", "stls"])
@pytest.mark.parametrize("way", ["auth", "codeless", "challenge"])
def test_a_binding_that_is_refused_before_any_proof_is_given_up_and_that_is_remembered(way, how, serve, place, authority, certificate):
    server, scram = server_without_binding(serve, certificate, how, way)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    source = script_source(server, "pops" if how == "tls" else "pop3")
    for _ in range(3):  # the last time together with CAPA
        with mounted(place, source, options) as mount:
            assert cat(mount.path / "one.eml") == ONE[0].data
            assert b"SCRAM-SHA-256" in cat(mount.path / ".popfs" / "status")
    assert mechanisms_tried(server) == ["SCRAM-SHA-256-PLUS"] + ["SCRAM-SHA-256"] * 3
    assert scram.headers == ["n,,"] * 3 and server.violations() == []
    assert len(server.sessions) == 3 and server.sessions[-1].behind_first_capa == 1


def new_session(mount, server):
    server.drop_all()
    control(mount, "refresh")


PLUS, UNBOUND = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"


@pytest.mark.slow
def test_a_server_that_hangs_up_on_a_binding_is_logged_in_to_without_one_in_this_mount_alone(serve, place, authority, certificate):
    server, _ = server_without_binding(serve, certificate, "tls", "hang-up")
    options = script_options(place, server, f"refresh=0,cafile={authority.cert}", tls="")
    for _ in range(2):
        before = len(mechanisms_tried(server))
        with mounted(place, script_source(server, "pops"), options) as mount:
            for _ in range(3):
                new_session(mount, server)
        assert mechanisms_tried(server)[before:] == [PLUS, UNBOUND] * 2 + [UNBOUND] * 2


def test_a_link_that_is_lost_once_while_a_binding_is_asked_for_costs_one_session_its_binding(serve, place, authority, certificate):
    server, scram = plus_server(serve, certificate, "tls")
    mechanisms = server.script.mechanisms
    mechanisms[UNBOUND] = scram
    options = script_options(place, server, f"refresh=0,cafile={authority.cert}", tls="")

    def hang_up_once(session, _initial):
        mechanisms[PLUS] = scram
        session.hang_up()

    for _ in range(2):
        before, mechanisms[PLUS] = len(mechanisms_tried(server)), hang_up_once
        with mounted(place, script_source(server, "pops"), options) as mount:
            new_session(mount, server)
        # What goes out together with CAPA is to blame first.
        assert mechanisms_tried(server)[before:] in ([PLUS, UNBOUND, PLUS], [PLUS, PLUS, PLUS])
    assert scram.headers.count("n,,") >= 1


def test_a_server_that_hangs_up_on_a_wrong_proof_does_not_get_it_again_at_once(serve, place, authority, certificate):
    class HangsUp(Scram256):
        def __call__(self, session, initial):
            return super().__call__(session, initial) or session.hang_up()

    server, _ = server_without_binding(serve, certificate, "tls", "auth")
    server.script.mechanisms[UNBOUND] = HangsUp("another")
    place.refused(place.command(script_source(server, "pops"), script_options(place, server, f"cafile={authority.cert}", tls="")))
    assert mechanisms_tried(server) == [PLUS, UNBOUND]


@pytest.mark.parametrize("password", ["e", "oof", "invalid-"])
def test_a_refused_proof_is_a_refusal_whatever_the_password_is(password, serve, place, authority, certificate):
    def refuse(session, initial):
        nonce = base64.b64decode(initial).decode().rsplit("r=", 1)[1]
        session.challenge(f"r={nonce}xyz,s=QSXCR+Q6sek8bf92,i=4096".encode())
        session.challenge(b"e=invalid-proof")
        return False

    server = serve(Script(sasl=UNBOUND, mechanisms={UNBOUND: refuse}), certificate=certificate, implicit_tls=True)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    place.passfile(password)
    done = place.refused(place.command(script_source(server, "pops"), options))
    assert "the server refused the login" in done.stderr and password not in done.stderr.rpartition("login")[2], done.stderr


@pytest.mark.parametrize("way", WAYS_TO_REFUSE)
def test_a_binding_that_was_asked_for_is_never_given_up(way, serve, place, authority, certificate):
    server, _ = server_without_binding(serve, certificate, "tls", way)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, script_source(server, "pops"), options):
        pass  # and auto remembers
    before = len(mechanisms_tried(server))
    done = place.refused(place.command(script_source(server, "pops"), options + ",auth=scram-sha-256-plus"))
    assert done.returncode == 32 and mechanisms_tried(server)[before:] == ["SCRAM-SHA-256-PLUS"], done.stderr


def test_a_refused_proof_is_followed_by_no_other_try(serve, place, authority, certificate):
    server, _ = plus_server(serve, certificate, "tls", relayed=True)
    server.script.mechanisms["SCRAM-SHA-256"] = Scram256(server.script.password)
    place.refused(place.command(script_source(server, "pops"), script_options(place, server, f"cafile={authority.cert}", tls="")))
    assert mechanisms_tried(server) == ["SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize("way", WAYS_TO_REFUSE)
def test_a_refused_binding_leads_to_no_weaker_mechanism(way, serve, place, authority, certificate):
    server, _ = server_without_binding(serve, certificate, "tls", way, offer="PLAIN LOGIN SCRAM-SHA-256-PLUS")
    done = place.refused(place.command(script_source(server, "pops"), script_options(place, server, f"cafile={authority.cert}", tls="")))
    assert done.returncode == 32 and mechanisms_tried(server) == ["SCRAM-SHA-256-PLUS"] and not server.commands("PASS")


@pytest.mark.parametrize("how", ["tls", "stls"])
def test_a_login_that_is_another_now_is_not_the_old_one(how, serve, place, authority, certificate):
    """Begun together with CAPA; where that offers something stronger, another session takes it, of which the user hears nothing."""
    server = serve(Script(messages=ONE, pipelining_early=True), certificate=certificate, implicit_tls=how == "tls")
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    for sasl in ("LOGIN", "LOGIN", "PLAIN LOGIN", "PLAIN LOGIN"):
        server.script.sasl = sasl
        with mounted(place, script_source(server, "pops" if how == "tls" else "pop3"), options) as mount:
            assert cat(mount.path / "one.eml") == ONE[0].data
    said = [next(line.split()[0] for line in session.commands if line.startswith(("USER", "AUTH"))) for session in server.sessions]
    assert said == ["USER", "USER", "USER", "AUTH", "AUTH"]
    assert [session.behind_first_capa for session in server.sessions] == [0, 1, 1, 0, 1]
    assert [session.logged_in for session in server.sessions] == [True, True, False, True, True]


# ---- refusals before any credential was said


OUTAGES = {  # switch, what it is set to, what a reader gets, auth=
    "greeting": ("greeting", b"-ERR closed for today\r\n", errno.EIO, "user"),
    "greeting-auth": ("greeting", b"-ERR [AUTH] closed for today\r\n", errno.EIO, "user"),
    "greeting-sys-perm": ("greeting", b"-ERR [SYS/PERM] closed for today\r\n", errno.EIO, "user"),
    "greeting-sys-temp": ("greeting", b"-ERR [SYS/TEMP] closed for today\r\n", errno.EBUSY, "user"),
    "greeting-without-stamp": ("greeting", b"+OK no stamp today\r\n", errno.EIO, "apop"),
    "capa": ("garbled", {"CAPA": b"-ERR [SYS/PERM] closed for today\r\n"}, errno.EIO, "user"),
    "capa-without-mechanism": ("sasl", "LOGIN", errno.EIO, "cram-md5"),
    "user": ("garbled", {"USER": b"-ERR closed for today\r\n"}, errno.EIO, "user"),
    "user-auth": ("garbled", {"USER": b"-ERR [AUTH] closed for today\r\n"}, errno.EIO, "user"),
    "user-sys-perm": ("garbled", {"USER": b"-ERR [SYS/PERM] closed for today\r\n"}, errno.EIO, "user"),
    "sasl-auth": ("garbled", {"AUTH": b"-ERR [AUTH] closed for today\r\n"}, errno.EIO, "cram-md5"),
    "sasl-sys-perm": ("garbled", {"AUTH": b"-ERR [SYS/PERM] closed for today\r\n"}, errno.EIO, "cram-md5"),
}


def passcmd_that_counts(place, password):
    """The option, and how often the password was fetched."""
    (place.folder / "secret").write_text(password + "\n")
    (place.folder / "ask").write_text(f"echo >> {place.folder}/fetched; cat {place.folder}/secret\n")
    return f"passcmd=sh {place.folder}/ask", lambda: (place.folder / "fetched").read_text().count("\n")


def refusals(server):
    return [session for session in server.sessions if not session.logged_in]


@pytest.mark.parametrize("what", OUTAGES)
@pytest.mark.slow
def test_a_refusal_before_any_credential_was_said_is_an_outage(what, serve, place):
    switch, said, number, auth = OUTAGES[what]
    server = serve(Script(messages=[*ONE, mailbox.plain("two")]))
    usual = getattr(server.script, switch)
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    attempts = 1 if number == errno.EBUSY else 2  # the one after them, which nobody asks for either, ends the outage
    with mounted(place, script_source(server), f"tls=off,auth={auth},refresh=0,timeout=2,{passcmd}") as mount:
        setattr(server.script, switch, said)
        server.drop_all()
        assert error_of(open, mount.path / "one.eml", "rb") == number
        wait_until("more attempts", lambda: outcome_of(open, mount.path / "one.eml", "rb") and len(refusals(server)) >= attempts, 40)
        assert not any(session.commands and session.commands[-1].startswith("PASS") for session in refusals(server))
        setattr(server.script, switch, usual)
        wait_until("the end of the outage", lambda: not outcome_of(open, mount.path / "one.eml", "rb"), 40)
        assert fetched() == 1 and "until somebody asks" not in mount.log()


def test_a_greeting_that_refuses_is_quoted_on_mounting(serve, place):
    server = serve(Script(greeting=b"-ERR closed \x1b[2J today\r\n"))
    done = place.refused(place.command(script_source(server), script_options(place, server)))
    assert done.returncode == 32 and "the server refused the connection: closed \\x1b[2J today" in done.stderr, done.stderr


@pytest.mark.parametrize("code", ["SYS/TEMP", "IN-USE"])
@pytest.mark.slow
def test_a_server_that_cannot_do_tls_for_a_while_is_waited_for(code, serve, place, authority, certificate):
    server = serve(Script(messages=ONE, garbled={"STLS": f"-ERR [{code}] later\r\n".encode()}, garbled_times=1), certificate=certificate)
    options = script_options(place, server, f"timeout=20,cafile={authority.cert}", tls="")
    with mounted(place, script_source(server), options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data
    assert [session.secured for session in server.sessions] == [False, True]


# ---- a password that was changed


def write_password(place, source, server, password):
    """The option that names the source."""
    path = place.folder / f"changing-{source}"
    path.touch(mode=0o600)
    netrc = f"machine 127.0.0.1 login {server.script.user} password \"{password}\"\n"
    path.write_text(netrc if source == "netrc" else password + "\n")
    if source == "netrc":
        path.replace(place.folder / ".netrc")
    return {"netrc": "", "passfile": f"passfile={path}", "passcmd": f"passcmd=cat {path}"}[source]


@pytest.mark.parametrize("said", ["-ERR [AUTH] wrong", "-ERR wrong"])
@pytest.mark.parametrize("source", ["passfile", "passcmd", "netrc"])
def test_a_changed_password_is_fetched_anew_and_tried_at_once(source, said, serve, place):
    server = serve(Script(messages=ONE, wrong_said=said))
    options = write_password(place, source, server, server.script.password)
    with mounted(place, script_source(server), ",".join(filter(None, ("tls=off,refresh=0,timeout=10", options)))) as mount:
        for password in ("the second", "the third one"):
            before = len(server.sessions)
            server.script.password = password
            write_password(place, source, server, password)
            control(mount, "refresh")
            assert len(refusals(server)[-1].commands) and len(server.sessions) == before + 2
        assert cat(mount.path / "one.eml") == ONE[0].data


def test_a_reader_waits_while_a_changed_password_is_fetched(serve, place):
    server = serve(Script(messages=ONE))
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}") as mount:
        server.script.password = "another"
        (place.folder / "secret").write_text("another\n")
        server.drop_all()
        assert cat(mount.path / "one.eml") == ONE[0].data and fetched() == 2


def test_a_commit_goes_on_with_a_changed_password(serve, place):
    server = serve(Script(messages=[*ONE, mailbox.plain("two")]))
    passcmd, _ = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}") as mount:
        os.unlink(mount.path / "two.eml")
        server.drop_all()
        server.script.password = "another"
        (place.folder / "secret").write_text("another\n")
        control(mount, "commit")
        assert [mail.name for mail in server.script.messages] == ["one"]


@pytest.mark.parametrize("what", ["commit", "refresh"])
def test_a_password_that_was_refused_by_a_code_and_is_the_same_is_not_tried_until_somebody_asks(what, serve, place):
    server = serve(Script(messages=[*ONE, mailbox.plain("two")]))
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}", expect_exit=None) as mount:
        os.unlink(mount.path / "two.eml")
        server.drop_all()
        server.script.password = "another"
        assert error_of(control, mount, what) == errno.EACCES
        assert fetched() == 2 and len(refusals(server)) == 1
        assert error_of(open, mount.path / "one.eml", "rb") == errno.EACCES
        assert error_of(control, mount, what) == errno.EACCES  # asked for: fetched and tried again
        assert fetched() == 3 and len(refusals(server)) == 2
        (place.folder / "secret").write_text("another\n")
        control(mount, what)
        assert cat(mount.path / "one.eml") == ONE[0].data and len(refusals(server)) == 2


@pytest.mark.parametrize("secret", ["same", "changed"])
@pytest.mark.parametrize("said", ["-ERR wrong user or password", "-ERR [AUTH] wrong"])
def test_a_refused_password_that_went_out_with_capa_is_not_said_again_at_once(said, secret, serve, place):
    server = serve(Script(messages=ONE, pipelining_early=True, wrong_said=said))
    passcmd, _ = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,auth=plain,refresh=0,timeout=10,{passcmd}") as mount:
        server.script.password = "another"
        if secret == "changed":
            (place.folder / "secret").write_text("another\n")
        server.drop_all()
        assert (error_of(control, mount, "refresh") == errno.EACCES) if secret == "same" else (control(mount, "refresh") is None)
        tried = server.commands("AUTH")
    assert refusals(server)[0].behind_first_capa == 1 and len(refusals(server)) == 1
    assert len(tried) == (2 if secret == "same" else 3) and len(set(tried)) == len(tried) - 1


@pytest.mark.parametrize("said, secret", [("-ERR [AUTH] wrong", "same"), ("-ERR [AUTH] wrong", "changed"), ("-ERR wrong", "changed")])
def test_the_commit_at_the_end_of_a_mount_fetches_a_refused_password_anew(said, secret, serve, place):
    server = serve(Script(messages=[*ONE, mailbox.plain("two")], wrong_said=said))
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}", expect_exit=None) as mount:
        os.stat(mount.path / "two.eml")  # waits for the header, which proves the removal in the next session
        server.drop_all()
        server.script.password = "another"
        assert error_of(control, mount, "refresh") == errno.EACCES
        os.unlink(mount.path / "two.eml")
        if secret == "changed":
            (place.folder / "secret").write_text("another\n")
    assert len(refusals(server)) == 1 and fetched() == 3
    assert [mail.name for mail in server.script.messages] == (["one"] if secret == "changed" else ["one", "two"])


def test_the_commit_at_the_end_of_a_mount_does_not_say_a_password_again_that_is_not_to_be_had_anew(serve, place):
    server = serve(Script(messages=[*ONE, mailbox.plain("two")]))
    passcmd, _ = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}", expect_exit=None) as mount:
        server.drop_all()
        server.script.password = "another"
        (place.folder / "secret").unlink()
        assert error_of(control, mount, "refresh") == errno.EACCES
        os.unlink(mount.path / "two.eml")
    assert len(refusals(server)) == 1


def test_a_refusal_that_is_not_about_the_password_does_not_fetch_it(serve, place):
    server = serve(Script(messages=ONE))
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}") as mount:
        server.script.refusal = "-ERR [SYS/PERM] account closed"
        server.drop_all()
        assert error_of(open, mount.path / "one.eml", "rb") == errno.EACCES
        assert error_of(open, mount.path / "one.eml", "rb") == errno.EACCES
        assert fetched() == 1 and len(refusals(server)) == 1
        server.script.refusal = ""
        control(mount, "refresh")
        assert fetched() == 2


def test_whoever_asks_gets_another_password_tried_and_the_same_one_not_hurried(serve, place):
    """A refusal without a code may mean that we came too often: the same password has its pause."""
    server = serve(Script(messages=ONE, wrong_said="-ERR no"))
    passcmd, fetched = passcmd_that_counts(place, server.script.password)
    with mounted(place, script_source(server), f"tls=off,refresh=0,timeout=10,{passcmd}") as mount:
        server.drop_all()
        server.script.password = "another"
        assert error_of(control, mount, "refresh") == errno.EACCES
        assert error_of(control, mount, "refresh") == errno.EACCES
        assert fetched() == 3 and len(refusals(server)) == 1
        (place.folder / "secret").write_text("another\n")
        control(mount, "refresh")
        assert fetched() == 4 and len(refusals(server)) == 1


# ---- secrets that a server repeats


def forms_of(secret, user="alice"):
    """A secret as it stands, and within base64 wherever it lies there."""
    raw = secret.encode()
    whole = [base64.b64encode(text).decode() for text in (raw, b"\0" + user.encode() + b"\0" + raw)]
    within = [base64.b64encode(b"x" * shift + raw)[4:-4].decode() for shift in range(3)]
    return [secret, *whole, *within]


REPEATED = {
    "raw": lambda secret: secret,
    "upper": str.upper,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "plain": lambda secret: base64.b64encode(b"\0alice\0" + secret.encode()).decode(),
    "percent": lambda secret: urllib.parse.quote(secret, safe=""),
    "json": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
}
SECRET = "t0p/Secret>words\\%41"


def ctl(mount, *words):
    done = subprocess.run([os.environ["POPFSCTL"], words[0], str(mount.path), *words[1:]], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL, env=mount.place.environment)
    return done.stdout + done.stderr


AUTHS = ["user", "plain", "cram-md5"]
# test_veil.c has all forms; here each meets one way to log in, and each way two forms.
FORM_AND_AUTH = list(itertools.product(REPEATED, AUTHS) if LONG else zip(REPEATED, itertools.cycle(AUTHS)))


@pytest.mark.parametrize("form, auth", FORM_AND_AUTH)
def test_a_secret_that_the_server_repeats_is_shown_nowhere(form, auth, serve, place):
    said = REPEATED[form](SECRET)
    mails = [*ONE, mailbox.plain("two"), mailbox.plain("three")]
    script = Script(messages=mails, password=SECRET, graffiti=f" after PASS {said} it is", retr_refused={"two"}, dele_refused={"three"},
                    list_extra=f"no row of {said}\r\n".encode(), quit="refused")
    server = serve(script)
    command = place.command(script_source(server), script_options(place, server, f"refresh=0,auth={auth}"), ("-f", "-d"))
    shown = []
    with mounted(place, None, None, command=command, expect_exit=None) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data
        assert error_of(open, mount.path / "two.eml", "rb") == errno.EIO
        os.unlink(mount.path / "three.eml")
        shown += [ctl(mount, "commit"), ctl(mount, "status"), ctl(mount, "status", "--json")]
        script.greeting = f"-ERR no more of {said}\r\n".encode()
        server.drop_all()
        shown += [ctl(mount, "refresh"), ctl(mount, "status")]
        shown += [cat(mount.path / ".popfs" / name).decode() for name in ("status", "status.json")]
    shown.append(mount.log())
    assert sum(text.count("after PASS ***") for text in shown) > 3, shown[-1]
    for text in shown:
        assert not [found for found in (*forms_of(SECRET), said) if found.lower() in text.lower()], text


@pytest.mark.parametrize("form", REPEATED)
def test_a_secret_that_the_server_repeats_on_refusing_it_is_not_shown(form, serve, place):
    said = REPEATED[form](SECRET)
    server = serve(Script(messages=ONE, wrong_said=f"-ERR unknown command: PASS {said}"))
    options = script_options(place, server)
    place.passfile(SECRET)
    done = place.refused(place.command(script_source(server), options, ("-f", "-d")))
    assert "unknown command: PASS ***" in done.stderr, done.stderr
    assert not [found for found in (*forms_of(SECRET), said) if found.lower() in done.stderr.lower()], done.stderr


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_the_server_repeats_in_its_complaint_is_not_shown(auth, serve, place, authority, certificate):
    def complain(session, initial):
        if not initial:
            session.challenge(b"")
        session.challenge(json.dumps({"status": "401", "token": SECRET.replace("/", "-")}).encode())
        return False

    token = SECRET.replace("/", "-")
    script = Script(messages=ONE, password=token, sasl=auth.upper(), mechanisms={auth.upper(): complain}, graffiti=f" {token}")
    server = serve(script, certificate=certificate, implicit_tls=True)
    options = script_options(place, server, f"auth={auth},cafile={authority.cert}", tls="")
    done = place.refused(place.command(script_source(server, "pops"), options, ("-f", "-d")))
    assert '"token": "***"' in done.stderr and not [found for found in forms_of(token) if found in done.stderr], done.stderr


def test_a_text_that_repeats_a_very_short_password_is_not_shown_at_all(serve, place):
    server = serve(Script(messages=ONE, wrong_said="-ERR bad command: PASS a"))
    options = script_options(place, server)
    place.passfile("a")
    done = place.refused(place.command(script_source(server), options))
    assert done.stderr.strip().endswith("the server refused the login: ***"), done.stderr


# ---- an address for a host


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1; test_tls checks the pieces")
@pytest.mark.parametrize("how", ["tls", "stls"])
def test_an_ipv6_address_is_connected_to_and_verified(how, serve, place, authority):
    script = Script(messages=ONE)
    server = serve(script, certificate=authority.issue(f"ipv6-{how}", names="IP:::1"), implicit_tls=how == "tls", address="::1")
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, f"{'pops' if how == 'tls' else 'pop3'}://alice@[::1]:{server.port}", options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1; test_tls checks the pieces")
def test_a_certificate_for_another_ipv6_address_is_refused(serve, place, authority):
    certificate = authority.issue("ipv6-other", names="IP:::2,DNS:localhost")
    server = serve(Script(messages=ONE), certificate=certificate, implicit_tls=True, address="::1")
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    done = place.refused(place.command(f"pops://alice@[::1]:{server.port}", options))
    assert done.returncode == 32 and "another host than ::1" in done.stderr and not server.heard_secret()


def refuse_proof(session, initial):
    nonce = base64.b64decode(initial).decode().rsplit("r=", 1)[1]
    session.challenge(f"r={nonce}xyz,s=QSXCR+Q6sek8bf92,i=4096".encode())
    return False


@pytest.mark.parametrize("sasl, tried, other", [("SCRAM-SHA-256 PLAIN", "SCRAM-SHA-256", "plain"), ("PLAIN", "PLAIN", "user"),
                                                ("XYZ", "USER", "")])
def test_a_refused_login_names_what_was_tried_and_what_to_try_next(sasl, tried, other, serve, place, authority, certificate):
    script = Script(messages=ONE, sasl=sasl, mechanisms={"SCRAM-SHA-256": refuse_proof}, wrong_said="-ERR [AUTH] no")
    server = serve(script, certificate=certificate, implicit_tls=True)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    path = place.passfile("wrong")
    done = place.refused(place.command(script_source(server, "pops"), options))
    advice = f"if that is right, try auth={other}" if other else "are both right?"
    assert done.returncode == 32 and done.stderr.endswith(
        f"login by {tried} as alice with the password from passfile={path} ({advice}): the server refused the login: [AUTH] no\n"), done.stderr
