#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Attached at a port that is not the PM timer's, the filter never answers, whatever QEMU has there."""
from guest import SCALE, Filter, Guest, check, main, say

PORTS = {
    0x5000: "nothing: all ones",
    0x600: "PM1 status and enable: a constant",
    0x60c: "a hole in the PM block",
    0x620: "GPE0 block",
    0x3c8: "nothing, misaligned neighbours",
    0xcf8: "PCI's index: what the guest itself wrote",
    0x40: "KVM's own PIT: a counter, but not ours",
}


def test():
    reads = int(5000 * SCALE)
    with Guest() as guest:
        guest.boot()
        for port, what in PORTS.items():
            try:
                filt = Filter(guest, "--port", hex(port))
            except Exception as e:
                say(f"port {port:#x} ({what}) is refused: {e}")
                continue
            alone = guest.json(f"clock access in {port:#x} 4")
            r = guest.json(f"clock poll {reads} 0 {port:#x}")
            st = filt.status()
            say(f"port {port:#x} ({what}): {alone}, last {r['last']}, punted {st['punted']}, proof {st['clock']['proof']}, "
                f"fuse {st['clock']['fuse']}")
            check(st["reads"] > reads, f"the filter saw {st['reads']} reads, wanted above {reads}")
            check(st["answered"] == 0, f"{st['answered']} answered, wanted none")
            check(st["clock"]["proof"] != "proven", f"the clock is {st['clock']['proof']}")
            filt.detach()


main(test)
