#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""One vCPU reads the port 150,000 times (10^6 and more with TORTURE) as fast as it can, punts mixed in: audits, other widths, strings, writes, sleeps. Then
two vCPUs at once. Never a step back, not on one vCPU and not from one to the other."""
from guest import SCALE, Filter, Guest, check, main, punted, say


def judge(r, reads):
    say(r)
    check(r["reads"] == reads, f"{r['reads']} reads, wanted {reads}")
    check(r["back"] == 0, f"{r['back']} steps back, wanted none")
    check(r["cross"] == 0, f"{r['cross']} values older than another vCPU had seen before, wanted none")


def test():
    reads = int(150000 * SCALE)
    with Guest(cpus=2) as guest:
        guest.boot()
        filt = Filter(guest)
        judge(guest.json(f"clock mixed {reads}", 200 * SCALE), reads)
        st = filt.status()
        say(st["punted"])
        check(st["answered"] > 0.8 * reads, f"{st['answered']} of {reads} reads answered, wanted most")
        for reason in "audit", "shape", "write":
            check(st["punted"][reason] > 0, f"{st['punted'][reason]} punts for '{reason}', wanted some")

        each = reads // 8
        guest.begin(f"taskset 1 clock port {each} > /tmp/0 & taskset 2 clock mixed {each} > /tmp/1; wait; cat /tmp/0 /tmp/1")
        status, lines = guest.end(150 * SCALE)
        check(status == 0 and len(lines) == 2, f"both vCPUs gave a result: {lines}")
        for line in lines:
            judge(guest.parse(line), each)
        st = filt.status()
        say(st["punted"])
        check(st["clock"]["proof"] == "proven" and st["clock"]["fuse"] == "ok", "the clock is still proven")
        check(punted(st) < st["reads"], "not everything was punted")
        filt.detach()


main(test)
