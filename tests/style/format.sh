#!/bin/bash
# SPDX-License-Identifier: MIT
# The C files are as clang-format 14 leaves them. format.sh ROOT
set -u
cd "$1" || exit 1
program=clang-format-14
command -v "$program" >/dev/null || program=clang-format
find src include tests -name '*.[ch]' -print0 | xargs -0 "$program" --dry-run -Werror --style=file
