#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Quality of the lexical engine on a file of questions in the SQuAD v1.1 format, against its targets on XQuAD-en
# (github.com/google-deepmind/xquad, xquad.en.json). Usage: quality.sh BUILD-DIRECTORY FILE.json
set -eu

build=${1:?usage: quality.sh BUILD-DIRECTORY FILE.json}
file=${2:?usage: quality.sh BUILD-DIRECTORY FILE.json}

"$build/bench/quality" "$file" | awk '
        BEGIN { target["passage"] = 0.937; target["sentence"] = 0.80 }
        { print }
        $1 in target {
                seen++
                if ($5 < target[$1]) {
                        printf "%s: P@1 is below its target of %s\n", $1, target[$1]
                        bad = 1
                }
        }
        END { exit bad || seen != 2 }'
