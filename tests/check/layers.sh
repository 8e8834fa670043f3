#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# layers.sh SOURCE BUILD: an include against the arrow of the layers must not compile.
#
# Each library's own compile command, with the include paths that meson gave it, is tried on a file of one line. Its own
# header must be found (or the trial would prove nothing), the headers of every folder that it may not know must not.
# Two ways around that are closed here as well: "../", and two headers of one name.

set -euo pipefail
source=$1 build=$2
cd "$source"

# FOLDER: what it may include besides itself.
layers="
base:
schema:         base
shm:            base schema
workers:        base schema shm
client:         base schema shm
daemon/io:      base schema shm
daemon/net:     base schema shm daemon/io
daemon/pool:    base schema shm daemon/io
daemon/fetch:   base schema shm daemon/io daemon/net
daemon/query:   base schema shm daemon/io daemon/net daemon/fetch daemon/pool
daemon/control: base schema shm daemon/io daemon/query
daemon:         base schema shm daemon/io daemon/net daemon/fetch daemon/pool daemon/query daemon/control
"
folders=$(sed -n 's/:.*//p' <<<"$layers")
failures=0 trials=0
trial=$(mktemp -d -t muster-layers-XXXXXX)
trap 'rm -rf "$trial"' EXIT

fail() {
    echo "$*" >&2
    failures=$((failures + 1))
}

first() { # of the files in a folder that have this ending and are not main.c
    find "$1" -maxdepth 1 -name "*.$2" ! -name main.c -printf '%f\n' | sort | head -n1
}

# The command that compiles a folder's library, without what names its input and output.
compile_command() {
    local object
    object=$1/lib$(basename "$1").a.p/$(first "$1" c).o
    ninja -C "$build" -t commands "$object" | tail -n1 | sed -E 's/ -MD -MQ .*//; s/ -Werror / /'
}

# includes COMMAND FOLDER: true when a file that includes the folder's first header compiles, false when the header
# is not found; anything else is a failure of the trial.
includes() {
    local header
    header=$(first "$2" h)
    trials=$((trials + 1))
    echo "#include \"$header\"" >"$trial/one-line.c"
    (cd "$build" && eval "LC_ALL=C $1 -fsyntax-only '$trial/one-line.c'") 2>"$trial/errors" && return 0
    grep -qE "$header.*(No such file or directory|file not found)" "$trial/errors" ||
        fail "$header fails to compile for another reason: $(cat "$trial/errors")"
    return 1
}

while IFS=: read -r folder allowed; do
    [ -n "$folder" ] || continue
    command=$(compile_command "$folder")
    for other in $folders; do
        if [ "$other" = "$folder" ]; then
            includes "$command" "$other" || fail "$folder/ cannot include its own $(first "$other" h)"
        elif [[ " $allowed " != *" $other "* ]]; then
            ! includes "$command" "$other" || fail "$folder/ can include $(first "$other" h) of $other/, which it may not know"
        fi
    done
done <<<"$layers"

code=(base schema shm workers daemon client tools tests bench)
! grep -rn '#include "\.\./' --include='*.[ch]' "${code[@]}" || fail 'An include by "../" goes past the layers; name the header alone'
twice=$(find "${code[@]}" -name '*.h' -printf '%f\n' | sort | uniq -d)
[ -z "$twice" ] || fail "Include paths are flat, so these header names have to be unique: $twice"

echo "$trials includes tried, $failures against the layers or not possible"
[ "$failures" -eq 0 ]
