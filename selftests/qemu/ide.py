#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""An IDE disk of stock QEMU, read by PIO without and with the filter: every byte the same, and fewer exits to userspace.

    ide.py polled   a guest that polls with the drive's interrupt off, as firmware does; with resets, stops and errors
    ide.py linux    Linux's own driver (ata_piix with DMA off), by interrupt"""
import hashlib
import os
import random
import sys
import time

from guest import IOFILTER, O, SCALE, Exits, Filter, Guest, check, main, make_disk, punted, say, sh

SECTORS = 4096
READ, READ_EXT, READ_MULTIPLE, READ_MULTIPLE_EXT, SET_MULTIPLE, IDENTIFY = 0x20, 0x24, 0xc4, 0x29, 0xc6, 0xec
TIMES = int(8 * SCALE)
FEW = 4
FIRST = "READ SECTORS, 64 at a time"


class IdeExits(Exits):
    """Exits to userspace for the primary channel, by the kernel's tracing: reads that userspace has completed, strings of data, writes."""

    def __init__(self):
        super().__init__(where="(port >= 0x1f0 && port <= 0x1f7) || port == 0x3f6", key="port")

    def all(self, pid):
        user, pio = f"{self.dir}/events/{self.group}/user_in/hist", f"{self.dir}/events/kvm/kvm_pio/hist"
        return (self._sum(user, pid) - self._sum(user, pid, ("port", 0x1f0)) + self._sum(pio, pid, ("rw", 1)) +
                self._sum(pio, pid, ("rw", 0), ("port", 0x1f0)))


TRACE = None


def exits(guest):
    return TRACE.all(guest.pid)


def ask(guest, line, timeout=300):
    return guest.json(f"exec 5<>/proc/idepio; echo {line} >&5; cat <&5", timeout)


def read(guest, command, lba, count, times, width, what):
    """What so many sectors cost in exits: without those that showed a drive that was busy, all, and those."""
    before = exits(guest)
    r = ask(guest, f"read {command:#x} {lba} {count} {times} {width}")
    cost = exits(guest) - before
    check(r["sectors"] == count * times and r["wrong"] == 0 and r["failed"] == 0,
          f"{what}: {r['sectors']} sectors are what the disk holds ({cost} exits, {r['busy']} times busy)")
    return cost - r["busy"], cost, r["busy"]


def run_all(guest):
    # A first read, so that the filter knows an idle drive when it sees the size of it.
    for cmd in IDENTIFY, IDENTIFY:
        check(ask(guest, f"command {cmd:#x} 0")["failed"] == 0, "IDENTIFY")
    cost = {}
    for name, command, count, times, width in (
            (FIRST, READ, 64, TIMES, 2),
            ("READ SECTORS, 8 at a time, by dwords", READ, 8, 4 * TIMES, 4),
            ("READ SECTORS EXT, 1 at a time", READ_EXT, 1, 8 * TIMES, 2),
            ("READ MULTIPLE, 64 at a time", READ_MULTIPLE, 64, TIMES, 2),
            ("READ MULTIPLE EXT, 24 at a time", READ_MULTIPLE_EXT, 24, TIMES, 4)):
        # The filter forgets it whenever the VM may have been stopped.
        if "MULTIPLE" in name:
            check(ask(guest, f"command {SET_MULTIPLE:#x} 16")["failed"] == 0, "SET MULTIPLE 16")
        cost[name] = read(guest, command, 17, count, times, width, name)
    # Word by word: all of it is data.
    read(guest, READ, 100, 2, 2, 1, "READ SECTORS, by single words")
    r = ask(guest, f"read {READ:#x} {SECTORS - 2} 5 1 2")
    check(r["failed"] == 1 and r["sectors"] == 2 and r["wrong"] == 0 and r["status"] == 0x41 and r["error"] == 4,
          f"a read over the disk's end fails where it must: {r}")
    regs = ask(guest, "registers 50")
    check(regs["changed"] == 0, f"an idle drive's registers stand still: {regs['bytes']}")
    check(ask(guest, f"read {READ:#x} 0 1 1 2")["failed"] == 0, "and it can be read again")
    return cost, regs["bytes"]


