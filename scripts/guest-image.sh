#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make build/guest/initramfs.cpio.gz: the root of the Linux guests that tests and demo run on stock QEMU. busybox, our
# guest programs (selftests/guest/*.c, static), our guest module and an init that the host drives. Their kernel is the
# machine's. And build/guest/bios.bin, a firmware of our own.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

src=$ROOT/selftests/guest
out=$O/guest
image=$out/initramfs.cpio.gz
busybox=$(command -v busybox) || die "busybox not found: run 'make setup' (package busybox-static)"

if [ -e "$image" ]; then
	newer=$(find "$src" "$ROOT/include" "$busybox" "${BASH_SOURCE[0]}" -type f -newer "$image" -print -quit)
	[ "$newer" ] || exit 0
fi
rm -rf "$out/root"
mkdir -p "$out/root/bin"
for c in "$src"/*.c; do
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -static -I"$ROOT/include" -o "$out/root/bin/$(basename "$c" .c)" "$c"
done
# The firmware is linked to run at f000:0000, its only segment.
gcc -m32 -c -o "$out/bios.o" "$src/bios.S"
ld -m elf_i386 -Ttext 0 -e start --oformat binary -o "$out/bios.bin" "$out/bios.o"
cp "$busybox" "$out/root/bin/busybox"
ln -s busybox "$out/root/bin/sh"
"$out/root/bin/busybox" true || die "$busybox does not run"
readelf -l "$busybox" | grep -q INTERP && die "$busybox is not static: run 'make setup' (package busybox-static)"

# Kbuild writes beside the sources, so they are copied.
kernel=$(find_kernel)
headers=/lib/modules/${kernel##*/vmlinuz-}/build
[ -e "$headers/Makefile" ] || die "no kernel headers at $headers: install linux-headers-${kernel##*/vmlinuz-}"
mkdir -p "$out/kmod"
cp -r "$src"/kmod/. "$ROOT/include" "$out/kmod/"
make -s -C "$headers" M="$out/kmod" modules > "$out/kmod/log" 2>&1 || { cat "$out/kmod/log" >&2; die "building the guest's module failed"; }
cp "$out"/kmod/*.ko "$out/root/"

# The kernel's own driver for an IDE disk, in the order in which its modules go in. insmod of busybox wants them uncompressed.
mkdir -p "$out/root/ata"
n=0
for ko in $(for m in ata_piix sd_mod; do modprobe -S "${kernel##*/vmlinuz-}" --show-depends $m; done | awk '/^insmod/ && !seen[$2]++ { print $2 }'); do
	n=$((n + 1))
	to=$out/root/ata/$n-$(basename "${ko%%.ko*}").ko
	case $ko in
	*.xz) xz -dc "$ko" > "$to" ;;
	*) cp "$ko" "$to" ;;
	esac
done
[ "$n" -gt 0 ] || die "the kernel has no modules ata_piix and sd_mod: install linux-image-6.12-amd64"

install -m 755 "$src/init" "$out/root/init"
(cd "$out/root" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet) | gzip -1 > "$image.new"
mv "$image.new" "$image"
