#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""musterd as a service of a real systemd: installed, activated, asked, broken, stopped.

    test-service.py BUILD_DIRECTORY

Boots a systemd of its own (see `boot`), installs the build into its throw-away root and goes through STEPS, one after
another in one instance; the first that fails ends the run. Exit status 77: this machine cannot boot one; the reason is
printed. Nothing is left behind, whatever happens.

Every wait is for a state and has an end; nothing here depends on how fast the machine is.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(sys.argv[1]).resolve()
# A name of the build directory: runs of two builds do not meet, and what a killed run left is found by the next one.
NAME = f"service-{zlib.crc32(bytes(BUILD)):08x}"
BOOT = [HERE / "boot", f"--name={NAME}"]
PATIENCE = 30  # seconds that anything may take
SKIP = 77

SOCKET = "/run/muster/io.muster"
SOURCES = "127.0.0.1:9001"
BROKEN = "/etc/muster/muster.conf.d/50-broken.conf"
GATE = "/run/gate"  # workers of the gated service wait for this file
GATED_WORKER = "/run/gated-worker"
DROP_IN = "/run/systemd/system/musterd.service.d/gate.conf"

EVENTS = dict(re.findall(r'^EVENT\((\w+), *"(\w{32})"', (HERE / "../../schema/events.def").read_text(), re.M))


class Failure(Exception):
    """What a step found wrong."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def execute(*argv, text=""):
    """Runs a command inside, with `text` as its standard input."""
    return subprocess.run([*BOOT, "exec", *argv], input=text, capture_output=True, encoding="utf-8", errors="replace",
                          timeout=PATIENCE, check=False)


def run(*argv, status=0, text=""):
    """The same; checks its exit status (None: any) and returns its standard output."""
    done = execute(*argv, text=text)
    check(status in (None, done.returncode),
          f"{' '.join(map(str, argv))}: exit status {done.returncode} instead of {status}\n{done.stdout}{done.stderr}")
    return done.stdout


def until(what, probe):
    """Waits until `probe` gives something true, and returns that."""
    end = time.monotonic() + PATIENCE
    while not (value := probe()):
        check(time.monotonic() < end, f"{what} did not happen within {PATIENCE} s")
        time.sleep(0.05)
    return value


def write(path, text, mode="0644"):
    run("install", "-D", "-m", mode, "/dev/stdin", path, text=text)


def unit(name, field):
    return run("systemctl", "show", "-P", field, name).strip()


def active(name):
    return run("systemctl", "is-active", name, status=None).strip()


def daemon_status():
    return json.loads(run("musterctl", "--json=short", "status"))


def query_command(source, user="root"):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
            "musterctl", "--json=short", "query", *(f"--source={name}" for name in source.split()), "What is new?"]


def query(source, user="root"):
    """The answer; a query without success is a failure."""
    answer = json.loads(run(*query_command(source, user)))
    check(answer["success"], f"no success: {answer}")
    return answer


def journal(*matches):
    lines = run("journalctl", "--no-pager", "-o", "json", *matches, status=None).splitlines()
    return [json.loads(line) for line in lines]


def processes():
    """The pids in the control group of the service."""
    group = "/sys/fs/cgroup" + unit("musterd.service", "ControlGroup")
    return set(map(int, run("cat", f"{group}/cgroup.procs").split()))


def socket_inode():
    return run("stat", "-c", "%i", SOCKET)


# ---- steps ----


def step_install():
    """the build is installed, and systemd-sysusers makes the group of those who may ask"""
    with tempfile.TemporaryDirectory(prefix="muster-system-") as staging:
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", staging],
                       check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "-C", staging, "-c", "."], stdout=subprocess.PIPE) as pack:
            subprocess.run([*BOOT, "exec", "tar", "-C", "/", "-x", "--no-overwrite-dir", "--keep-directory-symlink"],
                           stdin=pack.stdout, check=True, timeout=PATIENCE)
        check(pack.returncode == 0, "tar failed")
    run("systemd-sysusers")
    run("systemctl", "daemon-reload")
    run("getent", "group", "muster-clients")
    run("systemd-sysusers", "-", text="u alice -\nm alice muster-clients\nu mallory -\n")
    for name in "one", "two":
        write(f"/etc/muster/sources.d/{name}.source", f"[Source]\nURL=http://{SOURCES}/bytes\n")
    write("/etc/muster/sources.d/dead.source", "[Source]\nURL=http://127.0.0.1:1/\n")
    write("/etc/muster/sources.d/slow.source", f"[Source]\nURL=http://{SOURCES}/bytes?delay=2s\n")
    run("systemd-run", "--unit=sources", BUILD / "tools/source-server", f"--listen={SOURCES}")


def step_manuals():
    """the manual pages are installed and readable"""
    pages = run("find", "/usr", "/opt", "-path", "*/man/man?/muster*").split()
    if not pages:
        print("# this build has no manual pages")
        return
    check(len(pages) >= 4, f"too few manual pages: {pages}")
    for page in pages:
        text = run("man", "--pager=cat", page)
        for heading in "NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO":
            check(heading in text, f"{page} has no {heading}")


def step_verify():
    """systemd-analyze finds nothing to say about the units"""
    done = execute("systemd-analyze", "verify", "musterd.service", "musterd.socket")
    check(done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr)


def step_check_config():
    """musterd --check-config has nothing to say about a good configuration"""
    done = execute("musterd", "--check-config")
    check(done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr)


def step_activation():
    """the first connection starts the service"""
    run("systemctl", "start", "musterd.socket")
    check(active("musterd.service") == "inactive", "the service runs before anybody asked")
    mode = run("stat", "-c", "%a %U:%G", "/run/muster", SOCKET).split("\n")
    check(mode[:2] == ["755 root:root", "660 root:muster-clients"], f"wrong modes: {mode}")
    query("one")
    check(active("musterd.service") == "active", "the service is not active")
    mode = run("stat", "-c", "%a", "/var/lib/muster").strip()
    check(mode == "700", f"the state directory has mode {mode}")


def step_members():
    """members of muster-clients may ask, others are refused by the socket's mode"""
    query("one", user="alice")
    refused = execute(*query_command("one", user="mallory"))
    check(refused.returncode == 3 and "Permission denied" in refused.stderr, f"no clear refusal: {refused}")