def compare(alone, filtered):
    total = [0, 0]
    for name, (plain, cost, busy) in alone.items():
        fplain, fcost, fbusy = filtered[name]
        # How often a guest meets the drive at work is a matter of the host's speed alone.
        total = [total[0] + plain, total[1] + fplain]
        say(f"  {name}: {cost} exits ({busy} of them busy), with the filter {fcost} ({fbusy}): {100 * (cost - fcost) / cost:.1f} % gone; "
            f"without those {plain} and {fplain}: {100 * (plain - fplain) / plain:.1f} %")
    say(f"  all but busy: {total[0]} exits, with the filter {total[1]}: {100 * (total[0] - total[1]) / total[0]:.1f} % gone")
    return total


def whole(filt):
    st = filt.status()
    say(f"  answered {st['answered']} of {st['reads']}, punted {punted(st)} {st['punted']}, {st['channel']}")
    check(st["channel"]["fuse"] == "ok" and st["channel"]["changes"] == 0, "the VMM never showed anything else than was expected")
    return st


def polled(disk):
    extra = ["-drive", f"file={disk},format=raw,if=ide,index=0", "-drive", "if=ide,index=1,media=cdrom,id=cd"]
    with Guest(machine="pc", append="clocksource=kvm-clock", extra=extra) as guest:
        guest.boot()
        say("QEMU alone")
        alone, bytes_alone = run_all(guest)
        say("with the filter")
        filt = Filter(guest, device="ide")
        p = sh(IOFILTER, "clock", "--pid", str(guest.pid), "ide", "stop", fail=False)
        check(p.returncode == 1 and "no clock" in p.stdout, "it has no clock to stop")
        filtered, bytes_filtered = run_all(guest)
        check(bytes_alone == bytes_filtered, "with the filter the registers are the same")
        whole(filt)
        total = compare(alone, filtered)
        check(total[1] < total[0], "some of the exits are gone")
        # Of 13 + 3 * 64 for each command, 64 + 3; not those that show a drive at work, whose number is the host's.
        plain = alone[FIRST][0], filtered[FIRST][0]
        check(plain[1] <= 0.7 * plain[0], f"{FIRST}: of {plain[0]} exits {plain[1]} are left")
        # As for a blown fuse.
        p = sh(IOFILTER, "update", "--pid", str(guest.pid), "--reset", "ide")
        check("state is new" in p.stdout, f"a fresh program with new state: {p.stdout.strip()}")
        read(guest, READ, 30, 16, 2, 2, "after an update")

        say("stops, the CD's tray, a reset")
        for i in range(5):
            guest.qmp.cmd("stop")
            guest.qmp.cmd("cont")
            read(guest, READ, 40 * i, 16, 2, 2, "after a stop")
            guest.qmp.cmd("human-monitor-command", **{"command-line": "eject -f cd"})
            read(guest, READ_MULTIPLE, 50 * i, 16, 2, 2, "after an eject")
        guest.qmp.cmd("system_reset")
        guest.boot()
        again, bytes_reset = run_all(guest)
        compare(alone, again)
        check(bytes_reset == bytes_alone, "after a reset the registers are the same, too")
        whole(filt)
        filt.detach()
        run_all(guest)


def load(guest):
    for name in sorted(os.listdir(os.path.join(O, "guest/root/ata"))):
        args = "dma=0" if "libata" in name else ""
        status, lines = guest.run(f"insmod /ata/{name} {args}")
        check(status == 0, f"{name} {' '.join(lines)}")
    status, lines = guest.run("for i in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done; cat /sys/block/sda/size; "
                              "dmesg | grep -iE 'ata1.*(PIO|multi|UDMA|configured)'")
    say("  " + "; ".join(lines))
    check(lines and lines[0] == str(SECTORS), "Linux has found the disk")


