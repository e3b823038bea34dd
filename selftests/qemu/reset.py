#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The port comes and goes. A firmware of our own reads it before, while and after it is enabled (guest/bios.S), and is reset
in the middle of reading; then a Linux guest is reset and boots again. The filter answers only what QEMU would."""
import os
import time

from guest import O, Failed, Filter, Guest, check, main, say


def lines_of(path, n, timeout=120):
    """The first @n lines of the firmware's report, by letter: ones, values, steps back."""
    end = time.monotonic() + timeout
    while True:
        with open(path, encoding="ascii") as f:
            lines = [line for line in f.read().split("\n")[:-1] if line]
        if len(lines) >= n:
            return [(line[0], [int(v, 16) for v in line[1:].split()]) for line in lines]
        if time.monotonic() > end:
            raise Failed(f"the firmware reported {len(lines)} of {n} lines in {timeout} s: {lines}")
        time.sleep(0.2)


def judge(report, expiry_reads):
    for letter, (ones, values, back) in report:
        say(f"{letter}: {ones} all ones, {values} values, {back} wrong")
        check(back == 0, "no step back, no impossible value")
        if letter in "AD":
            check(values == 0, f"{letter}: the port is disabled: {values} values other than all ones, wanted none")
        if letter in "BE":
            check(ones == 0, f"{letter}: the port is enabled: {ones} all ones, wanted none")
        if letter == "C":
            check(values <= expiry_reads, f"C: {values} values after the port had gone, wanted at most {expiry_reads}")
    check([letter for letter, _ in report] == list("ABCDE"), "each stage was reported once")


def firmware():
    out = os.path.join(O, "guest", "bios.out")
    with Guest(paused=True, image=False, extra=("-bios", os.path.join(O, "guest/bios.bin"), "-chardev", f"file,id=dbg,path={out}",
                                                "-device", "isa-debugcon,iobase=0xe9,chardev=dbg")) as guest:
        filt = Filter(guest)
        guest.qmp.cmd("cont")
        answered = 0
        for i in range(4):
            report = lines_of(out, 5 * (i + 1))[5 * i:]
            st = filt.status()
            say(f"round {i}: answered {st['answered']}, punted {st['punted']}, proof {st['clock']['proof']}")
            # Two expiries, at no less than 5 us a read.
            judge(report, 2 * st["clock"]["expiry"] / 5000)
            check(st["answered"] > answered, f"{st['answered'] - answered} answered in this round, wanted some")
            check(st["clock"]["fuse"] == "ok", "the fuse is whole")
            answered = st["answered"]
            # It reads on. No reset comes at the same place of the loop, and none twice within a second.
            time.sleep(1 + 0.137 * i)
            if i < 3:
                guest.qmp.cmd("system_reset")
        filt.detach()


def linux():
    with Guest() as guest:
        guest.boot()
        filt = Filter(guest)
        for i in range(2):
            r = guest.json("clock port 20000")
            st = filt.status()
            say(f"boot {i}: {r}, answered {st['answered']}, punted {st['punted']}")
            check(r["back"] == 0 and r["ones"] == 0, "the timer's values are right")
            check(st["clock"]["proof"] == "proven", "the clock is proven")
            if i == 0:
                first = st["answered"]
                guest.begin("clock port 1000000000")
                time.sleep(1)
                guest.qmp.cmd("system_reset")
                guest.boot()
        check(st["answered"] > first + 10000, f"{st['answered'] - first} answered after the reset, wanted above 10000")
        filt.detach()


def test():
    firmware()
    linux()


main(test)
