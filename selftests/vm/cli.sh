# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the tests of the tool's commands: a VM on stock QEMU that stands, and commands that are to be refused. The test
# says by attached() what such a command must leave as it was.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
iofilter=$O/loader/iofilter
filters=/sys/kernel/debug/kvm_iofilter/filters
dir=$(mktemp -d)
failed=0 n=0
started=()

fail() { echo "FAIL: $*"; failed=1; }

# start_vm NAME: its pid is $qemu. What else is started goes into started=(), and ends with the script.
start_vm() {
	qemu-system-x86_64 -accel kvm -M q35 -display none -nodefaults -S -name "$1" 2> "$dir/qemu" & qemu=$!
	started+=($qemu)
	trap 'kill "${started[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
	for _ in $(seq 100); do
		ls -l /proc/$qemu/fd 2>/dev/null | grep -q kvm-vcpu && break
		sleep 0.2
	done
}

# refused WHAT STATUS PATTERN CMD...: one line on stderr
refused() {
	local what=$1 status=$2 pattern=$3 before rc
	shift 3

	before=$(attached)
	n=$((n + 1))
	timeout 60 "$@" > "$dir/out" 2> "$dir/err"
	rc=$?
	echo "$what: exit $rc: $(cat "$dir/err")"
	[ $rc = "$status" ] || fail "$what: wanted exit status $status, got $rc"
	grep -qE -- "$pattern" "$dir/err" || fail "$what: wanted a message with '$pattern'"
	[ "$(wc -l < "$dir/err")" = 1 ] || fail "$what: wanted one line"
	[ "$(attached)" = "$before" ] || fail "$what: something has changed: $(attached)"
}
