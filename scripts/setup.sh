#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Install what Debian lacks to build, run and test kvm-iofilter. Idempotent, and quick when all is there.
#
#   setup.sh [--check]     --check only reports what is missing (exit 1 if anything is)
#
# Four things are not in Debian 12's own suite: bpftool and a QEMU 10 (backports), virtme-ng and libbpf's source (trixie).
# Their suites are added beside the mirror that is already configured, pinned so low that nothing else is taken from them.
#
# The QEMU 10 is unpacked beside the installed one: tests attach to both. It also emulates the test machine: TCG before 8.1 translates
# code on one CPU while another patches it, and a kernel that runs KVM patches itself often; later ones do so rarely.
set -euo pipefail

# The kernel that is built against, and that the test machine boots. Debian's meta packages of one series.
series=${KVM_IOFILTER_KERNEL:-6.12}
libbpf_min=1.5
srcdir=${KVM_IOFILTER_SRC:-/usr/local/src/kvm-iofilter}

say() { echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }

have_pkg() { dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }

version_ge() { dpkg --compare-versions "$1" ge "$2"; }

base_pkgs=(gcc g++ make pkg-config binutils clang-19 llvm-19 dwarves libelf-dev zlib1g-dev libjson-c-dev libcmocka-dev libevent-dev
	   dpkg-dev xz-utils "linux-headers-$series-amd64" "linux-image-$series-amd64" qemu-system-x86 busybox-static
	   cpio kmod procps util-linux python3)

pkg_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo 0; }

libbpf_ok() {
	[ -e "$srcdir/libbpf/src/Makefile" ] && return 0
	version_ge "$(pkg_version libbpf-dev)" "$libbpf_min"
}

# Is the installed QEMU a 10, or is one unpacked beside it?
qemu10_ok() {
	"$srcdir/qemu/usr/bin/qemu-system-x86_64" --version >/dev/null 2>&1 && return 0
	version_ge "$(pkg_version qemu-system-x86)" 1:10
}

missing() {
	local p
	for p in "${base_pkgs[@]}"; do
		have_pkg "$p" || echo "$p"
	done
	version_ge "$(pkg_version bpftool)" 7.5 || echo bpftool
	have_pkg virtme-ng || echo virtme-ng
	libbpf_ok || echo libbpf-source
	qemu10_ok || echo qemu-10
}

# Print "URI keyring" of the source that serves this release's main suite.
mirror_of() {
	awk -v suite="$1" '
		function done_stanza() { if (uri != "" && has) { print uri, key; found = 1; exit } uri = key = ""; has = 0 }
		/^[[:space:]]*$/ { done_stanza(); next }
		/^URIs:/ { uri = $2 }
		/^Signed-By:/ { key = $2 }
		/^Suites:/ { for (i = 2; i <= NF; i++) if ($i == suite) has = 1 }
		END { if (!found) done_stanza() }' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1 | grep . && return
	sed -nE "s/^deb +(\[[^]]*signed-by=([^] ]+)[^]]*\] +)?([^ ]+) +$1 .*/\3 \2/p" \
		/etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1
}

add_suites() {
	local codename uri key
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	read -r uri key < <(mirror_of "$codename") || true
	[ -n "${uri:-}" ] || die "no apt source for Debian $codename found in /etc/apt; add one and run again"
	: "${key:=/usr/share/keyrings/debian-archive-keyring.gpg}"
	{
		echo "# kvm-iofilter: bpftool, virtme-ng and libbpf's source; pinned low in preferences.d/kvm-iofilter"
		if [ "$codename" = bookworm ]; then
			printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports trixie\nComponents: main\nSigned-By: %s\n\n' "$uri" "$key"
		fi
		printf 'Types: deb-src\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$uri" "$key"
	} > /etc/apt/sources.list.d/kvm-iofilter.sources
	[ "$codename" = bookworm ] && cat > /etc/apt/preferences.d/kvm-iofilter <<-PIN
		Package: *
		Pin: release n=trixie
		Pin-Priority: 50

		Package: *
		Pin: release n=bookworm-backports
		Pin-Priority: 60
	PIN
	return 0
}