def step_status():
    """systemctl status shows what the daemon is doing"""
    until("the count of answered queries in STATUS=",
          lambda: re.search(r"\d workers ready.* [1-9]\d* answered", unit("musterd.service", "StatusText")))
    shown = run("systemctl", "status", "--no-pager", "musterd.service")
    check(re.search(r'Status: "4 sources, \d+ of \d+ workers ready', shown), shown)


def step_journal():
    """the journal tells the story of one query by its fields"""
    answer = query("one dead")
    check(answer["completeness"] == "partial", f"unexpected answer: {answer}")
    match = f"QUERY_ID={answer['query_id']}"
    entries = until("the journal's entry", lambda: len(found := journal(match)) >= 2 and found)
    by_id = {entry["MESSAGE_ID"]: entry for entry in entries}
    failed, done = by_id[EVENTS["SOURCE_FAILED"]], by_id[EVENTS["QUERY_DONE"]]
    check((failed["SOURCE"], failed["VERDICT"], failed["STAGE"]) == ("dead", "connect", "fetch"), str(failed))
    check((done["COMPLETENESS"], done["SOURCES_ASKED"], done["SOURCES_ANSWERED"]) == ("partial", "2", "1"), str(done))
    for entry in entries:
        check(entry["_SYSTEMD_UNIT"] == "musterd.service" and entry["SYSLOG_IDENTIFIER"] == "musterd", str(entry))
    check(journal("SOURCE=dead", "VERDICT=connect", match) == [failed], "the fields do not select the entry")


def step_worker_killed():
    """a worker that is killed is replaced, and the journal says so"""
    main = unit("musterd.service", "MainPID")
    victim = daemon_status()["workers"][0]["pid"]
    check(victim in processes(), "the worker is not in the control group of the service")
    run("kill", "-KILL", str(victim))

    def replaced():
        workers = daemon_status()["workers"]
        return all(worker["state"] == "idle" and worker["pid"] != victim for worker in workers)

    until("the replacement of the worker", replaced)
    (died,) = journal(f"MESSAGE_ID={EVENTS['WORKER_DIED']}", f"WORKER_PID={victim}")
    check("KILL" in died["MESSAGE"] and died["WORKER"] == "0", str(died))
    check(unit("musterd.service", "MainPID") == main, "the daemon was restarted")
    query("one")


