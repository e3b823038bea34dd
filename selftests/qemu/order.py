#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's vCPUs hand a lock back and forth; whoever has it reads the port and compares with the value that the one before
saw. Other devices' exits come in between, audits too, and the host is busy with other work for the last quarter. No step back.

  order.py [CPUS [CPU]]     2 vCPUs of "max" by default. QEMU= names another QEMU."""
import os
import subprocess
import sys
import time

from guest import SCALE, Failed, Filter, Guest, check, main, punted, say

READS = 2000000 if os.environ.get("TORTURE") == "1" else int(20000 * SCALE)
CHUNK = 50000  # what it has come to is said after so many reads


def chunk(guest, cpus, reads):
    each = " & ".join(f"taskset {1 << i:x} clock lock {reads} > /tmp/{i}" for i in range(cpus))
    guest.begin(f"{each} & wait; cat {' '.join(f'/tmp/{i}' for i in range(cpus))}")
    _, lines = guest.end(120 + reads * cpus / 200)
    rows = [guest.parse(line) for line in lines]
    if len(rows) != cpus:
        raise Failed(f"{cpus} vCPUs, but these results: {lines}")
    return rows


def run(guest, cpus, reads, what):
    """@reads on each vCPU, and their results. The vCPUs compare within a chunk."""
    total, start = [], time.monotonic()
    while (done := total[0]["reads"] if total else 0) < reads:
        rows = chunk(guest, cpus, min(CHUNK, reads - done))
        total = [{k: max(a[k], b[k]) if k.startswith("max") else a[k] + b[k] for k in a} for a, b in zip(total, rows)] or rows
        say(f"{what}: {total[0]['reads']} of {reads} reads per vCPU, {time.monotonic() - start:.0f} s, "
            f"{sum(r['back'] + r['cross'] for r in total)} steps back")
    return total


def judge(rows, reads, what):
    for r in rows:
        say(f"{what}: {r}")
    check(all(r["reads"] == reads for r in rows), f"{what}: each vCPU read {reads} times")
    check(sum(r["back"] + r["cross"] for r in rows) == 0, f"{what}: no value below one seen before, on no vCPU")
    handed = sum(r["handed"] for r in rows)
    check(sum(r["unclear"] for r in rows) < reads / 100, "few reads were preempted for long")
    check(handed > reads / 1000, f"{what}: the lock changed hands {handed} times")


def test():
    cpus = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    with Guest(cpus=cpus, cpu=sys.argv[2] if len(sys.argv) > 2 else "max", append="clocksource=hpet") as guest:
        say(guest.qmp.cmd("query-version")["qemu"])
        guest.boot()
        say(*guest.run("dmesg | grep 'portclock: TSC'")[1])
        filt = Filter(guest)
        judge(run(guest, cpus, READS * 3 // 4, "quiet host"), READS * 3 // 4, "quiet host")
        load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
        try:
            judge(run(guest, cpus, READS // 4, "busy host"), READS // 4, "busy host")
        finally:
            for p in load:
                p.kill()
                p.wait()
        st = filt.status()
        say(f"answered {st['answered']} of {st['reads']}, punted {st['punted']}; {st['clock']}")
        check(st["answered"] > st["reads"] / 2, f"{st['answered']} answered of {st['reads']}, wanted most")
        check(st["punted"]["audit"] > 0, f"{st['punted']['audit']} audits, wanted some")
        check(punted(st) > st["punted"]["audit"], "punts for other reasons were mixed in")
        check(st["clock"]["fuse"] == "ok" and st["clock"]["moves"] == 0, "the clock did not move, and the fuse is whole")
        filt.detach()


main(test)
