# SPDX-License-Identifier: MIT
"""Messages made by rule, the same in every run: nice ones for people, odd ones for programs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mail:
    name: str  # the UIDL: safe characters only, so that the file is called name + ".eml"
    data: bytes  # as stored; bare LF is a legal line end here


def wire(data: bytes) -> bytes:
    """What Dovecot's RETR gives for a stored message, dots unstuffed: CRLF everywhere, and at the end."""
    text = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if not text.endswith(b"\r\n"):
        text += b"\r\n"
    return text


def header(subject="A message", date="Tue, 03 Nov 2026 10:20:30 +0100", sender="Ann Example <ann@example.org>"):
    lines = [f"From: {sender}", "To: alice@example.org", f"Subject: {subject}"]
    if date is not None:
        lines.append(f"Date: {date}")
    return "".join(line + "\r\n" for line in lines).encode()


def plain(name, body=b"Hello.\r\n", **fields):
    return Mail(name, header(**fields) + b"\r\n" + body)


def many(count, octets=2000):
    """`count` ordinary messages of about `octets` each."""
    line = b"The quick brown fox jumps over the lazy dog, again and again.\r\n"
    body = line * max(1, octets // len(line))
    return [
        plain(f"m{i:05}", b"number %d\r\n" % i + body, subject=f"Message {i}",
              date=f"Mon, {1 + i % 28:02} Jun 2026 {i % 24:02}:{i % 60:02}:00 +0000")
        for i in range(1, count + 1)
    ]


MIXED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"cut\"\r\n\r\n"
    b"preamble\r\n--cut\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nD\xc3\xa1rek v p\xc5\x99\xc3\xadloze.\r\n"
    b"--cut\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a.bin\"\r\n\r\n"
    + b"AAECAwQFBgcICQoLDA0ODw==\r\n" * 500 + b"--cut--\r\nepilogue\r\n"
)


def odd():
    """Everything that has broken a POP3 client or a file system before."""
    rows = [
        ("empty", b""),
        ("no-body", header()),
        ("no-body-blank", header() + b"\r\n"),
        ("no-header", b"\r\nonly a body\r\n"),
        ("no-header-no-blank", b"no colon, no blank line\r\n"),
        ("dots", header() + b"\r\n.\r\n..\r\n...\r\n.x\r\n..x\r\n. \r\nx.\r\n"),
        # Dovecot does not stuff a dot that is the first octet of a message, so a first line "." would end it.
        ("dot-first", b".Odd: yes\r\n" + header() + b"\r\n"),
        ("dot-last", header() + b"\r\nbody\r\n."),
        ("dot-last-line", header() + b"\r\nbody\r\n.\r\n"),
        ("dots-lf", b"Subject: lf\n\n.\n..\n\n.\n"),
        ("crlf-end", header() + b"\r\nbody\r\n\r\n\r\n\r\n"),
        ("one-newline", b"\r\n"),
        ("no-last-newline", header() + b"\r\nthe end"),
        ("lf-only", b"Subject: Unix\nDate: Wed, 04 Nov 2026 00:00:00 +0000\n\none\ntwo\n"),
        ("mixed-ends", header() + b"\r\none\ntwo\r\nthree\n\r\nfour\n"),
        ("nul", header() + b"\r\na\0b\0\0\r\n\0\r\n.\0\r\n"),
        ("eight-bit", header() + b"\r\n" + bytes(range(128, 256)) + b"\r\n"),
        ("eight-bit-header", b"Subject: \xe9\xff\xfe\r\nFrom: \xc5\x99@x\r\n\r\nx\r\n"),
        ("control", header() + b"\r\n" + bytes(b for b in range(1, 32) if b not in (10, 13)) + b"\x7f\r\n"),
        ("bare-cr", header() + b"\r\na\rb\r\r\nc\r\n\rd\r\n"),
        ("last-cr", header() + b"\r\nends in\r"),
        ("long-line", header() + b"\r\n" + b"0123456789abcdef" * 655360 + b"\r\nafter\r\n"),
        ("long-line-dots", header() + b"\r\n" + b"." * 70001 + b"\r\n"),
        ("big-header", header() + b"".join(b"X-Field-%04d: %s\r\n" % (i, b"v" * 180) for i in range(1024)) + b"\r\nbody\r\n"),
        ("long-header-line", b"Subject: " + b"s" * 120000 + b"\r\n" + header() + b"\r\nbody\r\n"),
        ("mime", header("With an attachment") + MIXED),
        ("buffer-edges", header() + b"\r\n" + b"".join(b"." * (i % 7) + b"x" * (i % 61) + b"\r\n" for i in range(9000))),
        ("date-none", header(date=None) + b"\r\nbody\r\n"),
        ("date-received", b"Received: from a by b; Thu, 05 Nov 2026 06:07:08 +0200\r\n" + header(date=None) + b"\r\nbody\r\n"),
        ("date-nonsense", header(date="yesterday, about noon") + b"\r\nbody\r\n"),
        ("date-old-form", header(date="Tuesday, 03-Nov-26 10:20:30 GMT") + b"\r\nbody\r\n"),
        ("date-comment", header(date="Tue, 3 Nov 2026 10:20:30 +0100 (CET)") + b"\r\nbody\r\n"),
        ("date-folded", header(date="Tue,\r\n 03 Nov 2026\r\n\t10:20:30 -0500") + b"\r\nbody\r\n"),
    ]
    return [Mail(f"o{i:03}-{name}", data) for i, (name, data) in enumerate(rows, 1)]


