#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# 'iofilter table': check, load in each of its ways, show, replace, and what is refused, after which all is as it was.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cli.sh"

# What is attached, but for the counters; and the table's rules.
attached() { tail -n +2 "$filters" | cut -d' ' -f1-6 | sort; "$iofilter" table show --pid $qemu --json 2>&1; }

# json EXPRESSION: of the table that is attached, as t
json() { "$iofilter" table show --pid $qemu --json | /usr/bin/python3 -I -c "import json, sys; t = json.load(sys.stdin); print($1)"; }

start_vm table

cat > "$dir/one.rules" <<'E'
table one
ports p 0x300-0x303
bit on
slot s
write p+0 b trap 0x80/0x80 take s set on   # a comment
read p+0 b answer s
E
sed 's/table one/table two/; s/ or .*//; s/answer s/answer s or 1/' "$dir/one.rules" > "$dir/two.rules"
sed 's/0x303/0x304/' "$dir/one.rules" > "$dir/other.rules"
printf 'ports p 0x300-0x303\nread p b anwser 1\n' > "$dir/bad.rules"
load=("$iofilter" table load --pid $qemu)

"$iofilter" table check "$dir/one.rules" > "$dir/out" || fail "check of a good file"
cat "$dir/out"
grep -q '2 rules, 1 bit, 1 slot, 0 buffers; pio 0x2fd+10$' "$dir/out" || fail "what check says"

refused "no table" 1 "no table is attached" "$iofilter" table show --pid $qemu
refused "replace of nothing" 1 "no table is attached" "$iofilter" table replace --pid $qemu "$dir/one.rules"
refused "check of a bad file" 1 "$dir/bad.rules:2:10: unknown 'anwser'" "$iofilter" table check "$dir/bad.rules"
refused "load of a bad file" 1 "$dir/bad.rules:2:10: unknown 'anwser'" "${load[@]}" "$dir/bad.rules"
refused "no such file" 1 "nowhere.rules: No such file" "${load[@]}" /nowhere.rules
refused "a folder" 1 "not a file" "${load[@]}" "$dir"
refused "no file" 2 "name one rule file" "${load[@]}"
refused "no pid" 2 "pid" "$iofilter" table load "$dir/one.rules"
refused "no subcommand" 2 "check FILE" "$iofilter" table
refused "attach without rules" 1 "table load FILE" "$iofilter" attach --pid $qemu table
refused "no VM" 1 "no KVM VM|has no .*VM|not a VM" "$iofilter" table load --pid $$ "$dir/one.rules"

"${load[@]}" --daemon "$dir/one.rules" || fail "load --daemon"
[ "$(json 't["table"], len(t["rules"]), t["bits"], t["slots"]["s"]["bytes"]')" = "one 2 {'on': None} ................" ] || fail "what show says: $(json t)"
"$iofilter" table show --pid $qemu
"$iofilter" status --pid $qemu
"$iofilter" status --pid $qemu --json | grep -q '"rules":2' || fail "status --json"
refused "twice" 1 "already attached" "${load[@]}" "$dir/one.rules"
refused "replace by a bad file" 1 "$dir/bad.rules:2:10" "$iofilter" table replace --pid $qemu "$dir/bad.rules"
refused "replace by other addresses" 1 "other addresses" "$iofilter" table replace --pid $qemu "$dir/other.rules"
# Each kind of bad file; host/table_bad.c looks at what is said of it.
before=$(attached) n=0
for bad in "$ROOT"/selftests/host/table_bad/*.rules; do
	"$iofilter" table replace --pid $qemu "$bad" > "$dir/out" 2> "$dir/err" && fail "$bad replaced it"
	grep -aqF "iofilter: $bad:" "$dir/err" || fail "$bad: $(cat "$dir/err")"
	n=$((n + 1))
done
[ $n -ge 30 ] || fail "only $n bad files"
[ "$(attached)" = "$before" ] || fail "bad files have changed what is attached: $(attached)"
"$iofilter" table replace --pid $qemu "$dir/two.rules" || fail "replace"
[ "$(json 't["table"], t["rules"][1]["rule"]')" = "two read p+0 b answer s or 1" ] || fail "what show says of the new one: $(json t)"
# A fresh program, with the state that the old one had.
"$iofilter" update --pid $qemu table || fail "update"
[ "$(json 't["table"]')" = two ] || fail "the update has lost the rules"
"$iofilter" detach --pid $qemu table || fail "detach"

"${load[@]}" --pin "$dir/one.rules" || fail "load --pin"
[ -e /sys/fs/bpf/kvm-iofilter/$qemu/table/link ] || fail "no pin"
"$iofilter" table replace --pid $qemu "$dir/two.rules" || fail "replace of a pinned one"
"$iofilter" detach --pid $qemu table || fail "detach of a pinned one"

"${load[@]}" "$dir/one.rules" > "$dir/log" & loader=$!
for _ in $(seq 100); do
	grep -q "attached to VM" "$dir/log" && break
	sleep 0.1
done
kill -INT $loader
wait $loader || fail "the loader in the foreground: $?"
grep -q "detached from VM" "$dir/log" || fail "what the loader said: $(cat "$dir/log")"

# All that need nothing else, and a table is none of them.
"$iofilter" attach --pid $qemu --pin > "$dir/out" || fail "attach of all"
grep -q "^table" "$dir/out" && fail "attach of all names the table: $(cat "$dir/out")"
"$iofilter" detach --pid $qemu > "$dir/out" || fail "detach of all"
for t in "$ROOT"/tables/*.rules; do
	"${load[@]}" --pin "$t" || fail "load of $t"
	"$iofilter" detach --pid $qemu table > "$dir/out" || fail "detach of $t"
done
echo "$n refusals"
exit $failed
