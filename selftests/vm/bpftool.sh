#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs loaded and pinned by bpftool, attached by our tool: what an author of a filter does.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=bpftool
iofilter=$O/loader/iofilter
bpftool=$(PATH=$PATH:/usr/sbin command -v bpftool) || die "no bpftool"
pins=/sys/fs/bpf/iofilter-selftest
dir=$(mktemp -d)

qemu-system-x86_64 -accel kvm -M q35 -display none -nodefaults -S 2> "$dir/qemu" & qemu=$!
trap 'kill $qemu 2>/dev/null; wait 2>/dev/null; rm -rf "$dir" $pins' EXIT
for _ in $(seq 100); do
	ls -l /proc/$qemu/fd 2>/dev/null | grep -q kvm-vcpu && break
	sleep 0.2
done

mkdir -p $pins
"$bpftool" prog loadall "$O/bpf/pmtimer.bpf.o" $pins/progs pinmaps $pins
ls $pins $pins/progs
"$iofilter" attach --pid $qemu --daemon --pinned $pins
"$iofilter" status --pid $qemu
"$iofilter" status --pid $qemu --json > "$dir/json"
/usr/bin/python3 -I - "$dir/json" <<'PY'
import json, sys
text = json.load(open(sys.argv[1]))
assert "pmtimer" in json.dumps(text), text
PY
grep -q " pmtimer pio 0x608 4 " /sys/kernel/debug/kvm_iofilter/filters || die "not attached: $(cat /sys/kernel/debug/kvm_iofilter/filters)"
"$bpftool" link show | grep -A1 struct_ops || die "bpftool does not show the link"
"$iofilter" detach --pid $qemu
[ "$(wc -l < /sys/kernel/debug/kvm_iofilter/filters)" = 1 ] || die "still attached"
rm -r $pins
