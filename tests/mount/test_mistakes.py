# SPDX-License-Identifier: MIT
"""What people do wrong, each answered by one line that says what happened and what to do."""

import contextlib
import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field

import mailbox
import pytest
from conftest import script_source
from mounting import is_mounted
from scripted import Script

LIMIT_S = 60
HOST = "pops://alice@pop.invalid"
REFUSED, MISUSED = 32, 1


@dataclass
class Mistake:
    """The words of the command, without the mount point that goes behind them unless `mountpoint` is given; {} is where the port goes."""

    source: str
    says: tuple  # parts of the line
    options: str = "passfile={passfile}"
    code: int = MISUSED
    mountpoint: str = "{mountpoint}"
    more: tuple = ()  # words
    speaks: tuple = ()  # what a server says, at once and when it has been told something
    script: dict = field(default_factory=dict)  # of a POP3 server, in place of that
    environment: dict = field(default_factory=dict)
    password: str = "secret"
    mode: int = 0o600


def typed(options, *says, **rest):
    return Mistake(HOST, says, options, **rest)


CLEAR = "passfile={passfile},tls=off,timeout=3"
SECURE = "passfile={passfile},timeout=3"

MISTAKES = {
    # -- the source
    "no-source": Mistake("", ("usage: popfs", "SOURCE MOUNTPOINT"), mountpoint="", options=""),
    "no-mountpoint": Mistake(HOST, ("usage: popfs", "SOURCE MOUNTPOINT"), mountpoint=""),
    "a-word-too-many": Mistake(HOST, ("one source and one mountpoint",), more=("inbox",)),
    "source-and-mountpoint-swapped": Mistake("{mountpoint}", ("the source must be pops://", "it comes before the mountpoint"), mountpoint=HOST),
    "an-address": Mistake("alice@example.org", ("alice@example.org is an address", "pops://USER@pop.example.org")),
    "a-host-alone": Mistake("pop.example.org", ("try pops://USER@pop.example.org",)),
    "imaps": Mistake("imaps://alice@imap.example.org", ("popfs speaks POP3 and no IMAP",)),
    "https": Mistake("https://mail.example.org", ("popfs speaks POP3 and no HTTP",)),
    "pop3s": Mistake("pop3s://alice@pop.example.org", ("write pops:// in place of pop3s://",)),
    "pop": Mistake("pop://alice@pop.example.org", ("write pops:// or pop3:// in place of pop://",)),
    "one-slash": Mistake("pops:/alice@pop.example.org", ("two slashes follow the colon",)),
    "a-folder-of-the-server": Mistake("pops://alice@pop.example.org/inbox", ("names no usable host", "POP3 has no folders")),
    "a-password-in-the-source": Mistake("pops://alice:secret@pop.example.org", ("no password in the source", "passfile=")),
    "a-port-that-is-a-word": Mistake("pops://alice@pop.example.org:pop3s", ("a port from 1 to 65535", "such as :995")),
    "a-port-that-is-too-high": Mistake("pops://alice@pop.example.org:99500", ("a port from 1 to 65535",)),
    "no-user": Mistake("pops://pop.example.org", ("no user", "-o user=")),
    # -- the mount point
    "mountpoint-missing": Mistake(HOST, ("{mountpoint}/new does not exist", "mkdir"), code=REFUSED, mountpoint="{mountpoint}/new"),
    "mountpoint-is-a-file": Mistake(HOST, ("{passfile} is not a folder",), code=REFUSED, mountpoint="{passfile}"),
    # -- options
    "no-list-behind-o": Mistake(HOST, ("-o needs an option list", "popfs -h"), options="", more=("-o",)),
    "misspelt": typed("pasfile=/p", "unknown option 'pasfile'", "did you mean 'passfile'?"),
    "swapped-letters": typed("refersh=300", "did you mean 'refresh'?"),
    "dash-for-underline": typed("cache-size=1G", "did you mean 'cache_size'?"),
    "allow-other": typed("allow-other", "did you mean 'allow_other'?"),
    "password-as-option": typed("password=secret", "unknown option 'password'", "passfile=, passcmd="),
    "username": typed("username=alice", "write user="),
    "ssl": typed("ssl", "write tls=on"),
    "remount": typed("remount,ro", "unmount and mount again", "mount -i -o remount,ro"),
    "long-option": Mistake(HOST, ("unknown option '--passfile'", "behind -o"), options="", more=("--passfile=/p",)),
    "comma-in-a-value": typed("passcmd=pass show mail,work", "unknown option 'work'", "a comma in the value of passcmd= is written \\,"),
    "comma-in-a-path": typed("passfile=/home/a,b/pw", "a comma in the value of passfile= is written \\,"),
    "uid-of-a-name": typed("uid=alice", "option 'uid' wants a number", "id -u NAME prints it"),
    "gid-of-a-name": typed("gid=users", "option 'gid' wants a number", "id -g NAME"),
    "minutes": typed("refresh=5m", "option 'refresh' wants a number", "whole seconds, 300 for five minutes"),
    "a-fraction": typed("timeout=1.5", "option 'timeout' wants a number", "whole seconds"),
    "gigabytes": typed("cache_size=1GB", "wants a size like 1M or 0", "no B behind it"),
    "tls-yes": typed("tls=yes", "option 'tls' wants on, starttls or off"),
    "a-flag-with-a-value": typed("ro=1", "option 'ro' takes no value"),
    "a-word-without-a-value": typed("passfile", "option 'passfile' needs a value: passfile=..."),
    "umask": typed("umask=99", "option 'umask' wants an octal number up to 777"),
    "port-of-a-name": typed("port=pop3", "option 'port' wants a number", "995 goes with pops://, 110 with pop3://"),
    "auth-that-is-none": typed(SECURE + ",auth=scram", "auth=scram is not a mechanism", "scram-sha-256"),
    "key-without-cert": typed("key=/k", "'key' means nothing without 'cert'"),
    "pin-that-is-none": typed(SECURE + ",pin=abc", "pin=abc is not sha256//", code=REFUSED),
    "cafile-missing": typed(SECURE + ",cafile=/nix", "cafile=/nix: No such file", code=REFUSED),
    "cafile-without-a-certificate": typed(SECURE + ",cafile={passfile}", "there is no certificate (PEM) in it", code=REFUSED),
    "cafile-in-clear": Mistake("pop3://alice@127.0.0.1:1", ("tls=off leaves nothing for pin, cafile or cert to check",), CLEAR + ",cafile=/c"),
    "cache-in-the-mountpoint": typed(SECURE + ",cache={mountpoint}/c", "inside each other", "-o cache="),
    # -- the password
    "passfile-missing": typed("passfile=/nix", "passfile: /nix: No such file", code=REFUSED),
    "passfile-open-to-all": typed(SECURE, "others can get at {passfile}", "chmod 600", mode=0o644),
    "passfile-empty": typed(SECURE, "the password is empty", password=""),
    "passcmd-fails": typed("passcmd=false", "passcmd failed with status 1", code=REFUSED),
    "passcmd-says-nothing": typed("passcmd=true", "passcmd: the password is empty"),
    "no-password-at-all": typed("", "no password and no terminal", "passcmd=, passfile="),
    "wrong-password": Mistake("pop3://alice@127.0.0.1:{}", ("login by APOP as alice", "passfile={passfile}", "try auth="), CLEAR,
                              code=REFUSED, script={"password": "another"}),
    "wrong-user": Mistake("pop3://bob@127.0.0.1:{}", ("login by APOP as bob", "refused the login"), CLEAR, code=REFUSED,
                          script={"password": "secret"}),
    "maildrop-in-use": Mistake("pop3://alice@127.0.0.1:{}", ("end the other mail program", "or wait"), CLEAR, code=REFUSED,
                               script={"password": "secret", "in_use": True}),
    # -- the server
    "host-unknown": Mistake("pops://alice@no-such-host.invalid", ("cannot find the host no-such-host.invalid", "spelt right?"), SECURE, code=REFUSED),
    "port-closed": Mistake("pops://alice@127.0.0.1:1", ("cannot connect to 127.0.0.1 port 1: Connection refused", "right port"), SECURE, code=REFUSED),
    "imap-port": Mistake("pop3://alice@127.0.0.1:{}", ("an IMAP server answers at this port", "995 for pops://"), SECURE, code=REFUSED,
                         speaks=(b"* OK [CAPABILITY IMAP4rev1] ready\r\n", b"")),
    "smtp-port": Mistake("pop3://alice@127.0.0.1:{}", ("an SMTP server answers at this port", "110 for pop3://"), SECURE, code=REFUSED,
                         speaks=(b"220 mx.example.org ESMTP\r\n", b"")),
    "ssh-port": Mistake("pop3://alice@127.0.0.1:{}", ("an SSH server answers",), CLEAR, code=REFUSED, speaks=(b"SSH-2.0-x\r\n", b"")),
    "http-port": Mistake("pop3://alice@127.0.0.1:{}", ("silent for 3 seconds", "use pops://"), SECURE, code=REFUSED,
                         speaks=(b"", b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "imap-port-with-tls": Mistake("pops://alice@127.0.0.1:{}", ("does not speak TLS", "try another port, or pop3:// (STLS)"), SECURE,
                                  code=REFUSED, speaks=(b"* OK ready\r\n", b"* BAD\r\n")),
    "no-stls": Mistake("pop3://alice@127.0.0.1:{}", ("does not offer STLS", "the password was not sent"), SECURE, code=REFUSED,
                       script={"stls": "stripped"}),
}


@contextlib.contextmanager
def server_that_says(at_once, told):
    """Speaks another protocol than POP3, to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    link, _ = door.accept()
                    threading.Thread(target=speak, args=(link,), daemon=True).start()

        def speak(link):
            with link, contextlib.suppress(OSError):
                link.sendall(at_once)
                link.recv(1000)
                link.sendall(told)
                link.recv(1000)

        threading.Thread(target=serve, daemon=True).start()
        yield door.getsockname()[1]
        door.shutdown(socket.SHUT_RDWR)


def check_line(done, program, code, says):
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{program}: "), done.stderr
    assert all(part in lines[0] for part in says), (says, lines[0])
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_by_one_line_that_says_what_to_do(name, place, serve):
    mistake = MISTAKES[name]
    path = place.passfile(mistake.password)
    path.chmod(mistake.mode)
    with contextlib.ExitStack() as stack:
        port = 0
        if mistake.script:
            port = serve(Script(messages=mailbox.many(1), **mistake.script)).port
        elif mistake.speaks:
            port = stack.enter_context(server_that_says(*mistake.speaks))

        def filled(text):
            return text.replace("{passfile}", str(path)).replace("{mountpoint}", str(place.mountpoint)).replace("{}", str(port))

        words = [os.environ["POPFS"], *filter(None, map(filled, (mistake.source, mistake.mountpoint)))]
        words += ["-o", filled(mistake.options)] if mistake.options else []
        done = subprocess.run(words + list(mistake.more), env={**place.environment, **mistake.environment}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_S, cwd=place.folder, start_new_session=True)
    assert not is_mounted(place.mountpoint)
    assert "secret" not in done.stderr
    check_line(done, "popfs", mistake.code, map(filled, mistake.says))


CONTROL = {
    "no-command": ((), "which command?", MISUSED),
    "no-mountpoint": (("status",), "which mount point?", MISUSED),
    "misspelt": (("statsu", "/tmp"), "unknown command 'statsu': did you mean 'status'?", MISUSED),
    "another-word": (("sync", "/tmp"), "did you mean 'commit'?", MISUSED),
    "unmount": (("unmount", "/tmp"), "did you mean 'umount'?", MISUSED),
    "swapped": (("/tmp", "status"), "the command comes first", MISUSED),
    "no-popfs": (("status", "/tmp"), "/tmp is not a popfs mount point", MISUSED),
    "no-folder": (("refresh", "/nix"), "/nix: No such file or directory", MISUSED),
    "no-names": (("undelete", "/tmp"), "which messages?", MISUSED),
    "names-too-many": (("commit", "/tmp", "a.eml"), "one mount point, and no names", MISUSED),
    "lazily": (("-l", "status", "/tmp"), "-l and -f are for umount", MISUSED),
    "option": (("--josn", "status", "/tmp"), "'--josn'", MISUSED),
}


@pytest.mark.parametrize("name", CONTROL)
def test_a_mistake_with_popfsctl_is_answered_by_one_line(name):
    words, says, code = CONTROL[name]
    done = subprocess.run([os.environ["POPFSCTL"], *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    check_line(done, "popfsctl", code, (says,))


@pytest.mark.parametrize("name", CONTROL)
def test_each_failure_of_popfsctl_is_an_object_with_json(name):
    words, says, code = CONTROL[name]
    done = subprocess.run([os.environ["POPFSCTL"], "--json", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode == code and says in told["problems"][0], done.stdout


def test_a_user_without_fusermount3_is_told_what_is_missing(place, serve):
    server = serve(Script(messages=mailbox.many(1), password="secret"))
    path = place.passfile("secret")
    for owned in (place.folder, place.mountpoint, path):
        os.chown(owned, 65534, 65534)
    hide = 'mount --bind /dev/null "$(readlink -f /usr/bin/fusermount3)" && exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", hide, "sh", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                           "--inh-caps=+dac_override", "--ambient-caps=+dac_override", os.environ["POPFS"], script_source(server),
                           str(place.mountpoint), "-o", f"passfile={path},tls=off"],
                          env={**place.environment, "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT_S, cwd=place.folder, start_new_session=True)
    said = done.stderr.splitlines()[-1]  # libfuse may say something before
    assert done.returncode == REFUSED and "cannot mount on" in said and "fusermount3 is missing: install it" in said, done.stderr
