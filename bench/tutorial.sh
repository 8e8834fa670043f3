#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tutorial.sh BUILD-DIRECTORY: the tutorial's job, with figures. Three sources answer after 2.0, 1.5 and 3.0 s, and
# every document burns 2 s of CPU. Made for two CPUs:
#
#     one after another     2.0+2 + 1.5+2 + 3.0+2                                              = 12.5 s
#     two workers           news 1.5-3.5, weather 2.0-4.0, knowledge waits for a worker 3.5-5.5 =  5.5 s
#     one worker more       6 s of CPU on two CPUs, the last document comes at 3.0 and needs 2  =  5.0 s at best;
#                           5.25 s when the kernel shares the CPUs evenly among the three
#
# Then one source that never answers, with TimeoutSec=5.

set -euo pipefail
build=${1:?usage: tutorial.sh BUILD-DIRECTORY}
# shellcheck source=common.sh source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

start_server 127.0.0.1
for name in weather news knowledge; do
    source_file "$name" "URL=http://${addresses[0]}/$name" TimeoutSec=5 Engine=spin SpinSec=2
done
source_file hang "URL=http://${addresses[0]}/hang" TimeoutSec=5

musterctl() {
    "$build/client/musterctl" --socket="$socket" "$@"
}

# ask FILE SOURCE...: the answer as JSON.
ask() {
    local out=$1 name options=()
    shift
    for name in "$@"; do options+=("--source=$name"); done
    musterctl --json=short "${options[@]}" query "What's happening now?" >"$out" || true
}

# json FILE EXPRESSION: of the answer `a`, its timeline as `steps`.
json() {
    python3 -c '
import json, sys
a = json.load(open(sys.argv[1]))
steps = a["timeline"]
print(eval(sys.argv[2]))' "$1" "$2"
}

start_musterd 2 '[Inference]
TimeoutSec=30'
musterctl bench --source=weather --source=news --source=knowledge "What's happening now?"
ask "$run/two" weather news knowledge
ask "$run/hang" hang weather news
stop_musterd
start_musterd 3 '[Inference]
TimeoutSec=30'
ask "$run/three" weather news knowledge
stop_musterd

first_steps='[min(s["start_ms"] for s in steps if s["source"] == name) for name in a["sources"]]'
echo
two=$(json "$run/two" 'a["execution_time"]')
three=$(json "$run/three" 'a["execution_time"]')
check "two workers: answer after so many s (5.5 + 3%)" "$two" "<=" 5.665
check "two workers: success" "$(json "$run/two" 'int(a["success"])')" ">=" 1
check "first steps of the sources, ms apart" "$(json "$run/two" "round(max($first_steps) - min($first_steps), 3)")" "<=" 5
printf '%-58s %10s   limit 5.0, evenly shared 5.25\n' "three workers: answer after so many s" "$three"
check "three workers: success" "$(json "$run/three" 'int(a["success"])')" ">=" 1
check "silent source: verdict is timeout" "$(json "$run/hang" 'int(a["sources"]["hang"]["verdict"] == "timeout")')" ">=" 1
check "silent source: ended after so many ms, not early" "$(json "$run/hang" 'a["sources"]["hang"]["fetch_ms"]')" ">=" 5000
check "silent source: ended after so many ms, not late" "$(json "$run/hang" 'a["sources"]["hang"]["fetch_ms"]')" "<" 5005
check "silent source: the other two are ok" \
    "$(json "$run/hang" 'sum(a["sources"][n]["verdict"] == "ok" for n in ("weather", "news"))')" ">=" 2
finish
