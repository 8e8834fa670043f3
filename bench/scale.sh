#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# scale.sh BUILD-DIRECTORY [SECONDS]: many sources, many fetches, many clients, and too few descriptors.
# A thousand sources take 1 s each; they live on eight loopback addresses, so that the ports of closed connections do
# not run out between rounds. Needs a hard limit of 17,000 open files (see ulimit -Hn).

set -euo pipefail
build=${1:?usage: scale.sh BUILD-DIRECTORY [SECONDS]}
seconds=${2:-6}
sources=1000
crowd=8000
few=512
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

hard=$(ulimit -Hn)
[ "$hard" = unlimited ] || [ "$hard" -ge 17000 ] || die "the hard limit of open files is $hard; 17000 are needed"
ulimit -n "$hard"

start_server 127.0.0.{1..8}
mkdir -p "$run/config/sources.d"
for ((i = 0; i < sources; i++)); do
    source_file "slow-$i" "URL=http://${addresses[i % 8]}/bytes?n=512&delay=1s" Engine=none TimeoutSec=10
done
source_file small "URL=http://${addresses[0]}/bytes?n=512" Engine=none

# scale WHAT ARGUMENT...: a run of the program; `value KEY` is then a figure of it.
scale() {
    local what=$1
    shift
    "$build/bench/bench-scale" "$what" "$socket" "$daemon" "$@" >"$run/figures" || die "bench-scale $what failed"
}
value() {
    median "$run/figures" "$1"
}

start_musterd 2 ""
scale burst
check "$sources sources of 1 s: answered" "$(value answered)" ">=" "$sources"
check "$sources sources of 1 s: seconds, all connections new" "$(value seconds)" "<" 1.05
check "$sources sources of 1 s: seconds, connections kept" "$(value seconds_kept)" "<" 1.05
stop_musterd

# A fresh daemon each, since what the first fetches leave allocated would hide what further ones need.
for queries in 1 8; do
    start_musterd 2 ""
    scale memory "$queries"
    fetches=$(value fetches)
    check "$fetches fetches in flight: answered" "$(value answered)" ">=" "$fetches"
    check "$fetches fetches in flight: private KiB each" "$(value private_kib_per_fetch)" "<" 4
    printf '    peak until all were answered, bodies and answers included: %s KiB each; kernel slab of this machine,\n' \
        "$(value peak_kib_per_fetch)"
    printf '    both ends of each connection and the source server included: %s KiB each; idle daemon %s KiB\n' \
        "$(value slab_kib_per_fetch)" "$(value idle_kib)"
    stop_musterd
done

start_musterd 2 ""
scale crowd "$crowd" $((crowd / sources)) "$seconds"
check "$crowd idle clients: still connected at the end" "$(value clients_open)" ">=" "$crowd"
check "$crowd fetches at once: in flight at the most" "$(value in_flight)" ">=" "$crowd"
check "$crowd fetches at once: share answered" "$(ratio "$(value answered)" "$(value asked)")" ">=" 1
printf '    longest query of %s sources: %s s\n' "$sources" "$(value longest_s)"
printf '    small query alone: p50 %s ms, p99 %s ms; among them: p50 %s ms, p99 %s ms, at most %s ms\n' \
    "$(value alone_p50_ms)" "$(value alone_p99_ms)" "$(value among_p50_ms)" "$(value among_p99_ms)" "$(value among_max_ms)"
check "small query among them: no wait as long as a slow one, ms" "$(value among_max_ms)" "<" 1000
stop_musterd

start_musterd 2 "" prlimit --nofile="$few:$few"
scale shortage "$sources"
check "$few descriptors, $sources sources: ok or shed" $(($(value ok) + $(value shed))) ">=" "$sources"
check "$few descriptors, $sources sources: ok" "$(value ok)" ">=" $((few / 2))
check "$few descriptors, $sources clients: refused" "$(value refused)" ">=" $((sources - few))
check "$few descriptors: small query answered afterwards" "$(value small_ok)" ">=" 1
stop_musterd
finish
