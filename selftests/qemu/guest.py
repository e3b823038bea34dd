# SPDX-License-Identifier: GPL-2.0
"""A Linux guest on stock QEMU that does what it is told, the filter on it, and the kernel's own count of its exits."""
import glob
import json
import math
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from qmp import Qmp

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
O = os.environ.get("O", os.path.join(ROOT, "build"))
IOFILTER = os.path.join(O, "loader/iofilter")
SCALE = float(os.environ.get("IOFILTER_SCALE", "10" if os.environ.get("TORTURE") == "1" else "1"))
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
PMTIMER_PORT = 0x608
PMTIMER_HZ = 3579545
WRAP = (1 << 24) / PMTIMER_HZ


class Failed(Exception):
    pass


class Hung(Failed):
    """A guest does not answer. May be the emulator's fault; the runner tries once more."""


class Away(Failed):
    """A guest was held for so long that its clock lost a wrap of the PM timer: about 4.7 s."""


def say(*words):
    print(*words, flush=True)


def check(ok, what):
    """One judgement, said and counted. What is wrong ends the test."""
    if not ok:
        raise Failed(what)
    say("ok:", what)


def skip(why):
    say(why)
    sys.exit(77)


def main(test):
    # The runner's timeout: leave no QEMU behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        test()
    except Hung as e:
        say("FAILED:", e)
        say("a guest hung")
        sys.exit(75)
    except Failed as e:
        say("FAILED:", e)
        sys.exit(1)


def sh(*cmd, fail=True, timeout=60):
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=timeout)
    if fail and p.returncode:
        raise Failed(f"{' '.join(cmd)}: exit status {p.returncode}: {p.stdout.strip()}")
    return p


def kernel():
    if os.environ.get("KERNEL"):
        return os.environ["KERNEL"]
    found = sorted(glob.glob("/boot/vmlinuz-6.12*-amd64"), key=lambda k: [int(n) for n in re.findall(r"\d+", k)])
    if not found:
        raise Failed("no /boot/vmlinuz-6.12*-amd64: install linux-image-6.12-amd64")
    return found[-1]


def make_disk(sectors):
    """An image whose content kmod/idepio.c knows."""
    path = os.path.join(O, f"ide-disk.{os.getpid()}")
    with open(path, "wb") as f:
        for first in range(0, sectors * 128, 4096):
            f.write(struct.pack("<4096I", *(i * 2654435761 & 0xffffffff for i in range(first, first + 4096))))
    return path


def lost_wrap(seconds):
    """Whether a guest's clock that went on by @seconds against the host's lost a wrap of the PM timer meanwhile."""
    return abs(seconds + WRAP) < 0.2


def wrapped(seconds):
    """The nearest to 0 of all differences that the timer's wrap makes look alike."""
    return (seconds + WRAP / 2) % WRAP - WRAP / 2


