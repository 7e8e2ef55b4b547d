# SPDX-License-Identifier: MIT
"""Each way of being cheated under TLS has its own message, and the server never hears the secret (rules 24, 25 and 26)."""

import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import certs
import mailbox
import pytest
from conftest import script_options, script_source
from mounting import mounted, unmount_hard
from reading import cat, read_at_last
from scripted import Script

ONE = [mailbox.plain("one")]
HOW = pytest.mark.parametrize("how", ["tls", "stls"])


def attempt(place, server, how, options):
    """A mount that must fail without having said anything secret; gives its one line."""
    source = script_source(server, "pops" if how == "tls" else "pop3")
    done = place.refused(place.command(source, script_options(place, server, options, tls="")))
    assert done.returncode == 32, done.stderr
    assert_heard_nothing(server)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def assert_heard_nothing(server):
    """By the server's own record of all octets, in the clear and decrypted: it was met, and told nothing."""
    assert len(server.sessions) == 1
    assert not server.heard_secret()
    assert server.commands() in ([], ["CAPA"], ["CAPA", "STLS"])


def start(serve, how, certificate, **switches):
    return serve(Script(messages=ONE, **switches), certificate=certificate, implicit_tls=how == "tls")


BAD_CERTIFICATES = {
    "expired": (dict(days=0), "expired"),
    "wrong-name": (dict(names="DNS:other.example,IP:127.0.0.9"), "mismatch|match|name"),
    "cn-only": (dict(names=None, common_name="127.0.0.1"), "mismatch|match|name"),
    "wildcard": (dict(names="DNS:*.0.0.1,DNS:127.*"), "mismatch|match|name"),
}


@HOW
@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_bad_certificate_is_refused(kind, how, serve, place, authority):
    fields, words = BAD_CERTIFICATES[kind]
    server = start(serve, how, authority.issue(kind, **fields))
    line = attempt(place, server, how, f"cafile={authority.cert}")
    assert re.search(words, line, re.IGNORECASE), line


@HOW
def test_a_self_signed_certificate_is_refused(how, serve, place, authority):
    server = start(serve, how, authority.self_signed("self-signed"))
    assert re.search("self.signed", attempt(place, server, how, f"cafile={authority.cert}"), re.IGNORECASE)


@HOW
def test_an_authority_that_nobody_named_is_refused(how, serve, place, certificate):
    server = start(serve, how, certificate)
    assert re.search("issuer|chain|trust|certificate", attempt(place, server, how, ""), re.IGNORECASE)


@HOW
def test_tls_1_1_is_refused(how, serve, place, authority, certificate):
    server = start(serve, how, certificate, tls_only_1_1=True)
    line = attempt(place, server, how, f"cafile={authority.cert}")
    assert re.search("TLS|version|protocol", line, re.IGNORECASE), line
    assert server.sessions[0].handshake_failed or server.sessions[0].commands[-1:] == ["STLS"]


