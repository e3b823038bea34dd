#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The tool where no VM is needed to see what it does (cli_forged.c): output that cannot be written, help, what counts as attached, what save
# replaces, and a change of a map. (selftests/vm has what needs one.)
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
iofilter=$O/selftests/host/cli_forged
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 n=0

fail() { echo "FAIL: $*"; failed=1; }

# says STATUS STDOUT STDERR CMD...: patterns of all of it, in one line; stderr has one line, or with '^$' none
says() {
	local status=$1 out=$2 err=$3 rc
	shift 3

	n=$((n + 1))
	timeout 20 "$@" > "$dir/out" 2> "$dir/err"
	rc=$?
	[ $rc = "$status" ] || fail "$*: wanted exit status $status, got $rc"
	tr '\n' ' ' < "$dir/out" | grep -qE -- "$out" || { [ "$out" = '^$' ] && [ ! -s "$dir/out" ]; } || fail "$*: wanted '$out', got '$(cat "$dir/out")'"
	tr '\n' ' ' < "$dir/err" | grep -qE -- "$err" || { [ "$err" = '^$' ] && [ ! -s "$dir/err" ]; } || fail "$*: wanted '$err' on stderr, got '$(cat "$dir/err")'"
	[ "$(wc -l < "$dir/err")" -le 1 ] || fail "$*: wanted one line on stderr, got '$(cat "$dir/err")'"
}
f() { says "$1" "$2" "$3" "$iofilter" "${@:4}"; }

export FORGED="pmtimer hpet"
for cmd in --help --version "attach --help" "reg --help" "table --help" "reg list pit" "reg list --json pit" "status --pid 7" "status --pid 7 --json" \
	"status --pid 7 --watch 1" "status --pid 7 --watch 1 --json" "dump --pid 7" "dump --pid 7 --json" "features --json" "map --pid 7 0x608 stop"; do
	# shellcheck disable=SC2086,SC2016
	says 1 '^$' '^iofilter: stdout: No space left on device $' sh -c '"$@" > /dev/full' sh "$iofilter" $cmd
	# shellcheck disable=SC2086,SC2016
	says 1 '^$' '^iofilter: stdout: Bad file descriptor $' sh -c '"$@" >&-' sh "$iofilter" $cmd
done

for option in --help '-?' --usage; do
	f 0 '^iofilter reg: list DEVICE, .*shows its options\) $' '^$' reg "$option"
	f 0 '^iofilter table: check FILE, .*shows its options\) $' '^$' table "$option"
done
f 2 '^$' '^iofilter reg: list DEVICE' reg
f 2 '^$' '^iofilter reg: list DEVICE' reg frob
f 2 '^$' '^iofilter table: check FILE' table

FORGED="-hpet pmtimer -rtc" f 0 '^pmtimer of VM 7 ' '^$' dump --pid 7
FORGED="-hpet pmtimer -rtc" f 0 '^\{"pmtimer":\{.*\}\} $' '^$' dump --pid 7 --json
for none in "" "-hpet -rtc"; do
	FORGED=$none f 1 '^$' '^iofilter: nothing is attached to VM 7 $' dump --pid 7
	FORGED=$none f 1 '^$' '^iofilter: nothing is attached to VM 7 $' dump --pid 7 --json
done

FORGED="" f 0 '^nothing is attached to VM 7 \(forged\) $' '^$' status --pid 7 --watch 1
FORGED="-hpet" f 0 'VM 7 .*hpet  VM ended; its pins are left .* $' '^$' status --pid 7 --watch 1
FORGED="" ROUNDS=0 f 1 '^$' '^iofilter: no such process: ' status --pid 7 --watch 1
ROUNDS=1 f 0 'pmtimer .*VM 7 has ended $' '^$' status --pid 7 --watch 1
ROUNDS=1 f 0 '^\[\{.*"attached".*\}\] \[\] $' '^$' status --pid 7 --watch 1 --json
FORGED="pmtimer -pmtimer" ROUNDS=1 f 0 'pmtimer .*VM 7 \(ended\) +pmtimer  VM ended; its pins are left .* $' '^$' status --pid 7 --watch 1

# replaced NAME FILE: a save to NAME writes FILE, and what NAME is stays
replaced() {
	local what=$(stat -c %F "$dir/$1" 2>/dev/null)

	f 0 "^$dir/$1: 1 filter of VM 7, 5 bytes $" '^$' save --pid 7 "$dir/$1"
	[ "$(cat "$dir/$2")" = state ] && [ "$(stat -c %F "$dir/$2")" = "regular file" ] || fail "$1: $2 is not what was saved"
	[ -z "$what" ] || [ "$(stat -c %F "$dir/$1")" = "${what/empty /}" ] || fail "$1 was a $what: $(stat -c %F "$dir/$1")"
}
mkdir "$dir/a" "$dir/b"
replaced new new
: > "$dir/old"
replaced old old
echo before > "$dir/a/target"
ln -s ../a/target "$dir/b/link"
ln -s "$dir/b/link" "$dir/link"
replaced link a/target
echo before > "$dir/a/target"
replaced b/link a/target
ln -s nowhere "$dir/dangling"
f 1 '^$' "^iofilter: $dir/dangling: a symbolic link to a file that is not there $" save --pid 7 "$dir/dangling"
mkfifo "$dir/pipe"
f 1 '^$' "^iofilter: $dir/pipe: it is no regular file" save --pid 7 "$dir/pipe"
[ -p "$dir/pipe" ] || fail "the pipe was replaced"
f 1 '^$' "^iofilter: $dir/a: it is no regular file" save --pid 7 "$dir/a"
ln -s "$dir/pipe" "$dir/to-pipe"
f 1 '^$' "^iofilter: $dir/to-pipe: it is no regular file" save --pid 7 "$dir/to-pipe"
f 1 '^$' "^iofilter: $dir/no/x: No such file" save --pid 7 "$dir/no/x"
f 1 '^$' "^iofilter: $dir/new/x: Not a directory" save --pid 7 "$dir/new/x"
[ "$(ls "$dir" "$dir/a" "$dir/b" | grep -c '\.......$')" = 0 ] || fail "something is left: $(ls "$dir" "$dir/a" "$dir/b")"

f 0 '^0x608: changed in VM 7 $' '^$' map --pid 7 0x608 set 0
f 0 '^\{"event":"changed","pid":7,"device":"map-608"\} $' '^$' map --pid 7 --json 0x608 set 0
for option in --pin --daemon --drain=0 --vm-fd=5; do
	f 2 '^$' "^iofilter: ${option%=*} is for a new map: 0x608 has no \+BYTES $" map --pid 7 "$option" 0x608 set 0
	f 2 '^$' "^iofilter: ${option%=*} is for a new map" map --pid 7 "$option" 0x608 wait
done

echo "$n commands"
exit $failed
