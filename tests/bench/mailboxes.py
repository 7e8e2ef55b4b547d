# SPDX-License-Identifier: MIT
"""Maildirs for the benchmark, made by rule: the same octets in every run and on every machine."""

import base64
import math
import os
import random
import time
from dataclasses import dataclass

LINE = 76
FIRST_DATE = 1_700_000_000
STEP_S = 61
WORDS = (
    "the a of to and in for on with from as at by about after before between against during "
    "offer invoice meeting report parcel garden library photo train ticket password backup server "
    "please thank regards attached tomorrow yesterday Friday agenda minutes budget figure question answer"
).split()


@dataclass(frozen=True)
class Mail:
    name: str
    date: int
    data: bytes  # lines end in LF, as delivered mail does on disk

    @property
    def wire_octets(self):
        return len(self.data) + self.data.count(b"\n")


def _rfc_date(seconds):
    days = "Mon Tue Wed Thu Fri Sat Sun".split()
    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    t = time.gmtime(seconds)
    return f"{days[t.tm_wday]}, {t.tm_mday:02} {months[t.tm_mon - 1]} {t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"


def _header(number, date, content):
    lines = [
        f"Return-Path: <sender{number % 97}@example.org>",
        f"Received: from mx{number % 7}.example.org by mail.example.net with ESMTPS id {number:010x}; {_rfc_date(date + 4)}",
        f"From: Sender {number % 97} <sender{number % 97}@example.org>",
        "To: Reader <reader@example.net>",
        f"Subject: {WORDS[number % len(WORDS)]} {WORDS[number // 7 % len(WORDS)]} no. {number}",
        f"Date: {_rfc_date(date)}",
        f"Message-ID: <{number:08}.{number * 2654435761 % 2**32:08x}@example.org>",
        "MIME-Version: 1.0",
        *content,
        "",
        "",
    ]
    return "\n".join(lines).encode()


def _prose(rng, wire_octets):
    """Lines of words that take `wire_octets`, at least 2, with CRLF ends."""
    lines, left = [], wire_octets
    while left > 0:
        line = ""
        while len(line) < LINE - 14:
            line += rng.choice(WORDS) + " "
        line = line.strip()
        if left < len(line) + 4:
            line = (line * 3)[: left - 2]
        lines.append(line)
        left -= len(line) + 2
    return "".join(line + "\n" for line in lines).encode()


def _wire_octets(data):
    return len(data) + data.count(b"\n")


def _attachment(rng, wire_octets):
    """Base64 lines of about `wire_octets`."""
    raw = rng.randbytes(max(1, wire_octets * 57 // 78))
    return base64.encodebytes(raw)


def _text(number, date, wire_octets):
    rng = random.Random(number)
    head = _header(number, date, ["Content-Type: text/plain; charset=us-ascii"])
    return head + _prose(rng, max(2, wire_octets - _wire_octets(head)))


def _with_attachment(number, date, wire_octets):
    rng = random.Random(number)
    head = _header(number, date, ['Content-Type: multipart/mixed; boundary="cut-here"'])
    text = b"--cut-here\nContent-Type: text/plain\n\n" + _prose(rng, 1500)
    start = (
        b'\n--cut-here\nContent-Type: application/pdf; name="a.pdf"\nContent-Transfer-Encoding: base64\n'
        b'Content-Disposition: attachment; filename="a.pdf"\n\n'
    )
    end = b"\n--cut-here--\n"
    rest = wire_octets - _wire_octets(head + text + start + end)
    return head + text + start + _attachment(rng, rest) + end


def _mail(number, wire_octets):
    date = FIRST_DATE + number * STEP_S
    make = _with_attachment if wire_octets > 16384 else _text
    data = make(number, date, wire_octets)
    # The sizes in the name are what Dovecot's own delivery writes there; without them it reads every message for LIST.
    size = len(data)
    name = f"{date}.M{number:06}P{number % 32768}.mx,S={size},W={size + data.count(10)}"
    return Mail(name, date, data)


def small(count=10_000, wire_octets=4096):
    """Every message exactly `wire_octets` long on the wire."""
    return (_mail(number, wire_octets) for number in range(1, count + 1))


def mixed(count=2000, total_octets=170_000_000, most=25 << 20):
    """Log-normal sizes, as in a person's mailbox, that add up to about `total_octets`."""
    rng = random.Random(7)
    shape = [math.exp(2.0 * rng.gauss(0, 1)) for _ in range(count)]
    scale = total_octets / sum(shape)
    for _ in range(20):  # what the cap takes away goes to the others
        sizes = [min(most, max(900, scale * size)) for size in shape]
        scale *= total_octets / sum(sizes)
    return (_mail(number, int(size)) for number, size in enumerate(sizes, 1))


def write_maildir(folder, mails, owner, group):
    """Fills `folder`/cur; returns the sum of the octets on the wire."""
    octets = 0
    for part in ("", "cur", "new", "tmp"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        os.chown(folder / part, owner, group)
    for mail in mails:
        path = folder / "cur" / f"{mail.name}:2,"
        path.write_bytes(mail.data)
        os.chown(path, owner, group)
        os.utime(path, (mail.date, mail.date))
        octets += mail.wire_octets
    return octets
