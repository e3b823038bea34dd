#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The interface of libiofilter is what loader/libiofilter.abi says; and each way in which it could change by accident is found, with
# a message that names it and says what to do.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=abi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 n=0
libs="-lelf -lz"
[ -e "$O/libbpf-pic/libbpf.a" ] || libs="-lbpf $libs"

fail() { echo "FAIL: $*"; sed 's/^/	/' "$dir/out"; failed=1; }
changed() { cmp -s "$1" "$2" && { echo "FAIL: the mutation '$3' has changed nothing"; exit 1; }; }

# link SONAME MAP [OBJECT...]: a mutant of the library
# shellcheck disable=SC2086
link() { gcc -shared -Wl,-soname,"$1" -Wl,--version-script="$2" -o "$dir/lib.so" "$O/loader/libiofilter.o" "${@:3}" $libs || exit 1; }

# abi WHAT: as the Makefile calls it, on what stands in $dir
abi() {
	(cd "$dir" && "$ROOT/loader/abi.py" "$1" --header include --library lib.so --map libiofilter.map --list libiofilter.abi) > "$dir/out" 2>&1
}

fresh() {
	rm -rf "$dir/include"
	cp -r "$ROOT/include" "$dir/include"
	cp "$ROOT/loader/libiofilter.map" "$ROOT/loader/libiofilter.abi" "$dir"
	cp "$O/loader/libiofilter.so" "$dir/lib.so"
}

# found WHAT BREAKS PATTERN: the mutant in $dir is found. BREAKS: y, if programs that are there would be hurt.
found() {
	n=$((n + 1))
	! abi check || fail "$1: was not found"
	grep -qE -- "$3" "$dir/out" || fail "$1: wanted a message with '$3'"
	grep -q "make abi-update" "$dir/out" || grep -q "take it out" "$dir/out" || fail "$1: it does not say what to do"
	[ "$(grep -c SOVERSION "$dir/out")" = "$([ "$2" = y ] && echo 1 || echo 0)" ] || fail "$1: SOVERSION: wanted $2"
	echo "found: $1"
}

# header WHAT BREAKS PATTERN FILE SED
header() {
	fresh
	sed -i -E "$5" "$dir/include/iofilter/$4"
	changed "$ROOT/include/iofilter/$4" "$dir/include/iofilter/$4" "$1"
	found "$1" "$2" "$3"
}

# map WHAT BREAKS PATTERN SED [OBJECT...]
map() {
	fresh
	sed -i -E "$4" "$dir/libiofilter.map"
	changed "$ROOT/loader/libiofilter.map" "$dir/libiofilter.map" "$1"
	link libiofilter.so.0 "$dir/libiofilter.map" "${@:5}"
	found "$1" "$2" "$3"
}

: > "$dir/out"
make -s -C "$ROOT/loader" abi-check > "$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
tail -n 1 "$dir/out"

