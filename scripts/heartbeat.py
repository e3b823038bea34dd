#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Keep each CPU of the test machine interrupted by another one, for as long as the machine lives.

QEMU's TCG changes a CPU's pending interrupts without a lock when SVM enters and leaves a guest, and so may forget one. If it
was that CPU's one-shot timer, the CPU's timers stand still until something else interrupts it. This does, after 10 ms.
"""
import os
import time

PERIOD = 0.01

cpus = sorted(os.sched_getaffinity(0))
if len(cpus) < 2:
    raise SystemExit
pipes = {cpu: os.pipe() for cpu in cpus}
for i, cpu in enumerate(cpus):
    if os.fork():
        continue
    os.sched_setaffinity(0, {cpu})
    # A wakeup on a busy CPU interrupts it only if the woken one goes first.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    if os.fork():
        while True:
            os.read(pipes[cpu][0], 4096)
    to = pipes[cpus[(i + 1) % len(cpus)]][1]
    while True:
        time.sleep(PERIOD)
        os.write(to, b".")
