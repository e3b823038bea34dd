#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# 'iofilter map' and 'unmap' on a VM: each kind, in the foreground, in the background and pinned; what status tells; changes; alarms; a fresh
# program under it; and what is refused, after which all is as it was. (badinput.sh has what is refused where nothing is mapped.)
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/cli.sh"

# json NAME EXPRESSION: of status, i the filter of that name, m what it says of the map
json() {
	"$iofilter" status --pid $qemu --json |
		/usr/bin/python3 -I -c "import json, sys; i = [i for i in json.load(sys.stdin) if i['device'] == '$1'][0]; m = i.get('map'); print($2)"
}
is() { local got; got=$(json "$1" "$2"); [ "$got" = "$3" ] || fail "$1: wanted $2 to be $3, got $got"; }
# What is attached, but for counters, and what stands still of the map.
attached() { tail -n +2 "$filters" | cut -d' ' -f1-6 | sort; json map-600 '{k: m[k] for k in m if k != "alarm_in"}' 2>&1; }

start_vm map
map=("$iofilter" map --pid $qemu)

"${map[@]}" --daemon pio:0x600+4 counter freq=1000 width=24 reload=1000000 set 77 stop compare=500 || fail "map --daemon"
is map-600 '(m["kind"], m["running"], m["value"], m["freq"], m["reload"], m["compare"], m["alarm"], m["alarms"], i["width"])' \
	"('counter', False, 77, 1000, 1000000, 500, 'off', 0, 24)"
refused "map twice" 1 "already attached" "${map[@]}" pio:0x600+4 const 1
refused "map across another one" 1 "map-5fe.*already attached" "${map[@]}" pio:0x5fe+4 const 1
refused "a change that does not fit" 1 "width 40.*32 bits" "${map[@]}" 0x600 set 7 width=40
refused "a value that does not fit" 1 "value 1000000" "${map[@]}" 0x600 freq=5 set 1000000
refused "a change of what is not there" 1 "no map begins at 0x601" "${map[@]}" 0x601 stop
refused "unmap of one that is not there" 1 "no map begins at 0x601" "$iofilter" unmap --pid $qemu 0x600 0x601
refused "an update with new state" 1 "'iofilter map'" "$iofilter" update --reset --pid $qemu map-600
refused "a proof" 1 "nobody else's" "$iofilter" clock --pid $qemu map-600 prove

# One step: all of it.
"${map[@]}" 0x600 set=100000 divider=1000000000 reload=0 width=32 || fail "a change"
is map-600 '(m["running"], m["value"], m["freq"], m["reload"], i["width"])' "(False, 100000, 1, 0, 32)"
"${map[@]}" map-600 freq=1000000 start set 5 || fail "a change by name"
is map-600 '(m["running"], 5 <= m["value"] < 3600000000)' "(True, True)"
"$iofilter" clock --pid $qemu map-600 stop || fail "clock stop"
is map-600 'm["running"]' False
for option in --pin --daemon --drain=0 --vm-fd=5; do
	refused "a change with $option" 2 "${option%=*} is for a new map: 0x600 has no" "${map[@]}" "$option" 0x600 set 9