lib=libiofilter.h
header "two members change places" y "struct iofilter_opts" $lib 's/^(.*__u64 )absence;/\1expiry_;/; s/^(.*__u64 )expiry;/\1absence;/; s/expiry_/expiry/'
header "a member becomes wider" y "4 __u64 width|__u64 width" $lib 's/unsigned int width;/__u64 width;/'
header "a member goes" y "-.*int reset" $lib '/^\tint reset;/d'
header "the options grow at their end" n "\+.*__u64 more" $lib 's/^(\tint eventfds.*)/\1\n\t__u64 more;/'
header "the options grow in the middle" y "\+.*__u64 more" $lib 's/^(\tconst char \*obj;.*)/\t__u64 more;\n\1/'
header "the list's element grows" y "struct iofilter_info" $lib 's/^\t__u64 reserved\[16\];.*/&\n\t__u64 more;/'
header "what was reserved is used" n "\+.*__u64 more" $lib 's/^\t__u64 reserved\[16\];.*/\t__u64 more;\n\t__u64 reserved[15];/'
header "a VM's description grows" y "struct iofilter_vm" $lib 's/^(\tunsigned int vcpus;)/\1\n\tunsigned int more;/'
header "enumerators change their values" y "2 IOFILTER_YES" $lib 's/^\tIOFILTER_YES,/\tIOFILTER_MAYBE,\n&/'
header "an enumerator is appended" n "\+.*IOFILTER_MAYBE" $lib 's/^\tIOFILTER_UNKNOWN,/&\n\tIOFILTER_MAYBE,/'
header "a function takes more" y "\+.*iofilter_pin\(struct iofilter \*, int\)" $lib 's/^int iofilter_pin\(struct iofilter \*f\)/int iofilter_pin(struct iofilter *f, int flags)/'
header "a function returns another type" y "\+.*long int iofilter_clean|\+.*long iofilter_clean" $lib 's/^int iofilter_clean/long iofilter_clean/'
header "an argument loses its const" y "iofilter_vm_get|iofilter_fd" $lib 's/^int iofilter_fd\(const struct/int iofilter_fd(struct/'
header "a constant changes" y "IOFILTER_DRAIN_MS" $lib 's/DRAIN_MS 1000/DRAIN_MS 2000/'
header "a structure of the kernel's changes" y "struct kvm_iofilter_ops" ops.h 's/^(\t__u32 )nr_ranges;(.*)/\t__u64 nr_ranges;\2/'
header "a verdict in between" y "IOFILTER_PUNT_WRITE" state.h 's/^\tIOFILTER_PUNT_WRITE,/\tIOFILTER_PUNT_NEW,\n&/'
header "a verdict at the end" n "IOFILTER_PUNT_NEW" state.h 's/^\tIOFILTER_NR_VERDICTS,/\tIOFILTER_PUNT_NEW,\n&/; s/"volatile" \}/"volatile", "new" }/'
header "a function is not declared any more" y "iofilter_pin is a symbol.*does not declare" $lib '/^int iofilter_pin\(/d'
header "a function is declared only" n "iofilter_more is declared.*no symbol" $lib 's/^int iofilter_clean.*/&\nint iofilter_more(int a);/'

map "a function is not exported any more" y "iofilter_pin is declared.*no symbol" '/iofilter_pin;/d'
map "a version gets another name" y "symbol iofilter_pin@@IOFILTER_0.9" 's/^IOFILTER_0.1/IOFILTER_0.9/'
map "the script has a name that is no function" n "iofilter_typo stands in" 's/^\t\tiofilter_pin;/&\n\t\tiofilter_typo;/'
echo 'int helper(void); int helper(void) { return 0; }' | gcc -x c -fPIC -c -o "$dir/helper.o" -
map "what is the library's own gets out" n "helper is a symbol.*does not declare" 's/^\tglobal:/&\n\t\thelper;/' "$dir/helper.o"
fresh
link libiofilter.so.1 "$dir/libiofilter.map"
found "another soname" y "libiofilter.so.1"

# A new function: in the header, and 'make abi-update' does the rest. The same twice changes nothing.
fresh
sed -i 's/^int iofilter_clean.*/&\nint iofilter_more(int a);/' "$dir/include/iofilter/$lib"
echo '#include <iofilter/libiofilter.h>
int iofilter_more(int a) { return a; }' | gcc -x c -fPIC -I"$dir/include" -c -o "$dir/more.o" - || exit 1
for _ in 1 2; do
	abi map || fail "map"
	link libiofilter.so.0 "$dir/libiofilter.map" "$dir/more.o"
	abi update || fail "update"
	abi check || fail "what was updated is refused"
done
sed -n '/^IOFILTER_0.1/,/local:/p' "$dir/libiofilter.map" | grep -c iofilter_more > "$dir/count"
[ "$(cat "$dir/count")" = 1 ] || fail "the version script has iofilter_more $(cat "$dir/count") times"
grep -q "symbol iofilter_more@@IOFILTER_0.1" "$dir/libiofilter.abi" || fail "the list lacks iofilter_more"
[ "$(diff "$ROOT/loader/libiofilter.abi" "$dir/libiofilter.abi" | grep -c '^>')" = 3 ] || fail "more than one function is new"

echo "$n accidents found"
exit $failed
