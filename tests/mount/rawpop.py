# SPDX-License-Identifier: MIT
"""The plainest POP3 client there is: the reference for what a server really sends."""

import socket


class RawSession:
    def __init__(self, port, user, password):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._status()
        self.command(f"USER {user}")
        self.command(f"PASS {password}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.command("QUIT")
        self._file.close()
        self._socket.close()

    def _status(self):
        line = self._file.readline()
        assert line.startswith(b"+OK"), line
        return line

    def command(self, line):
        self._socket.sendall(line.encode() + b"\r\n")
        return self._status()

    def multiline(self, line):
        """The data of a multi-line answer, dots unstuffed."""
        self.command(line)
        lines = []
        while True:
            got = self._file.readline()
            assert got, "the server hung up"
            if got == b".\r\n" and (not lines or lines[-1].endswith(b"\r\n")):
                return b"".join(lines)
            at_start = not lines or lines[-1].endswith(b"\r\n")
            lines.append(got[1:] if at_start and got.startswith(b"..") else got)

    def uidls(self):
        """Message number -> UIDL."""
        rows = (row.split() for row in self.multiline("UIDL").splitlines())
        return {int(number): uidl.decode() for number, uidl in rows}

    def everything(self):
        """UIDL -> the octets that RETR gives."""
        return {uidl: self.multiline(f"RETR {number}") for number, uidl in self.uidls().items()}