@HOW
def test_the_right_pin_mounts(how, serve, place, authority, certificate):
    server = start(serve, how, certificate)
    options = script_options(place, server, f"cafile={authority.cert},pin={certificate.pin()}", tls="")
    with mounted(place, script_source(server, "pops" if how == "tls" else "pop3"), options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data


@HOW
def test_another_pin_is_refused(how, serve, place, authority, certificate):
    server = start(serve, how, certificate)
    other = authority.issue("another").pin()
    assert "pin" in attempt(place, server, how, f"cafile={authority.cert},pin={other}").lower()


def test_the_pin_does_not_replace_the_chain(serve, place, authority):
    own = authority.self_signed("pinned")
    server = start(serve, "tls", own)
    assert "self" in attempt(place, server, "tls", f"cafile={authority.cert},pin={own.pin()}").lower()


@pytest.mark.parametrize("options, word", [
    ("pin=sha256//short", "pin"),
    ("pin=md5//AAAA", "pin"),
    ("cafile=/nowhere/ca.pem", "cafile|/nowhere/ca.pem"),
    ("cafile=/dev/null", "cafile|/dev/null"),
    ("cert=/nowhere/cert.pem", "cert"),
])
def test_an_unreadable_trust_is_an_error_before_connecting(options, word, serve, place, certificate):
    server = start(serve, "tls", certificate)
    done = place.refused(place.command(script_source(server, "pops"), script_options(place, server, options, tls="")))
    assert re.search(word, done.stderr), done.stderr
    assert server.sessions == []


STLS_ATTACKS = {
    "stripped": "does not offer STLS",
    "refused": "refused STLS",
    "injected": "more than its answer to STLS",
    "injected-later": "agreed to STLS but then did not speak TLS",
    "silent": "silent",
    "fake": "agreed to STLS but then did not speak TLS",
}


@pytest.mark.parametrize("kind", STLS_ATTACKS)
@pytest.mark.slow
def test_a_tampered_stls_is_refused(kind, serve, place, authority, certificate):
    """Rule 25."""
    server = start(serve, "stls", certificate, stls=kind)
    line = attempt(place, server, "stls", f"cafile={authority.cert},timeout=1")
    assert STLS_ATTACKS[kind] in line, line


@pytest.mark.parametrize("auth", ["user", "plain", "login", "cram-md5", "apop"])
def test_no_mechanism_is_strong_enough_for_the_clear(auth, serve, place, authority, certificate):
    """Rule 25: not even one that hides the password, and not when it was asked for by name."""
    server = start(serve, "stls", certificate, stls="stripped")
    assert "does not offer STLS" in attempt(place, server, "stls", f"cafile={authority.cert},auth={auth}")


# What POP3.md rule 26 lists: how the server is made, the options, and what the one line says.
ATTACKS = {
    "expired": (lambda a, c: a.issue("x-expired", days=0), {}, "expired on"),
    "self-signed": (lambda a, c: a.self_signed("x-self"), {}, "is self-signed"),
    "wrong-name": (lambda a, c: a.issue("x-name", names="DNS:other.example"), {}, "is for another host"),
    "cn-only": (lambda a, c: a.issue("x-cn", names=None, common_name="127.0.0.1"), {}, "no name but its subject"),
    "tls-1.1": (lambda a, c: c, {"tls_only_1_1": True}, "speaks no TLS that is safe"),
    "injected": (lambda a, c: c, {"stls": "injected"}, "more than its answer to STLS"),
    "stripped": (lambda a, c: c, {"stls": "stripped"}, "does not offer STLS"),
    "pin": (lambda a, c: c, {}, "is not the one of pin="),
}


def test_each_attack_has_a_message_of_its_own_and_hears_no_secret(serve, place, authority, certificate):
    """Rule 26."""
    lines = {}
    for kind, (make, switches, words) in ATTACKS.items():
        pin = f",pin={authority.issue('x-pin').pin()}" if kind == "pin" else ""
        for how in ("stls",) if "stls" in switches else ("stls", "tls"):
            server = start(serve, how, make(authority, certificate), **switches)
            line = attempt(place, server, how, f"cafile={authority.cert}{pin}")
            assert words in line, f"{kind}: {line}"
            lines[kind] = line.replace(str(server.port), "PORT")
    assert len(set(lines.values())) == len(ATTACKS), "\n".join(lines.values())


@pytest.mark.parametrize("how", ["close", "goodbye"])
@pytest.mark.slow
def test_an_end_of_tls_inside_a_reply_is_an_error(how, serve, place, authority, certificate):
    """Rule 25: with close_notify or without, even when nothing but the dot line is missing."""
    server = start(serve, "tls", certificate, cut_retr=len(ONE[0].data), cut_how=how, cut_times=99)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, script_source(server, "pops"), options) as mount:
        with pytest.raises(OSError) as caught:
            (mount.path / "one.eml").read_bytes()
        assert caught.value.errno == errno.EIO
        assert ("without ending TLS" in mount.log()) == (how == "close"), mount.log()
        server.script.cut_times = 0
        assert read_at_last(mount.path / "one.eml") == ONE[0].data


def test_nothing_is_said_in_the_clear_but_capa_and_stls(serve, place, authority, certificate):
    server = start(serve, "stls", certificate)
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, script_source(server), options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data
    commands = server.sessions[0].commands
    assert set(commands[: commands.index("STLS")]) <= {"CAPA"}
    assert "CAPA" in commands[commands.index("STLS") :]


