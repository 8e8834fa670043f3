#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up logs of meson's tests (testlog.json): "PASSED FAILED SKIPPED", then a line for each skipped test that says why."""

import json
import re
import sys

PASSED = ("OK", "EXPECTEDFAIL")


def reason(test):
    """A test says on its last line why it is skipped; one that speaks TAP says it after "# SKIP"."""
    said = (test.get("stdout") or test.get("stderr") or "").strip()
    tap = re.search(r"1\.\.0 # SKIP *(.*)", said)
    return tap.group(1) if tap else said.rpartition("\n")[2]


tests = [json.loads(line) for path in sys.argv[1:] for line in open(path, encoding="utf-8")]
skipped = [test for test in tests if test["result"] == "SKIP"]
passed = sum(test["result"] in PASSED for test in tests)
print(passed, len(tests) - passed - len(skipped), len(skipped))
for test in skipped:
    print(f"{test['name'].split(' / ')[-1]}: {reason(test)}")
