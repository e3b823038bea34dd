#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Accesses at the watched range that the filter leaves to QEMU: bytes, words, misaligned ones, strings, writes. The same ones are
made without and with the filter, and judged alike, by what QEMU is known to answer (devices decoded with impl.min 4: the low
bytes, whatever the offset)."""
from guest import SCALE, Filter, Guest, check, main, say

PORT = 0x608
WIDTHS = (1, 2, 4)
READS = [(PORT + offset, how, width, count) for offset in range(-3, 4) for width in WIDTHS if offset + width > 0
         for how, count in (("in", 1), ("ins", 1), ("ins", 5)) if (offset, width, count) != (0, 4, 1)]
WRITES = [(PORT + offset, how, width, count) for offset in range(4) for width in WIDTHS
          for how, count in (("out", 1), ("outs", 4))]


def counter_bits(port, width):
    """How many low bits of the counter the value shows; 0: it is put together from several reads."""
    if width == 2 and port in (PORT, PORT + 2):
        return 16
    return 24 if width == 4 and port == PORT else 0


def right(guest, port, how, width, count):
    """Whether the values of one access are right: those of the counter lie between plain reads around it."""
    bits = counter_bits(port, width)
    for _ in range(20):
        r = guest.json(f"clock access {how} {port:#x} {width} {count}")
        if (port, width) == (PORT + 1, 4):
            return all(v >> 24 == 0xff for v in r["values"]), r  # the byte behind the timer is no device's
        if not bits:
            return True, r
        if (r["last"] - r["first"] & 0xffffff) < 0x8000:
            mask = (1 << bits) - 1
            return all((v - r["first"] & mask) <= (r["last"] - r["first"] & mask) for v in r["values"]), r
    raise RuntimeError("the guest is too slow for a word of the counter")


def sweep(guest, times):
    wrong = 0
    for read in READS:
        for _ in range(times):
            ok, found = right(guest, *read)
            if not ok:
                say(f"{read}: {found}")
                wrong += 1
    for write in WRITES:
        port, how, width, count = write
        guest.json(f"clock access {how} {port:#x} {width} {count}")
    return wrong


def test():
    times = int(SCALE)
    with Guest() as guest:
        guest.boot()
        check(sweep(guest, times) == 0, f"QEMU alone answers {len(READS)} kinds of reads as expected")
        filt = Filter(guest)
        guest.json("clock port 3000")
        before = filt.status()
        check(before["clock"]["proof"] == "proven", "the filter is proven")
        check(sweep(guest, times) == 0, "with the filter they are answered alike")
        after = filt.status()
        changed = {name: after["punted"][name] - before["punted"][name] for name in after["punted"]}
        say(f"answered {after['answered'] - before['answered']}, punted {changed}")
        inside = times * sum(port >= PORT and port + width <= PORT + 4 for port, how, width, count in READS)
        check(changed["shape"] >= inside, f"{changed['shape']} left to QEMU for their shape, wanted at least {inside}")
        writes = sum(port + width <= PORT + 4 for port, how, width, count in WRITES)
        check(changed["write"] >= writes, f"{changed['write']} writes left to QEMU, wanted at least {writes}")
        filt.detach()


main(test)
