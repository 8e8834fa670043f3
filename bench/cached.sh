#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# cached.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]: the same question again and again, answered from the cache. Three sources
# of 1 KiB, engine digest; one client, whose p50 is the way through daemon and socket, then 64 clients, which show how
# many such answers a second there are. Each answer is looked at as in queries.sh. TTLSec is longer than the run, so that
# no copy runs out within it. Medians over the rounds.

set -euo pipefail
build=${1:?usage: cached.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]}
rounds=${2:-5}
seconds=${3:-3}
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

call='{"method":"io.muster.Query","parameters":{"question":"What is happening now?"}}'

start_server 127.0.0.1
for i in 1 2 3; do source_file "source-$i" "URL=http://${addresses[0]}/bytes?n=1024"; done
start_musterd 2 '[Cache]
TTLSec=3600'

for ((round = 1; round <= rounds; round++)); do
    for clients in 1 64; do
        "$build/bench/bench-ask" "$socket" "$clients" "$seconds" 3 "$call" "$daemon" >>"$run/$clients" ||
            die "wrong answers: $(tail -n1 "$run/$clients")"
    done
done

printf '%-10s %12s %10s %10s %18s\n' clients "queries/s" "p50 ms" "p99 ms" "CPU us per query"
for clients in 1 64; do
    printf '%-10s %12s %10s %10s %18s\n' "$clients" "$(median "$run/$clients" queries_per_s)" \
        "$(median "$run/$clients" p50_ms)" "$(median "$run/$clients" p99_ms)" \
        "$(median "$run/$clients" cpu_us_per_query)"
done
echo
check "one client: p50 ms" "$(median "$run/1" p50_ms)" "<" 0.1
check "64 clients: queries/s" "$(median "$run/64" queries_per_s)" ">=" 40000
check "requests to the sources, all rounds" "$(server_count "${addresses[0]}")" "<=" 3
finish
