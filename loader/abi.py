#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
What programs that use libiofilter depend on, against the list that is checked in.

abi.py check  ..    compare; say what differs, what that means for programs, and what to do
abi.py map ..       add what the header declares and the version script lacks to its last node (then link anew)
abi.py update ..    write the list anew

Of the header: prototypes, layouts, enum values and macros, from the debug information of an object that includes it and nothing
else. Of the library: soname and symbols with their versions.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

OURS = re.compile(r"(KVM_)?IOFILTER_|(kvm_)?iofilter_")
HEAD = """# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What programs that use libiofilter depend on. 'make abi-check' compares, 'make abi-update' writes it.
"""


def fail(why):
    sys.exit(f"abi: {why}")


def run(*cmd, stdin=None):
    p = subprocess.run(cmd, input=stdin, capture_output=True, text=True)
    if p.returncode:
        fail(f"{cmd[0]}: {p.stderr.strip()}")
    return p.stdout


class Types:
    """BTF, as bpftool prints it."""

    def __init__(self, types):
        self.by_id = {t["id"]: t for t in types}

    def name(self, i, inner=""):
        """Type @i around a declarator."""
        if not i:
            return f"void {inner}".strip()
        t = self.by_id[i]
        kind = t["kind"]
        if kind == "PTR":
            to = self.by_id.get(t["type_id"], {}).get("kind")
            return self.name(t["type_id"], f"(*{inner})" if to in ("FUNC_PROTO", "ARRAY") else f"*{inner}")
        if kind == "ARRAY":
            return self.name(t["type_id"], f"{inner}[{t['nr_elems']}]")
        if kind == "FUNC_PROTO":
            params = ", ".join("..." if not p["type_id"] else self.name(p["type_id"]) for p in t["params"]) or "void"
            return self.name(t["ret_type_id"], f"{inner}({params})")
        if kind in ("CONST", "VOLATILE", "RESTRICT"):
            if self.by_id.get(t["type_id"], {}).get("kind") == "PTR":
                return self.name(t["type_id"], f"{kind.lower()} {inner}".strip())
            return f"{kind.lower()} {self.name(t['type_id'], inner)}"
        tag = {"STRUCT": "struct ", "UNION": "union ", "ENUM": "enum ", "FWD": f"{t.get('fwd_kind', 'struct')} "}.get(kind, "")
        return f"{tag}{t['name']} {inner}".strip()

    def members(self, t, base=0):
        for m in t["members"]:
            at = base + m["bits_offset"] // 8
            inner = self.by_id[m["type_id"]]
            if m["name"] == "(anon)" and inner["kind"] in ("STRUCT", "UNION"):
                yield from self.members(inner, at)
            else:
                yield f"\t{at} {self.name(m['type_id'], m['name'])}"


def header(args):
    """Items of the header: {title: [lines]}."""
    include = f"-I{args.header}"
    source = "#include <iofilter/libiofilter.h>\n"
    text = run(args.cc, include, "-E", "-P", "-x", "c", "-", stdin=source)
    names = sorted(set(re.findall(r"\b(iofilter_\w+)\s*\((?!\*)", text)))
    if not names:
        fail("the header declares no functions")
    items = {}
    for line in run(args.cc, include, "-E", "-dM", "-x", "c", "-", stdin=source).splitlines():
        m = re.match(r"#define (\w+)(\(.*?\))? +(.*\S)", line)
        if m and OURS.match(m[1]) and m[1] != "IOFILTER_VERSION":
            items[f"macro {m[1]}{m[2] or ''}"] = [f"\t{m[3]}"]
    with tempfile.TemporaryDirectory() as tmp:
        obj = os.path.join(tmp, "probe.o")
        source += "struct functions {\n" + "".join(f"__typeof__({n}) *{n};\n" for n in names) + "} functions;\n"
        run(args.cc, include, "-g", "-fno-eliminate-unused-debug-types", "-x", "c", "-c", "-o", obj, "-", stdin=source)
        run("pahole", "-J", obj)
        t = Types(json.loads(run(args.bpftool, "-j", "btf", "dump", "file", obj))["types"])
    for b in t.by_id.values():
        if b["kind"] == "STRUCT" and b["name"] == "functions":
            for m in b["members"]:
                proto = t.by_id[m["type_id"]]["type_id"]
                items[f"function {m['name']}"] = [f"\t{t.name(proto, m['name'])}"]
        elif b["kind"] in ("STRUCT", "UNION") and OURS.match(b["name"]):
            items[f"{b['kind'].lower()} {b['name']}"] = [f"\tsize {b['size']}", *t.members(b)]
        elif b["kind"].startswith("ENUM") and (OURS.match(b["name"]) or OURS.match(b["values"][0]["name"])):
            name = b["name"] if b["name"] != "(anon)" else f"of {b['values'][0]['name']}"
            items[f"enum {name}"] = [f"\tsize {b['size']}", *(f"\t{v['val']} {v['name']}" for v in b["values"])]
    return names, items


def library(args):
    soname = re.search(r"SONAME.*\[(.*)\]", run("readelf", "-d", args.library))
    items = {"soname": [f"\t{soname[1] if soname else 'none'}"]}
    for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", args.library).splitlines():
        _, kind, name = line.split()
        if kind != "A":
            items[f"symbol {name}"] = []
    return items


