# SPDX-License-Identifier: MIT
"""Stands between popfs and a server, counts the octets of each direction, and at one of them does what bad lines do."""

import concurrent.futures
import contextlib
import select
import socket
import struct
import threading

FAULTS = ("reset", "close", "silence", "garbage", "flip")
# Neither a line end nor a dot line: where a mail is cut with it, nothing ends that mail.
GARBAGE = bytes(range(128, 256)) + b"\0" + bytes(range(14, 32))


class FaultProxy:
    """`down` octets of a connection after which `how` happens, of those that the server sends; `up` of those that it receives.
    It happens to the first `times` connections.

    reset, close    the line is cut
    silence         nothing passes any more, either way
    garbage         nonsense follows, then the line is cut
    flip            one bit of the next octet is another one, and all goes on
    """

    def __init__(self, server, down=None, up=None, times=10**6, how="reset"):
        assert how in FAULTS
        self.script, self._server = server.script, server
        self.down, self.up, self.times, self.how = down, up, times, how
        self.passed_down, self.passed_up = [], []  # of each connection
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = self._listener.getsockname()[1]
        self.cut_count = 0
        self._pairs = []
        self._lock = threading.Lock()
        self._closing = False

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def cut_all(self):
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._cut(client, server)

    def _cut(self, client, server):
        for end in (client, server):
            with contextlib.suppress(OSError):
                if self.how == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_RDWR)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.close()

    def _accept(self):
        while not self._closing:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                number = len(self.passed_down)
                self.passed_down.append(0)
                self.passed_up.append(0)
                self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server, number), daemon=True).start()

    def _carry(self, client, server, number):
        ways = {server: (client, self.passed_down, "down"), client: (server, self.passed_up, "up")}
        flipped = False
        try:
            while True:
                for source in select.select([client, server], [], [], 100)[0]:
                    target, passed, direction = ways[source]
                    limit = getattr(self, direction) if number < self.times and not flipped else None
                    if limit is not None and passed[number] >= limit and self.how == "flip":
                        data = source.recv(65536)
                        passed[number] += len(data)  # before anybody can have seen them
                        target.sendall(bytes(byte ^ (4 if place == 0 else 0) for place, byte in enumerate(data)))
                        self.cut_count += 1
                        flipped = True
                    else:
                        room = 65536 if limit is None else min(65536, limit - passed[number])
                        data = source.recv(room) if room > 0 else b""
                        passed[number] += len(data)
                        target.sendall(data)
                    if limit is not None and passed[number] >= limit and self.how != "flip":
                        self.cut_count += 1
                        self._misbehave(client, target)
                        return
                    if not data:
                        return
        except (OSError, ValueError):
            return
        finally:
            self._cut(client, server)

    def _misbehave(self, client, target):
        if self.how == "garbage":
            target.sendall(GARBAGE)
        while self.how == "silence" and client.recv(65536):
            pass


def everywhere(case, points, at_once):
    """What case(point) gives for each, several at a time; the first failure of all names its point."""
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        runs = {point: pool.submit(case, point) for point in points}
    for point, run in runs.items():
        if run.exception() is not None:
            raise AssertionError(f"fault at {point}: {run.exception()}") from run.exception()
    return [run.result() for run in runs.values()]
