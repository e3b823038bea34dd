#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
Save and restore of the reference VMM: a guest that is saved, and goes on in a new process, sees nothing of it.

save.py marks [VMM OPTION...]     in the middle of a latched count, a sector and so on: wherever the payload wants it (marks.c)
save.py random N [VMM OPTION...]  N times, wherever it happens to be
save.py files                     what is refused: a VM of another kind, a file that is not there, altered, cut off
"""
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from flat import fnv, judge
from vmm import O, VMM, check, fail, lines

SECTORS = 2048
PM_HZ, HPET_HZ = 3579545, 100000000
MARK = "0xf5"
SAVED, DONE = 4, 42
# For so long each saved VM is no process, now and then: what of that shows in a clock is a failure. The machine itself may stop for less.
AWAY, STOPS = 3.0, 1.5


def payload(name):
    return os.path.join(O, "selftests", "vmm", name + ".bin")


class Saved:
    """A VM that is saved again and again: each time another process."""

    def __init__(self, args):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "saved")
        self.args = args
        self.out = b""
        self.processes = 0
        # By filter: what it answered, and the sequences that it alone knew of at a save.
        self.answered, self.in_flight = {}, {}

    def go(self, args=(), signal_after=None):
        """Until the next save, or the end. Return: exit status."""
        restore = ["--restore=" + self.file] if self.processes else []
        stats = os.path.join(self.folder.name, "stats")
        p = subprocess.Popen([VMM, "--memory=16", "--timeout=120", "--stats=" + stats, "--save=" + self.file] + self.args + restore + list(args),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if signal_after is not None:
            try:
                p.wait(signal_after)
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGUSR1)
        out, err = p.communicate(timeout=150)
        self.out += out
        self.processes += 1
        check(p.returncode in (SAVED, DONE), f"process {self.processes}: exit status {p.returncode}: {err.decode()}{self.out.decode()}")
        check(not err, f"process {self.processes}: {err.decode()}")
        with open(stats) as f:
            for name, v in json.load(f)["filters"].items():
                check(not v["fuse"], f"{name}: {v}")
                self.answered[name] = self.answered.get(name, 0) + v["answered"]
                self.in_flight[name] = self.in_flight.get(name, 0) + (v["in_flight"] if p.returncode == SAVED else 0)
        return p.returncode


def new_disk(rnd):
    image = rnd.randbytes(SECTORS * 512)
    disk = tempfile.NamedTemporaryFile(suffix=".img")
    disk.write(image)
    disk.flush()
    return image, disk


def clock_errors(m, ratio):
    """What HPET and TSC say of the time between two moments, in ms more than the PM timer, which was read around them."""
    pm = m["pm"] / PM_HZ * 1000
    return m["hpet"] / HPET_HZ * 1000 - pm, m["tsc"] / ratio / PM_HZ * 1000 - pm


def marks(rnd, args):
    image, disk = new_disk(rnd)
    vm = Saved(["--flat=" + payload("marks"), "--disk=" + disk.name, "--save-at=" + MARK] + args)
    away = 0
    while vm.go() == SAVED:
        if vm.processes % 16 == 3:
            time.sleep(AWAY)
            away += 1
    text = vm.out.decode()
    got, all = lines(text), [lines(l)["mark"] for l in text.splitlines() if l.startswith("mark ")]
    print(text)
    check(got.get("done") == {"bad": 0}, "the payload has seen something wrong, or not come to its end")
    check(vm.processes == 1 + len(all) + 2, f"{vm.processes} processes, {len(all)} marks")
    check([m["number"] for m in all] == list(range(len(all))), "not every mark is there once")
    ratio = got["calibrate"]["tsc"] / got["calibrate"]["pm"]
    for m in all:
        hpet, tsc = clock_errors(m, ratio)
        check(m["pm"] < STOPS * PM_HZ, f"in a save the PM timer went on: {m}")
        # The counter halts where it is set.
        check(hpet < 1 or m["hpet"] == 0, f"the HPET went on: {m}")
        check(tsc < 1 + m["pm"] / PM_HZ * 10, f"the TSC went on: {m}")
    h = 2166136261
    read = b"".join(image[(100 + i) * 512:][:512] for i in range(4))
    check(got["read"]["hash"] == fnv(read), "a sector that was read across saves is not what is on the disk")
    check(got["multiple"]["hash"] == fnv(image[200 * 512:210 * 512]), "blocks that were read across saves are not what is on the disk")
    written = b"".join(struct.pack("<H", i * 259 & 0xffff) for i in range(512))
    with open(disk.name, "rb") as f:
        check(f.read() == image[:50 * 512] + written + image[52 * 512:], "what was written across saves is not on the disk")
    print("answered by filters:", vm.answered, "in flight at saves:", vm.in_flight)
    # The payload loads the PIT and polls it until the filter has proven its clock: sequences of its own were saved.
    for name in "pmtimer", "pit", "ide", "table":
        check(vm.answered.get(name, 100) >= 100, f"{name} has answered {vm.answered.get(name)} accesses")
    check("pit" not in vm.in_flight or vm.in_flight["pit"] >= 1, "the PIT's filter had nothing in flight where it was saved")
    print(f"{vm.processes} processes, {len(all)} marks, {away} times {AWAY} s in between; the PM timer's largest step over a save: "
          f"{max(m['pm'] for m in all) / PM_HZ * 1000:.1f} ms")


def watch(vm):
    """What watch.c must say, wherever it was saved."""
    got = lines(vm.out.decode())
    print(vm.out.decode())
    check("done" in got, "the payload has not come to its end")
    seconds = {"pm": got["pm"]["sum"] / PM_HZ, "hpet": got["hpet"]["sum"] / HPET_HZ}
    for name in "pm", "hpet", "tsc", "pit":
        check(got[name]["back"] == 0, f"{name} has stepped back")
    check(got["pm"]["most"] < STOPS * PM_HZ, "the PM timer has made a step")
    check(abs(seconds["pm"] - seconds["hpet"]) < 0.01, f"the clocks have not gone alike: {seconds}")
    check(abs(got["rtc"]["seconds"] - seconds["pm"]) <= 1, f"{got['rtc']} of the RTC, {seconds}")
    return got


def random_saves(rnd, n, args):
    total = saves = 0
    while saves < n:
        image, disk = new_disk(rnd)
        flat = rnd.randrange(3) > 0
        vm = Saved(["--flat=" + payload("payload" if flat else "watch"), "--disk=" + disk.name] + args)
        while True:
            if rnd.randrange(2):
                status = vm.go(["--save-after=%d" % rnd.choice([1, 2, rnd.randrange(1, 100), rnd.randrange(1, 3000)])])
            else:
                status = vm.go(signal_after=rnd.uniform(0.2, 1.5))
            if status != SAVED:
                break
            if rnd.randrange(10) == 0:
                time.sleep(AWAY)
            # The rest without a save, so that it comes to its end.
            if vm.processes > 25:
                status = vm.go()
                break
        saves += vm.processes - 1
        total += 1
        if flat:
            judge(f"VM {total}, saved {vm.processes - 1} times", vm.out.decode(), image, disk.name)
        else:
            watch(vm)
    print(f"{saves} saves of {total} VMs")


def refused(args, want):
    p = subprocess.run([VMM] + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    err = p.stderr.decode()
    check(p.returncode == 1 and err.count("\n") == 1 and want in err and not p.stdout, f"{args}: {p.returncode}, wanted '{want}', got: {err}")


def files(rnd):
    image, disk = new_disk(rnd)
    flat = ["--flat=" + payload("payload"), "--memory=16"]
    with tempfile.TemporaryDirectory() as d:
        saved, bad = os.path.join(d, "saved"), os.path.join(d, "bad")
        with_disk = flat + ["--disk=" + disk.name]
        p = subprocess.run([VMM, "--save=" + saved, "--save-after=500"] + with_disk, stdout=subprocess.PIPE)
        check(p.returncode == SAVED and os.listdir(d) == ["saved"], "no file, or more than one")
        restore = ["--restore=" + saved]
        for args, want in [
                (flat + restore, "is of a VM with a --disk"),
                (flat + restore + ["--disk=" + disk.name + ",ro"], "is of a VM with a writable --disk"),
                (with_disk + restore + ["--cpus=2"], "another number of vCPUs"),
                (with_disk + restore + ["--memory=32"], "another size of its memory"),
                (with_disk + restore + ["--no-kvmclock"], "is of a VM with KVM's clock"),
                (with_disk + restore + ["--no-acpi"], "is of a VM with ACPI tables"),
                (with_disk + restore + ["--filter=pmtimer"], "is of a VM with --filter ''"),
                (["--kernel=/nonexistent", "--memory=16", "--disk=" + disk.name] + restore, "is of a VM with a --flat binary"),
                (with_disk + ["--restore=/nonexistent"], "/nonexistent No such file or directory"),
                (with_disk + ["--restore=/dev/null"], "/dev/null is no saved VM"),
                (with_disk + ["--restore=" + disk.name], "is no saved VM"),
                (with_disk + ["--save-after=1"], "--save"),
                (with_disk + ["--save=" + saved, "--save-at=65536"], "--save-at: 65536 is out of range")]:
            refused(args, want)
        with open(saved, "rb") as f:
            data = f.read()
        # Every byte counts (host/vmm_section.c goes through all of a small file); here where it is a whole VM.
        for _ in range(20):
            at = rnd.randrange(len(data))
            for what in data[:at], data[:at] + bytes([data[at] ^ 1 << rnd.randrange(8)]) + data[at + 1:]:
                with open(bad, "wb") as f:
                    f.write(what)
                refused(with_disk + ["--restore=" + bad], bad + " is ")
        with open(disk.name, "rb") as f:
            check(f.read() == image, "a VM that was refused has written to its disk")
        # What cannot be saved goes on.
        p = subprocess.run([VMM, "--save=" + d + "/not/there", "--save-after=500"] + with_disk, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(p.returncode == DONE and p.stderr.count(b"\n") == 1, f"a save that fails: {p.returncode}, {p.stderr.decode()}")
        judge("after a save that failed", p.stdout.decode(), image, disk.name)
        check(sorted(os.listdir(d)) == ["bad", "saved"], "files are left: %s" % os.listdir(d))
    print("ok files")


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
    print("SEED=%d" % seed)
    rnd = random.Random(seed)
    what = sys.argv[1]
    if what == "marks":
        marks(rnd, sys.argv[2:])
    elif what == "random":
        random_saves(rnd, int(sys.argv[2]), sys.argv[3:])
    elif what == "files":
        files(rnd)
    else:
        fail(__doc__)
    print("ok")


if __name__ == "__main__":
    main()