done
[ "$("${map[@]}" --json 0x600 stop)" = "{\"event\":\"changed\",\"pid\":$qemu,\"device\":\"map-600\"}" ] || fail "a change with --json"
a=$(json map-600 'm["value"]')
# A fresh program, with the state that the old one had.
"$iofilter" update --pid $qemu map-600 || fail "update"
is map-600 'm["value"]' "$a"
"$iofilter" clock --pid $qemu map-600 start || fail "clock start"
is map-600 "m['running'] and m['value'] > $a" True
# All clocks of the VM, but for what has none.
said() { [ "$(sort "$dir/out")" = "$1" ] || fail "clock: wanted '$1', got '$(cat "$dir/out")'"; }
"$iofilter" attach --pid $qemu --pin pmtimer rtc > "$dir/out" || fail "attach"
"${map[@]}" --pin pio:0x610+4 const 1 > "$dir/out" || fail "a constant"
"$iofilter" clock --pid $qemu map-600 stop > "$dir/out" || fail "clock stop of one"
"$iofilter" clock --pid $qemu stop > "$dir/out" || fail "clock stop of all"
said "map-600: clock of VM $qemu: stopped already
pmtimer: clock of VM $qemu: stopped"
is map-600 'm["running"]' False
is pmtimer 'i["clock"]["proof"]' held
refused "a proof of all" 2 "prove is for one device" "$iofilter" clock --pid $qemu prove
refused "an owner of all" 2 "own is for one device" "$iofilter" clock --pid $qemu own=1
refused "a device and nothing" 2 "unknown 'pmtimer': stop" "$iofilter" clock --pid $qemu pmtimer
"$iofilter" clock --pid $qemu start > "$dir/out" || fail "clock start of all"
said "map-600: clock of VM $qemu: started
pmtimer: clock of VM $qemu: started"
"$iofilter" clock --pid $qemu start > "$dir/out" || fail "clock start of all that run"
said "map-600: clock of VM $qemu: runs already
pmtimer: clock of VM $qemu: runs already"
is map-600 'm["running"]' True
"$iofilter" detach --pid $qemu pmtimer rtc map-610 > "$dir/out" || fail "detach"
# An alarm that nobody waits for is counted all the same.
"${map[@]}" pio:0x600 set 0 reload=1000 compare=10 alarm=periodic || fail "alarm"
sleep 1
is map-600 '(m["alarm"], m["alarms"] > 900, 0 < m["alarm_in"] <= 1000000)' "('periodic', True, True)"
"$iofilter" status --pid $qemu
"${map[@]}" 0x600 alarm=off stop || fail "alarm off"

# Its alarm, which another process waits for: the counter is the daemon's.
refused "wait at nothing" 1 "no map begins at 0x601" "${map[@]}" 0x601 wait
refused "wait for an alarm that is off" 1 "map-600 of VM $qemu has no alarm .*map-600 alarm" "${map[@]}" 0x600 wait
refused "wait with a setting" 2 "by its address alone" "${map[@]}" 0x600 wait stop
refused "wait at a region" 2 "by its address alone" "${map[@]}" pio:0x600+4 wait
refused "wait in the background" 2 "--daemon is for a new map" "${map[@]}" --daemon 0x600 wait
refused "wait with a drain" 2 "--drain is for a new map" "${map[@]}" --drain 5 0x600 wait
refused "a count without a wait" 2 "for 'wait'" "${map[@]}" --count 1 0x600 stop
refused "a timeout without a wait" 2 "for 'wait'" "${map[@]}" --timeout 1 pio:0x700+4 const 1
refused "a count of 0" 2 "count 0 is out of range" "${map[@]}" --count 0 0x600 wait
refused "a timeout that is no number" 2 "'1s' is not a number" "${map[@]}" --timeout 1s 0x600 wait
"${map[@]}" 0x600 freq=1000 reload=0 set 0 compare=10 alarm || fail "an alarm of a counter that stands"
refused "an alarm that does not come" 1 "map-600 of VM $qemu: 0 alarms in 1 s" "${map[@]}" --timeout 1 0x600 wait
refused "two that do not come" 1 "0 alarms of 2 in 1 s" "${map[@]}" --timeout 1 --count 2 map-600 wait
"${map[@]}" 0x600 start || fail "start"
sleep 0.5
# It counts on, but not within these years.
"${map[@]}" 0x600 divider=1000000000000000000 || fail "divider"
is map-600 '(m["alarms"] > 0, m["running"], m["alarm"])' "(True, True, 'once')"
refused "an alarm that has come" 1 "one alarm of map-600 .*has come already .*map-600 alarm" "${map[@]}" 0x600 wait

