#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The tables that are installed, on stock QEMU: what the guest reads is what QEMU alone answers, and what should not leave the kernel does
not. One table is replaced by another one, and refused where it is for other ports."""
import json
import os

from guest import IOFILTER, ROOT, SCALE, Exits, Failed, Guest, check, main, say, sh

TABLES = os.path.join(ROOT, "tables")
LOOP = int(100 * SCALE)


def rules(name):
    return os.path.join(TABLES, name + ".rules")


def read(guest, port):
    """A byte by the guest's /dev/port."""
    status, lines = guest.run(f"dd if=/dev/port bs=1 count=1 skip={port} 2>/dev/null | od -An -tx1")
    if status or not lines:
        raise Failed(f"the guest cannot read port {port:#x}: {status}, {lines}")
    return int(lines[-1], 16)


def write(guest, port, val):
    status, lines = guest.run(f"printf '\\{val:03o}' | dd of=/dev/port bs=1 count=1 seek={port} 2>/dev/null")
    if status:
        raise Failed(f"the guest cannot write port {port:#x}: {lines}")


def show(guest):
    return json.loads(sh(IOFILTER, "table", "show", "--pid", str(guest.pid), "--json").stdout)


def hits(guest):
    return [r["hits"] for r in show(guest)["rules"]]


def load(guest, name, patient=False):
    """patient: nothing resets this VM, and between two of its accesses the guest always leaves KVM_RUN for something else."""
    path = rules(name)
    if patient:
        with open(path, encoding="utf-8") as f:
            text = "absence 10000000\n" + f.read()
        path = os.path.join(guest.dir, name + ".rules")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    sh(IOFILTER, "table", "load", "--pid", str(guest.pid), "--pin", path)
    guest.filtered = True


def detach(guest):
    sh(IOFILTER, "detach", "--pid", str(guest.pid), "table")


def port80(guest):
    alone = read(guest, 0x80), read(guest, 0xed)
    with Exits(0x80) as exits:
        load(guest, "port80")
        for val in 0x00, 0x55, 0xff:
            write(guest, 0x80, val)
            write(guest, 0xed, val)
            check((read(guest, 0x80), read(guest, 0xed)) == alone, f"after a write of {val:#x} the ports read {alone}, as QEMU has them")
        before = exits.user_reads(guest.pid, 1), exits.reads(guest.pid, 1)
        guest.run(f"for i in $(seq {LOOP}); do clock access in 0x80 1 > /dev/null; clock access out 0x80 1 > /dev/null; done", 300)
        after = exits.user_reads(guest.pid, 1), exits.reads(guest.pid, 1)
    h = hits(guest)
    say(f"hits {h}; reads of 0x80 {after[1] - before[1]}, by QEMU {after[0] - before[0]}")
    check(after[1] - before[1] >= LOOP and after[0] == before[0], "no read left the kernel")
    check(h[0] >= LOOP + 3 and h[1] >= LOOP + 3 and h[2] >= 3 and h[3] >= 3, f"each rule was met: {h}")

    bad = sh(IOFILTER, "table", "replace", "--pid", str(guest.pid), rules("port92"), fail=False)
    say(bad.stdout)
    check(bad.returncode == 1 and "other addresses" in bad.stdout, "a table for other ports is refused")
    check(hits(guest) == h, "and nothing has changed")
    sh(IOFILTER, "table", "replace", "--pid", str(guest.pid), rules("port80"))
    check(hits(guest) == [0, 0, 0, 0], "replaced by itself: counted from 0")
    check(read(guest, 0x80) == alone[0] and hits(guest)[1] == 1, "and it answers")
    detach(guest)
    check(read(guest, 0x80) == alone[0], "after the detach QEMU answers the same")


def port92(guest, patient):
    alone = read(guest, 0x92)
    load(guest, "port92", patient)
    check(read(guest, 0x92) == alone and hits(guest)[1] == 0, "not known before a write: QEMU answers")
    for val in alone | 2, alone & ~2 & 0xfe, 0x0c, alone:
        write(guest, 0x92, val)
        check(read(guest, 0x92) == val, f"what was written is read: {val:#x}")
    h = show(guest)
    say(h["rules"], h["slots"])
    check(h["rules"][0]["hits"] == 4, "each write went to QEMU, and was remembered")
    check(not patient or h["rules"][1]["hits"] >= 3, f"{h['rules'][1]['hits']} of 4 reads were answered here")
    detach(guest)
    check(read(guest, 0x92) == alone, "after the detach QEMU has the last value")


def scratch(guest):
    load(guest, "16550", True)
    for val in 0x00, 0xa5, 0xff:
        write(guest, 0x3ff, val)
        check(read(guest, 0x3ff) == val, f"the scratch register reads {val:#x}")
    h = hits(guest)
    say(h)
    # A message on the console in between makes it unknown.
    check(h[5] == 3 and h[6] >= 1, f"{h[6]} of 3 reads were answered here")
    detach(guest)
    check(read(guest, 0x3ff) == 0xff, "after the detach QEMU has the last value")


def test():
    with Guest() as guest:
        guest.boot()
        port80(guest)
        port92(guest, False)
        port92(guest, True)
        scratch(guest)


main(test)
