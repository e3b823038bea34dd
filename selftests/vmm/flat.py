#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
A flat payload uses each device of the reference VMM without filters, with all of them, with all of them while the VM is stopped
every few milliseconds, with a table of rules for the disk, and with bad predictions from filters that come and go. It must see the
same, and the filters must have spared most exits.

flat.py [--plain]      --plain: without filters only, which needs no module
"""
import os
import random
import struct
import sys
import tempfile
from vmm import O, ROOT, check, exits, lines, run

PAYLOAD = os.path.join(O, "selftests", "vmm", "payload.bin")
SECTORS = 2048
PM_HZ, HPET_HZ, PIT_HZ = 3579545, 100000000, 1193182
# The PIT's filter answers by a lower bound of its clock: behind the VMM's by its width (docs/clock.md), here in ticks of the PM timer.
PIT_LAG = PM_HZ // 500

# So many percent of the reads are answered, at least; of the RTC's fewer on a busy host, where the vCPU is away now and then between
# index and data. Of port 0x61 nothing is asked: after a preemption of the guest the PIT's
# filter leaves its output to the VMM until the next load (docs/clock.md).
ANSWERED = {"pmtimer": 99, "hpet": 97, "pit": 90, "rtc": 94, "ide": 97}


def fnv(data):
    h = 2166136261
    for (word,) in struct.iter_unpack("<H", data):
        h = ((h ^ word) * 16777619) & 0xffffffff
    return h


def disk_hash(image):
    h = 0
    for i in range(8):
        h = ((h ^ fnv(image[i * 7 * 512:][:4 * 512])) * 16777619) & 0xffffffff
    return h


def within(name, ticks, hz, low, high, slack=0, period=0):
    # A guest that was preempted for long has missed whole periods.
    missed = round((high - ticks * PM_HZ / hz) * hz / PM_HZ / period) if period else 0
    ticks += missed * period
    pm = ticks * PM_HZ / hz
    check(low - 2 - slack <= pm <= high + 2 + slack,
          f"{name}: {ticks} ticks are {pm:.0f} of the PM timer, which shows {low} to {high}")


def judge(what, out, image, disk):
    got = lines(out)
    print(f"{what}:")
    print("  " + "\n  ".join(out.splitlines()))
    check("done" in got, f"{what}: the payload has not come to its end")
    check(got["pmtimer"]["back"] == 0 and got["pmtimer"]["high"] == 0, f"{what}: PM timer")
    hpet, pit, rtc, ide = got["hpet"], got["pit"], got["rtc"], got["ide"]
    check(hpet["back"] == 0 and hpet["stands"] == 0 and hpet["high"] == 0 and hpet["period"] == 10000000, f"{what}: HPET")
    within(f"{what}: HPET", hpet["time"], HPET_HZ, hpet["pm_inner"], hpet["pm_outer"])
    check(pit["back"] == 0 and pit["same_refresh"] == 0, f"{what}: PIT")
    within(f"{what}: PIT", pit["time"], PIT_HZ, pit["pm_inner"], pit["pm_outer"], PIT_LAG, 65535)
    check((rtc["wrong"], rtc["set"], rtc["wrong_seconds"], rtc["midnight"], rtc["day"], rtc["month"], rtc["weekday"]) ==
          (0, 1, 0, 1, 29, 2, 5), f"{what}: RTC")
    check(ide["sectors"] == SECTORS and ide["bad"] == 0 and ide["beyond"] == 0x41 and ide["error"] == 4, f"{what}: IDE")
    check(ide["hash"] == disk_hash(image), f"{what}: what was read is not what is on the disk")
    check(ide["ext"] == fnv(image[78 * 512:80 * 512]), f"{what}: what was read by LBA48 is not what is on the disk")
    sector = b"".join(struct.pack("<H", i * 257 & 0xffff) for i in range(256))
    check(ide["written"] == fnv(sector), f"{what}: the sector that was written reads otherwise")
    want = image[:40 * 512] + sector + image[41 * 512:]
    with open(disk, "rb") as f:
        check(f.read() == want, f"{what}: the image is not what it should be")


def once(what, args, image):
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(image)
        disk.flush()
        status, out, err, stats = run(["--flat=" + PAYLOAD, "--disk=" + disk.name] + args)
        check(status == 42, f"{what}: exit status {status}: {err}{out}")
        judge(what, out, image, disk.name)
    print("  exits", stats["exits"], {g: exits(stats, g) for g in stats["ports"]})
    for f, v in stats["filters"].items():
        print("  filter", f, {k: n for k, n in v.items() if n})
    return stats


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
    print("SEED=%d" % seed)
    image = random.Random(seed).randbytes(SECTORS * 512)
    plain = once("without filters", [], image)
    if "--plain" in sys.argv:
        return
    filters = "--filter=pmtimer,hpet,pit,rtc,ide"
    stats = once("with filters", [filters], image)
    for dev, least in ANSWERED.items():
        v = stats["filters"][dev]
        left, all = stats["ports"][dev]["reads"], plain["ports"][dev]["reads"]
        # The RTC is read for as long as its second lasts.
        all = left + v["answered"] if dev == "rtc" else all
        check(left * 100 <= all * (100 - least), f"{dev}: {left} of {all} reads have come to the VMM")
        check(not v["fuse"] and not v["cut"], f"{dev}: {v}")
    left, all = exits(stats, "pit"), exits(plain, "pit")
    check(left * 10 <= all, f"pit: {left} exits with the filter, {all} without")
    stats = once("with filters and pauses", [filters, "--pause-every=5"], image)
    check(stats["pauses"] >= 20, f"only {stats['pauses']} pauses")
    for dev in "pmtimer", "hpet":
        check(stats["filters"][dev]["answered"] > 1900, f"{dev} with pauses: {stats['filters'][dev]}")

    # The registers of a command are taken, and what a polling driver does then is predicted: what is left are commands.
    stats = once("with a table", ["--filter=table=" + os.path.join(ROOT, "tables", "ide-poll.rules")], image)
    a, b = exits(plain, "ide"), exits(stats, "ide")
    check(b * 10 <= a, f"ide: {b} exits with the table, {a} without")
    v = stats["filters"]["table"]
    check(v["took"] >= 50 and v["answered"] >= a - b - 1000, f"table: {v}")
    table = "--filter=table=" + os.path.join(ROOT, "tables", "ide-poll.rules")
    for name, args in ("ide", ["--filter=ide"]), ("table", [table]):
        # The filter is there for half of the time, and perhaps not while the disk is read.
        bad = answered = 0
        for _ in range(8):
            # An attach stops the guest for some time: more of them, and the PM timer has gone round.
            stats = once(f"{name} with bad predictions", args + [f"--sabotage={seed}", "--reattach-every=700"], image)
            v = stats["filters"][name]
            bad += v["predicted_nothing"] + v["predicted_less"] + v["predicted_elsewhere"]
            answered += v["answered"]
            if bad and answered > 1000:
                break
            seed += 1
        check(bad and answered > 1000, f"{name}: {bad} bad predictions, {answered} accesses answered")
    print("ok")


if __name__ == "__main__":
    main()
