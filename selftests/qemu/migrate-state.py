#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Stock QEMU is stopped in the middle of a latched count, `iofilter save`, migrated to a second QEMU with filters of its own, `iofilter
restore`, and goes on: the second byte of the latch is the right one, and the guest's PM timer and HPET never step back. Then once more without
save and restore: the latch is lost, and everything else is as it should be."""
import os
import time

from guest import IOFILTER, PMTIMER_HZ, Failed, Filter, Guest, check, main, say, sh, status

DEVICES = "pmtimer", "hpet", "pit"
MACHINE = "q35,kernel-irqchip=split"
HPET_HZ = 100000000
COUNTS = 800


def ask(guest, line):
    """kmod/pitclock.c"""
    return guest.json(f"exec 5<>/proc/pitclock; echo {line} >&5; cat <&5")


def begin(guest):
    """Two loops share the second CPU, until they are told to end."""
    guest.run("taskset 2 clock port 1000000000000 > /tmp/pm &")
    guest.run("while [ ! -e /tmp/end ]; do taskset 2 clock hpet whole 2000 >> /tmp/hpet; done &")


def end(guest, stops):
    guest.run("touch /tmp/end; killall clock; sleep 3")
    _, lines = guest.run("cat /tmp/pm /tmp/hpet")
    rows = [guest.parse(line) for line in lines]
    check(len(rows) >= 2, f"both clocks were read: {len(rows)} rows")
    # In the frozen window of a stop (docs/clock.md) there may be some, as far as a delay lasts.
    delay = 2 * max(d["clock"]["expiry"] for d in status(guest.pid) if d["device"] != "pit") / 1e9
    for name, hz, some in ("PM timer", PMTIMER_HZ, rows[:1]), ("HPET", HPET_HZ, rows[1:]):
        back, worst = sum(r["back"] + r["cross"] for r in some), max(r["max_back"] for r in some) / hz
        check(back <= 8 * stops and worst <= delay,
              f"{sum(r['reads'] for r in some)} reads of the {name}: {back} steps back in {stops} stops, at most {worst * 1e6:.0f} us")


def filters(guest):
    return {d: Filter(guest, device=d) for d in DEVICES}


def fits(guest, r, what):
    """The two filters' answers may lag, each by its bracket."""
    allowed = sum(d["clock"]["bracket"] for d in status(guest.pid) if d["device"] in ("pmtimer", "pit"))
    say(f"{what}: {r}, at most {allowed} ns are allowed")
    return r["misfit_ns"] <= allowed


def in_flight(guest):
    out = sh(IOFILTER, "reg", "get", "--pid", str(guest.pid), "pit", "channel[2].latched", "channel[2].latch", "in_flight").stdout
    return [int(line.split()[1]) for line in out.splitlines()]


def latch(guest):
    """A count that the filter has latched, with one byte read, in a stopped VM, and how many stops that took. An audit may send a latch
    command to QEMU."""
    for tries in range(1, 50):
        lsb = ask(guest, f"hold {COUNTS}")["held"]
        guest.qmp.cmd("stop")
        latched, value, n = in_flight(guest)
        if latched == 2 and value & 0xff == lsb:
            say(f"stopped with {n} in flight: {value:#x} is latched, {lsb:#x} was read")
            check(f"in flight: 1 byte of latched {value:#06x}" in sh(IOFILTER, "status", "--pid", str(guest.pid)).stdout, "status shows it")
            pit = next(d for d in status(guest.pid) if d["device"] == "pit")
            check((pit["channels"][2]["latch"], pit["channels"][2]["latch_bytes"]) == (value, 1), "and so does its JSON")
            return value, tries
        guest.qmp.cmd("cont")
        ask(guest, "rest 0")
    raise Failed("the filter has never latched a count")


def migrate(guest, path):
    """To a second QEMU, stopped as the first is, with filters."""
    socket = os.path.join(guest.dir, "migration")
    second = Guest(cpus=2, machine=MACHINE, append="clocksource=hpet", extra=("-incoming", f"unix:{socket}"))
    try:
        if path:
            say(sh(IOFILTER, "save", "--pid", str(guest.pid), path).stdout.strip())
        attached = filters(second)
        second.connect()
        guest.qmp.cmd("migrate-set-parameters", **{"max-bandwidth": 1 << 30})
        guest.qmp.cmd("migrate", uri=f"unix:{socket}")
        until = time.monotonic() + 180
        while (now := guest.qmp.cmd("query-migrate").get("status")) != "completed":
            if now in ("failed", "cancelled") or time.monotonic() > until:
                raise Failed(f"migration: {now}: {guest.qemu_log()} {second.qemu_log()}")
            time.sleep(0.1)
        while (now := second.qmp.cmd("query-status")["status"]) not in ("paused", "running") and time.monotonic() < until:
            time.sleep(0.1)
        check(now == "paused", f"the second QEMU is {now}")
        guest.kill()
        if path:
            say(sh(IOFILTER, "restore", "--pid", str(second.pid), path).stdout.strip())
    except BaseException:
        second.kill()
        raise
    return second, attached


def judge_after(guest, line, devices):
    r = ask(guest, line)
    check(fits(guest, r, "whole counts"), "the counter and the PM timer go on as one")
    for _ in range(20):
        ask(guest, f"more {COUNTS}")
        st = {d["device"]: d for d in status(guest.pid)}
        if all(st[d]["answered"] > 100 for d in devices):
            break
    for d in DEVICES:
        say(f"{d}: answered {st[d]['answered']}, punted {st[d]['punted']}")
    for d in devices:
        check(st[d]["answered"] > 100 and st[d]["clock"]["fuse"] == "ok", f"this QEMU's {d} is answered, and its fuse is whole")


def test():
    guest = Guest(cpus=2, machine=MACHINE, append="clocksource=hpet")
    try:
        guest.boot()
        filters(guest)
        begin(guest)
        check(fits(guest, ask(guest, f"latch {COUNTS}"), "whole counts"), "the counter is where the PM timer says")

        say("--- saved and restored")
        value, stops = latch(guest)
        guest, _ = migrate(guest, os.path.join(guest.dir, "state"))
        latched, restored, n = in_flight(guest)
        check((latched, restored, n) == (2, value, 1), f"the second filter has the latch: {restored:#x}")
        guest.qmp.cmd("cont")
        r = ask(guest, "rest 0")
        check(r["held"] == value, f"the guest has read {r['held']:#x}")
        check(fits(guest, r, "the latched count"), "that is what the counter was")
        judge_after(guest, f"more {COUNTS}", DEVICES)

        say("--- without")
        value, more = latch(guest)
        guest, _ = migrate(guest, None)
        check(in_flight(guest)[2] == 0, "the third filter knows of no latch")
        guest.qmp.cmd("cont")
        r = ask(guest, "rest 0")
        # What it has got is an LSB of that moment, which is the right one once in 256 times.
        say(f"the guest has read {r['held']:#x}, it was {value:#x}: the latch is lost")
        judge_after(guest, f"latch {COUNTS}", DEVICES)
        end(guest, stops + more)
    finally:
        guest.kill()


main(test)
