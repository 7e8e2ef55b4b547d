#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""No rule of POP3 is without a test, and what the tables of tests/README.md and QUIRKS.md name is there. rules.py ROOT"""

import fnmatch
import re
import sys
from pathlib import Path

RULES = [str(number) for number in range(1, 29)]
MENTION = re.compile(r"\b[Rr]ules? ((?:[\d.]+(?: to |, | and )?)+)")
CASE = re.compile(r'^    "([\w.-]+)": Case\("([\d., ]+)"', re.MULTILINE)
TEST_OF = {".py": re.compile(r"^def (test_\w+)\(", re.MULTILINE), ".c": re.compile(r"(?:cmocka_unit_test\w*|\bTEST)\((\w+)")}
SWITCH = re.compile(r"^    \w+: .*?(#.*)?$", re.MULTILINE)


def numbers(text):
    """Of "1", "7 and 9", "24 to 26", "1, 3.12"."""
    for first, last in re.findall(r"(\d+(?:\.\d+)?)(?: to (\d+))?", text):
        yield from (str(number) for number in range(int(first), int(last) + 1)) if last else [first]


def sources(root):
    return [path for path in sorted((root / "tests").rglob("*")) if path.suffix in {".py", ".c", ".pop3"}]


def named_rules(root):
    found = set()
    for path in sources(root):
        text = path.read_text(errors="replace")
        for mention in MENTION.findall(text) + [rules for _, rules in CASE.findall(text)]:
            found.update(numbers(mention))
    return found


def tests_of(root):
    """What a table may name: "FILE::TEST", and "NAME.pop3"."""
    names = {path.name for path in (root / "tests/transcripts").glob("*.pop3")}
    for path in sources(root):
        text = path.read_text(errors="replace")
        if path.suffix in TEST_OF and path.name.startswith("test_"):
            tests = TEST_OF[path.suffix].findall(text) + [case for case, _ in CASE.findall(text)]
            names.update(f"{path.name}::{test}" for test in tests)
    return names


def rows(text):
    """Rule number -> what its row names."""
    return {rule: re.findall(r"`([^`]+)`", last) for rule, last in re.findall(r"^\| ([\d.]+) \|.*\| ([^|]*) \|$", text, re.MULTILINE)}


def faults_of_table(root):
    table = rows((root / "tests/README.md").read_text())
    known = tests_of(root)
    yield from (f"tests/README.md: no row for rule {rule}" for rule in RULES if rule not in table)
    for rule, names in table.items():
        if not names:
            yield f"tests/README.md: rule {rule} has no test"
        yield from (f"tests/README.md: rule {rule}: there is no {name}" for name in names if not fnmatch.filter(known, name))


def faults_of_quirks(root):
    folder = root / "src/pop3/QUIRKS.md"
    proofs = {path.stem for path in (root / "tests/transcripts").glob("*.pop3")}
    proofs |= {path.stem for path in (root / "tests/unit/pop3").glob("test_*.c")}
    lines = [line for line in folder.read_text().splitlines() if line.startswith("| ") and not re.match(r"\| what\b", line)]
    for line in lines:
        names = re.findall(r"`([^`]+)`", line.rstrip("| ").rsplit("|", 1)[1])
        if not names:
            yield f"src/pop3/QUIRKS.md: without proof: {line}"
        yield from (f"src/pop3/QUIRKS.md: there is no {name}" for name in names if not fnmatch.filter(proofs, name))
    if not lines:
        yield "src/pop3/QUIRKS.md: no tables"


def faults_of_switches(root):
    """Each switch of the scripted server says which rule it breaks."""
    text = (root / "tests/mount/scripted.py").read_text()
    table = text[text.index("# framing") : text.index("class _Over")]
    yield from (f"tests/mount/scripted.py: no rule: {line.group().strip()}" for line in SWITCH.finditer(table)
                if not re.match(r"# [\d., ]+: ", line[1] or ""))


def main():
    root = Path(sys.argv[1]).resolve()
    named = named_rules(root)
    faults = [f"tests: none names rule {rule}" for rule in RULES if rule not in named]
    faults += [*faults_of_table(root), *faults_of_quirks(root), *faults_of_switches(root)]
    print("\n".join(faults) or f"{len(named)} rules are named by tests")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
