#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""QEMU's machine protocol, as little of it as the tests need. As a program: qmp.py SOCKET COMMAND [ARGUMENTS-AS-JSON]"""
import json
import socket
import sys
import time


class QmpError(Exception):
    pass


class Qmp:
    def __init__(self, path, timeout=30):
        end = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.sock.connect(path)
                break
            except OSError as e:
                self.sock.close()
                if time.monotonic() > end:
                    raise QmpError(f"no QMP server at {path} within {timeout} s: {e}") from e
                time.sleep(0.1)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self.sock.settimeout(timeout)
        self.events = []
        self._read()
        self.cmd("qmp_capabilities")

    def _read(self):
        line = self.file.readline()
        if not line:
            raise QmpError("QEMU closed the QMP connection")
        return json.loads(line)

    def cmd(self, name, **args):
        self.sock.sendall(json.dumps({"execute": name, "arguments": args}).encode() + b"\n")
        while True:
            reply = self._read()
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise QmpError(f"{name}: {reply['error']['desc']}")
            self.events.append(reply)


if __name__ == "__main__":
    print(json.dumps(Qmp(sys.argv[1]).cmd(sys.argv[2], **json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}"))))
