#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A program is built with an installed libiofilter by what pkg-config says and nothing else: in C and in C++, shared and static, from its
# final place and from under a DESTDIR; and it runs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=pkgconfig
dir=$O/selftests/pkgconfig
n=0

version=$(sed -n 's/^#define IOFILTER_VERSION "\(.*\)"/\1/p' "$ROOT/include/iofilter/libiofilter.h")
rm -rf "$dir"
mkdir -p "$dir"
cat > "$dir/program.c" <<'END'
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <iofilter/libiofilter.h>

int main(void)
{
	struct iofilter_vm vm;

	if (iofilter_vm_get(4194304, &vm) != -ESRCH || strcmp(iofilter_error(), "no such process: 4194304"))
		return 1;
	printf("%s %s\n", iofilter_version(), iofilter_devices()[0]);
	return 0;
}
END

# install MAKE_ARGUMENT...
install() { env -u PREFIX -u LIBDIR -u DESTDIR make -s -C "$ROOT/loader" install-lib "$@" > /dev/null; }

# built WHAT LIBDIR COMPILER...: pkg-config is already told where to look
built() {
	local what=$1 libdir=$2 exe=$dir/program static=
	shift 2

	[[ " $* " != *" -static "* ]] || static=--static
	# shellcheck disable=SC2046
	"$@" -Wall -Wextra -Werror -o "$exe" "$dir/program.c" $(pkg-config $static --cflags --libs libiofilter) || die "$what: it is not built"
	if [ "$static" ]; then
		! readelf -d "$exe" | grep -q NEEDED || die "$what: it is not static"
		out=$("$exe") || die "$what: exit status $?"
	else
		readelf -d "$exe" | grep -q 'NEEDED.*libiofilter.so.0\]' || die "$what: it does not need libiofilter.so.0"
		! readelf -d "$exe" | grep -qE 'NEEDED.*lib(elf|z|bpf)' || die "$what: it is linked with what only the library needs"
		readelf -V "$exe" | grep -q 'Name: IOFILTER_0.1' || die "$what: its symbols have no version"
		out=$(LD_LIBRARY_PATH=$libdir "$exe") || die "$what: exit status $?"
	fi
	[ "$out" = "$version pmtimer" ] || die "$what: wanted '$version pmtimer', got '$out'"
	n=$((n + 1))
	echo "ok: $what"
}

all() {
	built "$1, C, shared" "$2" gcc -x c
	built "$1, C, static" "$2" gcc -static -x c
	built "$1, C++, shared" "$2" g++ -x c++
	built "$1, C++, static" "$2" g++ -static -x c++
}

install PREFIX="$dir/prefix"
export PKG_CONFIG_PATH=$dir/prefix/lib/pkgconfig
[ "$(pkg-config --modversion libiofilter)" = "$version" ] || die "pkg-config has version $(pkg-config --modversion libiofilter), not $version"
all "in its place" "$dir/prefix/lib"

multi=/usr/lib/x86_64-linux-gnu
install DESTDIR="$dir/dest" PREFIX=/usr LIBDIR=$multi
export PKG_CONFIG_PATH=$dir/dest$multi/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/dest
! grep -rq "$dir" "$PKG_CONFIG_PATH" || die "libiofilter.pc knows of the DESTDIR"
# shellcheck disable=SC2016
grep -qx 'libdir=${prefix}/lib/x86_64-linux-gnu' "$PKG_CONFIG_PATH/libiofilter.pc" || die "libdir does not follow the prefix"
for f in libiofilter.a libiofilter.so libiofilter.so.0 "libiofilter.so.$version"; do
	[ -e "$dir/dest$multi/$f" ] || die "$f is not installed"
done
[ "$(readlink "$dir/dest$multi/libiofilter.so.0")" = "libiofilter.so.$version" ] || die "libiofilter.so.0 is no link to the library"
all "under a DESTDIR" "$dir/dest$multi"

rm -rf "$dir"
echo "$n programs"
