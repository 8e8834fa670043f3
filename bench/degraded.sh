#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# degraded.sh BUILD-DIRECTORY [SECONDS]: what clients and sources get when all sources are in trouble. Nobody listens for
# `down`, `slow` takes 3 s, `flaky` answers every other request with 503 after 20 ms; 100 questions a second, each a new
# one. Once as by default, once with retries, breakers and cache off; the source server starts anew, so that chance is
# the same.
#
# Retries and hedges are at most a fifth of the first attempts, so the amplification (requests to first attempts) is 1.2 at
# most. Three are free, though: of a source with fewer than 15 first attempts, which a breaker that opens soon makes of
# `down`, there may be three requests more than first attempts.

set -euo pipefail
build=${1:?usage: degraded.sh BUILD-DIRECTORY [SECONDS]}
seconds=${2:-30}
rate=100
sources=(down slow flaky)
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

# measure NAME CONF-LINES [SOURCE-LINE...]: the load's figures in $run/NAME, the sources' counters in $run/NAME.SOURCE.
measure() {
    local name=$1 lines=$2 source
    shift 2
    start_server 127.0.0.1
    source_file down "URL=http://127.0.0.1:1/?q={question}" "$@"
    source_file slow "URL=http://${addresses[0]}/text?delay=3s&q={question}" "$@"
    source_file flaky "URL=http://${addresses[0]}/bytes?delay=20ms&fail=0.5&q={question}" "$@"
    start_musterd 2 "$lines"
    echo "$name: $seconds s" >&2
    "$build/bench/bench-load" "$socket" "$rate" "$seconds" '{}' >"$run/$name" || die "bench-load failed"
    for source in "${sources[@]}"; do
        printf 'requests=%s retries=%s hedges=%s opened=%s ok=%s\n' "$(counter "$source" requests)" \
            "$(counter "$source" retries)" "$(counter "$source" hedges)" "$(counter "$source" breaker_opened)" \
            "$(counter "$source" ok)" >"$run/$name.$source"
    done
    stop_musterd
}

# tally NAME SOURCE KEY: a counter; 0 of a verdict that did not occur.
tally() {
    local count
    count=$(median "$run/$1.$2" "$3")
    echo "${count/nan/0}"
}
# first NAME SOURCE: its first attempts.
first() {
    echo $(($(tally "$1" "$2" requests) - $(tally "$1" "$2" retries) - $(tally "$1" "$2" hedges)))
}
amplification() {
    ratio "$(tally "$1" "$2" requests)" "$(first "$1" "$2")"
}
amplification_limit() {
    awk -v first="$(first "$1" "$2")" 'BEGIN { printf "%.4g", first < 15 ? (first + 3) / first : 1.2 }'
}

row() {
    printf '%-34s %12s %12s\n' "$@"
}
load_row() {
    row "$1" "$(median "$run/default" "$2")" "$(median "$run/off" "$2")"
}
share_row() {
    row "$1" "$(ratio "$(median "$run/default" "$2")" "$(median "$run/default" sent)")" \
        "$(ratio "$(median "$run/off" "$2")" "$(median "$run/off" sent)")"
}

measure default "[Cache]"
measure off "" "[Retry]" Attempts=1 "[Breaker]" Failures=0

row "" "by default" "all off"
load_row "questions" sent
load_row "success share" success_share
share_row "complete" complete
share_row "partial" partial
load_row "p50 ms" p50_ms
load_row "p99 ms" p99_ms
load_row "max ms" max_ms
for source in "${sources[@]}"; do
    for key in ok requests retries opened; do
        row "$source: $key" "$(tally default "$source" "$key")" "$(tally off "$source" "$key")"
    done
    row "$source: amplification" "$(amplification default "$source")" "$(amplification off "$source")"
done
row "questions sent late by (p99 ms)" "$(median "$run/default" late_p99_ms)" "$(median "$run/off" late_p99_ms)"
echo
check "success share" "$(median "$run/default" success_share)" ">=" 1
check "questions without an answer" "$((rate * seconds - $(median "$run/default" answered)))" "<=" 0
# Failures=5 open the breaker; after each OpenSec=60 there is one probe.
check "down: requests" "$(tally default down requests)" "<=" $((5 + (seconds + 59) / 60))
for source in "${sources[@]}"; do
    check "$source: amplification" "$(amplification default "$source")" "<=" "$(amplification_limit default "$source")"
done
finish
