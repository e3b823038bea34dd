#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""QEMU is killed while a filter is attached: the loader ends by itself and says so, status shows nothing, nothing keeps the
module. While a filter is attached, the module cannot be removed."""
import os
import time

from guest import IOFILTER, O, PMTIMER_PORT, SCALE, Filter, Guest, check, main, say, sh, status

MODULE = "kvm_iofilter"


def loaded():
    return os.path.exists(f"/sys/module/{MODULE}")


def reload_module():
    p = sh("rmmod", MODULE, fail=False)
    check(p.returncode == 0 and not loaded(), f"the module can be removed {p.stdout.strip()}")
    sh("insmod", os.path.join(O, "kmod", f"{MODULE}.ko"))
    check(loaded(), "and loaded again")


def refused():
    p = sh("rmmod", MODULE, fail=False)
    check(p.returncode != 0 and loaded(), f"while attached it cannot: {p.stdout.strip()}")


def killed_in_loop():
    with Guest() as guest:
        guest.boot()
        filt = Filter(guest)
        guest.begin("clock port 1000000000")
        end = time.monotonic() + 30
        while filt.status()["answered"] < 1000 and time.monotonic() < end:
            time.sleep(0.2)
        check(filt.status()["answered"] >= 1000, "the filter answers a guest that reads in a loop")
        refused()
        guest.kill()
        rc = filt.wait(10)
        say(filt.said())
        check(rc == 0, f"the loader ended by itself with status {rc}")
        check("VM ended" in filt.said(), "and said that the VM ended")
        check(status() == [], "status shows nothing")


def killed_pinned():
    """No loader here to notice. The VM has not run at all."""
    with Guest(paused=True, image=False) as guest:
        sh(IOFILTER, "attach", "--pid", str(guest.pid), "--pin", "pmtimer")
        check(len(status(guest.pid)) == 1, f"attached and pinned at {PMTIMER_PORT:#x}")
        refused()
    check(status() == [], "status shows nothing")
    say(sh(IOFILTER, "clean").stdout)
    check(not os.path.exists(f"/sys/fs/bpf/kvm-iofilter/{guest.pid}"), "clean removed the pins")


def test():
    killed_in_loop()
    reload_module()
    for _ in range(int(3 * SCALE)):
        killed_pinned()
        reload_module()


main(test)
