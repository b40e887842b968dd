#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run meson's tests of one build and add up the cases inside them.

A test program may be one case, or print its cases as cmocka does. A skip says why: the program prints
`SKIP: reason` (or exits 77 after saying it). Counts go to --tally, one line a run; failures are shown.
"""
import argparse
import json
import os
import re
import subprocess
import sys

CASE = re.compile(r"^\[\s+(OK|FAILED|SKIPPED|ERROR)\s+\] (\S+)\s*$", re.M)
PART = re.compile(r"^SKIP (.+)$", re.M)  # a part of a case, whose rest ran
REASON = re.compile(r"\bskip(?:ped)?: *(.+)", re.I)


def run(a):
    cmd = ["meson", "test", "-C", a.build, "--no-rebuild", "--logbase", a.label, "--quiet",
           "--num-processes", str(a.jobs), "--timeout-multiplier", str(a.slow)]
    if a.wrapper:
        cmd += ["--wrapper", a.wrapper]
    for s in a.suite:
        cmd += ["--suite", s]
    for s in a.no_suite:
        cmd += ["--no-suite", s]
    env = dict(os.environ, **dict(e.split("=", 1) for e in a.env))
    for name in a.unset:
        env.pop(name, None)
    return subprocess.run(cmd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def find_log(a):
    logs = os.path.join(a.build, "meson-logs")
    found = [f for f in os.listdir(logs) if f.startswith(a.label) and f.endswith(".json")]
    return os.path.join(logs, max(found, key=lambda f: os.path.getmtime(os.path.join(logs, f))))


def count(test):
    """(passed, failed, skipped) cases of one test program, and the reasons of its skips."""
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    result = test["result"]
    seen = {}
    for kind, name in CASE.findall(text):
        seen.setdefault(name, kind)
        if kind in ("FAILED", "ERROR"):
            seen[name] = kind
    cases = list(seen.values())
    reasons = REASON.findall(text)
    if result == "SKIP":
        return (0, 0, 1), reasons or ["gave no reason"]
    if result not in ("OK", "EXPECTEDFAIL"):
        bad = max(1, sum(c in ("FAILED", "ERROR") for c in cases))
        return (cases.count("OK"), bad, cases.count("SKIPPED")), reasons
    if not cases:
        return (1, 0, 0), reasons
    return (cases.count("OK"), 0, cases.count("SKIPPED")), reasons


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("build")
    ap.add_argument("--label", required=True)
    ap.add_argument("--tally", required=True)
    ap.add_argument("--wrapper")
    ap.add_argument("--suite", action="append", default=[])
    ap.add_argument("--no-suite", action="append", default=[])
    ap.add_argument("--env", action="append", default=[])
    ap.add_argument("--unset", action="append", default=[])
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--slow", type=float, default=1)
    a = ap.parse_args()
    done = run(a)
    total = [0, 0, 0]
    nr = 0
    try:
        with open(find_log(a), encoding="utf-8") as f:
            tests = [json.loads(line) for line in f]
    except (OSError, ValueError):
        tests = []
    for t in tests:
        nr += 1
        c, reasons = count(t)
        total = [x + y for x, y in zip(total, c)]
        name = t["name"].split(" / ")[-1]
        if c[1]:
            print(f"FAILED  {a.label}: {name} ({t['result']})")
            tail = ((t.get("stdout") or "") + (t.get("stderr") or "")).strip().splitlines()[-40:]
            print("\n".join("        " + l for l in tail))
        for r in sorted(set(PART.findall(t.get("stdout") or ""))):
            print(f"in part {a.label}: {name}: not {r}")
        for r in (sorted(set(reasons)) or ["gave no reason"]) if c[2] else []:
            print(f"skipped {a.label}: {name}: {r}")
    if not nr:
        print(f"FAILED  {a.label}: no test ran\n{done.stdout[-2000:]}")
        total[1] += 1
    print(f"{a.label}: {total[0]} passed, {total[1]} failed, {total[2]} skipped in {nr} programs")
    with open(a.tally, "a", encoding="ascii") as f:
        f.write("%d %d %d\n" % tuple(total))
    sys.exit(1 if total[1] else 0)


if __name__ == "__main__":
    main()
