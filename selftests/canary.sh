#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the runner notice? It runs the rows of canary.conf, each of which must come out as its name says.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export IOFILTER_CANARY=1
bad=0

# expect TEXT WHAT: TEXT, a pattern, stands in what the runner printed
expect() {
	if grep -qE "$1" <<< "$out"; then echo "ok: $2"; else echo "NOT NOTICED: $2"; bad=1; fi
}

out=$(TORTURE='' ./run --conf canary.conf --logs "$logs")
rc=$?
echo "$out"
[ $rc != 0 ] && echo "ok: the runner failed" || { echo "NOT NOTICED: exit status 0 with failed tests"; bad=1; }
expect '^ok +canary-pass ' 'a test that passes'
expect '^ok +canary-again ' 'a guest that hung once'
expect '^FAIL +canary-hung .*exit status 75' 'a guest that hung each time'
expect '^FAIL +canary-exit .*exit status 1' 'a test that fails'
expect '^FAIL +canary-hang .*timeout after 2 s' 'a test that hangs'
expect '^FAIL +canary-splat .*dmesg:.*WARNING' 'a kernel warning'
expect '^FAIL +canary-stall .*dmesg:.*stall' 'a stall'
expect '^FAIL +canary-module .*module is no longer loaded' 'the module gone'
expect '^FAIL +canary-process .*processes left behind' 'a process left behind'
expect '^skip +canary-skip .*: not here today$' 'a skip and its reason'
[ "$(tail -n 1 <<< "$out")" = "2 passed, 7 failed, 1 skipped" ] && echo "ok: the sum" || { echo "NOT NOTICED: the sum is wrong"; bad=1; }

out=$(TORTURE='' ./run --conf canary.conf --logs "$logs" canary-skip)
rc=$?
[ $rc != 0 ] && echo "ok: all skipped is no pass" || { echo "NOT NOTICED: all skipped passed"; bad=1; }
exit $bad
