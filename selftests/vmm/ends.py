#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How the reference VMM ends: each way in which a guest can end it has its exit status, and bad input has one clear line."""
import os
import signal
import subprocess
import tempfile
import time
from vmm import VMM, check, run

HALT = bytes.fromhex("f4ebfd")  # hlt, again and again

# Machine code for 32 bits, wanted exit status.
GUESTS = {
    "reset by the keyboard controller": ("b0fee664", 0),
    "another command of it": ("b0aae664" "b033e6f4", 0x33),
    "reset by port 92": ("b001e692", 0),
    "A20 by port 92": ("b002e692" "e492" "e6f4", 2),
    "reset by port cf9": ("66baf90cb006ee", 0),
    "power-off": ("66ba040666b8003466ef", 0),
    "its own exit status": ("b05ae6f4", 0x5a),
    "a port that is not there": ("e4f1" "e6f4", 0xff),
    "triple fault": ("0f011d20001000" "0f0b", 2),
    # The character comes back in a loopback; what is typed does not come meanwhile.
    "serial loopback": ("66bafc03b010ee" "66baf803b047ee" "ec" "e6f4", 0x47),
}

BAD = [
    ([], "give either --flat or --kernel"),
    (["--flat=/nonexistent"], "/nonexistent: No such file or directory"),
    (["--flat=/dev/null"], "/dev/null is empty"),
    (["--flat=/bin/ls@0x100"], "--flat: 0x100 is out of range"),
    (["--flat=/bin/ls@0xfffff00", "--memory=256"], "do not fit into 256 MiB"),
    (["--kernel=/bin/ls"], "/bin/ls is no Linux bzImage"),
    (["--kernel=/bin/ls", "--flat=/bin/ls"], "give either --flat or --kernel"),
    (["--flat=/bin/ls", "--initrd=/bin/ls"], "--initrd is for a --kernel"),
    (["--flat=/bin/ls", "--memory=15"], "--memory: 15 is out of range: 16 to 3072"),
    (["--flat=/bin/ls", "--memory=many"], "--memory: 'many' is not a number"),
    (["--flat=/bin/ls", "--cpus=17"], "--cpus: 17 is out of range: 1 to 16"),
    (["--flat=/bin/ls", "--no-acpi", "--cpus=2"], "without ACPI tables"),
    (["--flat=/bin/ls", "--disk=/nonexistent"], "/nonexistent: No such file or directory"),
    (["--flat=/bin/ls", "--disk=/etc/passwd"], "/etc/passwd is no disk image"),
    (["--flat=/bin/ls", "--disk=/proc"], "/proc"),
    (["--flat=/bin/ls", "--filter=floppy"], "there is none for 'floppy'"),
    (["--flat=/bin/ls", "--filter=table"], "table=FILE is wanted"),
    (["--flat=/bin/ls", "--filter=table=/etc/passwd"], "/etc/passwd:1:"),
    (["--flat=/bin/ls", "--filter=pit=1"], "pit takes nothing"),
    (["--flat=/bin/ls", "--sabotage=much"], "--sabotage: 'much' is not a number"),
    (["--flat=/bin/ls", "--reattach-every=0"], "--reattach-every: 0 is out of range"),
    (["--flat=/bin/ls", "--stats=/nonexistent/x", "--timeout=1"], "/nonexistent/x: No such file or directory"),
    (["--flat=/bin/ls", "more"], "'more' is not expected"),
]


def guest(code):
    f = tempfile.NamedTemporaryFile(suffix=".bin")
    f.write(bytes.fromhex(code) + HALT + bytes(64))
    f.flush()
    return f


def main():
    for what, (code, want) in GUESTS.items():
        with guest(code) as f:
            status, _, err, stats = run(["--flat=" + f.name], timeout=20)
        check(status == want, f"{what}: exit status {status}, wanted {want}: {err}")
        check(stats["status"] == want, f"{what}: {stats}")
        check(bool(err) == (what == "triple fault"), f"{what}: {err}")
        print("ok", what)

    with guest("") as f:
        start = time.monotonic()
        check(run(["--flat=" + f.name, "--cpus=4"], timeout=1)[0] == 124, "a guest that halts, and a timeout")
        check(time.monotonic() - start < 10, "the timeout took long")
        for sig in signal.SIGTERM, signal.SIGINT:
            p = subprocess.Popen([VMM, "--flat=" + f.name], stdin=subprocess.DEVNULL)
            time.sleep(1)
            p.send_signal(sig)
            check(p.wait(10) == 130, f"signal {sig}: {p.returncode}")
    print("ok timeout and signals")

    # Input from a file and a pipe, to its end; a read-only disk.
    echo = ("66bafd03" "ec" "a801" "74f7" "66baf803" "ec" "ee" "3c2e" "75ed" "b000e6f4")
    with guest(echo) as f:
        for how in "pipe", "file":
            text = os.urandom(1).hex().encode() * 600 + b"."
            with tempfile.TemporaryFile() as t:
                t.write(text)
                t.seek(0)
                kind = {"input": text} if how == "pipe" else {"stdin": t}
                p = subprocess.run([VMM, "--flat=" + f.name, "--timeout=60"], stdout=subprocess.PIPE, **kind)
            check(p.returncode == 0 and p.stdout == text, f"echo by {how}: {p.returncode}, {len(p.stdout)} bytes of {len(text)}")
    print("ok input")

    for args, want in BAD:
        p = subprocess.run([VMM] + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        err = p.stderr.decode()
        lines = [l for l in err.splitlines() if "has not ended" not in l and "triple fault" not in l and " vCPU 0 " not in l]
        check(p.returncode == 1, f"{args}: exit status {p.returncode}: {err}")
        check(len(lines) == 1 and want in lines[0], f"{args}: wanted '{want}', got: {err}")
    print("ok bad input")
    p = subprocess.run([VMM, "--help"], stdout=subprocess.PIPE, timeout=30)
    check(p.returncode == 0 and b"--filter" in p.stdout, "--help")
    print("ok")


main()
