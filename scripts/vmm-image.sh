#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make build/guest/vmm.cpio.gz: the root of a Linux guest on the reference VMM (devices/vmm). busybox, a shell on the serial console,
# and the kernel's modules for an IDE disk on ISA ports.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

init=$ROOT/selftests/guest/vmm-init
root=$O/guest/vmm-root
image=$O/guest/vmm.cpio.gz
busybox=$(command -v busybox) || die "busybox not found: run 'make setup' (package busybox-static)"
kernel=$(find_kernel)
release=${kernel##*/vmlinuz-}

if [ -e "$image" ]; then
	newer=$(find "$init" "$busybox" "$kernel" "${BASH_SOURCE[0]}" -newer "$image" -print -quit)
	[ "$newer" ] || exit 0
fi
! readelf -l "$busybox" | grep -q INTERP || die "$busybox is not static: run 'make setup' (package busybox-static)"
rm -rf "$root"
mkdir -p "$root/bin" "$root/modules"
cp "$busybox" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
install -m 755 "$init" "$root/init"

# What modprobe would load, in its order, but for pata_legacy: that one has parameters.
n=0
for m in sd_mod libata; do
	modprobe -S "$release" --show-depends "$m" || die "no module $m for $release"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	n=$((n + 1))
	xz -dc "$file" > "$root/modules/$n-$(basename "$file" .xz)"
done
xz -dc "$(modinfo -k "$release" -n pata_legacy)" > "$root/modules/pata_legacy.ko"

(cd "$root" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet) | gzip -1 > "$image.new"
mv "$image.new" "$image"
