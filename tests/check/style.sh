#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# style.sh SOURCE: what neither the compiler nor clang-format looks for.

set -eu # no pipefail: that grep finds nothing is what is wanted
shopt -s lastpipe # refuse() counts
cd "$1"
failures=0

# refuse WHAT: its standard input, when there is any, is what is wrong.
refuse() {
    local found
    found=$(cat)
    [ -n "$found" ] || return 0
    printf '%s:\n%s\n' "$1" "$found"
    failures=$((failures + 1))
}

program() { find base schema shm workers daemon client tools -name '*.[ch]'; }
sources() { find base schema shm workers daemon client tools tests bench -name '*.[ch]'; }
texts() {
    find meson.build meson_options.txt README.md NEWS.md .ci base schema shm workers daemon client units docs tools tests bench \
        -path '*/corpus/*' -prune -o -path '*/__pycache__/*' -prune -o -type f -print
}

# ---- unwanted calls, and what to use ----

unwanted() { # CALLS INSTEAD [ALLOWED-PATH-OR-LINE]: in code, not in comments
    program | xargs grep -nP "^(?!\s*(/\*|\*)).*(?<![\w>.\"])($1)\(" | grep -vE "${3:-^$}" | refuse "Unwanted call; $2"
}

unwanted 'ato[ifl]|atoll|strtou?ll?|strtol|strtod|strtof|sscanf' 'base/parse.h tells what is no number' \
    '^base/parse\.c:|^daemon/fetch/simulate\.c:'
unwanted 'strcpy|stpcpy|strcat|strncpy|strncat|v?sprintf|gets' 'snprintf() and buffer_append() know the size'
unwanted 'strtok|strtok_r' 'strcspn() does not change the text'
unwanted 'strerror|strerror_r' '%m, or strerrorname_np()'
unwanted 'alloca' 'the stack is not for sizes that come from outside'
unwanted 'signal' 'daemon/io/signals.h; handlers cannot do anything' 'SIG_(IGN|DFL)|client/output\.c'
unwanted 'alarm|sleep|usleep|nanosleep' 'a timer of the loop'
unwanted 'exit|abort' 'return an error; main() and the end of a worker decide' '^tools/|^daemon/io/io-sim'
unwanted 'dup' 'F_DUPFD_CLOEXEC' 'fdopen\(dup\(STDIN'
unwanted 'accept' 'accept4() with SOCK_CLOEXEC'
unwanted 'system|tmpnam|mktemp|rand|srand' 'there is something better in POSIX or base/'

# ---- form ----

texts | xargs grep -nP '\s+$' | refuse "Trailing blanks"
sources | xargs grep -nP '\t' | refuse "Tabs"
texts | grep -v '\.md$' | xargs grep -LF 'SPDX-License-Identifier: Apache-2.0' |
    refuse "No SPDX-License-Identifier at the head"
sources | xargs grep -nP '^\s*//' | refuse "Comments are written /* so */"
# The formatter breaks code at about 100, but neither comments nor strings.
sources | xargs grep -nP '^(?=\s*(/\*|\* )).{101}' | refuse "Comments of more than 100 columns"
sources | xargs grep -nP '^.{121}' | grep -v '"' | refuse "Code of more than 120 columns"

[ "$failures" -eq 0 ] && echo "no finding"