# waited WORD...: in the background; what it says in $dir/waited, and its pid $waiting
waited() {
	"$iofilter" map --pid $qemu "$@" > "$dir/waited" 2> "$dir/waited.err" & waiting=$!
	started+=($waiting)
}
# waited_for STATUS PATTERN ALARMS: it ends with so many or a few more, and says so on stderr
waited_for() {
	local rc sum

	wait $waiting
	rc=$?
	sum=$(sed -nE -e "s/^map-60[08]: alarm of VM $qemu: ([1-9][0-9]*)$/\1/p" \
		-e "s/^\{\"event\":\"alarm\",\"pid\":$qemu,\"device\":\"map-600\",\"alarms\":([1-9][0-9]*)\}$/\1/p" "$dir/waited" | tee "$dir/alarms" | awk '{ s += $1 } END { print s + 0 }')
	echo "waited: exit $rc, $(wc -l < "$dir/waited") lines of $sum alarms: $(cat "$dir/waited.err")"
	[ $rc = "$1" ] || fail "waited: wanted exit status $1, got $rc"
	if [ "$2" ]; then
		grep -qE -- "$2" "$dir/waited.err" && [ "$(wc -l < "$dir/waited.err")" = 1 ] || fail "waited: wanted one line with '$2'"
	else
		[ ! -s "$dir/waited.err" ] || fail "waited: wanted nothing on stderr"
	fi
	[ "$(wc -l < "$dir/alarms")" = "$(wc -l < "$dir/waited")" ] || fail "waited: $(cat "$dir/waited")"
	# The last line may tell of more than were wanted; those before it do not have them all.
	[ "$sum" -ge "$3" ] && { [ "$3" = 0 ] || [ $((sum - $(tail -n 1 "$dir/alarms"))) -lt "$3" ]; } || fail "waited: $sum alarms, wanted $3"
}
# until_waited PATTERN: until it has said so
until_waited() {
	for _ in $(seq 100); do
		grep -q -- "$1" "$dir/waited" && return
		sleep 0.1
	done
	fail "waited: no '$1'"
}
"${map[@]}" 0x600 freq=1000 reload=100 set 0 compare=0 alarm=periodic || fail "periodic"
waited --count 5 0x600 wait
waited_for 0 "" 5
waited --count 5 --timeout 60 --json pio:0x600 wait
waited_for 0 "" 5
waited 0x600 wait
until_waited alarm
kill -INT $waiting
waited_for 0 "" 0
waited --count 1000000 0x600 wait
until_waited alarm
kill -TERM $waiting
waited_for 1 "interrupted after [0-9]+ alarms? of 1000000" 0
# Moved by another process while it waits.
"${map[@]}" 0x600 reload=0 set 0 compare=4000000000 alarm || fail "one that is far away"
waited --count 1 0x600 wait
sleep 1
[ -s "$dir/waited" ] && fail "an alarm that cannot have come: $(cat "$dir/waited")"
"${map[@]}" 0x600 set 3999999900 || fail "moving it"
waited_for 0 "" 1
# What is pinned has no process of its own. It goes while it is waited for.
"${map[@]}" --pin pio:0x608+4 counter freq=1000 reload=100 alarm=periodic || fail "map --pin"
waited 0x608 wait
until_waited alarm
"$iofilter" unmap --pid $qemu 0x608 || fail "unmap"
waited_for 1 "map-608 of VM $qemu is gone, after [0-9]+ alarm" 0
"${map[@]}" 0x600 alarm=off stop || fail "alarm off"

