#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Two Linux guests at once, one on QEMU alone, one with the filter since before its first instruction. Both clocks against
the host's over 20 s: the filter may not add drift, nor bring a complaint that QEMU alone does not bring."""
import re
import time

from guest import SCALE, Away, Exits, Filter, Guest, check, lost_wrap, main, punted, say, wrapped

SECONDS = int(20 * SCALE)
COMPLAINTS = "clocksource.*(unstable|skew|wrong|fail)|PM-Timer|acpi_pm.*(fail|bug)|time.*backward|timekeeping.*(lag|under|over)"


def drift(first, last):
    """Bounds of how far the guest's clock moved against the host's."""
    return last[0] - first[1], last[1] - first[0]


def complaints(guest):
    return {re.sub(r"\d+", "N", line.split("]", 1)[-1]) for line in guest.run(f"dmesg | grep -iE '{COMPLAINTS}'")[1]}


def compare(trace, alone, guest, filt):
    for g in alone, guest:
        _, lines = g.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        check(lines == ["acpi_pm"], f"the guest's clocksource is {lines}, wanted acpi_pm")
    first = alone.clock(), guest.clock()
    begin = time.monotonic()
    for g in alone, guest:
        g.begin(f"clock gettime 1000000000 {SECONDS}")
    time.sleep(1)
    early = trace.offsets((alone.pid, guest.pid))
    time.sleep(max(0, begin + SECONDS - 3 - time.monotonic()))
    late = trace.offsets((alone.pid, guest.pid))
    results = [g.end_json(SECONDS * 10 + 60) for g in (alone, guest)]
    seconds = time.monotonic() - begin
    last = alone.clock(), guest.clock()
    st = filt.status()
    say(f"alone {results[0]}\nwith filter {results[1]}\nanswered {st['answered']}, punted {st['punted']}")

    a, f = drift(first[0], last[0]), drift(first[1], last[1])
    for who, d in ("alone", a), ("with the filter", f):
        if lost_wrap(d[0]):
            raise Away(f"the guest {who} lost {-d[0]:.3f} s of its clock")
    say(f"over {seconds:.1f} s: QEMU alone drifts {a[0] * 1e6:.0f} to {a[1] * 1e6:.0f} us, "
        f"with the filter {f[0] * 1e6:.0f} to {f[1] * 1e6:.0f} us")
    check(seconds >= SECONDS, f"{seconds:.1f} s went by, wanted at least {SECONDS}")
    # An answer may lag behind QEMU's own by one bracket.
    lag = st["clock"]["bracket"] / 1e9
    check(f[0] - lag <= a[1] and a[0] - lag <= f[1], "by the guests' own clocks, that is the same")
    a, f = (wrapped(l - e) for e, l in zip(early, late))
    say(f"by the values at the port: QEMU alone {a * 1e6:+.1f} us, with the filter {f * 1e6:+.1f} us")
    check(abs(f) <= abs(a) + lag, f"within what QEMU alone shows and one bracket of {lag * 1e6:.0f} us")
    for r in results:
        check(r["back"] == 0, "the clock never stepped back")
    check(st["answered"] > 20 * punted(st), f"{st['answered']} answered, {punted(st)} punted: wanted above 20 to 1")
    new = complaints(guest) - complaints(alone)
    check(not new, f"complaints in the guest's log that QEMU alone does not bring: {new or 'none'}")


def test():
    with Exits() as trace, Guest() as alone:
        alone.boot()
        with Guest(paused=True) as guest:
            filt = Filter(guest)
            check(filt.status()["answered"] == 0, "attached to a guest that has not run yet, nothing answered")
            guest.qmp.cmd("cont")
            guest.boot()
            # A busy host may hold a guest for longer than Linux's clock bears, with the filter or without. Nothing can be said then.
            for left in 2, 1, 0:
                try:
                    compare(trace, alone, guest, filt)
                    break
                except Away as e:
                    if not left:
                        raise
                    say(f"{e}: once more")
            filt.detach()


main(test)