def nice():
    """A small mailbox for the demonstration."""
    ann, jan, news = "Ann Example <ann@example.org>", "Jan =?utf-8?q?Nov=C3=A1k?= <jan@example.cz>", "Weekly <news@example.com>"
    rows = [
        (ann, "Dinner on Friday?", "Mon, 02 Nov 2026 18:03:11 +0100", "Shall we meet at seven, at the usual place?\n\nAnn\n"),
        (jan, "Offer for May", "Tue, 03 Nov 2026 09:30:00 +0100", "Good morning,\n\nthe offer is attached below.\n\n  12 days  4,800 EUR\n\nJan\n"),
        (news, "This week in gardening", "Wed, 04 Nov 2026 06:00:00 +0000", "Rake the leaves.\nPlant the garlic.\n"),
        (ann, "Re: Dinner on Friday?", "Wed, 04 Nov 2026 20:15:42 +0100", "> Make it eight?\n\nEight is fine.\n"),
        ("Parcel Service <no-reply@parcel.example>", "Your parcel arrives today", "Thu, 05 Nov 2026 07:12:00 +0100", "Between 10 and 12 o'clock. Invoice number 20261105.\n"),
        (news, "Half price until Sunday!", "Fri, 06 Nov 2026 06:00:00 +0000", "Everything must go!!!\n"),
        (jan, "Invoice 2026-117", "Mon, 09 Nov 2026 11:05:09 +0100", "Please find the invoice for April to May.\n\nJan\n"),
        ("Library <desk@library.example>", "Two books are due", "Tue, 10 Nov 2026 12:00:00 +0100", "Please bring them back by the 17th.\n"),
        (ann, "Photos from Friday", "Wed, 11 Nov 2026 21:40:30 +0100", "Here they are.\n"),
        ("root <root@server.example>", "cron: backup finished", "Thu, 12 Nov 2026 03:30:01 +0000", "snapshot 3f2a saved, 0 errors\n"),
    ]
    mails = []
    for number, (sender, subject, date, body) in enumerate(rows, 1):
        head = header(subject, date, sender)
        if "Photos" in subject:
            data = head + MIXED
        else:
            data = head + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + body.replace("\n", "\r\n").encode()
        mails.append(Mail(f"17622{number:02}", data))
    return mails
