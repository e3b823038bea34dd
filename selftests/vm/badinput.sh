#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Bad input to the tool: one clear line that names what was wrong, an exit status that is not 0, and nothing changed.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cli.sh"

attached() { tail -n +2 "$filters" 2>/dev/null | sort; }

# As that of cli.sh, but a wrong usage may take several lines.
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

start_vm refuse-me
setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600 & other=$!
started+=($other)
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

map=("$iofilter" map --pid $qemu)
refused "map of nothing" 2 "where" "${map[@]}"
refused "map without a region" 2 "what is to change" "${map[@]}" 0x600
refused "map of no kind" 2 "counter, const or table" "${map[@]}" pio:0x600+4
refused "map of an unknown kind" 2 "gadget.*counter, const or table" "${map[@]}" pio:0x600+4 gadget
for region in pio: pio:+4 pio:0x600+ pio:0x600+x pio:0x600x+4 pci:0x600+4 0x+4 ''; do
	refused "region '$region'" 2 "no region" "${map[@]}" "$region" const 1
done
refused "a port beyond the last" 2 "0x10000.*0xffff" "${map[@]}" pio:0x10000+1 const 1
refused "ports beyond the last" 1 "end at 0xffff" "${map[@]}" pio:0xfffe+4 const 1
refused "memory below the ports' end" 2 "below 0x10000" "${map[@]}" mmio:0x8000+4 const 1
refused "memory beyond 2^52" 1 "2\\^52" "${map[@]}" mmio:0xffffffffffffff00+4 const 1
refused "0 bytes" 2 "1 to 4096" "${map[@]}" pio:0x600+0 const 1
refused "9 bytes" 1 "9 bytes.*1 to 8" "${map[@]}" pio:0x600+9 const 1
refused "a constant without a value" 2 "one value" "${map[@]}" pio:0x600+4 const
refused "a constant of two values" 2 "one value" "${map[@]}" pio:0x600+4 const 1 2
refused "a constant that is no number" 2 "'x1'" "${map[@]}" pio:0x600+4 const x1
refused "a constant too wide" 1 "256.*not fit" "${map[@]}" pio:0x600+1 const 256
refused "a counter without a frequency" 1 "frequency or a divider" "${map[@]}" pio:0x600+4 counter
refused "a counter with both" 1 "not both" "${map[@]}" pio:0x600+4 counter freq=1 divider=1
refused "frequency 0" 1 "frequency 0" "${map[@]}" pio:0x600+4 counter freq=0
refused "frequency too high" 1 "frequency 4000000001" "${map[@]}" pio:0x600+4 counter freq=4000000001
refused "frequency beyond 64 bits" 2 "64 bits" "${map[@]}" pio:0x600+4 counter freq=18446744073709551616
refused "frequency without a number" 2 "''" "${map[@]}" pio:0x600+4 counter freq=
refused "frequency without a value" 2 "'freq' needs" "${map[@]}" pio:0x600+4 counter freq
refused "frequency twice" 2 "said already" "${map[@]}" pio:0x600+4 counter freq=1 freq=2
refused "divider 0" 1 "divider 0" "${map[@]}" pio:0x600+4 counter divider=0
refused "width 0" 1 "width 0" "${map[@]}" pio:0x600+4 counter freq=1 width=0
refused "width beyond the region" 1 "33.*32 bits only" "${map[@]}" pio:0x600+4 counter freq=1 width=33
refused "reload 1" 1 "reload 1" "${map[@]}" pio:0x600+4 counter freq=1 reload=1
refused "reload beyond the width" 1 "reload 257.*8 bits" "${map[@]}" pio:0x600+1 counter freq=1 reload=257
refused "a value beyond the width" 1 "value 16777216" "${map[@]}" pio:0x600+4 counter freq=1 width=24 set 0x1000000
refused "a value and an offset" 1 "not both" "${map[@]}" pio:0x600+4 counter freq=1 set 1 offset=1
refused "an offset that is no number" 2 "'--1'" "${map[@]}" pio:0x600+4 counter freq=1 offset=--1
refused "a compare value beyond the reload" 1 "compare value 100" "${map[@]}" pio:0x600+4 counter freq=1 reload=100 compare=100
refused "an unknown alarm" 2 "'twice'.*periodic" "${map[@]}" pio:0x600+4 counter freq=1 alarm=twice
refused "an unknown setting" 2 "'speed=1'" "${map[@]}" pio:0x600+4 counter speed=1
refused "stop with a value" 2 "'stop' has no value" "${map[@]}" pio:0x600+4 counter freq=1 stop=1
refused "a change of nothing" 1 "no map begins at 0x600" "${map[@]}" 0x600 stop
refused "a change in the background" 2 "--daemon" "${map[@]}" 0x600 stop --daemon
refused "unmap of nothing" 1 "no map begins at 0x600" "$iofilter" unmap --pid $qemu 0x600
refused "unmap without an address" 2 "where" "$iofilter" unmap --pid $qemu
refused "attach of a map" 1 "'iofilter map'" "${attach[@]}" map
refused "map over a port that is coalesced" 1 "KVM itself" "${map[@]}" pio:0xcf8+4 const 1
refused "map of a table without a file" 2 "rule file" "${map[@]}" pio:0x300+4 table
refused "map of a table that is elsewhere" 1 "port80.rules:[0-9]*: .*not within pio 0x300\\+4" "${map[@]}" pio:0x300+4 table "$ROOT/tables/port80.rules"

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
refused "map over another filter" 1 "map-60a.*already attached" "${map[@]}" pio:0x60a+1 const 1
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
