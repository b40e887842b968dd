#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""From one result file per compiler of ours: the table, the JSON, the block in docs/performance.md.

Every side counts with the better of its compilers; a peer with the better of all the runs.
"""
import argparse
import json
import os
import platform
import re

BEGIN, END = "<!-- begin: ./dev bench --write-doc -->", "<!-- end -->"
KEYS = ("op", "unit", "ours", "peer", "peer_name", "ratio", "limit")


def least(values):
    values = [v for v in values if v is not None]
    return min(values) if values else None


def load(named):
    """[(compiler, rows by op)] -> one row per op, in the order of the table."""
    merged = {}
    for name, path in named:
        with open(path) as f:
            for row in json.load(f)["rows"]:
                m = merged.setdefault(row["op"], dict(row, by={}))
                m["by"][name] = row["ours"]
                if row["peer"] is not None and (m["peer"] is None or row["peer"] < m["peer"]):
                    m["peer"], m["peer_name"] = row["peer"], row["peer_name"]
                m["limit"] = least((m["limit"], row["limit"]))
    for m in merged.values():
        m["ours"] = least(m["by"].values())
        m["ratio"] = m["peer"] / m["ours"] if m["peer"] is not None else None
    return list(merged.values())


def number(v):
    if v is None:
        return "-"
    return f"{v:.0f}" if v >= 1000 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def verdict(m):
    if m["goal"] is None:
        return "-"
    return "met" if m["ours"] <= m["goal"] else "missed"


def cells(m, names):
    ratio = "-" if m["ratio"] is None else f"{m['ratio']:.2f}"
    return [str(m["row"]), m["op"], m["unit"], *(number(m["by"].get(n)) for n in names),
            number(m["peer"]), m["peer_name"] or "-", ratio, number(m["limit"]),
            number(m["goal"]), verdict(m)]


def head(names):
    return ["row", "operation", "unit", *(f"ours {n}" for n in names), "peer", "which", "ratio",
            "limit", "goal", "goal is"]


def text_table(rows, names):
    table = [head(names)] + [cells(m, names) for m in rows]
    width = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
    left = {1, 2, len(names) + 4}
    for r in table:
        print("  ".join(c.ljust(w) if i in left else c.rjust(w)
                        for i, (c, w) in enumerate(zip(r, width))).rstrip())


def processor():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def write_doc(path, rows, names):
    lines = [BEGIN, f"Measured on: {processor()}, {os.cpu_count()} processors, Linux "
             f"{platform.release()}; nothing of it is asserted by a test.", ""]
    lines.append("| " + " | ".join(head(names)) + " |")
    lines.append("|" + "---|" * len(head(names)))
    lines += ["| " + " | ".join(cells(m, names)) + " |" for m in rows]
    lines.append(END)
    with open(path) as f:
        doc = f.read()
    new, n = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: "\n".join(lines), doc,
                     flags=re.S)
    if n != 1:
        raise SystemExit(f"{path} has no block between '{BEGIN}' and '{END}'")
    with open(path, "w") as f:
        f.write(new)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("results", nargs="+", metavar="COMPILER=FILE")
    p.add_argument("--json")
    p.add_argument("--doc")
    a = p.parse_args()
    named = [r.split("=", 1) for r in a.results]
    names = [n for n, _ in named]
    rows = load(named)
    text_table(rows, names)
    goals = [m for m in rows if m["goal"] is not None]
    peers = [m for m in rows if m["ratio"] is not None]
    print(f"bench: {len(rows)} rows; {sum(m['ratio'] >= 1 for m in peers)} of {len(peers)} at least "
          f"as fast as the best peer; {sum(verdict(m) == 'met' for m in goals)} of {len(goals)} goals met")
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"rows": [{k: m[k] for k in KEYS} for m in rows]}, f, indent=1)
            f.write("\n")
    if a.doc:
        write_doc(a.doc, rows, names)


if __name__ == "__main__":
    main()
