#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Keep two VMs open for as long as the test machine lives, each with a vCPU that never runs.

KVM patches code when the first VM or vCPU of a kind comes and when the last one goes: the scheduler's for any VM, its own
for a vCPU whose local APIC is disabled by software, as each is until its guest enables it (apic_sw_disabled), and for
one without a local APIC (kvm_has_noapic_vcpu). QEMU's TCG (7.2, 10.0) may keep what it translated while another CPU patched,
and then the machine dies of a stale int3. With these vCPUs always there, the code is patched once.
"""
import fcntl
import signal

KVM_CREATE_VM = 0xAE01
KVM_CREATE_VCPU = 0xAE41
KVM_CREATE_IRQCHIP = 0xAE60

with open("/dev/kvm", "rb") as kvm:
    with_apic, without = (fcntl.ioctl(kvm, KVM_CREATE_VM, 0) for _ in range(2))
    fcntl.ioctl(with_apic, KVM_CREATE_IRQCHIP, 0)
    vcpus = [fcntl.ioctl(vm, KVM_CREATE_VCPU, 0) for vm in (with_apic, without)]
    print("held", flush=True)
    signal.pause()
