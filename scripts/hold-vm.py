#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Keep an empty VM open for as long as the test machine lives.

KVM patches the scheduler's code when the first VM comes and when the last one goes. QEMU's TCG before 8.1 may translate code
on one CPU while another patches it, and then the machine dies of an int3 in __schedule(). With one VM always there, the
code is patched once.
"""
import fcntl
import signal

KVM_CREATE_VM = 0xAE01

with open("/dev/kvm", "rb") as kvm:
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
print("held", flush=True)
signal.pause()
