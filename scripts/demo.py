#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What demo.sh runs in the machine: one Linux guest on stock QEMU that reads its clock, without and with the filter.

The clock is the guest's own clock_gettime() with clocksource=acpi_pm. Exits are counted by the kernel's tracing, not by the
filter: reads of the port that userspace had to complete. The kernel of the guest reads its clock too, at each tick, so
the port sees a few more reads than the loop makes.
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../selftests/qemu"))
from guest import O, PMTIMER_PORT, Exits, Failed, Filter, Guest, main, punted, say, sh  # noqa: E402

READS = int(os.environ.get("DEMO_READS", "100000"))
CHUNKS = 5
LIMIT = 0.01


def loop(guest, exits, name):
    """READS reads by the same loop, in pieces so that progress shows. What they cost."""
    total = {"reads": 0, "elapsed_ns": 0, "back": 0}
    users, port = exits.user_reads(guest.pid), exits.reads(guest.pid)
    for i in range(CHUNKS):
        r = guest.json(f"clock gettime {READS // CHUNKS}")
        for key in total:
            total[key] += r[key]
        say(f"demo: {name}: {(i + 1) * 100 // CHUNKS} percent of {READS} reads")
    total["exits"] = exits.user_reads(guest.pid) - users
    total["port_reads"] = exits.reads(guest.pid) - port
    total["rate"] = total["reads"] * 1e9 / total["elapsed_ns"]
    return total


def table(before, after, answered, reasons):
    def row(name, a, b):
        say(f"  {name:<36}{a:>16}{b:>16}")

    say()
    row("", "without filter", "with filter")
    row("reads of the clock by the loop", before["reads"], after["reads"])
    row("reads of the port (ticks included)", before["port_reads"], after["port_reads"])
    row("userspace exits for the port", before["exits"], after["exits"])
    row("answered in the kernel", "-", answered)
    row("punted to QEMU", "-", sum(reasons.values()))
    for reason, n in reasons.items():
        if n:
            row(f"  {reason}", "-", n)
    row("reads per second", f"{before['rate']:.0f}", f"{after['rate']:.0f}")
    row("steps back", before["back"], after["back"])
    say()


def demo():
    version = sh("qemu-system-x86_64", "--version").stdout.splitlines()[0]
    say(f"demo: {version}: a Linux guest boots with clocksource=acpi_pm")
    with Exits() as exits, Guest() as guest:
        guest.boot()
        _, lines = guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        if lines != ["acpi_pm"]:
            raise Failed(f"the guest's clocksource is {' '.join(lines)}, not acpi_pm")
        say(f"demo: the guest is up, as process {guest.pid}; its clock is the PM timer at port {PMTIMER_PORT:#x}")
        before = loop(guest, exits, "without filter")
        say(f"demo: iofilter attach --pid {guest.pid} pmtimer")
        filt = Filter(guest)
        first = filt.status()
        after = loop(guest, exits, "with filter")
        last = filt.status()
        reasons = {k: n - first["punted"][k] for k, n in last["punted"].items()}
        answered = last["answered"] - first["answered"]

    table(before, after, answered, reasons)
    share = after["exits"] / after["reads"]
    with open(os.path.join(O, "demo.json"), "w", encoding="utf-8") as f:
        json.dump({"reads": after["reads"], "exits_before": before["exits"], "exits_after": after["exits"],
                   "answered": answered, "punted": punted(last) - punted(first), "punted_by_reason": reasons,
                   "port_reads_before": before["port_reads"], "port_reads_after": after["port_reads"],
                   "reads_per_second_before": round(before["rate"]), "reads_per_second_after": round(after["rate"]),
                   "steps_back": before["back"] + after["back"], "left_kernel": round(share, 6), "qemu": version}, f,
                  indent=1)
        f.write("\n")
    if before["exits"] < before["reads"]:
        raise Failed(f"only {before['exits']} exits for {before['reads']} reads without the filter: the count is not right")
    if before["back"] or after["back"]:
        raise Failed("the guest's clock stepped back")
    if share >= LIMIT:
        raise Failed(f"{share:.2%} of the loop's reads left the kernel, wanted under {LIMIT:.0%}")
    say(f"demo: {share:.2%} of the loop's reads left the kernel (wanted: under {LIMIT:.0%})")


if __name__ == "__main__":
    main(demo)
