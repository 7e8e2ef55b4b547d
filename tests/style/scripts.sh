#!/bin/bash
# SPDX-License-Identifier: MIT
# Shell and Python scripts parse, and shellcheck has nothing to say. scripts.sh ROOT
set -u
cd "$1" || exit 1
mapfile -t scripts < <(find contrib .ci tests -name '*.sh' -o -path '.ci/run'; grep -rlE '^#!.*\b(ba)?sh$' contrib .ci)
mapfile -t scripts < <(printf '%s\n' "${scripts[@]}" | sort -u)
((${#scripts[@]} > 3)) || { echo "the scripts were not found"; exit 1; }
bad=0
for script in "${scripts[@]}"; do
    bash -n "$script" || bad=1
    [[ -x $script ]] || { echo "$script is not executable"; bad=1; }
done
shellcheck -x "${scripts[@]}" || bad=1
find tests contrib -name '*.py' -print0 | xargs -0 /usr/bin/python3 -c '
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path).read(), path)
' || bad=1
exit "$bad"
