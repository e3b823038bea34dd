# SPDX-License-Identifier: GPL-2.0
"""How long a VM's vCPUs run on after QEMU has stopped its clock: from the first kick of a pause to the last vCPU's return.

QEMU stops the clock right before the first kick (system/cpus.c, do_vm_stop()), so this is the frozen window but for a few
instructions."""
import os
import re
import signal
import time


class Freeze:
    def __init__(self):
        base = "/sys/kernel/tracing"
        self.dir = os.path.join(base, "instances", f"iofilter-freeze{os.getpid()}")
        self.spans = []
        # Recording names patches the scheduler's code (see scripts/hold-vm.py); an instance takes the option from the top.
        with open(os.path.join(base, "options/record-cmd"), "r+", encoding="ascii") as f:
            before = f.read(1)
            f.write("0")
            f.flush()
            os.mkdir(self.dir)
            f.write(before)
        self._write("trace_clock", "mono")
        self._write("events/signal/signal_generate/filter", f"sig == {int(signal.SIGUSR1)}")
        for event in "signal/signal_generate", "kvm/kvm_userspace_exit":
            self._write(f"events/{event}/enable", "1")
        self._write("tracing_on", "0")

    def _write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
            f.write(text)

    def stop(self, guest):
        """Pause @guest, and note how long that took to reach all of its vCPUs."""
        self._write("trace", "")
        self._write("tracing_on", "1")
        begin = time.monotonic()
        guest.qmp.cmd("stop")
        end = time.monotonic()
        self._write("tracing_on", "0")
        kicked, back = {}, {}
        with open(os.path.join(self.dir, "trace"), encoding="utf-8", errors="replace") as f:
            for line in f:
                m = re.search(r"-(\d+) +\[\d+\].* (\d+\.\d+): (\w+):(.*)", line)
                if not m or not begin <= float(m[2]) <= end:
                    continue
                tid, at = int(m[1]), float(m[2])
                if m[3] == "signal_generate":
                    kicked.setdefault(int(re.search(r" pid=(\d+)", m[4])[1]), at)
                elif tid in kicked:
                    back.setdefault(tid, at)
        if back:
            self.spans.append((max(back.values()) - min(kicked[tid] for tid in back)) * 1e6)

    def text(self):
        s = sorted(self.spans)
        if not s:
            return "no pause met a running vCPU"
        return f"{len(s)} pauses, from the first kick to the last vCPU's return: {s[0]:.0f} us at least, " \
               f"{s[len(s) // 2]:.0f} us in the middle, {s[-1]:.0f} us at most"

    def close(self):
        self._write("events/enable", "0")
        os.rmdir(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
