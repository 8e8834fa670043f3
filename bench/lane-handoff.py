#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same as lane-handoff.c with Python's own means: 16 tasks in flight, two worker processes, 64 bytes there
and back. Usage: lane-handoff.py TASKS. Prints tasks per second and CPU time per task in us."""

import collections
import concurrent.futures
import os
import sys
import time

WORKERS = 2
IN_FLIGHT = 16


def task(document):
    return document


def run(executor, count):
    document = b"a" * 64
    pending = collections.deque(executor.submit(task, document) for _ in range(min(count, IN_FLIGHT)))
    for _ in range(count - len(pending)):
        pending.popleft().result()
        pending.append(executor.submit(task, document))
    while pending:
        pending.popleft().result()


def main():
    count = int(sys.argv[1])
    with concurrent.futures.ProcessPoolExecutor(WORKERS) as executor:
        run(executor, 100)  # both processes are up
        start = time.monotonic()
        run(executor, count)
        elapsed = time.monotonic() - start
    times = os.times()
    cpu = times.user + times.system + times.children_user + times.children_system
    print(f"{count / elapsed:.0f} {cpu / count * 1e6:.1f}")


main()
