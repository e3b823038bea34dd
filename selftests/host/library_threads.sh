#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# libiofilter in several threads, under ThreadSanitizer; and two mutants of it, which must be found out.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=library_threads
test=$O/selftests/host/library_threads
[ "${TORTURE:-}" != 1 ] || export ROUNDS=200

"$test" || die "exit status $?"
for mutant in log error; do
	out=$O/selftests/host/library_threads_$mutant.out
	for _ in 1 2 3; do
		"${test}_$mutant" > "$out" 2>&1
		rc=$?
		[ $rc = 0 ] || break
	done
	# 66: ThreadSanitizer's. 1: a check of the test's own.
	[ $rc = 66 ] || [ $rc = 1 ] || { tail "$out"; die "the mutant of $mutant.c was not found out (exit status $rc)"; }
	echo "mutant of $mutant.c: $(grep -m 1 -E 'WARNING: ThreadSanitizer|library_threads.c' "$out")"
done
