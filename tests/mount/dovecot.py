#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A private Dovecot on 127.0.0.1 in a folder of its own, for the tests and for contrib/demo.sh.

As a program: dovecot.py FOLDER starts one with a small mailbox for the user alice, prints where it is as NAME=VALUE lines,
and stops it on SIGTERM or SIGINT.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import certs
import mailbox

MAIL_USER = "mail"  # owns the Maildirs; any existing user that is not root will do

# Both releases call these so.
SAME = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = 127.0.0.1
ssl = yes
auth_failure_delay = 0
auth_cache_size = 0
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 100
pop3_no_flag_updates = yes
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  # No growing delay after a refused password.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
CONFIG_2_3 = """
protocols = pop3
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 apop
mail_location = maildir:~/Maildir
pop3_uidl_format = %f
pop3_logout_format = top=%t retr=%r dele=%d
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
"""
# The two versions come first, or it does not start.
CONFIG_2_4 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols {{
  pop3 = yes
}}
ssl_server {{
  cert_file = {cert}
  key_file = {key}
}}
auth_allow_cleartext = yes
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 apop
auth_username_format = %{{user}}
mail_driver = maildir
mail_path = ~/Maildir
pop3_uidl_format = %{{filename}}
pop3_logout_format = top=%{{top_count}} retr=%{{retr_count}} dele=%{{deleted_count}}
passdb passwd-file {{
  passwd_file_path = {folder}/users
  default_password_scheme = PLAIN
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users
}}
"""

# For a server that takes tokens and client certificates too; after the others, so that it wins.
TOKENS_2_3 = """
auth_mechanisms = plain external xoauth2 oauthbearer scram-sha-256
ssl_ca = <{ca}
ssl_require_crl = no
ssl_verify_client_cert = yes
auth_ssl_username_from_cert = yes
ssl_cert_username_field = commonName
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = external
  args = nopassword=y
}}
"""
OAUTH2_2_3 = """
introspection_mode = get
introspection_url = {token_service}
username_attribute = username
active_attribute = active
active_value = true
force_introspection = yes
"""
TOKENS_2_4 = """
auth_mechanisms = plain external xoauth2 oauthbearer scram-sha-256
ssl_server {{
  ca_file = {ca}
  require_crl = no
  request_client_cert = yes
  cert_username_field = commonName
}}
auth_ssl_username_from_cert = yes
oauth2 {{
  introspection_mode = get
  introspection_url = {token_service}
  username_attribute = username
  active_attribute = active
  active_value = true
  force_introspection = yes
}}
passdb oauth2 {{
  mechanisms_filter = xoauth2 oauthbearer
}}
passdb static {{
  mechanisms_filter = external
  fields {{
    nopassword = yes
  }}
}}
"""


@dataclass(frozen=True)
class Counts:
    """What one session that has ended did."""

    top: int
    retr: int
    dele: int


class Account:
    def __init__(self, server, user, password):
        self.server, self.user, self.password = server, user, password
        self.maildir = server.folder / "home" / user / "Maildir"
        owner = pwd.getpwnam(MAIL_USER)
        for part in ("", "cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True, exist_ok=True)
        for path in (self.maildir.parent, self.maildir, *self.maildir.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def add(self, mails):
        """The name is the UIDL; it holds no W= or S=, which Dovecot would believe."""
        owner = pwd.getpwnam(MAIL_USER)
        for number, mail in enumerate(mails, 1):
            path = self.maildir / "cur" / f"{mail.name}:2,"
            path.write_bytes(mail.data)
            os.chown(path, owner.pw_uid, owner.pw_gid)
            os.utime(path, (1_700_000_000 + number,) * 2)

    def remaining(self):
        """The UIDLs that are still in the maildrop."""
        return {path.name.split(":")[0] for part in ("cur", "new") for path in (self.maildir / part).iterdir()}

    def uidls_in_order(self):
        with self.raw() as session:
            return [uidl for _, uidl in sorted(session.uidls().items())]

    def raw(self):
        import rawpop

        return rawpop.RawSession(self.server.port, self.user, self.password)

    def sessions(self):
        """Counts of the sessions that have ended, oldest first."""
        pattern = rf"pop3\({re.escape(self.user)}\).*: .*top=(\d+) retr=(\d+) dele=(\d+)"
        return [Counts(*map(int, found)) for found in re.findall(pattern, self.server.log())]

    def methods(self):
        """The login mechanisms that were used, oldest first."""
        return re.findall(rf"Log(?:in|ged in): user=<{re.escape(self.user)}>, method=([A-Z0-9-]+)", self.server.log())


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _program():
    program = shutil.which("dovecot", path="/usr/sbin:/usr/bin:/sbin")
    assert program, "dovecot is not installed: run contrib/packages.sh"
    return program


def _is_2_3():
    """2.4, which Debian 13 has, does not read what 2.3 did."""
    return subprocess.run([_program(), "--version"], capture_output=True, text=True).stdout.startswith("2.3.")


@dataclass(frozen=True)
class Tokens:
    """What a server that takes tokens and client certificates rests on."""

    ca: Path  # whose client certificates count
    service: str  # the URL that says whose a token is; the token follows it


class Dovecot:
    def __init__(self, folder: Path, certificate: certs.Certificate, tokens: Tokens | None = None):
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.port, self.tls_port = _free_port(), _free_port()
        self._users = []
        self._process = None
        old = _is_2_3()
        config = (CONFIG_2_3 if old else CONFIG_2_4) + SAME
        values = dict(folder=folder, cert=certificate.cert, key=certificate.key, port=self.port, tls_port=self.tls_port)
        if tokens:
            config += TOKENS_2_3 if old else TOKENS_2_4
            values |= dict(ca=tokens.ca, token_service=tokens.service)
            (folder / "oauth2.conf").write_text(OAUTH2_2_3.format(**values))
        (folder / "dovecot.conf").write_text(config.format(**values))
        (folder / "users").write_text("")

    def account(self, user, password):
        """Only before start(): Dovecot looks at the file's time in whole seconds."""
        owner = pwd.getpwnam(MAIL_USER)
        account = Account(self, user, password)
        self._users.append(f"{user}:{password}:{owner.pw_uid}:{owner.pw_gid}::{account.maildir.parent}::\n")
        (self.folder / "users").write_text("".join(self._users))
        return account

    def start(self):
        # setpriv: it must not outlive a test run that was killed.
        command = ["setpriv", "--pdeathsig", "TERM", _program(), "-F", "-c", str(self.folder / "dovecot.conf")]
        with open(self.folder / "output", "wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + 20
        while not (self._answers(self.port) and self._answers(self.tls_port)):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError("Dovecot does not start:\n" + (self.folder / "output").read_text() + self.log())
            time.sleep(0.05)

    @staticmethod
    def _answers(port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return True
        except OSError:
            return False

    def log(self):
        path = self.folder / "dovecot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def main():
    folder = Path(sys.argv[1])
    authority = certs.Authority(folder / "ca")
    server = Dovecot(folder / "dovecot", authority.issue("server"))
    account = server.account("alice", "a secret")
    account.add(mailbox.nice())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    server.start()
    try:
        print(f"PORT={server.port}\nTLS_PORT={server.tls_port}\nCAFILE={authority.cert}\n"
              f"USER={account.user}\nPASSWORD={account.password}\nMAILDIR={account.maildir}\nREADY=yes", flush=True)
        while True:
            signal.pause()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
