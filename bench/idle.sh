#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# idle.sh BUILD-DIRECTORY [SECONDS]: counts the system calls of musterd while it has nothing to do. It has answered
# queries before, and a client is connected. What a query leaves behind is waited for first: kept connections to
# sources are closed after 30 s, and the kernel's timer of the last deadline comes once. From then on there is to be
# none for 60 s: strace counts (where it may attach), and the scheduler says how often each process ran at all, which
# strace cannot disturb. A process that did not run made no system call.

set -euo pipefail
build=${1:?usage: idle.sh BUILD-DIRECTORY [SECONDS]}
seconds=${2:-60}
settle=${MUSTER_BENCH_SETTLE:-35}
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

start_server 127.0.0.1
for i in 1 2 3; do source_file "source-$i" "URL=http://${addresses[0]}/bytes?n=1024"; done
start_musterd 2 ""
mapfile -t workers < <(pgrep -P "$daemon")

for _ in 1 2 3; do
    "$build/client/musterctl" --socket="$socket" --json=short query "What is happening now?" >"$run/answer"
    grep -q '"completeness": *"complete"' "$run/answer" || die "a query failed: $(head -c 300 "$run/answer")"
done
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
time.sleep(1e6)' "$socket" &
started+=("$!")
echo "waiting $settle s for what the queries left behind" >&2
sleep "$settle"

# runs PID: how often its only thread was put on a CPU.
runs() {
    awk '{ print $3 }' "/proc/$1/schedstat"
}

# watch NAME PID: starts strace; attaching makes a blocked call begin anew, so the first second is not counted.
watch() {
    strace -f -ttt -o "$run/$1.strace" -p "$2" 2>"$run/$1.error" &
    started+=("$!")
}

# First without strace, which would make the processes run.
before=()
for pid in "$daemon" "${workers[@]}"; do before+=("$(runs "$pid")"); done
echo "watching for $seconds s" >&2
sleep "$seconds"
i=0
for pid in "$daemon" "${workers[@]}"; do
    name=musterd
    [ "$i" -gt 0 ] && name="worker $((i - 1))"
    check "$name: times that it ran within $seconds s" "$(($(runs "$pid") - before[i]))" "<=" 0
    i=$((i + 1))
done

watch musterd "$daemon"
for i in "${!workers[@]}"; do watch "worker-$i" "${workers[$i]}"; done
sleep 1
from=$(date +%s.%N)
echo "watching by strace for $seconds s" >&2
sleep "$seconds"
for name in musterd $(seq -f 'worker-%g' 0 $((${#workers[@]} - 1))); do
    if ! [ -e "$run/$name.strace" ] || grep -q -i 'not permitted\|attach:' "$run/$name.error"; then
        echo "$name: strace may not attach ($(head -n1 "$run/$name.error")); run this as root" >&2
        miss
        continue
    fi
    check "$name: system calls within $seconds s (strace)" \
        "$(awk -v from="$from" '$2 >= from' "$run/$name.strace" | wc -l)" "<=" 0
done
finish