def step_drain():
    """systemctl stop lets the query under way come to its end"""
    with subprocess.Popen([*BOOT, "exec", *query_command("slow")], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as client:
        until("the query", lambda: daemon_status()["fetches"]["in_flight"] == 1)
        run("systemctl", "stop", "musterd.service")
        check(unit("musterd.service", "Result") == "success", "the service failed")
        answer = json.loads(client.communicate(timeout=PATIENCE)[0])
    check(client.returncode == 0 and answer["success"], f"the reply is wrong: {answer}")
    check(journal(f"MESSAGE_ID={EVENTS['STOPPING']}"), "the journal does not tell of the stop")
    check(unit("musterd.service", "ExecMainStatus") == "0", "the daemon did not exit with 0")
    check(run("ls", "/dev/shm") == "", "shared memory is left over")


def step_ready():
    """the service is active only when its workers are ready"""
    worker = run("find", "/usr", "/opt", "-name", "muster-worker").strip()
    write(GATED_WORKER, f"#!/bin/sh\nuntil [ -e {GATE} ]; do sleep 0.05; done\nexec {worker} \"$@\"\n", "0755")
    start = re.search(r"path=([^ ]+)", unit("musterd.service", "ExecStart"))[1]
    write(DROP_IN, f"[Service]\nExecStart=\nExecStart={start} --worker={GATED_WORKER}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "--no-block", "musterd.service")
    until("the STATUS= of the start", lambda: unit("musterd.service", "StatusText").startswith("Starting"))
    check(active("musterd.service") == "activating", "the service is active before its workers are ready")
    run("touch", GATE)
    until("the end of the start", lambda: active("musterd.service") != "activating")
    check(active("musterd.service") == "active", "the service did not start")
    check(journal(f"MESSAGE_ID={EVENTS['STARTED']}"), "the journal does not tell of the start")
    run("rm", DROP_IN)
    run("systemctl", "daemon-reload")


def step_restart():
    """a restart keeps the socket"""
    before, main = socket_inode(), unit("musterd.service", "MainPID")
    run("systemctl", "restart", "musterd.service")
    check(unit("musterd.service", "MainPID") != main, "the daemon was not restarted")
    check(socket_inode() == before, "the socket is another one")
    query("one")


def step_daemon_killed():
    """a daemon that is killed is started again, and nothing of the old one is left"""
    before, old, inode = unit("musterd.service", "NRestarts"), processes(), socket_inode()
    run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "musterd.service")
    until("the restart", lambda: unit("musterd.service", "NRestarts") != before
          and active("musterd.service") == "active")
    workers = {worker["pid"] for worker in daemon_status()["workers"]}
    check(processes() == workers | {int(unit("musterd.service", "MainPID"))}, "there are processes too many")
    check(not old & processes(), "a worker of the old daemon is left over")
    check(run("ls", "/dev/shm") == "", "shared memory is left over")
    check(socket_inode() == inode, "the socket is another one")
    query("one")


def step_broken_configuration():
    """a broken configuration makes the start fail, and the journal says where"""
    write(BROKEN, "# a comment\n[Supervisor]\n  Wrokers=2\n")
    place = f"{BROKEN}:3:3: "
    check(place in run("musterd", "--check-config", status=1), "--check-config does not name the place")
    check(execute("systemctl", "restart", "musterd.service").returncode != 0, "the start did not fail")
    until("the end of the attempts", lambda: active("musterd.service") == "failed")
    messages = [entry["MESSAGE"] for entry in journal("_SYSTEMD_UNIT=musterd.service", "PRIORITY=3")]
    check(any(place in message for message in messages), f"no error in the journal names {place}: {messages}")
    run("rm", BROKEN)
    run("systemctl", "reset-failed", "musterd.service", "musterd.socket")
    run("systemctl", "start", "musterd.service")
    query("one")


def step_stop():
    """the socket stops with all that hangs on it"""
    run("systemctl", "stop", "musterd.socket")
    check(active("musterd.service") == "inactive", "the service runs without its socket")
    run("test", "-e", SOCKET, status=1)
    run(*query_command("one"), status=3)


STEPS = [
    step_install,
    step_manuals,
    step_verify,
    step_check_config,
    step_activation,
    step_members,
    step_status,
    step_journal,
    step_worker_killed,
    step_drain,
    step_ready,
    step_restart,
    step_daemon_killed,
    step_broken_configuration,
    step_stop,
]


# ---- the frame ----


def diagnose():
    """Shows what helps to understand a failure."""
    for command in (["systemctl", "status", "--no-pager", "musterd.service", "musterd.socket"],
                    ["journalctl", "--no-pager", "-n", "60"]):
        print(f"# {' '.join(command)}\n{run(*command, status=None)}")


def read_or_nothing(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def left_over():
    """What an instance could leave on the machine."""
    mounts = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if NAME in line]
    groups = list(pathlib.Path("/sys/fs/cgroup").glob(f"**/muster-boot-{NAME}"))
    commands = [path.parent.name for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if NAME in read_or_nothing(path)]
    return mounts + groups + commands + list(pathlib.Path("/run").glob(f"muster-boot-{NAME}*"))


def go():
    """Runs the steps; true when all went well."""
    print(f"1..{len(STEPS)}")
    for number, step in enumerate(STEPS, 1):
        try:
            step()
        except (Failure, KeyError, ValueError, subprocess.SubprocessError) as failure:
            print(f"not ok {number} - {step.__doc__}\n{type(failure).__name__}: {failure}")
            diagnose()
            return False
        print(f"ok {number} - {step.__doc__}", flush=True)
    return True


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of `finally`
    try:
        up = subprocess.run([*BOOT, "up", f"--bind={BUILD}"], check=False, timeout=2 * PATIENCE)
        if up.returncode:
            return up.returncode if up.returncode == SKIP else 1
        well = go()
    finally:
        subprocess.run([*BOOT, "down"], check=False, timeout=2 * PATIENCE)
    try:
        until("the end of all that was started", lambda: not left_over())
    except Failure as failure:
        print(f"{failure}; left behind: {left_over()}")
        return 1
    return 0 if well else 1


sys.exit(main())
