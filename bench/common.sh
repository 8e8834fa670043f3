# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034  # what is set here is for those who source this
# What the benchmarks share: a directory of their own, the processes that they start, medians, and the verdict. To be
# sourced with `build` set; the caller prints, and ends with `finish`.

# Absolute, as the programs are told their paths.
build=$(cd "$build" && pwd)
run=$(mktemp -d -t muster-bench-XXXXXX)
missed=0
started=()

stop_all() {
    local pid
    for pid in "${started[@]}"; do
        if kill "$pid" 2>/dev/null; then wait "$pid" 2>/dev/null || true; fi
    done
    rm -rf "$run"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

die() {
    echo "$*" >&2
    exit 2
}

# wait_for WHAT COMMAND...: until the command succeeds, for 20 s at most.
wait_for() {
    local what=$1 i
    shift
    for ((i = 0; i < 400; i++)); do
        "$@" 2>/dev/null && return 0
        sleep 0.05
    done
    die "$what did not come up; see $run"
}

# start_server ADDRESS...: the source server on free ports; sets `server` (pid) and `addresses`.
start_server() {
    local address options=()
    for address in "$@"; do options+=("--listen=$address:0"); done
    "$build/tools/source-server" "${options[@]}" >"$run/addresses" &
    server=$!
    started+=("$server")
    wait_for "the source server" has_lines "$run/addresses" "$#"
    mapfile -t addresses <"$run/addresses"
}

has_lines() {
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# source_file NAME LINE...: a source of musterd's configuration.
source_file() {
    local name=$1
    shift
    mkdir -p "$run/config/sources.d"
    printf '%s\n' "[Source]" "$@" >"$run/config/sources.d/$name.source"
}

# start_musterd WORKERS LINES [WRAPPER...]: sets `daemon` and `socket`. LINES go to muster.conf. Without a [Cache] section
# among them every document is fetched and read anew.
start_musterd() {
    local workers=$1 lines=$2
    shift 2
    mkdir -p "$run/config" "$run/state"
    [[ $lines == *"[Cache]"* ]] || lines+=$'\n[Cache]\nTTLSec=0'
    printf '[Supervisor]\nWorkers=%s\n%s\n' "$workers" "$lines" >"$run/config/muster.conf"
    socket=$run/io.muster
    "$@" "$build/daemon/musterd" --config-dir="$run/config" --state-dir="$run/state" --socket="$socket" \
        --worker="$build/workers/muster-worker" --log-level=warning &
    daemon=$!
    started+=("$daemon")
    wait_for musterd is_running
}

is_running() {
    "$build/client/musterctl" --socket="$socket" --json=short status 2>/dev/null | grep -q '"state": *"running"'
}

stop_musterd() {
    kill "$daemon"
    wait "$daemon" || die "musterd ended with $?"
    started=("${started[@]/$daemon/}")
}

# counter SOURCE NAME: what musterd has counted for the source, of what schema/counters.def lists.
counter() {
    "$build/client/musterctl" --socket="$socket" --json=short source "$1" |
        sed -n "s/.*\"counters\":{[^}]*\"$2\":\([0-9]*\).*/\1/p"
}

# server_count ADDRESS: the requests that the source server there has got.
server_count() {
    python3 -c 'import json, sys, urllib.request
print(json.load(urllib.request.urlopen("http://" + sys.argv[1] + "/count"))["requests"])' "$1"
}

# median FILE KEY: of lines with KEY=NUMBER.
median() {
    sed -n "s/.*\b$2=\([0-9.]\+\).*/\1/p" "$1" | sort -g |
        awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2; else print "nan" }'
}

# check TEXT VALUE RELATION TARGET: prints it with its target; remembers a miss. RELATION is <=, >= or <.
check() {
    local verdict
    verdict=$(awk -v v="$2" -v r="$3" -v t="$4" 'BEGIN {
        ok = v != "nan" && v != "" && (r == "<=" ? v + 0 <= t + 0 : r == ">=" ? v + 0 >= t + 0 : v + 0 < t + 0)
        print ok ? "reached" : "MISSED"
    }')
    printf '%-58s %10s   target %s %-8s %s\n' "$1" "$2" "$3" "$4" "$verdict"
    [ "$verdict" = reached ] || miss
}

miss() {
    missed=1
}

# ratio A B: with three digits; nan without both.
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN {
        if (a == "nan" || b == "nan" || b + 0 == 0) print "nan"; else printf "%.3f", a / b
    }'
}

finish() {
    exit "$missed"
}
