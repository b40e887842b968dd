#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the documents name exists; every public function is described."""
import os
import re
import sys

root = sys.argv[1] if len(sys.argv) > 1 else "."
bad = []


def read(path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def check_names(doc):
    """`path/file.c` and `path/file.c:name` in backquotes must exist (and contain the name)."""
    for m in re.finditer(r"`((?:src|include|tests|tools|examples|scripts|docs|bench|fuzz)/[\w./-]+)(?::(\w+))?`",
                         read(doc)):
        path, name = m[1], m[2]
        if not os.path.exists(os.path.join(root, path)):
            bad.append(f"{doc}: {path} does not exist")
        elif name and not re.search(rf"\b{name}\b", read(path)):
            bad.append(f"{doc}: {path} has no {name}")


def check_described(header):
    """Each function of a public header has a kernel-doc block right above, with a Return where it returns."""
    text = read(header)
    for m in re.finditer(r"^(?:IOASIS_API\s+)?(\w[\w \*]*?)\b(ioasis_\w+)\([^;{]*\)[^;{]*;", text, re.M):
        before = text[: m.start()].rstrip()
        if not before.endswith("*/"):
            bad.append(f"{header}: {m[2]}() has no description")
            continue
        block = before[before.rfind("/**"):]
        if m[2] + "()" not in block:
            bad.append(f"{header}: the block above {m[2]}() describes something else")
        elif m[1].strip() != "void" and "Return:" not in block:
            bad.append(f"{header}: {m[2]}() does not say what it returns")


def check_mutants(path):
    """Each breakage of the list still fits the code."""
    where = old = name = None
    for line in read(path).splitlines():
        if line.startswith("file "):
            where = line[5:]
        elif line.startswith("- "):
            old = line[2:]
            if where and read(where).count(old) != 1:
                bad.append(f"{path}: {name}: its text occurs {read(where).count(old)} times in {where}")
        elif ": " in line and not line.startswith(("#", "+ ", "by ")):
            name = line.split(":")[0]


check_mutants("tests/mutants/list.txt")
def check_hops():
    """A trace line is named after a function: of the file's own room, or of another that the file calls."""
    files = {}
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for f in names:
            path = os.path.relpath(os.path.join(folder, f), root)
            if f.endswith((".c", ".h")) and path != "src/base/trace.h":
                files[path] = read(path)
    rooms = {}
    for path, text in files.items():
        for m in re.finditer(r"^[A-Za-z_](?<!#)[\w \*]*?[ \*](\w+)\(", text, re.M):
            rooms.setdefault(m[1], set()).add(path.split("/")[1])
    hops = 0
    for path, text in sorted(files.items()):
        for m in re.finditer(r"\b(?:TRACE\([^,]+,|REJECT\([^,]+,[^,]+,)\s*(\w+)", text):
            hops += 1
            own = path.split("/")[1] in rooms.get(m[1], ())
            if not own and not (m[1] in rooms and re.search(rf"\b{m[1]}\(", text)):
                bad.append(f"{path}: no function is called {m[1]}, as its trace line is")
    if not hops:
        bad.append("src: no trace point found")


docs = ["README.md"] + sorted("docs/" + f for f in os.listdir(os.path.join(root, "docs")) if f.endswith(".md"))
for d in docs:
    check_names(d)
headers = sorted("include/ioasis/" + f for f in os.listdir(os.path.join(root, "include/ioasis")) if f.endswith(".h"))
for h in headers:
    check_described(h)
check_hops()
for b in bad:
    print(b)
print(f"docs: {len(docs)} documents and {len(headers)} public headers, {len(bad)} wrong")
sys.exit(bool(bad))
