#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Empty tasks per second at 16 in flight with two workers: the lanes against Python's ProcessPoolExecutor, five rounds
# of each in turn, medians. Usage: lane-handoff.sh BUILD-DIRECTORY [TASKS] [PYTHON-TASKS] [ROUNDS]
set -eu

build=${1:?usage: lane-handoff.sh BUILD-DIRECTORY [TASKS] [PYTHON-TASKS] [ROUNDS]}
tasks=${2:-5000000}
python_tasks=${3:-20000}
rounds=${4:-5}
target=100
here=$(dirname "$0")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

i=0
while [ "$i" -lt "$rounds" ]; do
        "$build/bench/lane-handoff" "$tasks" >>"$out/lanes"
        /usr/bin/python3 "$here/lane-handoff.py" "$python_tasks" >>"$out/python"
        i=$((i + 1))
done

# median FILE COLUMN
median() {
        awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

lanes=$(median "$out/lanes" 1)
python=$(median "$out/python" 1)
printf '%-22s %14s %14s %16s\n' "" "tasks/s" "CPU us/task" "wakes per 1,000"
printf '%-22s %14s %14s %16s\n' lanes "$lanes" "$(median "$out/lanes" 2)" "$(median "$out/lanes" 3)"
printf '%-22s %14s %14s %16s\n' ProcessPoolExecutor "$python" "$(median "$out/python" 2)" -
awk -v a="$lanes" -v b="$python" -v t="$target" 'BEGIN {
        printf "ratio %.0f (target: at least %d)\n", a / b, t
        exit a / b < t
}'
