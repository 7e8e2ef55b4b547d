#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The pure folders import nothing that touches the world. purity.py ARCHIVE…"""

import re
import subprocess
import sys

IMPURE = re.compile(
    r"""_*(
      f?(open|close|read|write|stat|stat64|sync|chmod|chown)(at|v|at2|64)* | p(read|write)(v|64)* | creat | unlink(at)? | rename(at2?)? | mkdir(at)?
    | lseek(64)? | mmap(64)? | ioctl | fcntl(64)? | dup[23]? | pipe2? | mkstemp | readdir(64)? | opendir
    | socket | connect | bind | listen | accept4? | send(to|msg|file)? | recv(from|msg)? | shutdown | getaddrinfo | gethostby\w+
    | p?poll | p?select | epoll_\w+ | eventfd | timerfd_\w+
    | time | clock | clock_gettime | gettimeofday | (u|nano)?sleep | clock_nanosleep | alarm
    | fopen(64)? | fdopen | freopen | fclose | fread | fwrite | fgets? | fgetc | fputs? | fputc | puts | putchar | getline | getdelim | perror
    | v?f?printf(_chk)? | v?dprintf | v?syslog | openlog | log_(start|write|write_args)
    | pthread_\w+ | thrd_\w+ | mtx_\w+ | cnd_\w+ | signal | sigaction | kill | raise
    | fork | vfork | exec\w+ | posix_spawn\w* | system | popen | getenv | setenv
    | exit | _exit | quick_exit | abort | atexit
    | g_mime_stream_(file|fs|pipe)\w* | g_file_\w+ | gsasl_(client|server)_\w+_file
    )(_chk|_2)?""",
    re.VERBOSE,
)


def imports(archive):
    done = subprocess.run(["nm", "-u", "--format=posix", archive], capture_output=True, text=True, check=True)
    return {line.split()[0].split("@")[0] for line in done.stdout.splitlines() if re.search(r" [Uw]\b", line)}


def main():
    bad = 0
    for archive in sys.argv[1:]:
        symbols = imports(archive)
        found = sorted(name for name in symbols if IMPURE.fullmatch(name))
        bad += len(found) + (not symbols)
        print(f"{archive}: {', '.join(found) or 'pure'} ({len(symbols)} imports)")
    sys.exit(bad > 0 or len(sys.argv) < 2)


if __name__ == "__main__":
    main()