def test_a_host_name_is_verified_too(serve, place, authority):
    server = start(serve, "tls", authority.issue("by-name", names="DNS:localhost"))
    options = script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, f"pops://alice@localhost:{server.port}", options) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data


def test_tls_off_alone_allows_clear_text(serve, place):
    server = serve(Script(messages=ONE, stls="stripped"))
    done = place.refused(place.command(script_source(server), script_options(place, server, tls="tls=starttls")))
    assert done.returncode == 32 and not server.heard_secret()
    with mounted(place, script_source(server), script_options(place, server)) as mount:
        assert cat(mount.path / "one.eml") == ONE[0].data


# -- what came in the clear

TRUE = mailbox.many(4, octets=900)


def forged(mail):
    """Of the same size, and with the same header but for the date."""
    head, _, body = mail.data.partition(b"\r\n\r\n")
    return mailbox.Mail(mail.name, head.replace(b" 2026 ", b" 2016 ") + b"\r\n\r\n" + body.replace(b"a", b"b").replace(b"1", b"2"))


def seen(mount):
    return {path.name: (path.stat().st_mtime, path.read_bytes()) for path in mount.path.iterdir()}


def test_nothing_that_came_in_the_clear_is_shown_with_tls(serve, one_place, place, authority, certificate):
    lies = [forged(mail) for mail in TRUE]
    assert all(lie.data != mail.data and len(lie.data) == len(mail.data) for lie, mail in zip(lies, TRUE, strict=True))
    server = serve(Script(messages=lies, size_said=lambda octets: str(octets + 100)), certificate=certificate)
    clear, stls = script_options(place, server), script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, script_source(server), clear) as mount:
        lied = seen(mount)
        assert {name: data for name, (_, data) in lied.items()} == {f"{mail.name}.eml": mail.data for mail in lies}
    server.script.messages, server.script.size_said = TRUE, str
    with one_place() as fresh, mounted(fresh, script_source(server), stls) as mount:
        truth = seen(mount)
    assert all(truth[name][0] != lied[name][0] for name in lied)
    with mounted(place, script_source(server), stls) as mount:
        assert mount.log().count("fetched again") == 0
        assert json.loads((mount.path / ".popfs/status.json").read_text())["sizes"] == "unproven"
        assert seen(mount) == truth

def test_what_was_removed_in_the_clear_stays_pending_there_and_with_tls_nothing_is_deleted(serve, place, authority, certificate):
    server = serve(Script(messages=TRUE), certificate=certificate)
    clear, stls = script_options(place, server), script_options(place, server, f"cafile={authority.cert}", tls="")
    with mounted(place, script_source(server), clear, expect_exit=None) as mount:
        os.unlink(mount.path / "m00002.eml")
        mount.die()
        unmount_hard(place.mountpoint)
    with mounted(place, script_source(server), stls) as mount:
        assert len(seen(mount)) == len(TRUE) and not list((mount.path / ".popfs/trash").iterdir())
    with mounted(place, script_source(server), clear) as mount:
        trash = mount.path / ".popfs/trash"
        assert [path.name for path in trash.iterdir()] == ["m00002.eml"]
        os.rename(trash / "m00002.eml", mount.path / "m00002.eml")
    assert not server.commands("DELE")


# -- a certificate of another authority than the one that was read at start

@pytest.fixture
def other_authority(root_folder):
    return certs.Authority(root_folder / "other-ca")


@pytest.fixture
def far_folder():
    """Where the daemon itself can read nothing once it is confined."""
    with tempfile.TemporaryDirectory(prefix="popfs-tests-", dir="/run") as folder:
        yield Path(folder)


def replace(path, authority):
    """As an administrator's program does it."""
    new = path.with_suffix(".new")
    shutil.copyfile(authority.cert, new)
    new.rename(path)


def renew_certificate(server, authority):
    server.certificate = authority.issue("renewed")
    server.drop_all()


def system_store(far_folder, authority):
    """Options and environment of a system whose store is this one file."""
    shutil.copyfile(authority.cert, far_folder / "ca.pem")
    (far_folder / "empty").mkdir()
    return {"SSL_CERT_FILE": str(far_folder / "ca.pem"), "SSL_CERT_DIR": str(far_folder / "empty")}


