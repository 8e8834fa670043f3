#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# overload.sh BUILD-DIRECTORY [SECONDS]: ten times as many questions as there is capacity for. What is asked takes 50 ms of
# waiting and 4 ms of CPU time of one of two workers (engine spin), so the capacity is bounded by inference:
#
#     at most 2 / 4 ms = 500 questions a second, when nothing else needs the two CPUs
#
# By Little's law there are 500/s x 54 ms = 27 questions open when all of that is used and nobody waits. Batch queries
# may take three quarters of MaxQueries=64, 48: the 27, and 21 who keep the workers busy when answers of the source come
# unevenly, and who wait for 42 ms. The other 16 places are for interactive ones, 20/s x 54 ms = 1 of which are needed
# here.
#
# Interactive questions come at 20 a second: alone; among batch ones that come at 5,000 a second; among interactive ones
# at the same rate. In the last case they have no more right to a place than the others, so most are refused; that is
# shown only.
#
# Times are those of clients and count from when a question was due. The load generators live on the two busy CPUs, too:
# how late they were is printed beside, and is part of each time.

set -euo pipefail
build=${1:?usage: overload.sh BUILD-DIRECTORY [SECONDS]}
seconds=${2:-10}
rate=20
flood=5000
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

# load NAME: the interactive load; its figures are in $run/NAME.
load() {
    echo "$1: $seconds s" >&2
    "$build/bench/bench-load" "$socket" "$rate" "$seconds" '{}' >"$run/$1" || die "bench-load failed"
}

# memory KEY: of musterd, in KiB; VmRSS, or VmHWM, which is the most of it since the start.
memory() {
    sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$daemon/status"
}

# load_among NAME PARAMETERS: the same while a flood of such questions is on, whose figures are in $run/NAME.flood.
load_among() {
    local pid
    "$build/bench/bench-load" "$socket" "$flood" $((seconds + 2)) "$2" >"$run/$1.flood" &
    pid=$!
    started+=("$pid")
    sleep 1
    load "$1"
    wait "$pid" || die "bench-load failed"
}

start_server 127.0.0.1
source_file source "URL=http://${addresses[0]}/bytes?n=1024&delay=50ms&q={question}" Engine=spin SpinSec=4ms
start_musterd 2 MaxQueries=64

"$build/bench/bench-load" "$socket" "$rate" 2 '{}' >/dev/null || die "bench-load failed"
load alone
before=$(memory VmRSS)
load_among batch '{"priority":"batch"}'
load_among interactive '{}'
after=$(memory VmHWM)

# row KEY NAME...: that figure of each; "-" has none.
row() {
    local key=$1 name
    shift
    printf '    %-24s' "$key"
    for name in "$@"; do
        [ "$name" = - ] && printf ' %20s' "" || printf ' %20s' "$(median "$run/$name" "$key")"
    done
    echo
}
# lost NAME: questions of a flood that were neither answered nor refused.
lost() {
    local file=$run/$1
    echo $(($(median "$file" sent) + $(median "$file" not_sent) - $(median "$file" answered) - $(median "$file" overloaded)))
}

printf '%-28s %20s %20s %20s\n' "$rate/s interactive" alone "in $flood/s batch" "in $flood/s inter."
for key in answered overloaded p50_ms p99_ms max_ms late_p99_ms; do row "$key" alone batch interactive; done
printf '%-28s %20s %20s %20s\n' "the flood itself" "" "" ""
for key in sent answered overloaded p50_ms p99_ms overloaded_p50_ms overloaded_p99_ms overloaded_max_ms retry_after_ms \
    late_p99_ms; do
    row "$key" - batch.flood interactive.flood
done
echo
check "flood, in capacities" \
    "$(ratio "$(median "$run/batch.flood" sent)" "$(median "$run/batch.flood" answered)")" ">=" 10
check "interactive p99 in the batch flood to alone" \
    "$(ratio "$(median "$run/batch" p99_ms)" "$(median "$run/alone" p99_ms)")" "<=" 2
check "interactive in the batch flood: success share" "$(median "$run/batch" success_share)" ">=" 1
for name in batch interactive; do
    check "$name flood: refused within, p99 ms" "$(median "$run/$name.flood" overloaded_p99_ms)" "<" 5
    check "$name flood: neither answered nor refused" "$(lost "$name.flood")" "<=" 0
done
check "memory of musterd, more than before at most, KiB" $((after - before)) "<=" 32768
finish
