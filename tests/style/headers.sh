#!/bin/bash
# SPDX-License-Identifier: MIT
# Every public header compiles alone, with gcc and with clang. headers.sh ROOT
set -u
cd "$1" || exit 1
bad=0 count=0
flags=(-x c -std=gnu17 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Wall -Wextra -Wundef -Wstrict-prototypes -Werror -fsyntax-only)
for compiler in gcc clang; do
    for header in include/popfs/*.h; do
        count=$((count + 1))
        printf '#include "popfs/%s"\n#include "popfs/%s"\n' "${header##*/}" "${header##*/}" |
            "$compiler" "${flags[@]}" - || { echo "$compiler: $header does not compile alone"; bad=1; }
    done
done
echo "$count compilations"
exit "$bad"