class Guest:
    """Starts QEMU. boot() waits for the guest's shell; run() and json() do one command in it."""

    def __init__(self, cpus=1, machine="q35", cpu="max", append="", paused=False, image=True, extra=(), qemu=QEMU):
        self.dir = tempfile.mkdtemp(prefix="iofilter-guest.")
        self.console = os.path.join(self.dir, "console")
        args = [qemu, "-accel", "kvm", "-M", machine, "-cpu", cpu, "-smp", str(cpus), "-m", "256",
                "-nodefaults", "-display", "none", "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
                "-serial", f"file:{self.console}", "-chardev", f"socket,id=ctl,path={self.dir}/ctl,server=on,wait=off",
                "-serial", "chardev:ctl"]
        if image:
            args += ["-kernel", kernel(), "-initrd", os.path.join(O, "guest/initramfs.cpio.gz"), "-append",
                     f"console=ttyS0 quiet panic=-1 clocksource=acpi_pm {append}"]
        if paused:
            args.append("-S")
        self.args = args + list(extra)
        self.filtered = False
        self._start()

    def _start(self):
        self.log = open(os.path.join(self.dir, "qemu.log"), "w+", encoding="utf-8")
        self.proc = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = self.proc.pid
        self.ctl = None
        self.buffer = b""
        try:
            self.qmp = Qmp(f"{self.dir}/qmp")
        except Exception as e:
            self.kill()
            raise Failed(f"QEMU did not start: {e}: {self.qemu_log()}") from e

    def qemu_log(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read().strip()

    def console_end(self, lines=15):
        with open(self.console, encoding="utf-8", errors="replace") as f:
            return "\n".join(f.read().replace("\r", "").splitlines()[-lines:])

    def where(self):
        """What the first vCPU is at, to tell a guest that hangs from one that is slow."""
        seen = []
        for _ in range(5):
            text = self.qmp.cmd("human-monitor-command", **{"command-line": "info registers"})
            seen.append(" ".join(re.findall(r"(?:RIP|HLT)=\w+", text)))
            time.sleep(0.2)
        return f"vCPU 0 at {', '.join(seen)}"

    def _line(self, end):
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0:
                raise Hung(f"the guest does not answer; {self.where()}; its console ends with:\n{self.console_end()}")
            self.ctl.settimeout(left)
            try:
                got = self.ctl.recv(4096)
            except socket.timeout:
                continue
            if not got:
                raise Failed(f"QEMU ended: {self.qemu_log()}\n{self.console_end()}")
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace").rstrip("\r")

    def connect(self):
        if not self.ctl:
            self.ctl = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.ctl.connect(f"{self.dir}/ctl")
        return self

    def _ready(self, timeout):
        end = time.monotonic() + timeout
        self.connect()
        while self._line(end) != "#ready":
            pass
        return self

    def boot(self, timeout=150):
        """Wait for the guest's shell, at the first boot or after a reset.

        Now and then the emulated SVM loses an interrupt of a nested guest, and its boot hangs. As long as no filter was ever on it, it
        is started anew; with one, a hang is a failure."""
        for left in 2, 1, 0:
            try:
                return self._ready(timeout if self.filtered or not left else 90)
            except Failed as e:
                if self.filtered or not left or self.proc.poll() is not None:
                    raise
                say(f"the guest hung while QEMU alone booted it, and is started anew: {e}")
                self.kill()
                self._start()

    def begin(self, command):
        self.ctl.sendall(command.encode() + b"\n")

    def end(self, timeout=120):
        """The exit status and output of the command that begin() sent."""
        end, lines = time.monotonic() + timeout, []
        while True:
            line = self._line(end)
            if line.startswith("#done "):
                return int(line[6:]), lines
            lines.append(line)

    def run(self, command, timeout=120):
        self.begin(command)
        return self.end(timeout)

    @staticmethod
    def parse(line):
        try:
            return json.loads(line)
        except ValueError as e:
            raise Failed(f"no result from the guest, but: {line}") from e

    def end_json(self, timeout=120):
        """The result of a program that prints one object, and may fail for what it found: the caller judges that."""
        return self.parse("\n".join(self.end(timeout)[1]))

    def json(self, command, timeout=120):
        self.begin(command)
        return self.end_json(timeout)

    def clock(self, tries=40):
        """The guest's clock minus the host's, both CLOCK_MONOTONIC-like, in s: the lower and upper bound of it."""
        low, high, lost, longest = -math.inf, math.inf, False, 0
        self.begin("clock sync /dev/ttyS1")
        time.sleep(0.5)
        end = time.monotonic() + 60
        for _ in range(tries):
            t0 = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
            self.ctl.sendall(b"s")
            self.ctl.settimeout(30)
            self.buffer += self.ctl.recv(1)
            t1 = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
            guest = int(self._line(end)) / 1e9
            lost, longest = lost or lost_wrap(guest - t0 - low), max(longest, t1 - t0)
            low, high = max(low, guest - t1), min(high, guest - t0)
        self.ctl.sendall(b"q")
        ended = self.end()[0]
        if lost:
            raise Away(f"the guest's clock lost {low - high:.3f} s while it was read; the longest answer took {longest:.3f} s")
        check(ended == 0 and low <= high, f"the guest's clock was read within {(high - low) * 1e6:.0f} us")
        return low, high

    def kill(self):
        if self.ctl:
            self.ctl.close()
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Exits:
    """Counts one VM's accesses to a port, and those that went to userspace, by the kernel's tracing.

    complete_fast_pio_in() runs once for each plain read that userspace has answered, kvm_pio for each access to a port.
    """

    def __init__(self, port=PMTIMER_PORT, where=None, key="size"):
        """@where: which ports, as the kernel's trace filters have it; @key: what to tell apart."""
        where = where or f"port == {port}"
        base = "/sys/kernel/tracing"
        self.port = port
        self.group = f"iofilter{os.getpid()}"
        self.dir = os.path.join(base, "instances", self.group)
        self.events = os.path.join(base, "kprobe_events")
        # Names of processes are not wanted, and recording them patches the scheduler's code (see scripts/hold-vm.py). An
        # instance takes this option from the top, at its birth.
        option = os.path.join(base, "options/record-cmd")
        with open(option, "r+", encoding="ascii") as f:
            before = f.read(1)
            f.write("0")
            f.flush()
            os.mkdir(self.dir)
            f.write(before)
        self._append(self.events, f"p:{self.group}/user_in complete_fast_pio_in port=vcpu->arch.pio.port:u16 "
                                  "size=vcpu->arch.pio.size:u32")
        self._append(f"{self.dir}/events/{self.group}/user_in/trigger", f"hist:keys=common_pid,{key} if {where}")
        self._append(f"{self.dir}/events/kvm/kvm_pio/trigger", f"hist:keys=common_pid,{key},rw if {where}")

    @staticmethod
    def _append(path, text):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, text.encode() + b"\n")
        finally:
            os.close(fd)

    @staticmethod
    def _sum(path, pid, *wanted):
        tids = set(os.listdir(f"/proc/{pid}/task"))
        total = 0
        with open(path, encoding="ascii") as f:
            for line in f:
                m = re.match(r"\{ (.*) \} hitcount: +(\d+)", line)
                if not m:
                    continue
                keys = dict(k.strip().split(":") for k in m[1].split(","))
                if keys.pop("common_pid").strip() in tids and all(int(keys[k]) == v for k, v in wanted):
                    total += int(m[2])
        return total

    def user_reads(self, pid, size=4):
        return self._sum(f"{self.dir}/events/{self.group}/user_in/hist", pid, ("size", size))

    def reads(self, pid, size=4):
        return self._sum(f"{self.dir}/events/kvm/kvm_pio/hist", pid, ("size", size), ("rw", 0))

    def _traced(self, found, seconds):
        """Add to each VM's list of @found what its port shows less the host's clock, for @seconds."""
        for on in "1", "0":
            with open(f"{self.dir}/events/kvm/kvm_pio/enable", "w", encoding="ascii") as f:
                f.write(on)
            time.sleep(seconds if on == "1" else 0)
        tids = {tid: pid for pid in found for tid in os.listdir(f"/proc/{pid}/task")}
        with open(f"{self.dir}/trace", encoding="utf-8", errors="replace") as f:
            for line in f:
                m = re.search(r"-(\d+) +\[\d+\].* (\d+\.\d+): kvm_pio:.* val (0x[0-9a-f]+)", line)
                if m and m[1] in tids:
                    found[tids[m[1]]].append((int(m[3], 16) / PMTIMER_HZ - float(m[2])) % WRAP)
        with open(f"{self.dir}/trace", "w", encoding="ascii"):
            pass

    def offsets(self, pids, seconds=1.5):
        """For each VM of @pids: the clock that the port shows minus the host's, in s modulo the counter's wrap.

        From pairs (value given to the guest, time of the kernel's event right after it). Whatever delays the event lowers
        the difference, so the largest of many is the true one, less the shortest way through KVM.
        """
        with open(f"{self.dir}/trace_clock", "w", encoding="ascii") as f:
            f.write("mono")
        with open(f"{self.dir}/events/kvm/kvm_pio/filter", "w", encoding="ascii") as f:
            f.write(f"port == {self.port} && size == 4 && rw == 0")
        found = {pid: [] for pid in pids}
        # A busy machine gives the guests little time.
        for _ in range(8):
            self._traced(found, seconds)
            if all(len(all_of) >= 100 for all_of in found.values()):
                break
        offsets = []
        for pid, all_of in found.items():
            if len(all_of) < 100:
                raise Hung(f"only {len(all_of)} reads of VM {pid} were traced in {8 * seconds} s")
            offsets.append(max((wrapped(o - all_of[0]), o) for o in all_of)[1])
        return offsets

    def close(self):
        os.rmdir(self.dir)
        self._append(self.events, f"-:{self.group}/user_in")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Filter:
    """`iofilter attach` in the foreground on a guest, and what `iofilter status` says of it."""

    def __init__(self, guest, *options, device="pmtimer", wait=30):
        self.pid = guest.pid
        guest.filtered = True
        self.device = device
        self.log = os.path.join(guest.dir, f"loader.{random.randrange(1 << 32):08x}")
        with open(self.log, "w", encoding="utf-8") as log:
            self.proc = subprocess.Popen([IOFILTER, "attach", "--pid", str(self.pid), *options, device],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + wait
        while not self.status(fail=False):
            if self.proc.poll() is not None:
                raise Failed(f"iofilter attach: exit status {self.proc.returncode}: {self.said()}")
            if time.monotonic() > end:
                raise Failed(f"iofilter attach: nothing attached after {wait} s: {self.said()}")
            time.sleep(0.1)

    def said(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read().strip()

    def status(self, fail=True):
        for d in status(self.pid):
            if d["device"] == self.device:
                return d
        if fail:
            raise Failed(f"status shows no {self.device} on {self.pid}")
        return None

    def wait(self, timeout=30):
        """The loader's exit status, once it ends by itself."""
        try:
            return self.proc.wait(timeout)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"the loader still runs after {timeout} s; it said: {self.said()}") from e

    def detach(self):
        sh(IOFILTER, "detach", "--pid", str(self.pid), self.device)
        check(self.wait() == 0, "the loader ended with the filter")

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        end = time.monotonic() + 10
        while any(d["device"] == self.device for d in status(self.pid)):
            if time.monotonic() > end:
                raise Failed("the loader was killed 10 s ago and the filter is still there")
            time.sleep(0.02)


def status(pid=None):
    p = subprocess.run([IOFILTER, "status", "--json"] + (["--pid", str(pid)] if pid else []), stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=30)
    if p.returncode:
        raise Failed(f"iofilter status: exit status {p.returncode}: {p.stderr.strip()}")
    return [d for d in json.loads(p.stdout or "[]") if d["state"] == "attached"]


def punted(st):
    return sum(st["punted"].values())
