# SPDX-License-Identifier: MIT
"""Certificates of a throw-away authority, by the openssl program."""

import base64
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

GOOD_NAMES = "DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path

    def pin(self):
        public = _openssl("x509", "-in", self.cert, "-noout", "-pubkey")
        der = _openssl("pkey", "-pubin", "-outform", "DER", given=public)
        return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def _openssl(*args, given=None):
    command = ["openssl", *map(str, args)]
    done = subprocess.run(command, input=given, capture_output=True, timeout=30)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.cert, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *EC, "-days", 30, "-subj", "/CN=popfs test authority",
                 "-keyout", self._key, "-out", self.cert)

    def issue(self, stem, names=GOOD_NAMES, common_name="popfs test", days=30):
        """names=None: no subjectAltName at all; days=0: expired already (openssl 3.5 takes no negative ones)."""
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        request, extensions = self.folder / f"{stem}.csr", self.folder / f"{stem}.ext"
        extensions.write_text("basicConstraints=CA:FALSE\n" + (f"subjectAltName={names}\n" if names else ""))
        _openssl("req", "-new", *EC, "-subj", f"/CN={common_name}",
                 "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial",
                 "-days", days, "-extfile", extensions, "-out", cert)
        return Certificate(cert, key)

    def self_signed(self, stem):
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        _openssl("req", "-x509", *EC, "-days", 30, "-subj", "/CN=localhost",
                 "-addext", f"subjectAltName={GOOD_NAMES}", "-keyout", key, "-out", cert)
        return Certificate(cert, key)
