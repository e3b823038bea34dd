#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
A Linux guest on the reference VMM: boots to a shell on its serial console, finds its IDE disk by pata_legacy, reads it byte for
byte, writes to it, and switches the machine off.

linux.py [VMM OPTION...]

--sabotage without a number gets one: predictions are bad then, and the guest must not see it. With --reattach-every=MS the disk's filter
comes and goes under it.
"""
import hashlib
import json
import os
import random
import re
import select
import subprocess
import sys
import tempfile
import time
from vmm import ROOT, O, VMM, check, exits, fail

SECTORS = 8192
UPSET_READS = 3
BOOT, COMMAND = 150, 60
PROMPT = b"vmm# "
IMAGE = os.path.join(O, "guest", "vmm.cpio.gz")


def find_kernel():
    return subprocess.run(["bash", "-c", "cd %s && . scripts/lib.sh && find_kernel" % ROOT], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


class Guest:
    def __init__(self, args):
        self.log = b""
        self.p = subprocess.Popen([VMM] + args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.started = time.monotonic()

    def boot(self):
        """Return: what its console has said until it has a shell."""
        said = self.until(PROMPT, BOOT)
        # From now on its kernel says only errors there: any other line may come in the middle of what a command prints, or of its echo.
        self.do("dmesg -n 4")
        return said

    def until(self, pattern, seconds, got=b""):
        """What comes until @pattern (bytes, a regular expression), that included. @got: what has come already."""
        end = time.monotonic() + seconds
        while not re.search(pattern, got):
            ready, _, _ = select.select([self.p.stdout], [], [], max(0, end - time.monotonic()))
            more = os.read(self.p.stdout.fileno(), 4096) if ready else b""
            self.log += more
            got += more
            if not more:
                print(self.log.decode(errors="replace")[-6000:])
                if self.p.poll() is None and not ready:
                    print("selftests: a guest hung")
                    self.p.kill()
                    sys.exit(75)
                fail("no %r: the VMM ended with %s" % (pattern, self.p.wait()))
        return got

    def do(self, command, seconds=COMMAND):
        """Type a command. Return: its output. It must succeed."""
        self.p.stdin.write(command.encode() + b"; echo \"#\"done $?\n")
        self.p.stdin.flush()
        out = self.until(rb"#done \d+[^$]*" + PROMPT, seconds).replace(b"\r", b"")
        out = out.split(b"\n", 1)[1]
        body, status = re.search(rb"(?s)(.*)#done (\d+)", out).groups()
        print("vmm# %s\n%s" % (command, body.decode(errors="replace").rstrip()))
        check(status == b"0", "%s: exit status %s" % (command, status.decode()))
        return body.decode(errors="replace")

    def do_hash(self):
        """Of all the disk. The kernel may have said something meanwhile."""
        return re.search(r"(?m)^([0-9a-f]{64})  -", self.do("sha256sum < /dev/sda")).group(1)


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
    print("SEED=%d" % seed)
    rnd = random.Random(seed)
    image = rnd.randbytes(SECTORS * 512)
    options = ["--sabotage=%d" % seed if a == "--sabotage" else a for a in sys.argv[1:]]
    upset = any(a.startswith(("--sabotage", "--reattach-every")) for a in options)
    subprocess.run([os.path.join(ROOT, "scripts", "vmm-image.sh")], check=True)
    with tempfile.NamedTemporaryFile(suffix=".img") as disk, tempfile.NamedTemporaryFile(suffix=".json") as stats:
        disk.write(image)
        disk.flush()
        g = Guest(["--kernel=" + find_kernel(), "--initrd=" + IMAGE, "--disk=" + disk.name, "--stats=" + stats.name] + options)
        boot = g.boot()
        print("a shell after %.1f s" % (time.monotonic() - g.started))
        check(b"Linux version" in boot, "no kernel's messages on the console")
        print(re.sub(r"(?m)^", "  ", g.do("uname -r; nproc; cat /sys/devices/system/clocksource/clocksource0/available_clocksource")))

        g.do("cd /modules; for m in [0-9]*.ko; do insmod $m || break; done")
        # Without PCI nothing tells it which ports there are: the two of a PC, with interrupts 14 and 15.
        g.do("insmod pata_legacy.ko all=1")
        g.do("n=0; until [ -b /dev/sda ] || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done; [ -b /dev/sda ]")
        g.do("[ $(cat /sys/block/sda/size) = %d ]" % SECTORS)
        got = g.do_hash()
        check(got == hashlib.sha256(image).hexdigest(), "the guest reads other bytes than there are")

        # Again and again, so that it is upset often: all of it, past the cache.
        for _ in range(UPSET_READS if upset else 0):
            g.do("echo 3 > /proc/sys/vm/drop_caches")
            check(g.do_hash() == got, "the guest reads other bytes when it reads them again")

        # Some sectors, and read back past the guest's cache.
        at = rnd.randrange(64, SECTORS - 64)
        g.do("dd if=/dev/sda of=/tmp/some bs=512 skip=%d count=24 2>/dev/null" % at)
        g.do("tr '\\000-\\377' '\\001-\\377\\000' < /tmp/some > /tmp/other")
        g.do("dd if=/tmp/other of=/dev/sda bs=512 seek=%d count=24 conv=fsync 2>/dev/null; echo 3 > /proc/sys/vm/drop_caches" % at)
        g.do("dd if=/dev/sda bs=512 skip=%d count=24 2>/dev/null | cmp - /tmp/other" % at)
        part = bytes((b + 1) & 255 for b in image[at * 512:(at + 24) * 512])
        image = image[:at * 512] + part + image[(at + 24) * 512:]
        got = g.do_hash()
        check(got == hashlib.sha256(image).hexdigest(), "the guest reads other bytes than it should after its write")
        g.do("grep -E ' (0|4|8|14):' /proc/interrupts; ! dmesg | grep -E 'BUG|Oops|WARNING|ata.*(exception|failed|error)'")

        g.p.stdin.write(b"exit\n")
        g.p.stdin.flush()
        g.until(rb"Power down|System halted|Restarting", COMMAND)
        status = g.p.wait(timeout=COMMAND)
        check(status == 0, "the VMM ended with %d" % status)
        disk.seek(0)
        with open(disk.name, "rb") as f:
            check(f.read() == image, "the image is not what the guest wrote")
        s = json.load(open(stats.name))
    print("ended after %.1f s; exits %d: %s" % (s["seconds"], s["exits"], {g: exits(s, g) for g in s["ports"]}))
    for f, v in s["filters"].items():
        print("filter", f, {k: n for k, n in v.items() if n})
        check(not v["fuse"], f"{f}: {v}")
    # Its clock: whichever it is, its filter is told all there is to know.
    for dev in "pmtimer", "hpet":
        if dev in s["filters"]:
            left, answered = s["ports"][dev]["reads"], s["filters"][dev]["answered"]
            check(left * 10 <= answered or left < 200, f"{dev}: {left} reads have come to the VMM, {answered} were answered")
    if "--sabotage" in sys.argv:
        v = s["filters"]["ide"]
        for how in "nothing", "less", "elsewhere":
            check(v["predicted_" + how] >= 5, f"ide: not sabotaged: {v}")
        check(v["answered"] >= 100000, f"ide: hardly anything was answered: {v}")
    if any(a.startswith("--reattach-every") for a in options):
        v = s["filters"]["ide"]
        check(v["attaches"] >= 5 and v["answered"] >= 20000, f"ide: attached {v['attaches']} times: {v}")
    print("ok")


if __name__ == "__main__":
    main()
