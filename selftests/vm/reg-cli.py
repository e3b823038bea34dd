#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""`iofilter reg`, dump, save and restore: what they say, as text and as JSON, and what is refused, after which all is as it was."""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
O = os.environ.get("O", os.path.join(ROOT, "build"))
IOFILTER = os.path.join(O, "loader/iofilter")
DIR = tempfile.mkdtemp(prefix="reg-cli.")
DEVICES = ("pmtimer", "hpet", "pit", "speaker", "rtc", "ide", "table", "map")
ATTACHED = ("pmtimer", "hpet", "pit", "rtc", "ide", "table", "map-600")
RULES = """ports p 0x300-0x303
bit on
slot s
slot t
buffer b = 01 02 03 04
write p+0 l take s set on rewind b
write p+0 w take t
read p+0 l answer s
read p+1 b repeat b
"""
failed = refusals = 0
qemu = other = 0
env = dict(os.environ)  # of the tool
known = None  # the state of all filters; None: something may have changed it


def fail(*words):
    global failed
    print("FAIL:", *words, flush=True)
    failed += 1


def call(*args):
    p = subprocess.run([IOFILTER, *(str(a) for a in args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                       env=env)
    return p.returncode, p.stdout, p.stderr


def state():
    """All registers of all that is attached. The VM is stopped and so are the clocks: nothing moves by itself."""
    return call("dump", "--pid", qemu, "--json")


def refused(what, status, pattern, *args):
    global refusals, known
    known = known or state()
    refusals += 1
    rc, out, err = call(*args)
    print(f"{what}: exit {rc}: {err.strip()}", flush=True)
    if rc != status:
        fail(f"{what}: wanted exit status {status}, got {rc}")
    if not re.search(pattern, err):
        fail(f"{what}: wanted a message with '{pattern}'")
    if err.count("\n") != 1 or out:
        fail(f"{what}: wanted one line on stderr, got '{err}' and '{out[:200]}'")
    if state() != known:
        fail(f"{what}: something has changed")


def want(what, pattern, *args):
    """It works, and says so."""
    global known
    known = None
    rc, out, err = call(*args)
    if rc or err or not re.search(pattern, out, re.M):
        fail(f"{what}: exit {rc}, wanted '{pattern}', got '{out[:400]}' '{err}'")
    return out


def from_json(*args):
    rc, out, err = call(*args, "--json")
    if rc:
        fail(f"{args}: exit {rc}: {err}")
    return json.loads(out or "null")


def check(ok, *what):
    if not ok:
        fail(*what)


def target(link):
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed meanwhile
        return ""


def start(name):
    p = subprocess.Popen(["qemu-system-x86_64", "-accel", "kvm", "-M", "q35,kernel-irqchip=split", "-display", "none", "-nodefaults", "-S",
                          "-name", name], stdin=subprocess.DEVNULL)
    for _ in range(100):
        time.sleep(0.2)
        if any("kvm-vcpu" in target(f"/proc/{p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{p.pid}/fd")):
            break
    return p


def path(name):
    return os.path.join(DIR, name)


def put(name, data):
    with open(path(name), "wb") as f:
        f.write(data)
    return path(name)


def content(name):
    with open(path(name), "rb") as f:
        return f.read()


def but_for_looks(pid):
    """What is attached to a VM whose clocks are not stopped: after a look those wait for a newer answer."""
    all_of = from_json("dump", "--pid", pid)
    for parts in all_of.values():
        for name in "clock.epoch", "clock.need":
            parts["shadow"].pop(name, None)
    return all_of


def lists():
    """What the library says of each device. Return: a register's name, without its element, by its device: its row."""
    regs, prefixes = {}, set()
    for d in DEVICES:
        want(f"list of {d}", r"^0x[0-9a-f]{16} +4 SH +pid ", "reg", "list", d)
        rows = from_json("reg", "list", d)
        regs[d] = {r["name"]: r for r in rows}
        check(len({r["id"] for r in rows}) == len(rows) == len(regs[d]) > 10, f"{d}: ids and names are each of one register")
        check({"shadow", "counter"} <= {r["part"] for r in rows} <= {"guest", "shadow", "config", "counter"}, f"{d}: parts")
        check(all(r["restored"] for r in rows if r["writable"] and r["name"] not in ("general[]", "cmos[]")),
              f"{d}: what can be set is restored, but for what the VMM answers")
        check(not any(r["restored"] for r in rows if r["part"] in ("config", "counter")), f"{d}: no configuration, no counter is restored")
        check(len({r["id"][:4] for r in rows}) == 1, f"{d}: one device in its ids")
        prefixes |= {r["id"][:4] for r in rows}
    check(len(prefixes) == len(DEVICES), f"each device has its own ids: {prefixes}")
    regs["map-600"] = regs["map"]
    return regs


def nothing_attached():
    refused("no subcommand", 2, "list DEVICE, get .*, set ", "reg")
    refused("unknown subcommand", 2, "list DEVICE, get .*, set ", "reg", "frob")
    refused("list of nothing", 2, "name one device", "reg", "list")
    refused("list of two", 2, "name one device", "reg", "list", "pit", "rtc")
    refused("list of no device", 1, "nosuch.*pmtimer", "reg", "list", "nosuch")
    absent = f"pmtimer is not attached to VM {qemu}"
    refused("get of nothing attached", 1, absent, "reg", "get", "--pid", qemu, "pmtimer", "clock.time")
    refused("set of nothing attached", 1, absent, "reg", "set", "--pid", qemu, "pmtimer", "clock.expiry=1")
    refused("dump of nothing", 1, f"nothing is attached to VM {qemu}", "dump", "--pid", qemu)
    refused("dump of a device that is not attached", 1, f"rtc is not attached to VM {qemu}", "dump", "--pid", qemu, "rtc")
    refused("save of nothing", 1, f"nothing is attached to VM {qemu}", "save", "--pid", qemu, path("none"))
    refused("save of a device that is not attached", 1, f"rtc is not attached to VM {qemu}", "save", "--pid", qemu, path("none"), "rtc")
    check(not os.path.exists(path("none")), "a file was written of nothing")


def get_and_set(regs):
    get, set_ = ("reg", "get", "--pid", qemu), ("reg", "set", "--pid", qemu)
    width = regs["pmtimer"]["clock.width"]["id"]
    want("get", r"^clock.width +24 \(0x18\)$", *get, "pmtimer", "clock.width")
    want("get of a stopped clock", "^clock.time +123456789000 ", *get, "pmtimer", "clock.time")
    out = want("get of several", r"^channel\[2\].latch +0 ", *get, "pit", "channel[0].latch", "channel[2].latch", "in_flight")
    check(out.count("\n") == 3, f"three registers: {out}")
    got = from_json(*get, "pmtimer", "clock.width", "clock.time")
    check(got == {"clock.width": 24, "clock.time": 123456789000}, f"get as JSON: {got}")
    want("get by id", "^clock.width +24 ", *get, "pmtimer", width)
    want("a register of bytes", r"^data\[0\] +01020304[0]{1016}$", *get, "table", "data[0]")
    want("set", "^table of VM [0-9]+: 3 registers set$", *set_, "table", "slot[1].value=0x1122334455667788", "slot[1].known=15", "bits_known=1")
    want("what was set", r"^slot\[1\].value +1234605616436508552 \(0x1122334455667788\)$", *get, "table", "slot[1].value")
    want("set by id", "1 register set", *set_, "pmtimer", regs["pmtimer"]["clock.expiry"]["id"] + "=7000000")
    want("what was set by id", "^clock.expiry +7000000 ", *get, "pmtimer", "clock.expiry")
    want("set of a map", "^map-600 of VM [0-9]+: 2 registers set$", *set_, "map-600", "set.value=654321", "set.compare=99")
    want("what was set of a map", "^set.value +654321 ", *get, "map-600", "set.value", "set.compare")
    want("the last one counts", "2 registers set", *set_, "table", "bits=-1", "bits=0")
    want("what was set twice", "^bits +0 ", *get, "table", "bits")

    refused("get without a device", 2, "name a device, then registers", *get)
    refused("get without a register", 2, "name a device, then registers", *get, "pmtimer")
    refused("get without a pid", 2, "pid", "reg", "get", "pmtimer", "clock.time")
    refused("get of an unknown register", 1, "pmtimer has no register 'clock.tome'", *get, "pmtimer", "clock.tome")
    refused("the same as JSON", 1, "pmtimer has no register 'clock.tome'", *get, "--json", "pmtimer", "clock.width", "clock.tome")
    refused("get of an array", 1, "has no register 'channel.latch'", *get, "pit", "channel.latch")
    for n in "3", "4294967296", "99999999999999999999":
        refused("get beyond an array", 1, r"channel\[\].latch ends at \[2\]", *get, "pit", f"channel[{n}].latch")
    refused("get of an element that is none", 1, r"has no register 'channel\[x\].latch'", *get, "pit", "channel[x].latch")
    refused("get of another device's id", 1, f"pit has no register {width}", *get, "pit", width)
    refused("get of no id", 1, "no register 0x12zz", *get, "pit", "0x12zz")
    refused("get of the id 0", 1, "no register 0", *get, "pit", "0")
    refused("get of an id with another size", 1, "no register", *get, "pmtimer", hex(int(width, 16) ^ 1 << 34))
    refused("get of an unknown device", 1, "nosuch", *get, "nosuch", "clock.time")
    refused("set without a value", 2, "'clock.expiry' is not REGISTER=VALUE", *set_, "pmtimer", "clock.expiry")
    for val in "7ms", "", "99999999999999999999":
        refused("set of no number", 2, f"clock.expiry={val}: that is no number", *set_, "pmtimer", f"clock.expiry={val}")
    unknown = "clock.mode is 2 or 3 only together with clock.time"
    for mode in 2, 3:
        refused("nobody's clock of which nothing is known", 1, unknown, "reg", "set", "--pid", other, "pmtimer", f"clock.mode={mode}")
    refused("set above the maximum", 1, "clock.expiry of pmtimer is 1 to 1000000000$", *set_, "pmtimer", "clock.expiry=1000000001")
    refused("set below the minimum", 1, "clock.bracket of pmtimer is 1 to 1000000000$", *set_, "pmtimer", "clock.bracket=0")
    refused("set of an expiry below the bracket", 1, "the expiry may not be shorter than the bracket$", *set_, "pmtimer", "clock.bracket=50000",
            "clock.expiry=49999")
    refused("set of a bracket above the expiry", 1, "the expiry may not be shorter than the bracket$", *set_, "pmtimer",
            "clock.bracket=7000001")
    for val in "65536", "-32769":
        refused("set beyond the size", 2, rf"channel\[0\].latch={val}: it has 2 bytes only", *set_, "pit", f"channel[0].latch={val}")
    refused("set of what cannot be set", 1, "clock.width of pmtimer cannot be set", *set_, "pmtimer", "clock.width=32")
    refused("set of a counter", 1, "commands of pit cannot be set", *set_, "pit", "commands=1")
    refused("set of bytes by too few digits", 2, r"data\[0\] has 512 bytes: give 1024", *set_, "table", "data[0]=0102")
    refused("set of one good and one bad", 1, "clock.width of pmtimer cannot be set", *set_, "pmtimer", "clock.expiry=1", "clock.width=32")
    refused("set of one good and one too large", 1, "clock.absence of pmtimer is 1 to 1000000000$", *set_, "pmtimer", "clock.expiry=1",
            "clock.absence=1000000001")
    together = r"set.reload of map is 0, or 2 to 2\^set.width$"
    refused("set below the minimum", 1, "set.width of map is 1 to 64$", *set_, "map-600", "set.width=0")
    refused("set of a reload that is none", 1, together, *set_, "map-600", "set.value=1", "set.reload=1")
    refused("set of a reload beyond the width", 1, together, *set_, "map-600", "set.reload=257", "set.width=8")
    refused("set of a width below the reload", 1, together, *set_, "map-600", "set.width=19")
    refused("set of an unknown register", 1, "has no register 'x'", *set_, "pmtimer", "x=1")
    refused("set of a register without a name", 1, "has no register ''", *set_, "pmtimer", "=1")
    refused("no such process", 1, "4194303", "reg", "get", "--pid", 4194303, "pmtimer", "clock.time")


def dumps(regs):
    out = want("dump", f"^pmtimer of VM {qemu}$", "dump", "--pid", qemu)
    part, seen = None, {}
    for line in out.splitlines():
        if not line.startswith(" "):
            device = line.split()[0]
        elif not line.startswith("    "):
            part = line.strip()
            seen.setdefault(device, []).append(part)
        elif part.removesuffix("s") != regs[device][re.sub(r"\[\d+\]", "[]", line.split()[0])]["part"]:
            fail(f"dump: {device}: {line} stands under {part}")
    check(seen == {d: ["guest", "shadow", "config", "counters"] for d in ATTACHED}, f"dump: {seen}")
    out = want("dump of one", f"^rtc of VM {qemu}$", "dump", "--pid", qemu, "rtc")
    check(out.count(f" of VM {qemu}") == 1, "dump of one shows others")
    x = from_json("dump", "--pid", qemu)
    check(set(x) == set(ATTACHED) and all(list(d) == ["guest", "shadow", "config", "counters"] for d in x.values()), f"dump as JSON: {list(x)}")
    check(not any(set(d["guest"]) & set(d["shadow"]) for d in x.values()), "guest and shadow apart")
    check(x["map-600"]["guest"]["set.value"] == 654321 and x["map-600"]["config"]["addr"] == 0x600, f"what a map is: {x['map-600']}")
    check(x["pmtimer"]["guest"]["clock.time"] == 123456789000 and x["table"]["guest"]["slot[1].known"] == 15, f"what is the guest's: {x}")
    for d, all_of in from_json("dump", "--pid", qemu, "--all").items():
        n = sum(r["elements"] for r in regs[d].values())
        check(sum(len(p) for p in all_of.values()) == n, f"all of {d} are {n} elements")


def lasting(regs):
    """Of a dump: what is restored."""
    return {(d, n): v for d, parts in from_json("dump", "--pid", qemu).items() for p in parts.values() for n, v in p.items()
            if regs[d][re.sub(r"\[\d+\]", "[]", n)]["restored"]}


def save_and_restore(regs):
    save, restore, set_ = ("save", "--pid", qemu), ("restore", "--pid", qemu), ("reg", "set", "--pid", qemu)
    out = want("save", f"^{path('all')}: 7 filters of VM {qemu}, [0-9]+ bytes$", *save, path("all"))
    whole = content("all")
    check(f"{len(whole)} bytes" in out, f"the size that save says: {out}")
    before = lasting(regs)
    check(before["table", "slot[1].value"] == 0x1122334455667788, f"what lasts: {before}")
    want("set something else", "set", *set_, "table", "slot[1].value=1", "bits=0", "bits_known=0")
    want("set something else", "set", *set_, "pmtimer", "clock.time=1", "clock.expiry=8000000")
    want("set something else", "set", *set_, "pit", "channel[2].latched=1", "channel[2].latch=0x1234")
    want("set something else", "set", *set_, "map-600", "set.value=1", "set.width=16", "set.reload=0", "set.running=1")
    check(lasting(regs) != before, "nothing has changed: the test cannot fail")
    want("restore", f"^{path('all')}: 7 filters restored to VM {qemu}$", *restore, path("all"))
    after = lasting(regs)
    check(after == before, f"restored is not what was saved: {set(before.items()) ^ set(after.items())}")
    want("save of a map", ": 1 filter of VM", *save, path("two"), "map-600")
    want("restore of a map", ": 1 filter restored", *restore, path("two"))
    want("save of two", f": 2 filters of VM {qemu}", *save, path("two"), "pit", "rtc")
    want("restore of two", f": 2 filters restored to VM {qemu}", *restore, path("two"))
    want("save over an old file", ": 1 filter of VM", *save, path("two"), "pmtimer")
    want("restore of one", f": 1 filter restored to VM {qemu}", *restore, path("two"))

    refused("save without a file", 2, "into which file", *save)
    refused("restore without a file", 2, "from which file", *restore)
    refused("restore from two", 2, "from which file", *restore, path("all"), path("two"))
    refused("restore from nowhere", 1, "/nowhere: No such file", *restore, "/nowhere")
    refused("restore from a folder", 1, "no file", *restore, DIR)
    refused("save into a folder", 1, f"{DIR}: ", *save, DIR)
    refused("save into no folder", 1, "/nowhere/x: No such file", *save, "/nowhere/x")
    refused("restore from an empty file", 1, "no saved state", *restore, put("empty", b""))
    refused("restore from another file", 1, "no saved state", *restore, __file__)
    size = len(whole)
    for n in 8, 31, 32, 55, 56, 111, 4096, size // 2, size - 8, size - 1:
        refused(f"restore of {n} of {size} bytes", 1, f"cut: .*(no saved state|has {n} bytes of {size})", *restore, put("cut", whole[:n]))
    refused("restore of a file that goes on", 1, f"{size + 8} bytes of {size}", *restore, put("cut", whole + bytes(8)))
    for at in 0, 9, 13, 20, 24, 40, 60, 100, size - 1, *(random.randrange(size) for _ in range(8)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << random.randrange(8)
        refused(f"restore with byte {at} flipped", 1, "flip: .*(damaged|no saved state|bytes of|version)", *restore, put("flip", bytes(flipped)))
    for reg, val, says in (("set.reload", 1, "set.reload of map is 0, or 2 to .*: not so in the saved state$"),
                           ("set.width", 19, "set.reload of map is 0, or 2 to .*: not so in the saved state$"),
                           ("set.width", 0, "set.width of map is out of range in the saved state$"),
                           ("set.den", 0, "set.den of map is out of range in the saved state$")):
        def change(state):
            at = state.index(struct.pack("<Q", int(regs["map"][reg]["id"], 16))) + 8
            state[at:at + 8] = struct.pack("<Q", val)
            return state
        refused(f"restore of {reg} {val}", 1, says, *restore, put("forged", altered(whole, "map-600", change)))
    refused("restore to no VM", 1, "4194303", "restore", "--pid", 4194303, path("all"))
    of_other = but_for_looks(other)
    refused("restore to a VM with other filters", 1, f"is not attached to VM {other}|addr of pmtimer", "restore", "--pid", other, path("all"))
    refused("restore to another port", 1, "addr of pmtimer was another one", "restore", "--pid", other, path("two"))
    check(but_for_looks(other) == of_other, "a restore that was refused has changed the other VM")
    unknown(regs)
    want("detach", "", "detach", "--pid", qemu, "ide")
    refused("restore with one filter gone", 1, f"ide is not attached to VM {qemu}", *restore, path("all"))


def sealed(data):
    """With the size and the sum that it has."""
    data[16:28] = struct.pack("<QI", len(data), 0)
    data[24:28] = struct.pack("<I", zlib.crc32(data))
    return data


def altered(whole, device, change):
    """The file with what change() makes of the state of a device."""
    out, at = bytearray(whole[:32]), 32
    while at < len(whole):
        name, size = struct.unpack_from("<16sQ", whole, at)
        state = bytearray(whole[at + 24:at + 24 + size])
        at += 24 + size
        if name.rstrip(b"\0") == device.encode():
            state = sealed(change(state))
        out += struct.pack("<16sQ", name, len(state)) + state
    return bytes(sealed(out))


def unknown(regs):
    """A file of a newer version, whose last register is not known here."""
    restore, set_ = ("restore", "--pid", qemu), ("reg", "set", "--pid", qemu)
    whole, before = content("all"), lasting(regs)
    for device in "pmtimer", "table", "map-600":
        new = int(regs[device]["pid"]["id"], 16) >> 56 << 56 | 8 << 32 | 0xfff0 << 16

        def add(state):
            state[12:16] = struct.pack("<I", struct.unpack_from("<I", state, 12)[0] + 1)
            return state + struct.pack("<Q", new) + b"\xa5" * 8
        file = put("newer", altered(whole, device, add))
        refused(f"restore of a newer state of {device}", 1,
                f"newer: {device.split('-')[0]} has no register 0x{new:016x} here: the state is of a newer version .*--skip-unknown", *restore, file)
        want("set something else", "set", *set_, "table", "slot[1].value=2", "bits_known=0")
        want("set something else", "set", *set_, "map-600", "set.value=2", "set.running=1")
        want("restore without it", f"newer: 7 filters restored to VM {qemu}$", *restore, "--skip-unknown", file)
        check(lasting(regs) == before, f"without an unknown register of {device}: {set(before.items()) ^ set(lasting(regs).items())}")
    data = content("newer")
    refused("a newer state that is cut", 1, "cut: .*bytes of", *restore, "--skip-unknown", put("cut", data[:-1]))
    refused("a newer state that is damaged", 1, "flip: .*damaged", *restore, "--skip-unknown", put("flip", data[:-1] + b"\x5a"))


def files():
    """The file is the old one or, whole, the new one."""
    save = "save", "--pid", qemu
    os.mkdir(path("full"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", path("full")], check=True)
    want("save to a small disk", "1 filter", *save, path("full/f"), "rtc")
    kept = content("full/f")
    refused("a full disk", 1, "full/f: No space left", *save, path("full/f"))
    os.symlink("full/f", path("link"))
    refused("a full disk behind a link", 1, "link: No space left", *save, path("link"))
    os.mkfifo(path("pipe"))
    refused("save into a pipe", 1, "pipe: it is no regular file", *save, path("pipe"))
    refused("a full disk, no old file", 1, "full/g: No space left", *save, path("full/g"))
    check(content("full/f") == kept and os.listdir(path("full")) == ["f"], f"a full disk: {os.listdir(path('full'))}")
    subprocess.run(["mount", "-o", "remount,ro", path("full")], check=True)
    refused("a folder that cannot be written", 1, "full/f: Read-only", *save, path("full/f"))
    check(content("full/f") == kept, "the file has changed")


def synced():
    """A file that was said to be written is there after a power failure: it was synced, then its name."""
    save = "save", "--pid", qemu
    os.mkdir(path("dir"))
    env.update(LD_PRELOAD=os.path.join(O, "selftests/preload/sync.so"), SYNC_LOG=path("log"), SYNC_ERRNO="5")
    os.chdir(DIR)
    for file in path("dir/f"), "here", "./here", "dir/../here":
        open(path("log"), "w").close()
        want(f"save to {file}", f"^{file}: 1 filter", *save, file, "rtc")
        check(content("log") == b"file\nrename\nfolder\n", f"{file} is not synced, renamed and its folder synced: {content('log')}")
    kept = content("dir/f")
    env["SYNC_FAILS"] = "file"
    refused("a file that cannot be synced", 1, "dir/f: Input/output error", *save, path("dir/f"), "pit")
    check(content("dir/f") == kept and os.listdir(path("dir")) == ["f"], "a file that cannot be synced has replaced the old one")
    env["SYNC_FAILS"] = "folder"
    refused("a folder that cannot be synced", 1, "dir/f: it is written, but its folder is not: Input/output error; after a power failure",
            *save, path("dir/f"), "pit")
    check(content("dir/f") != kept and os.listdir(path("dir")) == ["f"], f"it is not written: {os.listdir(path('dir'))}")
    env["SYNC_ERRNO"] = "22"
    want("a file system that cannot sync folders", ": 1 filter", *save, path("dir/f"), "map-600")
    for name in "LD_PRELOAD", "SYNC_FAILS":
        del env[name]
    want("restore of what was written", ": 1 filter restored", "restore", "--pid", qemu, path("dir/f"))
    os.chdir(ROOT)


def updates():
    """A fresh program with new state, which is what a blown fuse wants, for devices with a width of their own and without."""
    update = "update", "--pid", qemu, "--drain", "0"
    # While all clocks stand: what is new has one that does not.
    refused("update of a table without rules", 1, "table load FILE", *update, "--reset", "table")
    refused("update of a table with times", 1, "table load FILE", *update, "--timing", "50,200,5000", "table")
    want("attach", "", "attach", "--pid", qemu, "--pin", "ide")
    for d in "pmtimer", "rtc", "ide":
        want(f"update of {d}", f"^{d}: program of VM {qemu} swapped, state is new$", *update, "--reset", d)
    want("the width is the old one", "^clock.width +24 ", "reg", "get", "--pid", qemu, "pmtimer", "clock.width")
    want("update of ide with times", f"^ide: program of VM {qemu} swapped, state is new$", *update, "--timing", "50,200,5000", "ide")


def test():
    global qemu, other
    machines = [start("reg"), start("other")]
    qemu, other = (m.pid for m in machines)
    try:
        regs = lists()
        nothing_attached()
        want("attach", "", "attach", "--pid", qemu, "--pin", *ATTACHED[:-2])
        want("load of a table", "", "table", "load", "--pid", qemu, "--pin", put("rules", RULES.encode()))
        want("map of a counter", "", "map", "--pid", qemu, "--pin", "pio:0x600+4", "counter", "freq=1000000", "width=24", "reload=1000000", "stop")
        want("attach at another port", "", "attach", "--pid", other, "--pin", "--port", "0x1608", "pmtimer")
        want("stop the clocks", "2 registers set", "reg", "set", "--pid", qemu, "pmtimer", "clock.mode=3", "clock.time=123456789000")
        want("stop the clocks", "2 registers set", "reg", "set", "--pid", qemu, "hpet", "clock.mode=3", "clock.time=123456789000")
        get_and_set(regs)
        dumps(regs)
        save_and_restore(regs)
        files()
        synced()
        updates()
        want("detach", "", "detach", "--pid", qemu)
        want("detach", "", "detach", "--pid", other)
    finally:
        for m in machines:
            m.kill()
            m.wait()
        if os.path.ismount(path("full")):
            subprocess.run(["umount", path("full")], check=False)
        shutil.rmtree(DIR)
    print(f"{refusals} refusals, {failed} failures")


test()
sys.exit(failed > 0)
