#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Checks lane.pml exhaustively with Spin, in two sizes, and demands that every mutant is found wrong: a model that
# cannot fail proves nothing. About 30 seconds and 1.5 GB of memory. Exit status 77 without Spin.
#
#     lane-model.sh [MODEL]

set -eu
model=$(realpath "${1:-$(dirname "$0")/lane.pml}")
mutants='PUBLISH_FIRST HEAD_FIRST REQUEUE_FIRST NO_SECOND_LOOK CLAIM_NO_INDEX'

if ! command -v spin >/dev/null; then
        echo 'spin is not installed (package spin): the model is not checked'
        exit 77
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

# Leaves the verifier's report in `report`.
verify() {
        rm -f pan.* report
        # shellcheck disable=SC2086 # the options are several words
        spin -a $1 "$model" >report 2>&1 || { cat report; exit 1; }
        ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c
        ./pan -m100000 >report 2>&1 || true
        if grep -q 'max search depth too small\|out of memory' report; then
                cat report
                exit 1
        fi
}

states() {
        sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' report
}

for size in '-DTASKS=3 -DKILLS=2 -DREVOKES=2' '-DTASKS=4 -DKILLS=1 -DREVOKES=2'; do
        verify "$size"
        if ! grep -q 'errors: 0' report || grep -q 'Search not completed' report; then
                cat report
                echo "FAILED: the model $size"
                exit 1
        fi
        echo "model $size: $(states) states, no error"
done

for mutant in $mutants; do
        verify "-DMUTANT_$mutant"
        if ! grep -q 'errors: 1' report; then
                cat report
                echo "FAILED: the mutant $mutant passes"
                exit 1
        fi
        echo "mutant $mutant: found: $(sed -n 's/^pan:[0-9]*: //p' report | head -n 1)"
done
