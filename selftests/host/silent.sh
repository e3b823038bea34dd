#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# No object of libiofilter's calls what prints or ends the process: that is its caller's to do. (selftests/vm/library.c watches it at work.)
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
me=silent
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

banned='v?f?w?printf|v?dprintf|f?put(c|s|w|wc|ws|char|wchar)|fwrite|p?writev?|send(to|msg)?|perror|psignal|psiginfo|v?warnx?|v?errx?|error'
banned+='|error_at_line|v?syslog|stdout|stderr|_?exit|_Exit|exit_group|quick_exit|abort|assert|assert_fail|assert_perror_fail|raise|t?g?kill'

# prints OBJECT...: the calls that are not allowed
prints() { nm -A -u "$@" | grep -E " U (__|_IO_)?($banned)(_unlocked)?(_chk)?(@.*)?\$"; }

# The pattern knows them when it sees them, with and without what the compiler makes of them, and lets the others pass.
# known WANTED FLAGS STATEMENT
known() {
	printf '#include <assert.h>\n#include <stdarg.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <err.h>
extern char b[9]; extern va_list ap; void f(const char *s, int a); void f(const char *s, int a) { (void)s; (void)a; %s; }' "$3" |
		gcc -w $2 -x c -c -o "$dir/o" - || die "$3"
	prints "$dir/o" > /dev/null && got=banned || got=allowed
	[ $got = "$1" ] || die "'$3' ($2): wanted $1, got $got"
}
for flags in -O0 "-O2 -D_FORTIFY_SOURCE=2"; do
	for s in 'printf("%d", a)' 'printf("x")' 'puts(s)' 'putchar(a)' 'fprintf(stderr, s)' 'fputs(s, stdout)' 'vprintf(s, ap)' 'perror(s)' 'exit(a)' '_exit(a)' \
		'abort()' 'assert(a)' 'write(2, s, 1)' 'dprintf(2, "%d", a)' 'warnx("%s", s)' 'err(1, "%s", s)' 'fwrite(s, 1, 1, (FILE *)s)'; do
		known banned "$flags" "$s"
	done
	for s in 'snprintf(b, 9, "%d", a)' 'vsnprintf(b, 9, s, ap)' 'sscanf(s, "%d", &a)' 'fgets(b, 9, (FILE *)s)' 'realpath(s, b)'; do
		known allowed "$flags" "$s"
	done
done

set -- "$O"/loader/lib/*.o
[ $# -ge "$(find "$ROOT/loader/lib" -name '*.c' | wc -l)" ] || die "objects are missing in $O/loader/lib"
if prints "$@"; then
	die "the library prints, or ends its caller: return an error, and the reason by lib_fail()"
fi
echo "$# objects print nothing"
