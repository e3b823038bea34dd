#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What moves a VM's clock, while its vCPUs hand a lock around and compare every value (see order.py): snapshots and their load,
resets, migration to a second QEMU with a filter of its own. First on QEMU alone, then with the filter, which may
be worse in one thing only: in the frozen window of a pause (docs/clock.md), and by no more than a delay may last.

  upset.py [CPUS [CPU]]     2 vCPUs of "max" by default. QEMU= names another QEMU."""
import os
import random
import sys
import time

from freeze import Freeze
from guest import PMTIMER_HZ, SCALE, WRAP, Failed, Filter, Guest, check, main, say

CPUS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
CPU = sys.argv[2] if len(sys.argv) > 2 else "max"
ROUNDS = max(1, int(SCALE))
# So many reads per vCPU under pauses, if it takes more rounds than those; QEMU alone, which is slower and only the yardstick, does a quarter.
READS = 2000000 if os.environ.get("TORTURE") == "1" else 0


class Totals:
    """What one way of running has brought."""

    def __init__(self):
        self.reads = self.back = self.moves = 0
        self.worst = self.gap = 0.0

    def add(self, rows, moves):
        self.moves += moves
        self.reads += sum(r["reads"] for r in rows)
        self.back += sum(r["back"] + r["cross"] for r in rows)
        self.worst = max(self.worst, max(r["max_back"] for r in rows) / PMTIMER_HZ)
        self.gap = max(self.gap, max(r["max_gap"] for r in rows) / PMTIMER_HZ)

    def text(self):
        return f"{self.moves} times, {self.reads} reads, {self.back} steps back, at most {self.worst * 1e6:.0f} us; " \
               f"no gap above {self.gap * 1e3:.0f} ms"


def begin(guest, seconds, then=""):
    each = " & ".join(f"taskset {1 << i:x} clock lock 1000000000000 {seconds} > /tmp/{i}" for i in range(CPUS))
    guest.begin(f"{each} & {then} wait; cat {' '.join(f'/tmp/{i}' for i in range(CPUS))}")


def end(guest, seconds):
    _, lines = guest.end(seconds * 5 + 100)
    rows = [guest.parse(line) for line in lines]
    check(len(rows) == CPUS, f"every vCPU gave a result: {lines}")
    return rows


def job(guest, name, **args):
    guest.qmp.cmd(name, **{"job-id": "j", **args})
    end = time.monotonic() + 120
    while True:
        found = [j for j in guest.qmp.cmd("query-jobs") if j["id"] == "j"][0]
        if found["status"] == "concluded":
            guest.qmp.cmd("job-dismiss", id="j")
            check("error" not in found, f"{name}: {found.get('error', 'done')}")
            return
        if time.monotonic() > end:
            raise Failed(f"{name} takes longer than 120 s")
        time.sleep(0.05)


def disk(guest):
    """Room for snapshots."""
    path = os.path.join(guest.dir, "disk")
    job(guest, "blockdev-create", options={"driver": "file", "filename": path, "size": 0})
    guest.qmp.cmd("blockdev-add", driver="file", filename=path, **{"node-name": "file"})
    job(guest, "blockdev-create", options={"driver": "qcow2", "file": "file", "size": 1 << 20})
    guest.qmp.cmd("blockdev-add", driver="qcow2", file="file", **{"node-name": "disk"})


def pauses(guest, _, totals, rng, freeze):
    begin(guest, 8)
    n, until = 0, time.monotonic() + 7
    while time.monotonic() < until:
        time.sleep(rng.random() * 0.1)
        freeze.stop(guest)
        time.sleep(rng.random() * 0.1)
        guest.qmp.cmd("cont")
        n += 1
    totals.add(end(guest, 8), n)
    return guest


def snapshots(guest, _, totals, rng, freeze):
    begin(guest, 6)
    time.sleep(1 + rng.random())
    job(guest, "snapshot-save", tag="s", vmstate="disk", devices=["disk"])
    for _ in range(2):
        time.sleep(rng.random() * 2)
        # Back to what was, the guest's memory of all values included.
        freeze.stop(guest)
        job(guest, "snapshot-load", tag="s", vmstate="disk", devices=["disk"])
        guest.qmp.cmd("cont")
    job(guest, "snapshot-delete", tag="s", devices=["disk"])
    totals.add(end(guest, 6), 3)
    return guest


def reset(guest, _, totals, rng, freeze):
    begin(guest, 1000)
    time.sleep(1 + rng.random())
    guest.qmp.cmd("system_reset")
    guest.boot()
    begin(guest, 3)
    totals.add(end(guest, 3), 1)
    return guest


def migrate(guest, filtered, totals, rng, freeze):
    """The loop outlasts the migration, however long that takes, and ends when it is told to at the second QEMU."""
    path = os.path.join(guest.dir, "migration")
    second = Guest(cpus=CPUS, cpu=CPU, append="clocksource=hpet", extra=("-incoming", f"unix:{path}"))
    try:
        filt = Filter(second) if filtered else None
        second.connect()
        begin(guest, 1000, "read _ < /dev/ttyS1; killall clock;")
        time.sleep(1 + rng.random())
        guest.qmp.cmd("migrate-set-parameters", **{"downtime-limit": 2000, "max-bandwidth": 1 << 30})
        guest.qmp.cmd("migrate", uri=f"unix:{path}")
        until = time.monotonic() + 180
        while (status := guest.qmp.cmd("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > until:
                raise Failed(f"migration: {status}: {guest.qemu_log()} {second.qemu_log()}")
            time.sleep(0.1)
        time.sleep(5)
        second.ctl.sendall(b"\n")
        totals.add(end(second, 20), 1)
        if filt:
            st = filt.status()
            say(f"second QEMU: {st['answered']} of {st['reads']} answered, punted {st['punted']}, {st['clock']}")
            check(st["answered"] > max(st["reads"] / 2, 50),
                  f"{st['answered']} of {st['reads']} answered by the second QEMU's filter, wanted most")
    except BaseException:
        second.kill()
        raise
    guest.kill()
    return second


def run(filtered, seed, freeze):
    """Each of the upsets on one VM; the last leaves another one."""
    rng = random.Random(seed)
    found = {}
    guest = Guest(cpus=CPUS, cpu=CPU, append="clocksource=hpet")
    try:
        guest.boot()
        disk(guest)
        filt = Filter(guest) if filtered else None
        for upset in (pauses, snapshots, reset, migrate):
            if upset == migrate:
                guest.qmp.cmd("blockdev-del", **{"node-name": "disk"})
                guest.qmp.cmd("blockdev-del", **{"node-name": "file"})
            totals = found[upset.__name__] = Totals()
            want = READS * CPUS // (1 if filtered else 4) if upset == pauses else 0
            rounds = ROUNDS if upset in (pauses, snapshots) else 1
            while rounds > 0 or totals.reads < want:
                guest = upset(guest, filtered, totals, rng, freeze)
                rounds -= 1
                say(f"{upset.__name__}: {totals.text()}")
            say(f"{'with the filter' if filtered else 'QEMU alone'}: {upset.__name__}: {totals.text()}")
            if filt and upset != migrate:
                st = filt.status()
                say(f"{st['answered']} of {st['reads']} answered, punted {st['punted']}, {st['clock']}")
                check(st["clock"]["fuse"] == "ok", f"the fuse is {st['clock']['fuse']}")
                found["delay"] = 2 * st["clock"]["expiry"] / 1e9
    finally:
        guest.kill()
    return found


def test():
    seed = random.randrange(1 << 32)
    say(f"seed {seed}")
    with Freeze() as freeze:
        alone = run(False, seed, freeze)
        found = run(True, seed, freeze)
        say(f"frozen window: {freeze.text()}")
    delay = found.pop("delay")
    for name, f in found.items():
        a = alone[name]
        say(f"{name}, QEMU alone: {a.back} steps back, at most {a.worst * 1e6:.0f} us")
        # A busy host makes gaps, too; an answer that is a wrap of the counter off, none shorter than that.
        check(f.gap < a.gap + WRAP * 3 / 4,
              f"{name}, with the filter: no gap above {f.gap * 1e3:.0f} ms, QEMU alone {a.gap * 1e3:.0f} ms")
        check(f.back <= 8 * f.moves + a.back and f.worst <= max(delay, a.worst),
              f"{name}, with the filter: {f.back} steps back in {f.moves} moves of the clock, at most {f.worst * 1e6:.0f} us")
    check(found["reset"].back == 0, f"after a reset: {found['reset'].back} steps back")


main(test)
