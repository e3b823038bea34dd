#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A guest reads the port in a loop while the filter is updated, detached, attached again and its loader killed at random
moments: no step back, no read lost, and all counters add up. The guest's own clock is the HPET here, so that nothing
else reads the port and every count must be exact."""
import random
import time

from guest import IOFILTER, SCALE, Exits, Filter, Guest, check, main, punted, say, sh


def judge(r):
    say(r)
    check(r["reads"] > 10000, f"{r['reads']} reads, wanted above 10000")
    check(r["back"] == 0 and r["cross"] == 0, f"{r['back']} steps back, wanted none")


def counts(exits, filt):
    """What four places count: KVM's reads, reads that userspace completed, the program's, the module's."""
    st = filt.status()
    return {"kvm": exits.reads(filt.pid), "user": exits.user_reads(filt.pid), "answered": st["answered"],
            "punted": punted(st), "handled": sum(r["reads_handled"] for r in st["ranges"]),
            "unhandled": sum(r["reads_punted"] for r in st["ranges"])}


def updates(guest, exits, seconds, rng):
    """The filter stays attached: the sums are exact."""
    filt = Filter(guest)
    first = counts(exits, filt)
    guest.begin(f"clock port 1000000000000 {seconds}")
    n, end = 0, time.monotonic() + seconds - 1
    while time.monotonic() < end:
        time.sleep(rng.random() * 0.2)
        sh(IOFILTER, "update", "--pid", str(guest.pid), "pmtimer")
        n += 1
    r = guest.end_json(seconds + 120)
    say(filt.status())
    judge(r)
    reads = r["reads"]
    d = {k: v - first[k] for k, v in counts(exits, filt).items()}
    say(f"{n} updates: {d}")
    check(n >= 3, f"{n} updates, wanted at least 3")
    check(d["kvm"] == reads, f"KVM saw {d['kvm']} reads, the guest made {reads}")
    check(d["answered"] + d["punted"] == reads, f"the program counts {d['answered']} + {d['punted']}, wanted {reads}")
    check(d["handled"] + d["unhandled"] == reads, f"the module counts {d['handled']} + {d['unhandled']}, wanted {reads}")
    check(d["punted"] == d["user"], f"{d['punted']} punts, {d['user']} answers of QEMU, wanted the same")
    check(d["answered"] > reads / 2, f"{d['answered']} answered, wanted most")
    return filt


def swaps(guest, exits, seconds, rng, filt):
    """The filter comes and goes."""
    kvm, user = exits.reads(guest.pid), exits.user_reads(guest.pid)
    done = {"kill": 0, "detach": 0, "update": 0}
    guest.begin(f"clock port 1000000000000 {seconds}")
    end = time.monotonic() + seconds - 1
    todo = []
    while time.monotonic() < end:
        todo = todo or rng.sample(list(done), len(done))
        what = todo.pop()
        time.sleep(rng.random() * 0.5)
        done[what] += 1
        if what == "update":
            sh(IOFILTER, "update", "--pid", str(guest.pid), "pmtimer")
            continue
        if what == "kill":
            filt.kill()
        else:
            filt.detach()
        time.sleep(rng.random() * 0.2)
        filt = Filter(guest)
    r = guest.end_json(seconds + 120)
    say(filt.status())
    judge(r)
    kvm, user = exits.reads(guest.pid) - kvm, exits.user_reads(guest.pid) - user
    say(f"{done}: KVM saw {kvm} reads, QEMU answered {user} of them")
    check(min(done.values()) > 0, "each was done at least once")
    check(kvm == r["reads"], f"KVM saw {kvm} reads, the guest made {r['reads']}")
    check(0 < user < kvm, "both sides answered")
    return filt


def test():
    seed = random.randrange(1 << 32)
    say(f"seed {seed}")
    rng = random.Random(seed)
    with Exits() as exits, Guest(append="clocksource=hpet") as guest:
        guest.boot()
        filt = updates(guest, exits, int(15 * SCALE), rng)
        filt = swaps(guest, exits, int(30 * SCALE), rng, filt)
        filt.detach()


main(test)
