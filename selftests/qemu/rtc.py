#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The CMOS memory of stock QEMU: a Linux guest reads all of it, and writes and reads by turns on two vCPUs, without and with the filter.
Every byte is the same, and a reset or the monitor changes what the guest sees as it does without a filter."""
import time

from guest import IOFILTER, SCALE, Filter, Guest, check, main, punted, say, sh

PASSES = int(20 * SCALE)
MIXED = int(3000 * SCALE)


def ask(line):
    return f"exec 5<>/proc/cmos; echo {line} >&5; cat <&5"


def cmos(guest, line, timeout=240):
    r = guest.json(ask(line), timeout)
    say({k: v for k, v in r.items() if k != "bytes"} if "bytes" in r else r)
    return r


def dump(guest, passes=PASSES):
    r = cmos(guest, f"dump {passes}")
    check(r["wrong"] == 0, f"{passes} passes over all registers gave the same bytes")
    return r["bytes"]


def mixed(guest):
    guest.begin("; ".join(f"taskset {1 << i} sh -c '{ask(f'mixed {MIXED} {i + 7}')}' > /tmp/{i} &" for i in range(2))
                .replace("&;", "&") + " wait; cat /tmp/0 /tmp/1")
    status, lines = guest.end(300 * SCALE)
    check(status == 0 and len(lines) == 2, f"both vCPUs gave a result: {lines}")
    for line in lines:
        r = guest.parse(line)
        check(r["reads"] + r["writes"] == MIXED and r["reads"] > MIXED / 2 and r["wrong"] == 0,
              f"{r['reads']} reads on a vCPU gave what was written last ({r['writes']} writes)")


def monitor(guest, reg, val):
    for port, v in (0x70, reg), (0x71, val):
        guest.qmp.cmd("human-monitor-command", **{"command-line": f"o /b {port:#x} {v:#x}"})


def test():
    with Guest(cpus=2) as guest:
        guest.boot()
        say("without the filter")
        alone = dump(guest, 3)
        mixed(guest)
        alone = dump(guest, 3)

        say("with it")
        filt = Filter(guest, device="rtc")
        p = sh(IOFILTER, "clock", "--pid", str(guest.pid), "rtc", "stop", fail=False)
        check(p.returncode == 1 and "no clock" in p.stdout, "it has no clock to stop")
        first = dump(guest, 3)
        before = filt.status()
        again = dump(guest)
        st = filt.status()
        answered = st["answered"] - before["answered"]
        say(f"answered {answered}, punted {st['punted']}, {st['registers']}")
        check(first == again == alone, "the bytes are those of QEMU alone")
        check(answered > 110 * PASSES, f"{answered} of {4 * 127 * PASSES} reads answered (18 registers never are)")
        mixed(guest)
        now = filt.status()
        say(f"answered {now['answered'] - st['answered']}, punted {now['punted']}, {now['registers']}")
        check(now["answered"] > st["answered"], "some of them by the filter")

        for _ in range(20):
            cmos(guest, "get 0x60")
        monitor(guest, 0x60, 0x5a)
        time.sleep(0.2)
        check(cmos(guest, "get 0x60")["value"] == 0x5a, "what the monitor has written shows")
        cmos(guest, "put 0x60 0xa5")
        for _ in range(3):
            check(cmos(guest, "get 0x60")["value"] == 0xa5, "what the guest has written shows")

        guest.qmp.cmd("stop")
        monitor(guest, 0x61, 0x3c)
        guest.qmp.cmd("cont")
        check(cmos(guest, "get 0x61")["value"] == 0x3c, "what was written while the VM was stopped shows at once")
        check(filt.status()["registers"]["fuse"] == "ok", "the fuse is whole")

        say("a reset")
        kept = dump(guest, 2)
        guest.qmp.cmd("system_reset")
        guest.boot()
        with_filter = dump(guest, 3)
        st = filt.status()
        say(f"answered {st['answered']}, punted {punted(st)} {st['punted']}")
        filt.detach()
        check(dump(guest, 3) == with_filter == kept, "after it, QEMU alone shows the same bytes as the filter did")


main(test)
