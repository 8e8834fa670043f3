#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# man.sh SOURCE PAGE...: manual pages without a warning of groff, nothing left unexpanded, and every key, verb and option named.

set -euo pipefail
export LANG=C.UTF-8 MANWIDTH=80
source=$1
shift
command -v man >/dev/null || { echo "man is not installed"; exit 77; }
[ -s "$1" ] || { echo "scdoc is not installed, so there are no pages"; exit 77; }
failures=0

fail() {
    echo "$*" >&2
    failures=$((failures + 1))
}

for page in "$@"; do
    warnings=$(man -l --warnings -E UTF-8 -Tutf8 -Z "$page" 2>&1 >/dev/null) || fail "$page: man fails"
    [ -z "$warnings" ] || fail "$page: $warnings"
    text=$(man -l "$page" | col -bx)
    ! grep -nE '@[a-z-]+@' <<<"$text" || fail "$page: a placeholder is left"
    for part in NAME DESCRIPTION "SEE ALSO"; do
        grep -qx "$part" <<<"$text" || fail "$page: no section $part"
    done
done

# names TABLE PATTERN: the names that the rows of a table in schema/ hold.
all=$(for page in "$@"; do man -l "$page" | col -bx; done)
named() {
    local name
    for name in $1; do
        grep -qF -- "$name" <<<"$all" || fail "No manual page names $name ($2)"
    done
}
named "$(sed -nE 's/^(SOURCE_)?KEY\([A-Za-z]+, *([A-Za-z]+),.*/\2=/p' "$source/schema/config.def")" schema/config.def
named "$(sed -nE 's/^OPTION\([^"]*"([a-z-]+)".*/--\1/p' "$source/schema/options.def")" schema/options.def
named "$(sed -nE 's/^VERDICT\([A-Z_]+, *"([a-z_]+)".*/\1/p' "$source/schema/verdicts.def")" schema/verdicts.def

[ "$failures" -eq 0 ]