def sums(guest, bs, count, what):
    before = exits(guest)
    status, lines = guest.run(f"echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/sda bs={bs} count={count} iflag=direct 2>/dev/null | sha256sum", 300)
    cost = exits(guest) - before
    check(status == 0 and len(lines) == 1, f"{what}: read ({cost} exits)")
    return lines[0].split()[0], cost


def while_it_reads(guest, want):
    """Attached and detached at random moments of reads of the whole disk."""
    seconds, answered, n = 15, 0, 0
    guest.begin(f"end=$(($(date +%s) + {seconds})); while [ $(date +%s) -lt $end ]; do echo 3 > /proc/sys/vm/drop_caches; "
                "dd if=/dev/sda bs=4096 iflag=direct 2>/dev/null | sha256sum; done")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        filt = Filter(guest, device="ide")
        time.sleep(random.random())
        answered += filt.status()["answered"]
        filt.detach()
        n += 1
    status, lines = guest.end(300)
    check(status == 0 and lines and all(line.split()[0] == want for line in lines),
          f"the whole disk {len(lines)} times, byte for byte, while the filter came and went {n} times ({answered} answered)")
    check(n > 2 and answered > 0, "and it has answered meanwhile")


def linux(disk):
    extra = ["-drive", f"file={disk},format=raw,if=ide,index=0"]
    with open(disk, "rb") as f:
        content = f.read()
    kinds = ((512, 64 * TIMES), (4096, 16 * TIMES), (65536, 2 * TIMES))
    with Guest(machine="pc", append="clocksource=kvm-clock", extra=extra, cpus=2) as guest:
        guest.boot()
        load(guest)
        alone, filtered = {}, {}
        # What Linux has read once it reads otherwise.
        for bs, _ in kinds:
            sums(guest, bs, SECTORS * 512 // 65536, "first")
        for filt in None, 1:
            if filt:
                filt = Filter(guest, device="ide")
            for bs, count in kinds:
                count = min(count, SECTORS * 512 // bs)
                got, cost = sums(guest, bs, count, f"{'with the filter' if filt else 'QEMU alone'}, {count} times {bs} bytes")
                check(got == hashlib.sha256(content[:bs * count]).hexdigest(), "every byte is what the disk holds")
                (filtered if filt else alone)[f"{bs} bytes at a time"] = cost, cost, 0
        # A few sectors again and again. On the emulated machine exits take so long that the VM may have been stopped in one time and again,
        # and after that the filter waits for a while. In between there is room for so few.
        alone_each, met, each = alone["512 bytes at a time"][0] * FEW / kinds[0][1], False, []
        while not met and len(each) < 60:
            each.append(sums(guest, 512, FEW, f"{FEW} times 512 bytes")[1])
            met = each[-1] * 3 <= alone_each * 2
        say(f"  exits for {FEW} single sectors: {each}, without the filter {alone_each:.0f}")
        check(met, "a third of the exits is gone, where no stop of the VM is suspected")
        st = whole(filt)
        total = compare(alone, filtered)
        check(st["answered"] > 0 and total[1] <= total[0], "and nowhere there are more")
        _, lines = guest.run("dmesg | grep -iE 'ata1.*(error|timeout|lost|exception|reset|frozen)|I/O error'")
        check(not lines, f"Linux has nothing to complain about: {lines}")
        filt.detach()
        got, _ = sums(guest, 4096, 64, "after the detach")
        check(got == hashlib.sha256(content[:4096 * 64]).hexdigest(), "every byte is what the disk holds")
        while_it_reads(guest, hashlib.sha256(content).hexdigest())


def test():
    global TRACE
    disk = make_disk(SECTORS)
    try:
        with IdeExits() as TRACE:
            {"polled": polled, "linux": linux}[sys.argv[1]](disk)
    finally:
        os.unlink(disk)


main(test)
