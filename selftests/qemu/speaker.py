#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Port 0x61 of stock QEMU with KVM's own PIT: Linux guests that calibrate by it, when they boot and afterwards, on QEMU alone and with
the filter since before their first instruction. The same frequency, no complaint that QEMU alone does not bring, few exits.

    speaker.py [BOOTS]    of each kind; 3 by default"""
import re
import sys

from guest import IOFILTER, Exits, Filter, Guest, check, main, punted, say, sh

PORT = 0x61
ROUNDS = 40
CPU = "max,-kvmclock"
COMPLAINTS = "clocksource.*(unstable|skew|wrong|fail)|time.*backward|timekeeping.*(lag|under|over)|tsc:|PIT"


def complaints(guest):
    return {re.sub(r"[\d.]+", "N", line.split("]", 1)[-1]) for line in guest.run(f"dmesg | grep -iE '{COMPLAINTS}'")[1]}


def calibrated(guest):
    return [line for line in guest.run("dmesg | grep -E 'tsc: (Detected|Refined|Fast|Unable|HPET|PIT)'")[1]]


def one(trace, filtered):
    """Boot, calibrate, and what came of it."""
    with Guest(cpu=CPU, append="clocksource=hpet", paused=True) as guest:
        filt = Filter(guest, device="speaker") if filtered else None
        if filt:
            check(filt.status()["reads"] == 0, "attached to a guest that has not run yet")
        guest.qmp.cmd("cont")
        guest.boot()
        boot = trace.reads(guest.pid, 1), trace.user_reads(guest.pid, 1)
        result = guest.json(f"pitcal {ROUNDS}")
        both = trace.reads(guest.pid, 1), trace.user_reads(guest.pid, 1)
        result.update(boot_reads=boot[0], boot_exits=boot[1], exits=both[1] - boot[1], dmesg=complaints(guest))
        say("with filter:" if filtered else "QEMU alone: ", {k: v for k, v in result.items() if k != "dmesg"})
        say("  while booting:", "; ".join(calibrated(guest)))
        check(result["toggle_errors"] == 0, "bit 4 alternated over all reads")
        check(result["other_errors"] == 0, "and the other bits were right")
        check(both[0] - boot[0] == result["reads"], f"the kernel saw the same {result['reads']} reads")
        if filt:
            again(guest, filt)
        return result


def again(guest, filt):
    """The VM is stopped and goes on: QEMU writes the PIT's state back."""
    st = filt.status()
    say(f"  answered {st['answered']}, punted {punted(st)}: {st['punted']}, lead {st['lead']} ns, mismatches {st['clock']['moves']}")
    check(st["clock"]["proof"] == "proven" and st["clock"]["moves"] == 0, "proven, and the VMM never answered otherwise")
    check(st["cut"] == 0, "no second read of two was left to the VMM")
    guest.qmp.cmd("stop")
    guest.qmp.cmd("cont")
    result = guest.json("pitcal 3")
    check(result["other_errors"] == 0, "after a stop of the VM its bits are right")
    check(filt.status()["clock"]["moves"] == 0, "and what the VMM answered then was expected")
    filt.detach()


def test():
    boots = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    alone, with_filter = [], []
    with Exits(PORT) as trace:
        for _ in range(boots):
            alone.append(one(trace, False))
            with_filter.append(one(trace, True))
    a, f = ([r["khz"] for r in rows] for rows in (alone, with_filter))
    say(f"median of {ROUNDS} calibrations, kHz: QEMU alone {a}, with the filter {f}")
    # Bounds that no preemption makes wrong: of an output that rose early the upper one would be too low, of a late one the lower one too high.
    a, f = ((max(r["khz_low"] for r in rows), min(r["khz_high"] for r in rows)) for rows in (alone, with_filter))
    say(f"bounds of the frequency from all boots, kHz: QEMU alone {a}, with the filter {f}")
    # NTP moves the rate of the host's clock, and with it the PIT's.
    slack = a[0] * 1e-4
    check(a[0] <= a[1] + slack and f[0] <= f[1] + slack, "they agree with each other")
    check(f[0] <= a[1] + slack and a[0] <= f[1] + slack, "and those with the filter with those without")
    check(f[1] - f[0] < 0.02 * f[0], f"and are within {(f[1] - f[0]) / f[0]:.3%}")
    share = sum(r["exits"] for r in with_filter) / sum(r["reads"] for r in with_filter)
    check(share < 0.2, f"with the filter {share:.2%} of the reads left the kernel; {sum(r['boot_exits'] for r in with_filter)} of "
          f"{sum(r['boot_reads'] for r in with_filter)} while booting")
    check(all(r["exits"] == r["reads"] for r in alone), "without it all of them did")
    new = set().union(*(r["dmesg"] for r in with_filter)) - set().union(*(r["dmesg"] for r in alone))
    check(not new, f"complaints that QEMU alone does not bring: {new or 'none'}")

    with Guest(machine="q35,kernel-irqchip=split", image=False, paused=True) as guest:
        p = sh(IOFILTER, "attach", "--pid", str(guest.pid), "--pin", "speaker", fail=False)
        say(p.stdout.strip())
        check(p.returncode == 1 and "attach pit instead" in p.stdout, "with QEMU's own PIT: refused, and why")
    with Guest(image=False, paused=True) as guest:
        p = sh(IOFILTER, "attach", "--pid", str(guest.pid), "--pin", "pit", fail=False)
        say(p.stdout.strip())
        check(p.returncode == 1 and "attach speaker instead" in p.stdout, "and pit is refused with KVM's")


main(test)
