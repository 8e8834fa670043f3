#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every planted bug must be found within RUNS runs, the command that the report names must show it again
# with the same trace, and without the bug the same seed must pass.
#
#     test-sim-plants.sh SIM-QUERY [RUNS]
set -eu

sim=$1
runs=${2:-300}

fail() {
        echo "not ok - $plant: $1"
        echo "$report" | sed 's/^/# /'
        exit 1
}

for plant in $("$sim" --plants); do
        report=$("$sim" --plant="$plant" --runs="$runs" 2>&1) && fail "not found in $runs runs"
        found=$(echo "$report" | grep '^  seed ') || fail 'no seed was named'
        replay=$(echo "$report" | sed -n 's/^  replay: //p')
        seed=$(echo "$found" | sed 's/^  seed \([0-9]*\),.*/\1/')

        report=$($replay 2>&1) && fail "'$replay' shows nothing"
        echo "$report" | grep -Fqx "$found" || fail "'$replay' shows something else"
        report=$("$sim" --seed="$seed" --runs=1 2>&1) || fail "seed $seed fails without it, too"
        echo "ok - $plant: found by seed $seed"
done
