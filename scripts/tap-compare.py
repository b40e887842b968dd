#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the TAP output of a kselftest with what a real kernel gave, test by test."""
import argparse
import re
import sys


def read_expected(path):
    want = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"(ok|not ok) (\S+)(?: # (SKIP))?", line)
            if m:
                want[m[2]] = "skip" if m[3] else ("pass" if m[1] == "ok" else "fail")
    return want


def read_lines(path):
    if not path:
        return []
    with open(path, encoding="utf-8") as f:
        return [l.strip() for l in f if l.strip() and not l.startswith("#")]


def read_patterns(path):
    return [re.compile(l) for l in read_lines(path)]


def read_needs(path, lacking):
    """(capability, pattern) of the tests that cannot pass here."""
    needs = [l.split(None, 1) for l in read_lines(path)]
    return [(cap, re.compile(p)) for cap, p in needs if cap in lacking]


def read_tap(path):
    """Outcome of each test, and the last thing that the harness said before it."""
    got, why, said = {}, {}, ""
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"(ok|not ok) \d+ (\S+)(.*)", line)
            if m:
                skip = "# SKIP" in m[3]
                got[m[2]] = "skip" if skip else ("pass" if m[1] == "ok" else "fail")
                why[m[2]] = (m[3].split("# SKIP", 1)[1].strip() if skip else said) or "no message"
                said = ""
            elif line.startswith("#  RUN"):
                said = ""
            elif line.startswith("# ") and not re.match(r"#\s+(OK|FAIL)\b", line) and not said:
                said = line[2:].strip()
    return got, why


def capabilities():
    with open("/proc/self/status", encoding="ascii") as f:
        cap = next(int(l.split()[1], 16) for l in f if l.startswith("CapEff"))
    return [n for n, bit in (("CAP_IPC_LOCK", 14), ("CAP_SYS_RESOURCE", 24)) if not cap >> bit & 1]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--name", required=True)
    ap.add_argument("--expect", required=True)
    ap.add_argument("--later", help="patterns of tests that ioasis does not promise yet")
    ap.add_argument("--needs", help="capabilities that tests need")
    ap.add_argument("tap")
    a = ap.parse_args()
    want, later = read_expected(a.expect), read_patterns(a.later)
    got, why = read_tap(a.tap)
    needs = read_needs(a.needs, capabilities())
    promised_differ = differ = 0
    for test, w in want.items():
        g = got.get(test, "missing")
        if g == w:
            continue
        differ += 1
        reason = why.get(test, "the run ended before it")
        missing = [cap for cap, p in needs if p.search(test)]
        if missing:
            tag, reason = "cannot", f"run without {missing[0]}: {reason}"
        elif any(p.search(test) for p in later):
            tag = "later"
        else:
            tag = "DIFFERS"
            promised_differ += 1
        print(f"{tag:8} {test}: Linux {w}, here {g}: {reason}")
    for test, g in got.items():
        if test not in want:
            print(f"new      {test}: {g}")
    count = {k: sum(v == k for v in got.values()) for k in ("pass", "skip", "fail")}
    print(f"conformance {a.name}: {count['pass']} pass, {count['skip']} skip, {count['fail']} fail "
          f"of {len(want)}, {differ} differ from Linux")
    sys.exit(1 if promised_differ else 0)


if __name__ == "__main__":
    main()
