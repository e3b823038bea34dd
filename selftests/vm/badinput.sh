#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Bad input to the tool: one clear line that names what was wrong, an exit status that is not 0, and nothing changed.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=badinput
iofilter=$O/loader/iofilter
filters=/sys/kernel/debug/kvm_iofilter/filters
dir=$(mktemp -d)
failed=0 n=0

fail() { echo "FAIL: $*"; failed=1; }
attached() { tail -n +2 "$filters" 2>/dev/null | sort; }

# refused WHAT STATUS PATTERN CMD...
refused() {
	local what=$1 status=$2 pattern=$3 before=$(attached) rc lines
	shift 3

	n=$((n + 1))
	timeout 60 "$@" > "$dir/out" 2> "$dir/err"
	rc=$?
	lines=$(wc -l < "$dir/err")
	echo "$what: exit $rc: $(cat "$dir/err")"
	[ $rc = "$status" ] || fail "$what: wanted exit status $status, got $rc"
	grep -qiE -- "$pattern" "$dir/err" || fail "$what: wanted a message with '$pattern'"
	[ "$status" = 2 ] || [ "$lines" = 1 ] || fail "$what: wanted one line, got $lines"
	[ "$(attached)" = "$before" ] || fail "$what: what is attached has changed: $(attached)"
}

qemu-system-x86_64 -accel kvm -M q35 -display none -nodefaults -S -name refuse-me 2> "$dir/qemu" & qemu=$!
setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600 & other=$!
trap 'kill $qemu $other 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
	ls -l /proc/$qemu/fd 2>/dev/null | grep -q kvm-vcpu && break
	sleep 0.2
done
attach=("$iofilter" attach --pid $qemu)

refused "no such pid" 1 "no .*process.* 4194303|4194303.*no such" "$iofilter" attach --pid 4194303 pmtimer
refused "pid is not a number" 2 "xyz" "$iofilter" attach --pid xyz pmtimer
refused "negative pid" 2 "-5" "$iofilter" attach --pid -5 pmtimer
refused "not a VM" 1 "no KVM VM|not a VM|has no .*VM" "$iofilter" attach --pid $$ pmtimer
refused "no pid given" 2 "pid" "$iofilter" attach pmtimer
refused "a port for no device" 2 "port.*one device" "${attach[@]}" --port 0x608
refused "a port for the HPET" 1 "address 0x800.*memory" "${attach[@]}" --port 0x800 hpet
refused "width 32 of the HPET" 1 "64 bits" "${attach[@]}" --width 32 hpet
refused "a port for the RTC" 1 "0x70, always" "${attach[@]}" --port 0x608 rtc
refused "a port for the IDE channel" 1 "0x1f0.*0x170" "${attach[@]}" --port 0x608 ide
refused "unknown device" 1 "nosuch.*pmtimer" "${attach[@]}" nosuch
refused "unknown command" 2 "frobnicate" "$iofilter" frobnicate
refused "unknown option" 2 "--frob" "${attach[@]}" --frob pmtimer
for port in 0 65533 0x10000 -1 0x608x ''; do
	refused "port '$port'" 2 "port" "${attach[@]}" --port="$port" pmtimer
done
refused "width 16" 1 "24 or 32" "${attach[@]}" --width 16 pmtimer
refused "timing of one number" 2 "timing" "${attach[@]}" --timing 40 pmtimer
refused "timing of zeros" 2 "timing|bracket" "${attach[@]}" --timing 0,0,0 pmtimer
refused "not an object file" 1 "vm/badinput.sh" "${attach[@]}" --obj "${BASH_SOURCE[0]}"
refused "no object file" 1 "nowhere.o" "${attach[@]}" --obj /nowhere.o
refused "no pins there" 1 "$dir" "${attach[@]}" --pinned "$dir"
refused "detach of nothing" 1 "attached" "$iofilter" detach --pid $qemu
refused "update of nothing" 1 "attached" "$iofilter" update --pid $qemu pmtimer

for obj in "$O"/selftests/bad/*.bpf.o; do
	[ "$(basename "$obj")" = good.bpf.o ] && continue
	refused "verifier: $(basename "$obj" .bpf.o)" 1 "$(basename "$obj" .bpf.o | cut -d_ -f1)|refused|verifier|kernel|licen" "${attach[@]}" --obj "$obj"
done

nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all)
refused "no permission" 1 "permission|CAP_|root" "${nobody[@]}" "${attach[@]}" pmtimer
refused "no CAP_BPF" 1 "CAP_BPF" setpriv --bounding-set -bpf,-sys_admin --inh-caps=-bpf,-sys_admin "${attach[@]}" pmtimer

"${attach[@]}" --daemon pmtimer > "$dir/out" || fail "the control, a good attach, failed"
[ "$(attached | wc -l)" = 1 ] || fail "the control is not attached"
refused "device twice" 1 "already attached" "${attach[@]}" pmtimer
refused "device twice at another port" 1 "already attached" "${attach[@]}" --port 0x700 pmtimer
refused "detach of another device" 1 "nosuch" "$iofilter" detach --pid $qemu nosuch
"$iofilter" detach --pid $qemu > "$dir/out" || fail "detach failed"
[ "$(attached | wc -l)" = 0 ] || fail "still attached after detach"

# A kernel without BTF: its file is hidden from this one process tree.
mkdir "$dir/empty"
refused "kernel without BTF" 1 "BTF" unshare -m sh -c "mount --bind $dir/empty /sys/kernel/btf && exec \"\$@\"" sh "${attach[@]}" pmtimer

# The module without usable BTF says so and does not load; without the module the tool says what to do.
rmmod kvm_iofilter || fail "rmmod failed"
refused "module absent" 1 "modprobe kvm_iofilter" "${attach[@]}" pmtimer
objcopy --remove-section .BTF "$O/kmod/kvm_iofilter.ko" "$dir/nobtf.ko"
if insmod "$dir/nobtf.ko" 2> "$dir/err"; then
	fail "a module without BTF was loaded"
	rmmod kvm_iofilter
fi
dmesg | tail -n 5 | grep -q "kvm_iofilter: no usable BTF" || fail "the kernel's log does not say why: $(dmesg | tail -n 3)"
insmod "$O/kmod/kvm_iofilter.ko" || fail "the module does not load again"

echo "$n refusals"
exit $failed