fetch_libbpf() {
	local tmp
	mkdir -p "$srcdir"
	tmp=$(mktemp -d "$srcdir/.fetch.XXXXXX")
	(cd "$tmp" && chmod 755 . && APT_CONFIG= apt-get -q source -t trixie --only-source libbpf >apt.log 2>&1) ||
		{ tail -n 5 "$tmp/apt.log" >&2; rm -rf "$tmp"; die "apt-get source libbpf failed"; }
	rm -rf "$srcdir/libbpf"
	mv "$tmp"/libbpf-*/ "$srcdir/libbpf"
	rm -rf "$tmp"
}

fetch_qemu() {
	local tmp deb
	mkdir -p "$srcdir"
	tmp=$(mktemp -d "$srcdir/.fetch.XXXXXX")
	for deb in qemu-system-x86 qemu-system-common qemu-system-data seabios; do
		(cd "$tmp" && apt-get -q download "$deb/bookworm-backports" >>apt.log 2>&1) ||
			{ tail -n 5 "$tmp/apt.log" >&2; rm -rf "$tmp"; die "apt-get download $deb from bookworm-backports failed"; }
	done
	for deb in "$tmp"/*.deb; do
		dpkg-deb -x "$deb" "$tmp/root" || { rm -rf "$tmp"; die "unpacking $(basename "$deb") failed"; }
	done
	rm -rf "$srcdir/qemu"
	chmod 755 "$tmp/root"
	mv "$tmp/root" "$srcdir/qemu"
	rm -rf "$tmp"
}

main() {
	local need wanted=()
	[ "$(uname -m)" = x86_64 ] || die "only x86_64 is supported"
	[ -e /etc/debian_version ] || die "this script knows Debian; elsewhere install the packages that README.md lists"
	mapfile -t need < <(missing)
	if [ "${1:-}" = --check ]; then
		[ ${#need[@]} -eq 0 ] && { say "all there"; exit 0; }
		say "missing: ${need[*]} (run 'make setup')"
		exit 1
	fi
	[ ${#need[@]} -eq 0 ] && { say "all there"; exit 0; }
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "missing: ${need[*]}; run 'make setup' as root"
		exec sudo KVM_IOFILTER_KERNEL="$series" KVM_IOFILTER_SRC="$srcdir" "$0" "$@"
	fi
	say "missing: ${need[*]}"
	export DEBIAN_FRONTEND=noninteractive
	say "reading package lists"
	add_suites
	apt-get -q update >/dev/null || say "apt-get update reported errors; going on"
	local p
	for p in "${need[@]}"; do
		case $p in
		libbpf-source | bpftool | virtme-ng | qemu-10) ;;
		*) wanted+=("$p") ;;
		esac
	done
	if [ ${#wanted[@]} -gt 0 ]; then
		say "installing ${wanted[*]}"
		apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null || die "apt-get install failed"
	fi
	local codename
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	for p in "${need[@]}"; do
		case $p:$codename in
		bpftool:bookworm) apt-get -qq install -y --no-install-recommends -t bookworm-backports bpftool >/dev/null ;;
		virtme-ng:bookworm) apt-get -qq install -y --no-install-recommends virtme-ng/trixie >/dev/null ;;
		bpftool:* | virtme-ng:*) apt-get -qq install -y --no-install-recommends "$p" >/dev/null ;;
		libbpf-source:bookworm) fetch_libbpf ;;
		libbpf-source:*) apt-get -qq install -y --no-install-recommends libbpf-dev >/dev/null ;;
		qemu-10:bookworm) fetch_qemu ;;
		esac || die "installing $p failed"
		case $p in libbpf-source | bpftool | virtme-ng | qemu-10) say "got $p" ;; esac
	done
	mapfile -t need < <(missing)
	[ ${#need[@]} -eq 0 ] || die "still missing: ${need[*]}"
	say "done"
}

main "$@"
