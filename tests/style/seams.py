#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a simulated world replaces is called in one file alone: the seam. The archives are those of the folders without it. seams.py ARCHIVE…"""

import re
import subprocess
import sys
from pathlib import Path

SEAMS = {  # archive -> what only the seam may call, and the seam
    "libstore.a": (
        r"""_*(
          (f|l|x|fx|lx)?stat(at)?(64)? | f?stat(v)?fs(64)? | (open|creat|mkost?emps?|tmpfile|unlink|link|symlink|readlink|rename|mkdir|access|chmod|chown)(at)?2?(64)?
        | rmdir | mkdtemp | memfd_create | p?(read|write)v?2?(64)? | sendfile(64)? | copy_file_range | splice | f?truncate(64)? | (posix_)?fallocate(64)?
        | f?sync | fdatasync | syncfs | sync_file_range | mmap(64)? | lseek(64)? | flock | fcntl(64)? | dup[23]?
        | f?dopendir | opendir | readdir(64)? | closedir | scandir | fopen(64)? | fdopen | freopen | fwrite | fputs? | fputc | v?f?printf | v?dprintf
        )(_chk|_2)?""",
        "src/store/disk.c",
    ),
}


def calls_of(archive):
    done = subprocess.run(["nm", "-u", "--format=posix", archive], capture_output=True, text=True, check=True)
    return {line.split()[0].split("@")[0] for line in done.stdout.splitlines() if re.search(r" [Uw]\b", line)}


def main():
    bad = 0
    for archive in sys.argv[1:]:
        pattern, seam = SEAMS[Path(archive).name]
        calls = calls_of(archive)
        found = sorted(name for name in calls if re.fullmatch(pattern, name, re.VERBOSE))
        bad += len(found) + (not calls)
        print(f"{archive}: {', '.join(found) or 'nothing'} goes past {seam} ({len(calls)} imports)")
    sys.exit(bad > 0 or len(sys.argv) < 2)


if __name__ == "__main__":
    main()
