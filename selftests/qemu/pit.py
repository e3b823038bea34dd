#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The PIT of stock QEMU, which is in userspace with kernel-irqchip=split: a Linux guest latches and polls its counter 2, without and with
the filter. Every count fits QEMU's own PM timer to the clock's bracket, and port 0x61 shows what it does without a filter."""
from guest import IOFILTER, SCALE, Filter, Guest, check, main, punted, say, sh

COUNTS = int(4000 * SCALE)
RISES = int(20 * SCALE)


def ask(guest, line, timeout=240):
    r = guest.json(f"exec 5<>/proc/pitclock; echo {line} >&5; cat <&5", timeout)
    say(line, r)
    return r


def cuts(filt):
    return filt.status()["cut"] if filt else 0


def use(guest, bracket, filt=None):
    r = ask(guest, f"latch {COUNTS}")
    # Not those amid which the vCPU was away for long.
    check(r["reads"] == COUNTS and r["judged"] > COUNTS // 17 // 4, f"{COUNTS} latched counts, {r['judged']} of them judged")
    check(r["misfit_ns"] <= bracket, f"they fit the PM timer but for {r['misfit_ns']} ns, at most {bracket} are allowed")
    cut = cuts(filt)
    r = ask(guest, f"rise {RISES}")
    cut = cuts(filt) - cut
    check(r["judged"] == RISES and r["early"] == 0, f"the output rose {RISES} times, never too early")
    # A second read of two whose guest was held up since: what the output is by then only QEMU knows.
    check(r["toggles"] <= cut <= RISES // 4,
          f"bit 4 of port 0x61 was another at each of {r['reads']} reads but {r['toggles']}; {cut} pairs were cut off")
    r = ask(guest, f"pairs {COUNTS}")
    check(r["reads"] == COUNTS, f"{COUNTS} unlatched pairs")


def test():
    # Attached before the guest runs: its firmware's and its kernel's own use of the PIT goes through the filter.
    with Guest(machine="q35,kernel-irqchip=split", paused=True) as guest:
        filt = Filter(guest, device="pit")
        guest.qmp.cmd("cont")
        guest.boot()
        st = filt.status()
        say(f"booted: answered {st['answered']}, {st['commands']} latch commands, punted {st['punted']}")
        filt.detach()
        say("without the filter")
        use(guest, 0)

        say("with it")
        filt = Filter(guest, device="pit")
        ask(guest, "latch 100")
        before = filt.status()
        use(guest, filt.status()["clock"]["bracket"], filt)
        st = filt.status()
        say(f"answered {st['answered']}, {st['commands']} latch commands, punted {st['punted']}, {st['channels'][2]}")
        check(st["commands"] - before["commands"] > COUNTS / 2, "most latch commands were carried out here")
        check(st["answered"] - before["answered"] > COUNTS, f"{st['answered']} reads answered, {punted(st)} punted")
        check(st["clock"]["fuse"] == "ok" and not any(c["fused"] for c in st["channels"]), "no fuse is blown")
        check(st["in_flight"] == 0, "nothing is in flight")

        sh(IOFILTER, "clock", "--pid", str(guest.pid), "pit", "stop")
        held = filt.status()
        ask(guest, "latch 100")
        st = filt.status()
        check(st["commands"] == held["commands"] and st["answered"] == held["answered"], "its clock is stopped: nothing is answered")
        sh(IOFILTER, "clock", "--pid", str(guest.pid), "pit", "start")
        ask(guest, "latch 1000")
        check(filt.status()["commands"] > st["commands"] + 500, "it goes on")
        out = sh(IOFILTER, "status", "--pid", str(guest.pid)).stdout
        say(out)
        check("channel 2 mode 2, LSB and MSB, count 65536: proven" in out, "status shows the counter")
        filt.detach()


main(test)
