#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# fetch.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]: the client's CPU time for one HTTP fetch of 1 KiB over a kept loopback
# connection, 64 at a time, each with a deadline: the daemon's own client on io_uring against libcurl's
# multi_socket on epoll. Same program, same server, one after the other within every round; medians over the rounds.

set -euo pipefail
build=${1:?usage: fetch.sh BUILD-DIRECTORY [ROUNDS] [SECONDS]}
rounds=${2:-7}
seconds=${3:-3}
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

start_server 127.0.0.1
for ((round = 1; round <= rounds; round++)); do
    for client in muster libcurl; do
        "$build/bench/bench-fetch" "$client" "http://${addresses[0]}/bytes?n=1024" 64 "$seconds" >>"$run/$client"
    done
done

printf '%-10s %12s %14s %10s %10s\n' "" "fetches/s" "CPU us/fetch" "user" "system"
for client in muster libcurl; do
    printf '%-10s %12s %14s %10s %10s\n' "$client" "$(median "$run/$client" fetches_per_s)" \
        "$(median "$run/$client" cpu_us)" "$(median "$run/$client" user_us)" "$(median "$run/$client" system_us)"
done
echo
check "CPU per fetch, muster to libcurl" "$(ratio "$(median "$run/muster" cpu_us)" "$(median "$run/libcurl" cpu_us)")" \
    "<=" 0.45
finish
