#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Port 0x61 of stock QEMU with KVM's own PIT, in a migration: while a guest reads it without a pause, the VM is stopped where the filter has
answered an odd number of reads, so that only the filter knows the guest's bit 4. Saved and restored, bit 4 is another at each read, as with
QEMU alone; without, it is the same twice, once. Gate, data and output are right, and the guest finds the same frequency by them on each
QEMU."""
import random
import time

from guest import Failed, check, main, say
from migration import Migration

DEVICES = "pmtimer", "hpet", "speaker"
MACHINE = "q35"
ROUNDS = 5
GATE, DATA, OUT = 1, 2, 0x20
# Not on the vCPU of the clocks' loops.
VCPU = "taskset 1"


class Frequency:
    """pitcal.c: bounds that no preemption makes wrong, so that those of all QEMUs must agree."""

    def __init__(self, m):
        self.m = m
        self.low, self.high = 0, float("inf")

    def measure(self):
        cut = self.m.status()["speaker"]["cut"]
        r = self.m.guest.json(f"{VCPU} pitcal {ROUNDS}")
        cut = self.m.status()["speaker"]["cut"] - cut
        # A write that takes QEMU long looks like a snapshot that is loaded.
        check(r["toggle_errors"] <= cut, f"bit 4 was another at each of {r['reads']} reads but {r['toggle_errors']}; {cut} pairs were cut off")
        check(r["other_errors"] == 0, "and the other bits were right")
        self.low, self.high = max(self.low, r["khz_low"]), min(self.high, r["khz_high"])
        # NTP moves the rate of the host's clock, and with it the PIT's.
        check(self.low <= self.high * 1.0001, f"the TSC has {self.low} to {self.high} kHz by all that was measured so far")


def watch(m, bits):
    """The guest reads the port, until it is told to end."""
    before = m.status()["speaker"]["reads"]
    m.guest.run(f"{VCPU} sh -c 'exec 5<>/proc/pitclock; echo watch {bits} >&5; cat <&5' > /tmp/watch &")
    until = time.monotonic() + 60
    while m.status()["speaker"]["reads"] < before + 200:
        if time.monotonic() > until:
            raise Failed("the guest does not read port 0x61")
        time.sleep(0.1)


def watched(m):
    m.ask("end 0")
    _, lines = m.guest.run("until [ -s /tmp/watch ]; do sleep 0.1; done; cat /tmp/watch; rm /tmp/watch")
    return m.guest.parse(lines[0])


def stop_at_odd(m):
    """Between two reads of which the filter answers both. Return: in how many stops, and bit 4 of QEMU's newest answer."""
    for tries in range(1, 100):
        m.stop()
        # Not while it runs: a read that comes meanwhile is left to QEMU.
        is_odd, toggle = m.registers("speaker", "odd", "toggle")
        if is_odd:
            check(m.status()["speaker"]["odd_reads"] == 1, f"stopped {tries} times, and an odd number of reads is answered; status shows it")
            return tries, toggle
        m.go_on()
        time.sleep(random.random() / 5)
    raise Failed("the filter has never answered an odd number of reads")


def once(m, keep, bits):
    watch(m, bits)
    stops, toggle = stop_at_odd(m)
    check(m.registers("speaker", "data") == [bits // DATA], f"the filter knows that data is {bits // DATA}")
    m.migrate(keep)
    is_odd, again = m.registers("speaker", "odd", "toggle")
    if keep:
        check((is_odd, again) == (1, toggle), "the second filter knows that the guest's bit 4 is the opposite of QEMU's")
    else:
        check((is_odd, again) == (0, 2), "the third filter knows nothing of bit 4")
    m.go_on()
    m.answered(lambda: time.sleep(0.5))
    r = watched(m)
    say(r)
    check(r["toggles"] == (0 if keep else 1), f"bit 4 was another at each of {r['reads']} reads but {r['toggles']}")
    check(r["others"] == 0, "gate and data were what was written")
    # Whenever the VM goes on, QEMU begins KVM's count anew.
    check(r["falls"] <= stops and r["held"] & OUT, f"the output fell {r['falls']} times in {stops} stops, and is high in the end")


def test():
    with Migration(DEVICES, MACHINE) as m:
        m.boot()
        frequency = Frequency(m)
        m.answered(frequency.measure)
        for keep in True, False:
            say("--- saved and restored" if keep else "--- without")
            once(m, keep, GATE | DATA if keep else GATE)
            frequency.measure()
        m.end()


main(test)
