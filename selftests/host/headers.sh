#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a program includes compiles alone, strictly, in C and in C++; and twice.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=headers
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0 n=0
strict="-pedantic -Wall -Wextra -Wshadow -Wstrict-aliasing -Werror -fsyntax-only"

# compile HEADER COMPILER...
compile() {
	n=$((n + 1))
	# shellcheck disable=SC2086
	printf '#include <iofilter/%s>\n#include <iofilter/%s>\nextern int some;\n' "$1" "$1" | "${@:2}" $strict -I"$ROOT/include" - > "$out" 2>&1
}

both() { compile "$1" "${@:2}" || { echo "FAIL: $1, ${*:2}:"; cat "$out"; failed=1; }; }

for h in libiofilter.h ops.h state.h pmtimer.h; do
	for std in c11 gnu11 c17; do
		both $h gcc -std=$std -x c
	done
done
# What works on the mapped state wants its caller's POSIX (clock_gettime()); tables have members that C++ has other uses for.
for h in clockctl.h rtcctl.h ide_vmm.h table_vmm.h hpet.h; do
	both $h gcc -std=c11 -D_POSIX_C_SOURCE=200809L -x c
done
for std in c++11 c++17 c++20; do
	for h in libiofilter.h ops.h state.h pmtimer.h clockctl.h rtcctl.h; do
		both $h g++ -std=$std -x c++
	done
done
if clang=$(command -v clang-19 || command -v clang); then
	both libiofilter.h "$clang" -std=c11 -x c
	both libiofilter.h "$clang" -std=c++17 -x c++
fi

# The flags do find something.
sed 's/unsigned int vcpus;/&;/' "$ROOT/include/iofilter/libiofilter.h" > "$out.h"
if gcc -std=c11 -pedantic -Werror -fsyntax-only -I"$ROOT/include" -x c "$out.h" 2> "$out"; then
	echo "FAIL: a stray semicolon was not found"
	failed=1
fi
rm -f "$out.h"
echo "$n compilations"
exit $failed
