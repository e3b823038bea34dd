#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
A Linux guest on the reference VMM is saved while it reads its disk, while it sleeps and while it waits for input, and goes on in a new
process each time: the commands end as they should, its clocks have not seen the time in between, and its log is clean.

linux-save.py [VMM OPTION...]
"""
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from linux import COMMAND, IMAGE, PROMPT, SECTORS, Guest, find_kernel
from vmm import ROOT, VMM, check

SAVED = 4
# To a guest a save takes no time, however long it is.
AWAY, BRIEF = 4.0, 0.5
TROUBLE = r"BUG|Oops|WARNING|stall|soft lockup|hard LOCKUP|ata.*(exception|failed|error)|I/O error"


class SavedGuest(Guest):
    def __init__(self, args, file):
        self.args, self.file = args + ["--save=" + file], file
        self.ahead = b""
        super().__init__(self.args)

    def again(self, away):
        """Save it, and go on in another process after @away s."""
        self.p.send_signal(signal.SIGUSR1)
        # What it has said until then, before anything that it says later.
        more = self.p.stdout.read()
        self.log += more
        self.ahead += more
        status = self.p.wait(COMMAND)
        check(status == SAVED, f"the VMM ended with {status} at a save")
        size = os.path.getsize(self.file)
        time.sleep(away)
        start = time.monotonic()
        self.p = subprocess.Popen([VMM] + self.args + ["--restore=" + self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        print(f"saved ({size >> 20} MiB), {away} s later restored")
        return start

    def until(self, pattern, seconds, got=b""):
        got, self.ahead = self.ahead + got, b""
        return super().until(pattern, seconds, got)

    def begin(self, command):
        self.p.stdin.write(command.encode() + b"; echo \"#\"done $?\n")
        self.p.stdin.flush()

    def end(self, command, seconds=COMMAND):
        out = self.until(rb"#done \d+[^$]*" + PROMPT, seconds).replace(b"\r", b"")
        body, status = re.search(rb"(?s)(.*)#done (\d+)", out.split(b"\n", 1)[1]).groups()
        print("vmm# %s\n%s" % (command, body.decode(errors="replace").rstrip()))
        check(status == b"0", "%s: exit status %s" % (command, status.decode()))
        return body.decode(errors="replace")

    def uptime(self):
        return float(self.do("cut -d' ' -f1 /proc/uptime").split()[-1])


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
    print("SEED=%d" % seed)
    rnd = random.Random(seed)
    image = rnd.randbytes(SECTORS * 512)
    subprocess.run([os.path.join(ROOT, "scripts", "vmm-image.sh")], check=True)
    with tempfile.NamedTemporaryFile(suffix=".img") as disk, tempfile.TemporaryDirectory() as folder:
        disk.write(image)
        disk.flush()
        g = SavedGuest(["--kernel=" + find_kernel(), "--initrd=" + IMAGE, "--disk=" + disk.name, "--memory=128"] + sys.argv[1:],
                       os.path.join(folder, "saved"))
        g.boot()
        g.do("cd /modules; for m in [0-9]*.ko; do insmod $m || break; done; insmod pata_legacy.ko all=1")
        g.do("n=0; until [ -b /dev/sda ] || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done; [ -b /dev/sda ]")
        g.do("cat /sys/devices/system/clocksource/clocksource0/current_clocksource; nproc")

        # At its prompt, where it is idle. What is typed into the new process comes to the same shell.
        g.do("x=$((6 * 7))")
        was, start = g.uptime(), time.monotonic()
        g.again(AWAY)
        now, took = g.uptime(), time.monotonic() - start
        print(f"up {was} s, {took:.1f} s of the host's later {now} s")
        check(0 <= now - was < took - AWAY + 1, f"the guest's clock went on by {now - was} s in a save of {AWAY} s")
        check(g.do("echo $x").strip() == "42", "the shell is another")

        # While it reads the whole disk past its cache: in the middle of a sector, as a rule. Then while it writes.
        for n in range(3):
            g.do("echo 3 > /proc/sys/vm/drop_caches")
            g.begin("sha256sum < /dev/sda")
            time.sleep(rnd.uniform(0.05, 1.0))
            g.again(BRIEF)
            got = re.search(r"(?m)^([0-9a-f]{64})  -", g.end("sha256sum < /dev/sda")).group(1)
            check(got == hashlib.sha256(image).hexdigest(), "the guest reads other bytes than there are")
        # Not many: each word of a write is an exit, and the driver does not let go before the command's end.
        at = rnd.randrange(64, SECTORS - 300)
        g.do("dd if=/dev/sda of=/tmp/some bs=512 skip=%d count=200 2>/dev/null" % at)
        g.do("tr '\\000-\\377' '\\001-\\377\\000' < /tmp/some > /tmp/other")
        g.begin("dd if=/tmp/other of=/dev/sda bs=512 seek=%d count=200 conv=fsync 2>/dev/null" % at)
        time.sleep(rnd.uniform(0.05, 0.5))
        g.again(BRIEF)
        g.end("dd")
        image = image[:at * 512] + bytes((b + 1) & 255 for b in image[at * 512:(at + 200) * 512]) + image[(at + 200) * 512:]

        # A timer that was running when it was saved: the guest sleeps for as long as it wanted, by its own clock. If the save counted, it would
        # be AWAY and half a second.
        g.begin("a=$(cut -d' ' -f1 /proc/uptime); sleep 2; b=$(cut -d' ' -f1 /proc/uptime); echo $a $b")
        time.sleep(0.5)
        g.again(AWAY)
        a, b = map(float, g.end("sleep 2").split()[-2:])
        check(1.9 < b - a < 2 + AWAY / 2, f"a sleep of 2 s took {b - a} s of the guest's")

        # A pause, by its own clock.
        was, start = g.uptime(), time.monotonic()
        g.p.send_signal(signal.SIGUSR2)
        time.sleep(AWAY)
        g.p.send_signal(signal.SIGUSR2)
        now, took = g.uptime(), time.monotonic() - start
        check(0 <= now - was < took - AWAY + 1, f"the guest's clock went on by {now - was} s in a pause of {AWAY} s")

        g.do("! dmesg | grep -E '%s'" % TROUBLE)
        g.p.stdin.write(b"exit\n")
        g.p.stdin.flush()
        g.until(rb"Power down|System halted|Restarting", COMMAND)
        check(g.p.wait(timeout=COMMAND) == 0, "the VMM ended with %d" % g.p.returncode)
        with open(disk.name, "rb") as f:
            check(f.read() == image, "the image is not what the guest wrote")
    print("ok")


main()
