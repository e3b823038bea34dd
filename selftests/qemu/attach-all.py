#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""attach without a device's name: all that apply to the VM, and for each that does not a line that says why."""
from guest import IOFILTER, Guest, check, main, say, sh, status


def attached(guest):
    return sorted(d["device"] for d in status(guest.pid))


def split():
    """Where the PIT is QEMU's, its filter applies, and the speaker's does not."""
    with Guest(paused=True, image=False, machine="pc,kernel-irqchip=split") as guest:
        out = sh(IOFILTER, "attach", "--pid", str(guest.pid), "--pin").stdout
        say(out)
        everything = attached(guest)
        check({"hpet", "pit", "pmtimer", "rtc"} <= set(everything) and "speaker" not in everything, f"attached: {everything}")
        check("speaker: not attached: " in out, "and why not the speaker")
        sh(IOFILTER, "detach", "--pid", str(guest.pid))
        check(not attached(guest), "detached, all of them")


def test():
    split()
    with Guest(paused=True, image=False) as guest:
        attach = IOFILTER, "attach", "--pid", str(guest.pid), "--pin"
        out = sh(*attach).stdout
        say(out)
        everything = attached(guest)
        check({"hpet", "pmtimer", "rtc", "speaker"} <= set(everything), f"attached: {everything}")
        check("pit: not attached: " in out and "attach speaker instead" in out, "and why not the PIT: it is KVM's own")
        check(out.count("attached to VM") == len(everything), "each was named")

        again = sh(*attach, fail=False)
        say(again.stdout)
        check(again.returncode == 1 and all(f"{d}: not attached: {d} is already attached" in again.stdout for d in everything),
              "a second time: refused, with reasons")
        check(attached(guest) == everything, "and nothing has changed")

        sh(IOFILTER, "detach", "--pid", str(guest.pid), "pmtimer")
        out = sh(*attach).stdout
        say(out)
        check("hpet: not attached: " in out and "pmtimer: attached" in out, "one was missing: it is attached, and the other said why not")
        check(attached(guest) == everything, "all are there again")
        sh(IOFILTER, "detach", "--pid", str(guest.pid))
        check(not attached(guest), "detached, all of them")


main(test)
