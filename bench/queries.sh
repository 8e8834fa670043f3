#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# queries.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]: questions per second and CPU time per question of musterd, of a C
# program on libcurl and pthreads, and of a Python program on asyncio, aiohttp and ProcessPoolExecutor. 64 clients, three
# sources of 1 KiB without delay on one server, every document through a pool of two workers. The servers take turns within every round;
# medians over the rounds.

set -euo pipefail
build=${1:?usage: queries.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]}
rounds=${2:-7}
seconds=${3:-5}
clients=64
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$here/common.sh"

call='{"method":"io.muster.Query","parameters":{"question":"What is happening now?"}}'

start_server 127.0.0.1
url="http://${addresses[0]}/bytes?n=1024"
for i in 1 2 3; do source_file "source-$i" "URL=$url" Engine=none; done
start_musterd 2 ""
"$build/bench/compare-curl" "$run/curl" 2 "$url" "$url" "$url" &
curl=$!
/usr/bin/python3 "$here/compare-aiohttp.py" "$run/aiohttp" 2 "$url" "$url" "$url" &
aiohttp=$!
started+=("$curl" "$aiohttp")
wait_for compare-curl test -S "$run/curl"
wait_for compare-aiohttp.py test -S "$run/aiohttp"

# ask NAME SOCKET PID
ask() {
    "$build/bench/bench-ask" "$2" "$clients" "$seconds" 3 "$call" "$3" >>"$run/$1.figures" ||
        die "$1 gave wrong answers: $(tail -n1 "$run/$1.figures")"
}

for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    ask musterd "$socket" "$daemon"
    ask libcurl "$run/curl" "$curl"
    ask aiohttp "$run/aiohttp" "$aiohttp"
done

printf '%-10s %12s %10s %10s %18s\n' "" "queries/s" "p50 ms" "p99 ms" "CPU us per query"
for name in musterd libcurl aiohttp; do
    printf '%-10s %12s %10s %10s %18s\n' "$name" "$(median "$run/$name.figures" queries_per_s)" \
        "$(median "$run/$name.figures" p50_ms)" "$(median "$run/$name.figures" p99_ms)" \
        "$(median "$run/$name.figures" cpu_us_per_query)"
done
echo
per_s() { median "$run/$1.figures" queries_per_s; }
cpu() { median "$run/$1.figures" cpu_us_per_query; }
check "queries/s, musterd to libcurl" "$(ratio "$(per_s musterd)" "$(per_s libcurl)")" ">=" 1.5
check "CPU per query, musterd to libcurl" "$(ratio "$(cpu musterd)" "$(cpu libcurl)")" "<=" 0.65
check "CPU per query, musterd to aiohttp" "$(ratio "$(cpu musterd)" "$(cpu aiohttp)")" "<=" 0.15
finish
