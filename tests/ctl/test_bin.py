# SPDX-License-Identifier: MIT
"""What popfsctl shows of the bin, and what it copies out. The bin is written here as its format says."""

import json
import os
import struct
import subprocess

import pytest

MASK = 2**64 - 1
BODY = b"Subject: hello\r\n\r\nbody\r\n"


def checksum(octets, total=0):
    octets += bytes(-len(octets) % 8)
    for (word,) in struct.iter_unpack("<Q", octets):
        total = (total ^ word) * 1099511628211 & MASK
        total = (total << 29 | total >> 35) & MASK
    return total


class Bin:
    """One pair of files after the other."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        folder.mkdir(mode=0o700)

    def pair(self, *messages):
        self.count += 1
        mail, lines = b"", b""
        for name, facts in messages:
            body = facts.get("body", BODY)
            fields = [facts.get("deleted", 86400 * 20000), facts.get("date", "-"), len(body), len(mail), f"{checksum(body):016x}", "crlf"]
            line = b"\t".join([*(str(field).encode() for field in fields), *(
                text if isinstance(text, bytes) else text.encode() for text in (name, facts.get("from", ""), facts.get("subject", "")))])
            lines += b"\n%016x\t" % checksum(line, len(line)) + line
            mail += body
        (self.folder / f"{self.count}.mail").write_bytes(mail)
        (self.folder / f"{self.count}.list").write_bytes(lines)


@pytest.fixture
def bin_(fake):
    made = Bin(fake.folder / "bin")
    fake.says(bin={"folder": str(made.folder), "count": 1, "octets": 1})
    return made


def copy_out(fake, *names, code=0, json_too=False):
    """popfsctl bin in a folder of its own; gives what it said, and what is in the folder then."""
    here = fake.folder / "here"
    here.mkdir(exist_ok=True)
    words = [fake.ctl, *(["--json"] if json_too else []), "bin", fake.mountpoint, *names]
    done = subprocess.run(words, capture_output=True, text=True, cwd=here, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done
    return done, {path.name: path.read_bytes() for path in here.iterdir()}


def test_a_line_names_each_message_and_when_it_was_deleted(fake, bin_):
    bin_.pair(("1.eml", {"deleted": 1790000000, "date": 1780000000, "from": "Jan Novák", "subject": "Offer for May"}))
    bin_.pair(("2.eml", {"body": bytes(3000)}), ("3.eml", {"subject": "last"}))
    done = subprocess.run([fake.ctl, "bin", fake.mountpoint], capture_output=True, text=True, check=True, env={"TZ": "UTC"})
    assert done.stdout == ("1.eml  2026-09-21 14:13  2026-05-28 20:26  24 B  Jan Novák  Offer for May\n"
                           "2.eml  2024-10-04 00:00  -  2.9 KiB  -  -\n"
                           "3.eml  2024-10-04 00:00  -  24 B  -  last\n")


def test_the_same_for_programs(fake, bin_):
    bin_.pair(("1.eml", {"deleted": 1790000000, "date": 1780000000, "from": "Jan \"N\"", "subject": "x\\y"}), ("2.eml", {}))
    found = json.loads(fake.run("bin", "--json").stdout)
    assert found["bin"] == [
        {"name": "1.eml", "deleted_s": 1790000000, "date_s": 1780000000, "octets": 24, "eol": "crlf", "from": "Jan \"N\"", "subject": "x\\y"},
        {"name": "2.eml", "deleted_s": 1728000000, "date_s": None, "octets": 24, "eol": "crlf", "from": "", "subject": ""}]
    assert (found["count"], found["octets"], found["exit_code"], found["problems"]) == (2, 48, 0, [])


def test_what_senders_wrote_cannot_harm_the_terminal(fake, bin_):
    bin_.pair(("1.eml", {"subject": "\x1b[2Jgone\u202e", "from": b"\xff\x9b"}))
    done = fake.run("bin")
    assert "\\x1b[2Jgone\\xe2\\x80\\xae" in done.stdout and "\\xff\\x9b" in done.stdout and done.stdout.count("\n") == 1
    assert json.loads(fake.run("bin", "--json").stdout)["count"] == 1


def test_an_empty_bin_says_so(fake, bin_):
    assert fake.run("bin").stdout == "the bin is empty\n"
    bin_.folder.rmdir()
    assert fake.run("bin").stdout == "the bin is empty\n"
    assert json.loads(fake.run("bin", "--json").stdout)["bin"] == []


@pytest.mark.parametrize("facts", [{}, {"bin": None}])
def test_a_mount_without_a_bin_says_so(facts, fake):
    fake.says(**facts)
    assert "keeps no deleted messages" in fake.run("bin", code=1).stderr


def test_a_message_is_copied_out_byte_for_byte(fake, bin_):
    body = bytes(range(256)) * 1000
    bin_.pair(("0.eml", {}), ("1.eml", {"body": body, "from": "Jan", "subject": "Offer"}), ("2.eml", {}))
    done, here = copy_out(fake, "1.eml")
    assert here == {"1.eml": body}
    assert done.stdout.startswith("1.eml: deleted 2024-10-04") and "(Jan, Offer)" in done.stdout
    assert (fake.folder / "here/1.eml").stat().st_mode & 0o7777 == 0o600


def test_a_name_may_lack_its_ending_or_be_a_path(fake, bin_):
    bin_.pair(("1.eml", {}), ("2.eml", {}), ("odd", {}))
    _, here = copy_out(fake, "1", f"{fake.mountpoint}/2.eml", "odd", "1.eml")
    assert sorted(here) == ["1.eml", "2.eml", "odd"]


def test_a_file_that_is_there_stays_as_it_is(fake, bin_):
    bin_.pair(("1.eml", {}), ("2.eml", {}))
    (fake.folder / "here").mkdir()
    (fake.folder / "here/1.eml").write_bytes(b"mine")
    (fake.folder / "here/2.eml").symlink_to(fake.folder / "elsewhere")
    (fake.folder / "elsewhere").write_bytes(b"mine, too")
    done, here = copy_out(fake, "1.eml", "2.eml", code=1)
    assert here == {"1.eml": b"mine", "2.eml": b"mine, too"}
    assert "could not copy 1.eml: it is in this folder already" in done.stderr and "could not copy 2.eml" in done.stderr


def test_of_two_by_one_name_both_are_copied_and_the_later_one_has_the_name(fake, bin_):
    bin_.pair(("1.eml", {"body": b"first"}), ("1.eml", {"body": b"second"}))
    bin_.pair(("2.eml", {}), ("1.eml", {"body": b"third", "deleted": 1790000000}))
    done, here = copy_out(fake, "1.eml", json_too=True)
    assert here == {"1.eml": b"third", "1~bin2.eml": b"second", "1~bin3.eml": b"first"}
    found = json.loads(done.stdout)
    assert found["count"] == 3 and {"name": "1.eml", "file": "1.eml", "deleted_s": 1790000000} in found["copied"]


def test_a_name_that_is_not_there_does_not_keep_the_others(fake, bin_):
    bin_.pair(("1.eml", {}), ("2.eml", {}))
    done, here = copy_out(fake, "1.eml", "nobody.eml", "2.eml", code=1)
    assert sorted(here) == ["1.eml", "2.eml"]
    assert done.stderr == "popfsctl: could not copy nobody.eml: the bin has no message of this name\n"


def test_a_damaged_body_leaves_no_file(fake, bin_):
    bin_.pair(("1.eml", {"body": b"x" * 100000}), ("2.eml", {}))
    with open(bin_.folder / "1.mail", "r+b") as mail:
        mail.seek(70000)
        mail.write(bytes(10))
    done, here = copy_out(fake, "1.eml", "2.eml", code=1)
    assert here == {"2.eml": BODY}
    assert done.stderr == "popfsctl: could not copy 1.eml: what is in the bin is damaged\n"


def test_no_name_in_the_bin_leads_out_of_the_folder(fake, bin_):
    bin_.pair(("../out.eml", {}), ("/tmp/popfs-out.eml", {}), ("..", {}), (".", {}), ("x/../../out", {}))
    _, here = copy_out(fake, "../out.eml", "/tmp/popfs-out.eml", "..", ".", "x/../../out", code=1)
    assert here == {} and not (fake.folder / "out.eml").exists() and not os.path.exists("/tmp/popfs-out.eml")


def test_torn_lines_are_passed_over(fake, bin_):
    bin_.pair(("1.eml", {}), ("2.eml", {}))
    text = (bin_.folder / "1.list").read_bytes()
    (bin_.folder / "1.list").write_bytes(text[:-3] + b"\n" + b"x" * 200000 + b"\n" + bytes(5000) + text.split(b"2.eml")[0][1:])
    found = json.loads(fake.run("bin", "--json").stdout)
    assert [message["name"] for message in found["bin"]] == ["1.eml"]


def test_a_folder_of_somebody_else_is_refused_by_name(unmounted):
    unmounted.mount("allow_other")
    made = Bin(unmounted.folder / "bin")
    made.pair(("1.eml", {}))
    unmounted.says(bin={"folder": str(made.folder)})
    done = unmounted.run("bin", prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), code=1)
    assert "only the owner of the mount may" in done.stderr


def test_the_output_has_room_for_ten_thousand(fake, bin_):
    bin_.pair(*((f"{i}.eml", {"subject": "s" * 100}) for i in range(10000)))
    assert fake.run("bin").stdout.count("\n") == 10000
    _, here = copy_out(fake, *(f"{i}.eml" for i in range(0, 10000, 10)))
    assert len(here) == 1000