"${map[@]}" --pin mmio:0xd0000000+8 const 0x1122334455667788 || fail "map --pin"
[ -e /sys/fs/bpf/kvm-iofilter/$qemu/map-d0000000/link ] || fail "no pin"
is map-d0000000 '(m["kind"], m["value"])' "('const', $((0x1122334455667788)))"
"${map[@]}" 0xd0000000 set 9 || fail "change of a pinned constant"
is map-d0000000 'm["value"]' 9
refused "the alarm of a constant" 1 "map-d0000000 of VM $qemu is a constant" "${map[@]}" 0xd0000000 wait
refused "the clock of a constant" 1 "no clock" "$iofilter" clock --pid $qemu map-d0000000 stop
refused "the frequency of a constant" 1 "a value and nothing else" "${map[@]}" 0xd0000000 freq=1
# Beyond what "map-" has room for.
"${map[@]}" --pin mmio:0x380000000000+2 const 3 || fail "a high address"
is m-380000000000 'm["value"]' 3
"$iofilter" unmap --pid $qemu mmio:0x380000000000 0xd0000000 || fail "unmap"
[ -e /sys/fs/bpf/kvm-iofilter/$qemu ] && fail "pins are left"
"${map[@]}" --pin pio:0x610+4 const 1 > "$dir/out" || fail "a constant"
"$iofilter" unmap --pid $qemu --json 0x600 | grep -q '^\["map-600"\]$' || fail "unmap --json"
refused "the clock of none that has one" 1 "nothing that is attached to VM $qemu has a clock to stop" "$iofilter" clock --pid $qemu stop
"$iofilter" unmap --pid $qemu 0x610 > "$dir/out" || fail "unmap of the constant"
[ "$(wc -l < $filters)" = 1 ] || fail "still there: $(cat $filters)"

# A table at an address.
printf 'table t\nports p 0x300-0x303\nread p b answer 5\n' > "$dir/t.rules"
"${map[@]}" --pin pio:0x300+4 table "$dir/t.rules" || fail "map of a table"
"$iofilter" detach --pid $qemu table || fail "detach of the table"
refused "a table beyond the region" 1 "t.rules:2: 'p', pio 0x300-0x303, is not within pio 0x300\\+3" "${map[@]}" pio:0x300+3 table "$dir/t.rules"

# In the foreground: alarms are printed, also those that another process has armed or moved.
"${map[@]}" --json pio:0x600+4 counter freq=1000 set 0 > "$dir/log" 2>&1 & loader=$!
for _ in $(seq 100); do
	grep -q attached "$dir/log" && break
	sleep 0.1
done
sleep 0.5
grep -q alarm "$dir/log" && fail "an alarm that is off: $(cat "$dir/log")"
# It comes 4 million seconds from now, and then it does not.
"${map[@]}" 0x600 set 0 compare=4000000000 alarm || fail "arming it"
sleep 0.5
grep -q alarm "$dir/log" && fail "an alarm that cannot have come: $(cat "$dir/log")"
"${map[@]}" 0x600 set 3999999900 || fail "moving it"
for _ in $(seq 100); do
	grep -q '"event":"alarm"' "$dir/log" && break
	sleep 0.1
done
"${map[@]}" 0x600 set 0 compare=0 reload=100 alarm=periodic || fail "periodic"
sleep 2
kill -INT $loader
wait $loader || fail "the loader in the foreground: $?"
/usr/bin/python3 -I - "$dir/log" <<'P' || fail "what it said: $(cat "$dir/log")"
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
alarms = [e['alarms'] for e in events if e['event'] == 'alarm']
print(f'{len(alarms)} lines of {sum(alarms)} alarms')
assert alarms[0] == 1 and 15 <= sum(alarms[1:]) <= 200, alarms
assert events[0]['event'] == 'attached' and events[-1]['event'] == 'detached'
P

# More than one can name are all detached.
for i in $(seq 0 19); do
	"${map[@]}" --pin "pio:$((0x600 + 4 * i))+4" const "$i" > "$dir/out" || fail "map $i"
done
[ "$(wc -l < $filters)" = 21 ] || fail "20 maps: $(cat $filters)"
"$iofilter" detach --pid $qemu > "$dir/out" || fail "detach of all"
[ "$(wc -l < "$dir/out")" = 20 ] && [ "$(wc -l < $filters)" = 1 ] || fail "detach of all has left: $(cat $filters)"

# The VM ends while its alarm is waited for.
"${map[@]}" --pin pio:0x608+4 counter freq=1000 reload=100 alarm=periodic || fail "map --pin"
waited 0x608 wait
until_waited alarm
kill -9 $qemu
waited_for 1 "map-608 of VM $qemu is gone, after [0-9]+ alarm" 0
"$iofilter" clean > "$dir/out"
echo "$n refusals"
exit $failed
