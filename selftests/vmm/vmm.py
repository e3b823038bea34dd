# SPDX-License-Identifier: GPL-2.0
"""What the tests of the reference VMM share: start it, and what it says at its end."""
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
O = os.environ.get("O", os.path.join(ROOT, "build"))
VMM = os.path.join(O, "devices", "iofilter-vmm")


def fail(text):
    print("FAIL:", text)
    sys.exit(1)


def check(cond, text):
    if not cond:
        fail(text)


def run(args, timeout=120):
    """Run the VMM to its end. Return: exit status, output, messages, statistics (None if there are none)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as stats:
        p = subprocess.run([VMM, "--stats=" + stats.name, "--timeout=%d" % timeout] + args, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout + 30)
        text = stats.read()
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"), json.loads(text) if text else None


def lines(output):
    """NAME KEY=NUMBER.. to {NAME: {KEY: NUMBER}}."""
    return {l.split()[0]: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", l)} for l in output.splitlines() if l.strip()}


def exits(stats, group):
    return stats["ports"][group]["reads"] + stats["ports"][group]["writes"]
