#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Proves the benchmark's own tools: that the server says what it should, and that the line is neither faster nor lossy."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
import unittest

import programs
from programs import Link, Site, background, floor, tool


def talk(port, commands, end):
    """Everything the server says to `commands` in one session, up to its closing of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(commands)
        said = b""
        while True:
            piece = connection.recv(65536)
            if not piece:
                break
            said += piece
    assert said.endswith(end), said[-80:]
    return said


def unstuffed(body):
    return b"".join(line[1:] if line.startswith(b".") else line for line in body.splitlines(keepends=True))


LOGIN = b"USER a\r\nPASS b\r\n"


class Server(unittest.TestCase):
    SIZES = ("--messages", "6", "--sizes", "4096,1,78,1000,65600,300001")

    def test_retr_delivers_what_body_prints_and_list_promised(self):
        with background("server", *self.SIZES) as (port, _):
            for number in range(1, 7):
                said = talk(port, LOGIN + b"LIST %d\r\nRETR %d\r\nQUIT\r\n" % (number, number), b".\r\n+OK\r\n")
                _, _, _, row, _, rest = said.split(b"\r\n", 5)
                body = unstuffed(rest.removesuffix(b".\r\n+OK\r\n"))
                printed = subprocess.run([tool("server"), *self.SIZES, "--body", str(number)], capture_output=True, check=True).stdout
                self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(printed).digest())
                self.assertEqual(int(row.split()[2]), len(body))
            self.assertEqual(len(body), 300001)
            self.assertTrue(any(line.startswith(b"..") for line in rest.splitlines()), "no line begins with a dot")

    def test_top_is_the_start_of_retr(self):
        with background("server", *self.SIZES) as (port, _):
            whole = talk(port, LOGIN + b"RETR 5\r\nQUIT\r\n", b"+OK\r\n").split(b"\r\n", 4)[4]
            start = talk(port, LOGIN + b"TOP 5 3\r\nQUIT\r\n", b"+OK\r\n").split(b"\r\n", 4)[4].removesuffix(b".\r\n+OK\r\n")
            self.assertTrue(whole.startswith(start))
            self.assertEqual(start.split(b"\r\n\r\n", 1)[1].count(b"\r\n"), 3)

    def test_only_quit_deletes(self):
        with background("server", "--messages", "3") as (port, _):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(LOGIN + b"DELE 1\r\nNOOP\r\n")
                while connection.recv(4096).count(b"+OK") < 1:
                    pass
            self.assertIn(b"+OK 3 ", talk(port, LOGIN + b"STAT\r\nQUIT\r\n", b"+OK\r\n"))
            talk(port, LOGIN + b"DELE 1\r\nQUIT\r\n", b"+OK\r\n")
            self.assertIn(b"+OK 2 ", talk(port, LOGIN + b"STAT\r\nQUIT\r\n", b"+OK\r\n"))

    def test_lies_on_request(self):
        with background("server", "--messages", "1", "--sizes", "4000", "--lie", "-10") as (port, _):
            self.assertIn(b"+OK 1 3600\r\n", talk(port, LOGIN + b"LIST 1\r\nQUIT\r\n", b"+OK\r\n"))


class Line(unittest.TestCase):
    def test_nothing_is_lost_and_nothing_is_faster_than_the_line(self):
        with background("server", "--messages", "500", "--sizes", "4K") as (port, _), Link(20, 200).to(Site(port, "a", "b")) as site:
            sample = floor(site, "retr")
        self.assertEqual(sample.octets, 500 * 4096)
        # Greeting after two round trips, USER, PASS, STAT; then the octets, one after the other, and one round trip.
        self.assertGreaterEqual(sample.parts["login_s"], 0.95 * 4 * 0.020)
        self.assertGreaterEqual(sample.parts["work_s"], 0.95 * (500 * 4096 / 25e6 + 0.020))

    def test_connections_share_the_line(self):
        with background("server", "--messages", "100", "--sizes", "10K") as (port, _), Link(0, 100).to(Site(port, "a", "b")) as site:
            command = [tool("floor"), "--to", f"127.0.0.1:{site.port}", "--user", "a", "--pass", "b", "retr"]
            both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
            said = [json.loads(process.communicate(timeout=30)[0]) for process in both]
        self.assertEqual([parts["octets"] for parts in said], [1024000, 1024000])
        # Alone it would take half as long; they do not start at quite the same time.
        self.assertGreaterEqual(max(parts["total_s"] for parts in said), 0.75 * 2 * 1024000 / 12.5e6)

    def test_cuts_when_told_to(self):
        with background("server", "--messages", "1") as (port, _):
            command = [tool("link"), "--to", f"127.0.0.1:{port}", "--cut-every", "0.05"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as link:
                try:
                    entrance = int(link.stdout.readline().split()[1])
                    with socket.create_connection(("127.0.0.1", entrance), timeout=10) as connection:
                        with self.assertRaises(ConnectionResetError):
                            while connection.recv(4096):
                                pass
                finally:
                    link.send_signal(signal.SIGTERM)
                    counts = json.loads(link.communicate(timeout=10)[0])
        self.assertGreaterEqual(counts["cuts"], 1)
        self.assertEqual(counts["connections"], 1)


class Floor(unittest.TestCase):
    def test_a_thousand_tops_are_counted(self):
        with background("server", "--messages", "1000") as (port, _):
            self.assertEqual(floor(Site(port, "a", "b"), "top").parts["replies"], 1000)

    def test_a_refusal_is_noticed(self):
        with background("server", "--messages", "2") as (port, _):
            floor(Site(port, "a", "b"), "dele")
            self.assertEqual(floor(Site(port, "a", "b"), "retr").parts["replies"], 0)
            command = [tool("floor"), "--to", f"127.0.0.1:{port}", "--user", "a\r\nNONSENSE", "--pass", "b", "retr"]
            self.assertNotEqual(subprocess.run(command, capture_output=True).returncode, 0)


class Scaled(unittest.TestCase):
    def test_what_is_drawn_out_costs_what_the_rows_between_cost(self):
        drawn = programs.scaled(lambda count: programs.Sample(1 + count / 10, count / 100), 1000, 20)
        self.assertAlmostEqual(drawn.seconds, 101)
        self.assertAlmostEqual(drawn.cpu_s, 10)

    def test_a_disturbed_run_gives_no_less_than_was_measured(self):
        samples = {1: programs.Sample(3, 0.3), 20: programs.Sample(2, 0.2)}
        drawn = programs.scaled(samples.get, 1000, 20)
        self.assertEqual((drawn.seconds, drawn.cpu_s), (2, 0.2))


if __name__ == "__main__":
    programs.adopt_orphans()
    sys.exit(0 if unittest.main(exit=False, verbosity=1).result.wasSuccessful() else 1)
