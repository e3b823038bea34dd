#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The demonstration: a Linux guest on stock QEMU reads its clock without and with the filter; one table, and build/demo.json.
#
#   demo.sh [--host]     --host: on this host itself, whose KVM is hardware and which can load the module; needs root
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 0 ] || [ "$*" = --host ] || die "unknown option $1; usage: demo.sh [--host]"
"$ROOT/scripts/guest-image.sh"
rm -f "$O/demo.json"
[ $# -gt 0 ] || say "booting a machine with KVM and our module (about 30 s)"
"$ROOT/scripts/vm.sh" --timeout 300 "$@" -- /usr/bin/python3 scripts/demo.py
say "numbers are in $O/demo.json"
