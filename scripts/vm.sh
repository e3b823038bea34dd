#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run a command as root in a throw-away machine that has KVM and our module, and pass its exit status through.
#
#   vm.sh [--cpus N] [--mem M] [--timeout S] [--log DIR] [--no-module] [--host] -- CMD...
#
# The machine is virtme-ng's: this host's files under an emulated CPU with SVM, so KVM works in it on any host. Only the
# build tree is writable through it. What comes out goes through files there, since a serial line loses order and bytes.
# DIR (by default a new one in build/vm, removed after success) keeps output, console (the kernel's messages) and
# status. KERNEL= picks another kernel, EMULATOR= another QEMU. Exit status 124: timeout. 125: the machine did not boot, or died.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cpus=2 mem=4G limit=600 log= module=y host=
while [ $# -gt 0 ]; do
	case $1 in
	--cpus) cpus=$2; shift 2 ;;
	--mem) mem=$2; shift 2 ;;
	--timeout) limit=$2; shift 2 ;;
	--log) log=$2; shift 2 ;;
	--no-module) module=; shift ;;
	--host) host=y; shift ;;
	--) shift; break ;;
	*) die "unknown option $1" ;;
	esac
done
[ $# -gt 0 ] || die "no command given; usage: vm.sh [OPTION...] -- CMD..."

if [ "$host" ]; then
	was=$([ ! -e /sys/module/kvm_iofilter ] || echo y)
	[ -z "$module" ] || load_modules
	cd "$ROOT"
	rc=0
	timeout --foreground -k 5 "$limit" "$@" < /dev/null || rc=$?
	[ -z "$module" ] || [ "$was" ] || rmmod kvm_iofilter || say "kvm_iofilter stays loaded"
	exit $rc
fi

kernel=$(find_kernel)
emulator=${EMULATOR:-$(find_qemu10)} || exit 1
command -v vng >/dev/null || die "vng not found: run 'make setup' (package virtme-ng)"
mkdir -p "$O/vm"
keep=$log
[ "$log" ] && mkdir -p "$log" || log=$(mktemp -d "$O/vm/run.XXXXXX")
log=$(cd "$log" && pwd)
case $log/ in "$O"/*) ;; *) die "--log $log is outside the build tree $O" ;; esac
rm -f "$log"/{booted,status,output,console,vng.out}
: > "$log/output"

# Quoted here, so that nothing of the command passes through vng's own quoting.
{
	echo '#!/bin/bash'
	for v in PATH O TORTURE IOFILTER_SCALE SEED V; do
		[ -z "${!v+x}" ] || printf 'export %s=%q\n' "$v" "${!v}"
	done
	printf 'cd %q && . scripts/lib.sh\nlog=%q\nexec < /dev/null >> "$log/output" 2>&1\n: > "$log/booted"\n' "$ROOT" "$log"
	echo 'me=vm'
	printf 'taskset -pc 1-%d $$ > /dev/null\n' "$cpus"
	echo '[ -e /dev/kvm ] || modprobe kvm-amd 2>/dev/null || modprobe kvm-intel'
	echo 'coproc scripts/hold-vm.py; read -r _ <&"${COPROC[0]}"'
	[ -z "$module" ] || echo '(load_modules) || { echo 125 > "$log/status"; sync; exit; }'
	printf '%q ' "$@"
	printf '\necho $? > "$log/status.new"; mv "$log/status.new" "$log/status"; sync\n'
} > "$log/script"

# One CPU more than asked for, and the command never on the first. Whatever CPU restores FPU state, QEMU (7.2 to 11.1) clears a bit of
# the first CPU's hflags2, without a lock (cpu_clear_ignne()). If the first CPU is in VMRUN or #VMEXIT just then, its own change is
# lost: nested paging stays on in the hypervisor or off in its guest, or an interrupt comes before VMLOAD, with the guest's
# GS. Where nothing runs VMRUN, there is nothing to lose.
#
# Without fast string instructions, which the emulator does byte by byte and the kernel and libc would take for every copy, and without the fifth
# level of page tables: a tenth to a quarter of the time of most tests.
#
# An emulator that is preempted makes the watchdog find the TSC unstable; then KVM's guests have none that tests could tell the time by.
# In /, because vng looks for the path of --rwdir there. 9p, because not every virtiofsd is the one that vng expects.
# setsid: all of vng's processes in a group of their own, to be ended together.
cd /
setsid timeout -k 5 "$limit" vng -v -r "$kernel" --qemu "$emulator" --disable-kvm --disable-microvm --user root --force-9p \
	--memory "$mem" --cpus $((cpus + 1)) --rwdir="$O" \
	-o='-cpu max,+svm,-erms,-fsrm,-fsrs,-fzrm,-fsrc,-la57' -o='-nodefaults' \
	-a tsc=nowatchdog -a modprobe.blacklist=ahci,iTCO_wdt,i6300esb,i2c_i801,lpc_ich,powernow_k8,pcspkr,psmouse \
	-- "bash $log/script" < /dev/null > "$log/vng.out" 2> "$log/console" &
vng=$!
trap 'kill -TERM -- -$vng 2>/dev/null || :' EXIT
trap 'exit 130' INT TERM
tail -q -s 0.5 --pid=$vng -n +1 -f "$log/output" &
rc=0
wait $vng || rc=$?
trap - EXIT
wait $! || :

if [ -e "$log/status" ]; then
	status=$(cat "$log/status")
	[ "$status" != 0 ] || [ "$keep" ] || { rm -rf "$log"; exit 0; }
	[ "$keep" ] || say "exit status $status; console and output are in $log" >&2
	exit "$status"
fi
case $rc in
124 | 137)
	say "error: timeout: no end after $limit s; console and output are in $log" >&2
	[ -e "$log/booted" ] || say "the machine had not even booted" >&2
	exit 124 ;;
esac
if [ -e "$log/booted" ]; then
	say "error: the machine died while it ran the command; the end of $log/console:" >&2
else
	say "error: the machine did not boot; the end of $log/console:" >&2
fi
tail -n 15 "$log/console" | tr -d '\r' >&2
exit 125
