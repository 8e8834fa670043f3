#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# help.sh MUSTERD MUSTERCTL: every help text fits into 80 columns and goes to standard output; a mistake says where help is.

set -euo pipefail
export LANG=C.UTF-8
musterd=$1 musterctl=$2
failures=0

fail() {
    echo "$*" >&2
    failures=$((failures + 1))
}

check_help() {
    local text
    text=$("$@" 2>/dev/null) || fail "$*: exit status $?"
    [ -n "$text" ] || fail "$*: says nothing"
    ! grep -nP '^.{81}' <<<"$text" || fail "$*: a line is longer than 80 columns"
    ! grep -nP '\s$' <<<"$text" || fail "$*: a line ends in a blank"
}

check_help "$musterd" --help
check_help "$musterd" --version
check_help "$musterctl" --help
check_help "$musterctl" --version
verbs=$("$musterctl" --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
[ -n "$verbs" ] || fail "musterctl --help names no verbs"
for verb in $verbs; do
    check_help "$musterctl" "$verb" --help
done

for program in "$musterd" "$musterctl"; do
    if text=$("$program" --no-such-option 2>&1 >/dev/null); then
        fail "$program --no-such-option: exit status 0"
    fi
    grep -q -- --help <<<"$text" || fail "$program --no-such-option: does not say that there is --help"
done

[ "$failures" -eq 0 ]
