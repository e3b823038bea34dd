#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Two vCPUs read the port and compare every value with what either has seen, while the VM is stopped and continued.

First as QEMU does it: only a read in its frozen window (clock stopped, vCPUs not yet) may be followed by a lower one, so steps back
are rare, and no longer than a delay may be. Then with the filter's clock stopped around each pause: none at all."""
import random
import time

from guest import IOFILTER, SCALE, Filter, Guest, check, main, punted, say, sh

TICKS_PER_MS = 3579.545


def loops(guest, seconds):
    guest.begin(f"taskset 1 clock port 1000000000000 {seconds} > /tmp/0 & "
                f"taskset 2 clock port 1000000000000 {seconds} > /tmp/1; wait; cat /tmp/0 /tmp/1")


def results(guest, seconds):
    _, lines = guest.end(seconds * 2 + 60)
    rows = [guest.parse(line) for line in lines]
    check(len(rows) == 2, f"both vCPUs gave a result: {lines}")
    say(rows)
    back = sum(r["back"] + r["cross"] for r in rows)
    return sum(r["reads"] for r in rows), back, max(r["max_back"] for r in rows) / TICKS_PER_MS


def pauses(guest, filt, seconds, rng, held):
    before = filt.status()
    loops(guest, seconds)
    n, end = 0, time.monotonic() + seconds - 2
    while time.monotonic() < end:
        time.sleep(rng.random() * 0.1)
        if held:
            sh(IOFILTER, "clock", "--pid", str(guest.pid), "pmtimer", "stop")
        guest.qmp.cmd("stop")
        time.sleep(rng.random() * 0.05)
        guest.qmp.cmd("cont")
        if held:
            sh(IOFILTER, "clock", "--pid", str(guest.pid), "pmtimer", "start")
        n += 1
    reads, back, worst = results(guest, seconds)
    st = filt.status()
    say(f"{n} pauses{' with the clock held' if held else ''}: {reads} reads, {st['answered'] - before['answered']} answered, "
        f"{punted(st) - punted(before)} punted; {back} steps back, at most {worst:.3f} ms; {st['clock']}")
    check(n >= 5, f"{n} pauses, wanted at least 5")
    check(st["answered"] - before["answered"] > reads / 4, "a good part was answered")
    check(st["clock"]["fuse"] == "ok", f"the fuse is {st['clock']['fuse']}")
    return n, back, worst, 2 * st["clock"]["expiry"] / 1e6


def test():
    seed = random.randrange(1 << 32)
    say(f"seed {seed}")
    rng = random.Random(seed)
    seconds = int(20 * SCALE)
    with Guest(cpus=2, append="clocksource=hpet") as guest:
        guest.boot()
        filt = Filter(guest)
        guest.json("clock port 3000")
        n, back, worst, limit = pauses(guest, filt, seconds, rng, False)
        check(back <= 8 * n, f"{back} steps back in {n} pauses")
        check(worst <= limit, f"{worst:.3f} ms back at most, wanted at most {limit:.1f}")
        _, back, _, _ = pauses(guest, filt, seconds, rng, True)
        check(back == 0, f"{back} steps back with the clock held, wanted none")
        filt.detach()


main(test)
