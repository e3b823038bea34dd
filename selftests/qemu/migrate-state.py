#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Stock QEMU is stopped in the middle of a latched count, of an RTC's access and of a disk's sector, `iofilter save`, migrated to a second
QEMU with filters of its own, `iofilter restore`, and goes on: the second byte of the latch is the right one, and the guest's PM timer and
HPET never step back. Its CMOS bytes and its disk are what they were, and the RTC's time goes on. Then once more without save and restore:
the latch is lost, and everything else is as it should be."""
import os
import random
import time

from guest import IOFILTER, Failed, check, main, make_disk, say, sh
from migration import Migration

DEVICES = "pmtimer", "hpet", "pit", "rtc", "ide"
MACHINE = "pc,kernel-irqchip=split"
COUNTS = 800
# A third of the disk for each QEMU; the last sectors of it are held.
PART, EACH, HELD = 256, 31, 8
SCRATCH = 0x60


def fits(m, r, what):
    """The two filters' answers may lag, each by its bracket."""
    st = m.status()
    allowed = sum(st[d]["clock"]["bracket"] for d in ("pmtimer", "pit"))
    say(f"{what}: {r}, at most {allowed} ns are allowed")
    return r["misfit_ns"] <= allowed


def in_flight(m):
    return m.registers("pit", "channel[2].latched", "channel[2].latch", "in_flight")


def latch(m):
    """A count that the filter has latched, with one byte read, in a stopped VM. An audit may send a latch command to QEMU."""
    for _ in range(50):
        lsb = m.ask(f"hold {COUNTS}")["held"]
        m.stop()
        latched, value, n = in_flight(m)
        if latched == 2 and value & 0xff == lsb:
            say(f"stopped with {n} in flight: {value:#x} is latched, {lsb:#x} was read")
            check(f"in flight: 1 byte of latched {value:#06x}" in sh(IOFILTER, "status", "--pid", str(m.guest.pid)).stdout, "status shows it")
            channel = m.status()["pit"]["channels"][2]
            check((channel["latch"], channel["latch_bytes"]) == (value, 1), "and so does its JSON")
            return value
        m.go_on()
        m.ask("rest 0")
    raise Failed("the filter has never latched a count")


class Rtc:
    """Its CMOS bytes stand still but for those that kmod/cmos.c writes, and its time is the host's."""

    def __init__(self, m):
        self.m = m
        self.time = self.held = 0
        self.bytes = None

    def dump(self):
        r = self.m.ask("dump 2", "cmos")
        check(r["wrong"] == 0 and r["bytes"] == (self.bytes or r["bytes"]), f"the CMOS bytes are what they were: {r}")
        self.bytes = r["bytes"]

    def mixed(self):
        r = self.m.ask(f"mixed 300 {random.randrange(1 << 32)}", "cmos")
        check(r["reads"] > 100 and r["wrong"] == 0, f"{r['reads']} reads of CMOS bytes gave what was written last ({r['writes']} writes)")
        # Which were other bytes.
        self.bytes = None

    def clock(self):
        before = time.time()
        now = self.m.ask("time 0", "cmos")["time"]
        after = time.time()
        # QEMU begins a second when it starts, and shows whole ones.
        check(max(self.time, before - 2) <= now <= after, f"the RTC shows the host's time but for {after - now:.1f} s, and goes on")
        self.time = now

    def use(self):
        self.mixed()
        self.dump()
        self.clock()

    def hold(self):
        self.held = random.randrange(256)
        self.m.ask(f"put {SCRATCH} {self.held}", "cmos")
        self.bytes = None
        self.dump()
        self.m.guest.run(f"echo hold {SCRATCH} > /proc/cmos")

    def rest(self):
        value = self.m.ask("rest 0", "cmos")["value"]
        check(value == self.held, f"the index that was written before the stop is the RTC's: it has shown {value:#x}")
        self.dump()


class Ide:
    """All of the disk, by PIO: each QEMU shows a part, and the sectors between two parts are begun on the one and ended on the other."""

    def __init__(self, m):
        self.m = m
        self.at = 0
        self.bytes = None

    def read(self, lba, count, times):
        r = self.m.ask(f"read 0x20 {lba} {count} {times} 2", "idepio")
        check(r["sectors"] == count * times and r["wrong"] == 0 and r["failed"] == 0,
              f"{count * times} sectors from {lba} on are what the disk holds: {r}")

    def part(self):
        self.read(self.at, EACH, (PART - HELD) // EACH)

    def use(self):
        # What the registers say of the last sector stands still, and is answered most often.
        self.read(0, 1, 8)
        r = self.m.ask("registers 50", "idepio")
        check(r["changed"] == 0 and r["bytes"] == (self.bytes or r["bytes"]), "the idle drive's registers are what they were")
        self.bytes = r["bytes"]

    def hold(self):
        r = self.m.ask(f"hold {self.at + PART - HELD} {HELD} {random.randrange(1, 256)}", "idepio")
        check(r["failed"] == 0, f"{HELD} more are asked for, of which some words are read: {r}")

    def rest(self):
        r = self.m.ask("rest 0", "idepio")
        check(r["sectors"] == HELD and r["wrong"] == 0 and r["failed"] == 0, f"their rest is what the disk holds: {r}")
        self.at += PART


def test(disk):
    with Migration(DEVICES, MACHINE, ("-drive", f"file={disk},format=raw,if=ide,index=0")) as m:
        m.boot()
        rtc, ide = Rtc(m), Ide(m)

        def use():
            m.ask(f"more {COUNTS}")
            rtc.use()
            ide.use()

        check(fits(m, m.ask(f"latch {COUNTS}"), "whole counts"), "the counter is where the PM timer says")
        ide.part()
        m.answered(use)
        for keep in True, False:
            say("--- saved and restored" if keep else "--- without")
            ide.hold()
            rtc.hold()
            value = latch(m)
            m.migrate(keep)
            latched, restored, n = in_flight(m)
            if keep:
                check((latched, restored, n) == (2, value, 1), f"the second filter has the latch: {restored:#x}")
            else:
                check(n == 0, "the third filter knows of no latch")
            m.go_on()
            r = m.ask("rest 0")
            if keep:
                check(r["held"] == value, f"the guest has read {r['held']:#x}")
                check(fits(m, r, "the latched count"), "that is what the counter was")
            else:
                # What it has got is an LSB of that moment, which is the right one once in 256 times.
                say(f"the guest has read {r['held']:#x}, it was {value:#x}: the latch is lost")
            rtc.rest()
            ide.rest()
            check(fits(m, m.ask(f"{'more' if keep else 'latch'} {COUNTS}"), "whole counts"), "the counter and the PM timer go on as one")
            ide.part()
            m.answered(use)
        ide.read(ide.at + PART - HELD, HELD, 1)
        m.end()


def with_disk():
    disk = make_disk(3 * PART)
    try:
        test(disk)
    finally:
        os.unlink(disk)


main(with_disk)
