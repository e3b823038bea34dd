# SPDX-License-Identifier: GPL-2.0
"""A Linux guest on stock QEMU that is migrated to a second QEMU, each with the same filters, while it reads its PM timer and its HPET."""
import os
import time

from guest import IOFILTER, PMTIMER_HZ, Failed, Filter, Guest, check, say, sh, status

HPET_HZ = 100000000
ANSWERED = 20


class Migration:
    def __init__(self, devices, machine, extra=()):
        self.devices = devices
        self.args = {"cpus": 2, "machine": machine, "append": "clocksource=hpet"}
        self.extra = list(extra)
        self.stops = 0
        self.guest = Guest(**self.args, extra=self.extra)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.guest.kill()

    def attach(self, guest):
        for d in self.devices:
            Filter(guest, device=d)

    def boot(self):
        """And begin with the clocks: two loops share the second CPU, until they are told to end."""
        self.guest.boot()
        self.attach(self.guest)
        self.guest.run("taskset 2 clock port 1000000000000 > /tmp/pm &")
        self.guest.run("while [ ! -e /tmp/end ]; do taskset 2 clock hpet whole 2000 >> /tmp/hpet; done &")

    def ask(self, line, file="pitclock"):
        """kmod/"""
        return self.guest.json(f"exec 5<>/proc/{file}; echo {line} >&5; cat <&5")

    def status(self):
        return {d["device"]: d for d in status(self.guest.pid)}

    def registers(self, device, *names):
        out = sh(IOFILTER, "reg", "get", "--pid", str(self.guest.pid), device, *names).stdout
        return [int(line.split()[1]) for line in out.splitlines()]

    def stop(self):
        self.guest.qmp.cmd("stop")
        self.stops += 1

    def go_on(self):
        self.guest.qmp.cmd("cont")

    def migrate(self, keep):
        """To another QEMU, stopped as the first is, with filters; @keep: that are saved and restored."""
        socket, path = os.path.join(self.guest.dir, "migration"), os.path.join(self.guest.dir, "state")
        second = Guest(**self.args, extra=self.extra + ["-incoming", f"unix:{socket}"])
        try:
            if keep:
                say(sh(IOFILTER, "save", "--pid", str(self.guest.pid), path).stdout.strip())
            self.attach(second)
            second.connect()
            self._move(second, f"unix:{socket}")
            if keep:
                say(sh(IOFILTER, "restore", "--pid", str(second.pid), path).stdout.strip())
        except BaseException:
            second.kill()
            raise
        self.guest.kill()
        self.guest = second

    def _move(self, second, uri):
        first = self.guest
        first.qmp.cmd("migrate-set-parameters", **{"max-bandwidth": 1 << 30})
        first.qmp.cmd("migrate", uri=uri)
        until = time.monotonic() + 180
        while (now := first.qmp.cmd("query-migrate").get("status")) != "completed":
            if now in ("failed", "cancelled") or time.monotonic() > until:
                raise Failed(f"migration: {now}: {first.qemu_log()} {second.qemu_log()}")
            time.sleep(0.1)
        while (now := second.qmp.cmd("query-status")["status"]) not in ("paused", "running") and time.monotonic() < until:
            time.sleep(0.1)
        check(now == "paused", f"the second QEMU is {now}")

    def answered(self, use, devices=None):
        """use() makes the guest ask @devices until each filter of this QEMU has answered; what was restored does not count."""
        devices = devices or self.devices
        before = self.status()
        for _ in range(20):
            use()
            now = self.status()
            gained = {d: now[d]["answered"] - before[d]["answered"] for d in devices}
            if min(gained.values()) > ANSWERED:
                break
        for d in devices:
            st = now[d]
            fuse = next(st[part]["fuse"] for part in ("clock", "registers", "channel") if part in st)
            check(gained[d] > ANSWERED and fuse == "ok", f"this QEMU's {d} has answered {gained[d]}, {self.reasons(st)}; its fuse is whole")

    @staticmethod
    def reasons(st):
        return {why: n for why, n in st["punted"].items() if n}

    def end(self):
        """What the loops have seen of the clocks, through all migrations."""
        self.guest.run("touch /tmp/end; killall clock; sleep 3")
        _, lines = self.guest.run("cat /tmp/pm /tmp/hpet")
        rows = [self.guest.parse(line) for line in lines]
        check(len(rows) >= 2, f"both clocks were read: {len(rows)} rows")
        # In the frozen window of a stop (docs/clock.md) there may be some, as far as a delay lasts.
        delay = 2 * max(st["clock"]["expiry"] for d, st in self.status().items() if d in ("pmtimer", "hpet")) / 1e9
        for name, hz, some in ("PM timer", PMTIMER_HZ, rows[:1]), ("HPET", HPET_HZ, rows[1:]):
            back, worst = sum(r["back"] + r["cross"] for r in some), max(r["max_back"] for r in some) / hz
            check(back <= 8 * self.stops and worst <= delay,
                  f"{sum(r['reads'] for r in some)} reads of the {name}: {back} steps back in {self.stops} stops, at most {worst * 1e6:.0f} us")
