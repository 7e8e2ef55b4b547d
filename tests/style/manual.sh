#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages are clean mdoc. manual.sh ROOT
set -u
cd "$1" || exit 1
exec mandoc -T lint -W warning man/*.[1-9]
