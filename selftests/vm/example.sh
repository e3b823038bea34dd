#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# examples/vmm.c, built with the installed library: without the filter each read exits, with it none does, and the values are the clock's.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=example
export LD_LIBRARY_PATH=$O/stage/lib

ldd "$O/examples/vmm" | grep -q "libiofilter.so.0 => $O/stage/" || die "not linked with the installed library"
out=$("$O/examples/vmm") || die "exit status $?"
echo "$out"
awk '/^[0-9]+ reads, [0-9]+ exits/ { n++; reads = $1 + 0; exits[n] = $3; ago[n] = $8 }
	END { exit !(n == 2 && reads == 20000 && exits[1] == reads && exits[2] == 0 && ago[1] < 0.5 && ago[2] < 0.5) }' <<< "$out" ||
	die "wanted 20000 exits, then none, and values of less than 0.5 s ago"