def exported(items):
    return sorted(i[7:].split("@")[0] for i in items if i.startswith("symbol "))


def consistent(args, names, items):
    """Header, version script, shared and static library all have the same functions."""
    what = f"of {os.path.basename(args.library)}"
    bad = [f"{n} is declared in libiofilter.h, but no symbol {what}: 'make abi-update' adds it to {args.map}"
           for n in names if n not in exported(items)]
    bad += [f"{n} is a symbol {what}, but libiofilter.h does not declare it: take it out of {args.map}, or make it static"
            for n in exported(items) if n not in names]
    bad += [f"{n} stands in {args.map}, but there is no such function: take it out" for n in in_map(args) if n not in exported(items)]
    if args.archive:
        static = {line.split()[-1] for line in run("nm", "-g", "--defined-only", args.archive).splitlines() if len(line.split()) == 3}
        bad += [f"{n} is a symbol of one of {os.path.basename(args.library)} and {os.path.basename(args.archive)}, but not of the other"
                for n in sorted(static ^ set(exported(items)))]
    return bad


def in_map(args):
    return re.findall(r"^\s*(iofilter_\w+);", open(args.map).read(), re.M)


def add_to_map(args, names):
    text = open(args.map).read()
    nodes = [m.end() for m in re.finditer(r"global:\n", text)]
    for n in names:
        if n not in in_map(args):
            text = text[:nodes[-1]] + re.sub(r"(?s)^((?:\t\tiofilter_\w+;\n)*)", lambda m: "".join(
                sorted(m[1].splitlines(True) + [f"\t\t{n};\n"])), text[nodes[-1]:], count=1)
            open(args.map, "w").write(text)
            print(f"abi: {n} is new in {args.map}")


def parse(path):
    items = {}
    for line in open(path).read().splitlines():
        if line.startswith("\t"):
            items[title].append(line)
        elif line and not line.startswith("#"):
            title = line
            items[title] = []
    return items


def breaks(title, old, new):
    """Does a program that was built by @old meet something else now?"""
    if new is None:
        return True
    if old is None:
        return False
    gone = [line for line in old if line not in new]
    if title == "struct iofilter_opts": # says how large it is: it may grow at its end
        return new[1:len(old)] != old[1:]
    if title.startswith("struct"): # what is reserved may become something
        return any(" reserved[" not in line for line in gone) or old[0] != new[0]
    if title.startswith("enum"): # how many there are may grow
        return any("_NR_" not in line for line in gone)
    if title.startswith("macro") and old[0].endswith("}"): # a list, too
        return not new[0].startswith(old[0].rstrip(" }"))
    return bool(gone)


def compare(old, new):
    out = {True: [], False: []}
    for title in sorted(set(old) | set(new)):
        a, b = old.get(title), new.get(title)
        if a == b:
            continue
        out[breaks(title, a, b)] += [("-" if b is None else "+" if a is None else " ") + title] + \
            [f"-{line}" for line in a or [] if line not in (b or [])] + [f"+{line}" for line in b or [] if line not in (a or [])] + \
            ([" (in another order)"] if a and b and sorted(a) == sorted(b) else [])
    return out[True], out[False]


ADVICE = """If it was not meant, undo it. If it was: 'make abi-update' writes {list} anew (commit it), and if {version} has been released
already, a new version: IOFILTER_VERSION in libiofilter.h goes up, and new functions stand in a node of their own in {map}."""
BREAKS = " Programs linked to\nit would break: SOVERSION in loader/Makefile must go up, too."


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=("check", "map", "update"))
    for name in ("header", "library", "map", "list"):
        p.add_argument(f"--{name}", required=True)
    p.add_argument("--archive")
    p.add_argument("--cc", default=os.environ.get("CC", "gcc"))
    p.add_argument("--bpftool", default=shutil.which("bpftool", path=f"/usr/sbin:{os.environ['PATH']}"))
    args = p.parse_args()

    names, items = header(args)
    if args.what == "map":
        return add_to_map(args, names)
    items.update(library(args))
    bad = consistent(args, names, items)
    old = parse(args.list) if os.path.exists(args.list) else {}
    broken, added = compare(old, items)
    for line in bad:
        print(f"abi: {line}")
    for lines, what in ((broken, "changed"), (added, "added")):
        if lines:
            print(f"abi: {what}, compared with {args.list}:", *lines, sep="\n    ")
    if args.what == "update" and not bad:
        with open(args.list, "w") as f:
            f.write(HEAD + "".join("\n".join([title, *items[title]]) + "\n" for title in sorted(items)))
        print(f"abi: {args.list} has {len(items)} entries" if broken or added else f"abi: {args.list} was right")
    elif broken or added:
        version = re.search(r'IOFILTER_VERSION "(.*)"', open(f"{args.header}/iofilter/libiofilter.h").read())
        print(ADVICE.format(list=args.list, map=args.map, version=version[1]) + (BREAKS if broken else ""))
    if bad or args.what == "check" and (broken or added):
        sys.exit(1)
    if args.what == "check":
        print(f"abi: {len(names)} functions, {sum(i.startswith('struct ') for i in items)} structs and all else as in {args.list}")


main()
