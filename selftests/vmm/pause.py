#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
A guest that watches its clocks for four seconds (watch.c), and is stopped and let go on by SIGUSR2 meanwhile, for longer than that in all: no
time has passed on any of them. Without filters and with all of them; and a VM that is stopped can be saved, and ended.

pause.py
"""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from save import AWAY, DONE, PM_HZ, SAVED, STOPS, payload
from vmm import VMM, check, lines

FILTERS = "--filter=pmtimer,hpet,pit,rtc"


def start(args):
    p = subprocess.Popen([VMM, "--flat=" + payload("watch"), "--memory=16", "--timeout=120"] + args, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(p.stdout.readline() == b"begin\n", "the payload has not begun")
    return p


def tsc_rate():
    """The TSC's units in a second, of a guest that nobody stops."""
    got = lines(start([]).communicate(timeout=150)[0].decode())
    return got["tsc"]["sum"] / got["pm"]["sum"] * PM_HZ


def pauses(rnd, args, rate):
    p = start(args)
    begin, paused, n = time.monotonic(), 0, 0
    while n < 3:
        time.sleep(rnd.uniform(0.1, 0.8))
        p.send_signal(signal.SIGUSR2)
        stopped = time.monotonic()
        time.sleep(AWAY if n else 0.05)
        check(p.poll() is None, f"the VMM has ended: {p.returncode}")
        p.send_signal(signal.SIGUSR2)
        # The least that it was stopped for; the signals come when they come.
        paused += time.monotonic() - stopped
        n += 1
    out, err = p.communicate(timeout=150)
    took = time.monotonic() - begin
    got = lines(out.decode())
    print(out.decode())
    check(p.returncode == DONE and not err, f"exit status {p.returncode}: {err.decode()}")
    seconds = {"pm": got["pm"]["sum"] / PM_HZ, "hpet": got["hpet"]["sum"] / 1e8}
    print(f"{n} pauses of {paused:.2f} s in all; it took {took:.2f} s, of which the guest has seen {seconds['pm']:.2f}")
    check(took > seconds["pm"] + paused - STOPS, f"the guest has seen {seconds['pm']} s in {took} s with {paused} s of pauses")
    for name in "pm", "hpet", "tsc", "pit":
        check(got[name]["back"] == 0, f"{name} has stepped back")
    check(got["pm"]["most"] < STOPS * PM_HZ, "the PM timer has made a step")
    check(got["hpet"]["most"] < STOPS * 1e8, "the HPET has made a step")
    tsc = got["tsc"]["sum"] / rate
    check(abs(tsc - seconds["pm"]) < 0.05, f"the TSC has gone on for {tsc} s, the PM timer for {seconds['pm']}")
    check(abs(seconds["pm"] - seconds["hpet"]) < 0.01, f"the clocks have not gone alike: {seconds}")
    check(got["rtc"]["jumps"] == 0 or got["pm"]["most"] > 0.5 * PM_HZ, f"the RTC has jumped: {got['rtc']}")
    check(abs(got["rtc"]["seconds"] - seconds["pm"]) <= 1, f"{got['rtc']} of the RTC, {seconds}")


def stopped(args):
    with tempfile.TemporaryDirectory() as d:
        saved = os.path.join(d, "saved")
        p = start(args + ["--save=" + saved])
        p.send_signal(signal.SIGUSR2)
        time.sleep(1)
        p.send_signal(signal.SIGUSR1)
        check(p.wait(60) == SAVED, f"a VM that stands, saved: {p.returncode}")
        before = p.stdout.read()
        p = subprocess.run([VMM, "--flat=" + payload("watch"), "--memory=16", "--restore=" + saved] + args, stdout=subprocess.PIPE)
        got = lines((before + p.stdout).decode())
        check(p.returncode == DONE and got["pm"]["most"] < STOPS * PM_HZ, f"a VM that was saved as it stood: {p.returncode}, {got}")
    p = start(args)
    p.send_signal(signal.SIGUSR2)
    time.sleep(0.5)
    check(p.poll() is None, "a stopped VM has ended")
    p.terminate()
    check(p.wait(30) == 130, f"a VM that stands, ended: {p.returncode}")


def main():
    seed = int(os.environ.get("SEED", random.randrange(1 << 31)))
    print("SEED=%d" % seed)
    rnd = random.Random(seed)
    rate = tsc_rate()
    for args in [[]] if "--plain" in sys.argv else [[], [FILTERS]]:
        pauses(rnd, args, rate)
        stopped(args)
    print("ok")


main()
