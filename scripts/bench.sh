#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What one guest access costs, in instructions: boots a small machine under QEMU's TCG with -icount, where a nanosecond
# is one instruction, so that a cost repeats almost exactly. docs/bench.md says how, and how to read the output.
#
#	bench.sh			the table, and build/bench.json
#	bench.sh --no-filter		the rows that need no module and no loader
#	bench.sh --profile [PATH] [--listing FILE]
#					instructions per function of one read; PATH: filter (default), pit and speaker (theirs), qemu, in-kernel.
#					--listing: the read itself, instruction by instruction
#	bench.sh --clock		no costs: a guest reads the PM timer as fast as it can, at the latencies of
#					hardware; does the filter prove its clock, with its default times?
#	bench.sh --ide			exits to the VMM, and instructions, per 128 KiB that a guest reads from an IDE disk by PIO: stock QEMU and
#					the VMM that cooperates, without and with the filter; and build/bench-ide.json
#	bench.sh --boot			no costs: Linux guests with clocksource=hpet boot, at the latencies of hardware, without and with the filter;
#					how do they calibrate, and does any of them complain of a clock?
#	bench.sh --contention [ROUNDS]	no costs: what a second vCPU that reads in parallel brings, through QEMU and through
#					the filter, in time (in the tests' machine, scripts/vm.sh; HOST=1: on this host)
#
# Environment: O (build tree), KIMAGE (kernel image of the machine), QEMU (the emulator, and the VMM inside the
# machine), KEEP=1 (leave the working directory behind).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

root=$(cd "$(dirname "$0")/.." && pwd)
O=${O:-$root/build}
QEMU=${QEMU:-$(command -v qemu-system-x86_64 || true)}
runs=2
limit=900 # seconds that the machine may take
tmp=

die() { echo "bench: error: $*" >&2; exit 1; }

usage() { sed -n '4,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }

cleanup() {
	[ -z "${vm:-}" ] || kill "$vm" 2>/dev/null || true
	[ -z "$tmp" ] && return
	if [ -n "${KEEP:-}" ]; then
		echo "bench: left behind: $tmp" >&2
	else
		rm -rf "$tmp"
	fi
}
trap cleanup EXIT

# copy FILE...: into the tree, under the same path, with the libraries it is linked to.
copy() {
	local f lib
	for f in "$@"; do
		mkdir -p "$tree$(dirname "$f")"
		cp -L "$f" "$tree$f"
		for lib in $(ldd "$f" 2>/dev/null | grep -o '/[^ ]*'); do
			[ -e "$tree$lib" ] || { mkdir -p "$tree$(dirname "$lib")"; cp -L "$lib" "$tree$lib"; }
		done
	done
}

# make_guest: the Linux guest inside
make_guest() {
	local guest=$tmp/guest
	mkdir -p "$guest"/{bin,dev,proc,sys}
	cp "$busybox" "$guest/bin/busybox"
	cp "$root/selftests/bench/boot-init" "$guest/init"
	(cd "$guest" && find . | cpio -o -H newc --quiet) > "$tree/bench/initramfs"
	cp "$KIMAGE" "$tree/bench/vmlinuz"
	rm -rf "$guest"
}

make_initramfs() {
	local tree=$tmp/tree rom ko to n=0
	mkdir -p "$tree"/{bin,dev,proc,sys,run,tmp,bench/modules,usr/local/sbin}
	cp "$busybox" "$tree/bin/busybox"
	copy "$QEMU"
	for rom in seabios/bios-256k.bin seabios/vgabios-stdvga.bin qemu/{kvmvapic,multiboot,multiboot_dma}.bin; do
		copy "/usr/share/$rom"
	done
	while read -r _ ko; do
		n=$((n + 1))
		to=$tree/bench/modules/$(printf %02d $n)-$(basename "${ko%%.ko*}").ko
		case $ko in
		*.xz) xz -dc "$ko" ;;
		*.zst) zstd -dc "$ko" ;;
		*) cat "$ko" ;;
		esac > "$to"
	done < <(modprobe -S "$release" --show-depends kvm-amd | grep ^insmod)
	if [ $filter = 1 ]; then
		cp "$O/kmod/kvm_iofilter.ko" "$tree/bench/modules/99-kvm_iofilter.ko"
		copy "$O/loader/iofilter"
		ln -s "$O/loader/iofilter" "$tree/usr/local/sbin/iofilter"
		cp "$O"/selftests/bench/constant*.bpf.o "$tree/bench/"
	fi
	if [ -n "$boot" ]; then
		copy /usr/share/qemu/linuxboot_dma.bin
		make_guest
	fi
	if [ -n "$ide" ]; then
		copy "$O/devices/iofilter-vmm"
		ln -s "$O/devices/iofilter-vmm" "$tree/usr/local/sbin/iofilter-vmm"
		cp "$O"/selftests/bench/ide_guest.{elf,bin} "$tree/bench/"
		"$root/selftests/bench/ide" --disk "$tree/bench/disk"
	fi
	cp "$O/selftests/bench/guest.elf" "$tree/bench/guest.elf"
	cp "$root/selftests/bench/init" "$tree/init"
	(cd "$tree" && find . | cpio -o -H newc --quiet) > "$tmp/initramfs"
	rm -rf "$tree"
}

