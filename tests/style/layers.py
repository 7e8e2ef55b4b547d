#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who may include what: the table of the architecture, checked on every #include, and who alone makes the calls
that tests/sim replaces. layers.py ROOT"""

import re
import sys
from pathlib import Path

MAY_INCLUDE = {  # folder -> the public headers of other folders that it may use
    "base": set(),
    "net": {"base"},
    "pop3": {"base"},
    "maildrop": {"base"},
    "store": {"base"},
    "mail": {"base"},
    "sync": {"base", "net", "pop3", "maildrop", "store", "mail"},
    "fs": {"base", "maildrop", "mail", "sync"},
    "cli": {"base", "sync", "fs"},
    "ctl": {"base", "store"},  # the bin
}

SYSTEM = [  # header, the places that alone may include it
    (r"fuse.*\.h", ["src/fs/", "tests/unit/fs/"]),
    (r"openssl/.*", ["src/net/", "src/base/digest.c", "tests/unit/net/"]),
    (r"sys/(socket|un)\.h|netdb\.h|netinet/.*|arpa/inet\.h", ["src/net/", "tests/unit/net/", "tests/unit/sync/"]),
    (r"pthread\.h|threads\.h", ["src/base/hash.c", "src/base/stack.c", "src/maildrop/", "src/store/", "src/sync/", "src/fs/", "src/ctl/progress", "tests/unit/"]),
    (r"sqlite3\.h", ["src/store/"]),
    (r"xxhash\.h", ["src/store/sum.c"]),
    (r"gmime/.*", ["src/mail/"]),
    (r"gsasl\.h", ["src/pop3/", "tests/unit/pop3/"]),
    (r"idn2\.h", ["src/cli/url.c"]),
    (r"syslog\.h", ["src/base/log.c"]),
    (r"poll\.h|sys/poll\.h|sys/epoll\.h|sys/select\.h", ["src/net/", "src/sync/", "src/fs/", "src/cli/", "src/ctl/", "include/popfs/net.h", "tests/unit/"]),
    (r"json-c/.*", ["src/ctl/"]),
    (r"libmount/.*", ["src/cli/utab.c"]),
    (r"sys/random\.h", ["src/base/chance.c"]),
    (r"sys/eventfd\.h", ["src/sync/thread.c", "src/fs/", "src/cli/", "src/ctl/"]),
]

SEAMS = [  # calls that tests/sim replaces, the places that alone may make them, the folders in which that holds
    (r"clock_gettime|gettimeofday|time\(NULL\)|getrandom\(", ["src/base/clock.c", "src/base/chance.c"], ["src/"]),
    (r"pthread_(create|join)|eventfd\(|\bpoll\(", ["src/sync/thread.c"], ["src/sync/"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def faults_of(root, path):
    place = path.relative_to(root).as_posix()
    parts = place.split("/")
    folder = path.stem if parts[0] == "include" else parts[1] if parts[0] == "src" else None
    text = path.read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    for pattern, places, folders in SEAMS:
        if place.startswith(tuple(folders)) and place not in places and re.search(pattern, code):
            yield f"{place}: {pattern} belongs to {', '.join(places)}"
    for kind, name in INCLUDE.findall(text):
        if name.startswith("popfs/"):
            target = name.removeprefix("popfs/").removesuffix(".h")
            if folder is not None and target != folder and target not in MAY_INCLUDE[folder]:
                yield f"{place}: {folder} must not know {target}"
        elif kind == '"':
            if parts[0] == "src" and ("/" in name or not (path.parent / name).is_file()):
                yield f'{place}: "{name}" is not a header beside it; others are reached by "popfs/…"'
        else:
            for pattern, places in SYSTEM:
                if re.fullmatch(pattern, name) and not any(place.startswith(allowed) for allowed in places):
                    yield f"{place}: <{name}> belongs to {', '.join(places)}"


def main():
    root = Path(sys.argv[1]).resolve()
    files = [path for top in ("src", "include") for path in (root / top).rglob("*.[ch]")]
    unknown = {path.name for path in (root / "src").iterdir() if path.is_dir()} - set(MAY_INCLUDE)
    faults = [f"src/{name}: a folder that the table does not have" for name in sorted(unknown)]
    faults += [fault for path in sorted(files) for fault in faults_of(root, path)]
    print("\n".join(faults) or f"{len(files)} files keep to the layers")
    sys.exit(bool(faults) or not files)


if __name__ == "__main__":
    main()
