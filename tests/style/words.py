#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What no file may hold: marks of unfinished work, an exit outside cli, a server's words that pop3 shows without looking for
secrets in them, a missing licence line. words.py ROOT"""

import re
import sys
from pathlib import Path

UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
ENDS_PROCESS = re.compile(r"\b(_?exit|_Exit|quick_exit|abort|err|errx)\s*\(|\bassert\s*\(|<assert\.h>|<err\.h>")
SHOWS_UNVEILED = re.compile(r"\btext_escape\s*\(")
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
TEXTS = {".c", ".h", ".py", ".sh", ".1", ".md", ".build", ".pop3", ""}


def lines_with(pattern, text):
    return [text.count("\n", 0, found.start()) + 1 for found in pattern.finditer(text)]


def blank(found):
    """Keeps the line numbers; an #include in quotes is of no interest here."""
    return "\n" * found.group().count("\n")


def main():
    root = Path(sys.argv[1]).resolve()
    tops = ("src", "include", "tests", "man", "contrib", ".ci")
    files = [path for top in tops for path in (root / top).rglob("*") if path.is_file() and path.suffix in TEXTS]
    faults = []
    for path in sorted(files):
        place = path.relative_to(root).as_posix()
        if "__pycache__" in place or "/corpus/" in place:
            continue
        text = path.read_text(errors="replace")
        faults += [f"{place}:{line}: unfinished work" for line in lines_with(UNFINISHED, text)]
        if path.suffix in {".c", ".h", ".py", ".sh"} and "SPDX-License-Identifier" not in text[:200]:
            faults.append(f"{place}:1: no SPDX line")
        # The child that probe.c forks is not the process of the caller.
        if place.startswith("src/") and not place.startswith("src/cli/") and place != "src/ctl/probe.c":
            code = COMMENT_OR_STRING.sub(blank, text)
            faults += [f"{place}:{line}: only cli may end the process" for line in lines_with(ENDS_PROCESS, code)]
        if place.startswith("src/pop3/") and place != "src/pop3/veil.c":
            code = COMMENT_OR_STRING.sub(blank, text)
            faults += [f"{place}:{line}: pop3_veil_escape() shows a server's words" for line in lines_with(SHOWS_UNVEILED, code)]
    print("\n".join(faults) or f"{len(files)} files are clean")
    sys.exit(bool(faults) or not files)


if __name__ == "__main__":
    main()