# start_machine PARAMETER...: the machine in the background, its pid in $vm. Without khugepaged, which has a new guest's memory for 4 ms at a
# time on the only CPU.
start_machine() {
	"$QEMU" -M q35 -m 2G -smp 1 -cpu max,+svm -accel tcg -icount shift=0,sleep=off -nodefaults -display none \
		-no-reboot -kernel "$KIMAGE" -initrd "$tmp/initramfs" \
		-append "console=ttyS0 quiet panic=-1 transparent_hugepage=never bench.runs=$runs bench.filter=$filter $*" \
		-serial "file:$tmp/console" -monitor "unix:$tmp/monitor,server=on,wait=off" \
		-device virtio-serial-pci -chardev "file,id=bench,path=$tmp/records" \
		-device virtserialport,chardev=bench,name=bench -chardev "file,id=symbols,path=$tmp/symbols" \
		-device virtserialport,chardev=symbols,name=symbols -D "$tmp/trace" < /dev/null &
	vm=$!
}

# wait_for RECORD: until the machine has written that record.
wait_for() {
	local deadline=$((SECONDS + limit)) ended=0
	until grep -qs "^$1" "$tmp/records"; do
		if grep -qs '^error ' "$tmp/records"; then
			die "$(sed -n 's/^error //p' "$tmp/records")"
		fi
		[ $ended = 0 ] || die "the benchmark's machine ended early: $(tail -n 5 "$tmp/console")"
		[ $SECONDS -lt $deadline ] || die "the benchmark's machine took longer than $limit s: $(tail -n 5 "$tmp/console")"
		# Only now: what it wrote last is looked at once more.
		kill -0 "$vm" 2>/dev/null || ended=1
		sleep 0.5
	done
}

check_inputs() {
	local f
	[ -n "$QEMU" ] || die "no qemu-system-x86_64; run 'make setup'"
	busybox=$(command -v busybox) || die "no busybox; run 'make setup'"
	release=
	if [ $filter = 1 ]; then
		for f in kmod/kvm_iofilter.ko loader/iofilter ${ide:+devices/iofilter-vmm}; do
			[ -e "$O/$f" ] || die "no $O/$f; run 'make' first, or measure the other rows with --no-filter"
		done
		release=$(modinfo -F vermagic "$O/kmod/kvm_iofilter.ko" | cut -d' ' -f1)
	fi
	: "${KIMAGE:=$(ls -v /boot/vmlinuz-${release:-*-amd64} 2>/dev/null | tail -n 1)}"
	[ -e "$KIMAGE" ] || die "no kernel image /boot/vmlinuz-${release:-*-amd64}; run 'make setup', or set KIMAGE"
	: "${release:=${KIMAGE##*/vmlinuz-}}"
	# Two of us may be here at once.
	flock "$O/.bench" make -s -C "$root/selftests/bench" O="$O" "$([ $filter = 1 ] && echo all || echo guest)"
}

main() {
	filter=1 profile='' listing='' clock='' ide='' boot=
	while [ $# -gt 0 ]; do
		case $1 in
		--no-filter) filter=0 ;;
		--profile)
			profile=filter
			case ${2:-} in filter | pit | speaker | qemu | in-kernel) profile=$2; shift ;; esac
			;;
		--clock) clock=1 ;;
		--ide) ide=1 ;;
		--boot) boot=1 ;;
		--contention)
			"$root/scripts/guest-image.sh" || die "no image for the Linux guests"
			exec "$root/scripts/vm.sh" ${HOST:+--host} --timeout "$limit" -- selftests/bench/contention ${2:+"$2"}
			;;
		--listing) listing=${2:?--listing wants a file}; shift ;;
		-h | --help) usage; exit 0 ;;
		*) usage >&2; exit 1 ;;
		esac
		shift
	done
	case $profile in qemu | in-kernel) filter=0 ;; esac
	check_inputs
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/iofilter-bench.XXXXXX")
	make_initramfs
	if [ -n "$profile" ]; then
		start_machine "bench.profile=$profile"
		wait_for 'profile ready'
		"$root/selftests/bench/profile" "$tmp/monitor" "$tmp/trace" "$tmp/symbols" "$profile" ${listing:+"$listing"}
		return
	fi
	start_machine "${clock:+bench.clock=1}" "${ide:+bench.ide=1}" "${boot:+bench.boot=1}"
	wait_for 'done'
	sed -n 's/^note /bench: /p' "$tmp/records"
	if [ -n "$clock" ]; then
		"$root/selftests/bench/clock" "$tmp/records"
		return
	fi
	if [ -n "$boot" ]; then
		"$root/selftests/bench/boot" "$tmp/records"
		return
	fi
	if [ -n "$ide" ]; then
		"$root/selftests/bench/ide" "$tmp/records" "$O/bench-ide.json"
		return
	fi
	mkdir -p "$O"
	"$root/selftests/bench/report" "$tmp/records" "$O/bench.json" $filter
}

main "$@"
