# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts here and by selftests/run: places, messages, and what every test machine needs first.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
O=${O:-$ROOT/build}
me=$(basename "$0" .sh)
export ROOT O

say() { echo "$me: $*"; }
die() { echo "$me: error: $*" >&2; exit 1; }

# The kernel that the machine and the Linux guests boot.
find_kernel() {
	local k=${KERNEL:-$(printf '%s\n' /boot/vmlinuz-6.12*-amd64 | sort -V | tail -n 1)}

	[ -r "$k" ] || die "no readable kernel at $k: install linux-image-6.12-amd64 ('make setup') or set KERNEL="
	echo "$k"
}

# The other QEMU that tests attach to, beside the installed one. The test machine's emulator, too.
find_qemu10() {
	local q=${KVM_IOFILTER_SRC:-/usr/local/src/kvm-iofilter}/qemu/usr/bin/qemu-system-x86_64

	[ -x "$q" ] || q=$(command -v qemu-system-x86_64) || die "no qemu-system-x86_64: run 'make setup'"
	echo "$q"
}

# As root, in the machine (or on the host with --host): KVM, what our tools use of the kernel, and the module itself.
load_modules() {
	local ko=$O/kmod/kvm_iofilter.ko

	[ "$(id -u)" = 0 ] || die "loading modules needs root"
	if [ ! -e /dev/kvm ]; then
		modprobe kvm-amd 2>/dev/null || modprobe kvm-intel 2>/dev/null ||
			die "no KVM: neither kvm-amd nor kvm-intel loads here"
	fi
	mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
	mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
	[ ! -e /sys/module/kvm_iofilter ] || return 0
	[ -e "$ko" ] || die "no $ko: run 'make' first"
	insmod "$ko" || die "insmod $ko failed; the last lines of dmesg say why"
}