@HOW
@pytest.mark.parametrize("sandbox", ["auto", "off"])
def test_a_reader_does_not_notice_that_the_certificate_and_cafile_were_renewed(
        how, sandbox, serve, place, authority, certificate, other_authority, far_folder):
    server = serve(Script(messages=TRUE), certificate=certificate, implicit_tls=how == "tls")
    cafile = far_folder / "ca.pem"
    shutil.copyfile(authority.cert, cafile)
    options = script_options(place, server, f"cafile={cafile},sandbox={sandbox}", tls="")
    with mounted(place, script_source(server, "pops" if how == "tls" else "pop3"), options) as mount:
        for renewed, name in ((other_authority, "m00001.eml"), (authority, "m00002.eml")):
            replace(cafile, renewed)
            renew_certificate(server, renewed)
            assert cat(mount.path / name) == next(mail.data for mail in TRUE if f"{mail.name}.eml" == name)
        assert server.logins() == 3


def test_the_systems_store_is_read_anew(serve, place, authority, certificate, other_authority, far_folder):
    place.environment.update(system_store(far_folder, authority))
    server = serve(Script(messages=TRUE), certificate=certificate, implicit_tls=True)
    with mounted(place, script_source(server, "pops"), script_options(place, server, tls="")) as mount:
        replace(far_folder / "ca.pem", other_authority)
        renew_certificate(server, other_authority)
        assert cat(mount.path / "m00001.eml") == TRUE[0].data


def test_a_commit_goes_on_with_a_renewed_certificate(serve, place, authority, certificate, other_authority, far_folder):
    server = serve(Script(messages=TRUE), certificate=certificate, implicit_tls=True)
    cafile = far_folder / "ca.pem"
    shutil.copyfile(authority.cert, cafile)
    with mounted(place, script_source(server, "pops"), script_options(place, server, f"cafile={cafile}", tls="")) as mount:
        os.unlink(mount.path / "m00001.eml")
        replace(cafile, other_authority)
        renew_certificate(server, other_authority)
        (mount.path / ".popfs/control").write_text("commit\n")
        assert [mail.name for mail in server.script.messages] == [mail.name for mail in TRUE[1:]]


def test_an_authority_that_is_named_later_counts_at_the_next_attempt(serve, place, authority, certificate, other_authority, far_folder):
    server = serve(Script(messages=TRUE), certificate=certificate, implicit_tls=True)
    cafile = far_folder / "ca.pem"
    shutil.copyfile(authority.cert, cafile)
    with mounted(place, script_source(server, "pops"), script_options(place, server, f"cafile={cafile}", tls="")) as mount:
        renew_certificate(server, other_authority)
        for content in (None, "", "no certificate\n"):
            if content is not None:
                cafile.write_text(content)
            with pytest.raises(OSError) as caught:
                (mount.path / ".popfs/control").write_text("refresh\n")
            assert caught.value.errno == errno.EACCES
        assert "could not be read anew: there is no certificate (PEM) in the file of cafile=" in mount.log()
        sessions = len(server.sessions)
        replace(cafile, other_authority)
        (mount.path / ".popfs/control").write_text("refresh\n")
        assert len(server.sessions) == sessions + 1
        assert cat(mount.path / "m00001.eml") == TRUE[0].data


def test_a_descriptor_is_read_once(serve, place, authority, certificate, other_authority, far_folder):
    cafile = far_folder / "ca.pem"
    shutil.copyfile(authority.cert, cafile)
    server = serve(Script(messages=TRUE), certificate=certificate, implicit_tls=True)
    with cafile.open("rb") as file:
        command = place.command(script_source(server, "pops"), script_options(place, server, f"cafile=/dev/fd/{file.fileno()}", tls=""))
        subprocess.run(command, env=place.environment, stdin=subprocess.DEVNULL, pass_fds=[file.fileno()], timeout=30, cwd=place.folder, check=True)
    with mounted(place, None, None, command=["true"], foreground=False) as mount:
        cafile.write_bytes(other_authority.cert.read_bytes())
        renew_certificate(server, other_authority)
        with pytest.raises(OSError) as caught:
            (mount.path / "m00001.eml").read_bytes()
        assert caught.value.errno == errno.EACCES
        assert len(server.sessions) == 2
