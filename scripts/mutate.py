#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Break the code on purpose, one line at a time, and see that the suites notice.

tests/mutants/list.txt holds blocks separated by blank lines:

    NAME: what it breaks
    file PATH
    - a piece of text that occurs exactly once in PATH
    + what replaces it
    by SUITE-OR-TEST   (tried first; a survivor of it meets every suite)
"""
import os
import shutil
import subprocess
import sys
import tempfile


def read_list(path):
    mutants = []
    with open(path, encoding="utf-8") as f:
        blocks = f.read().split("\n\n")
    for block in blocks:
        lines = [l for l in block.splitlines() if l.strip() and not l.startswith("#")]
        if not lines:
            continue
        name, what = lines[0].split(": ", 1)
        m = {"name": name, "what": what, "by": []}
        for line in lines[1:]:
            key, _, rest = line.partition(" ")
            if key == "by":
                m["by"] = rest.split()
            else:
                m[{"file": "file", "-": "old", "+": "new"}[key]] = rest
        m.setdefault("new", "")
        mutants.append(m)
    return mutants


def sh(cmd, cwd=None, timeout=600):
    try:
        return subprocess.run(cmd, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(cmd, 124, str(e.stdout), "")


def copy_tree(root, to):
    files = sh(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"]).stdout.split("\0")
    for f in filter(None, files):
        src, dst = os.path.join(root, f), os.path.join(to, f)
        if os.path.isfile(src):
            os.makedirs(os.path.dirname(dst), exist_ok=True)
            shutil.copy2(src, dst)


def tests_catch(build, by):
    """True when some test fails. The suites named first are tried first."""
    base = ["meson", "test", "-C", build, "--no-rebuild", "--quiet", "--maxfail", "1", "--num-processes", "2",
            "--no-suite", "check"]
    if by and sh(base + by, timeout=300).returncode:
        return True
    return sh(base, timeout=900).returncode != 0


def try_one(tree, build, m):
    """'caught', 'survives', or what is wrong with the mutant itself."""
    path = os.path.join(tree, m["file"])
    if not os.path.exists(path):
        return f"no file {m['file']}"
    with open(path, encoding="utf-8") as f:
        before = f.read()
    if before.count(m["old"]) != 1:
        return f"its text occurs {before.count(m['old'])} times in {m['file']}"
    try:
        with open(path, "w", encoding="utf-8") as f:
            f.write(before.replace(m["old"], m["new"]))
        built = sh(["ninja", "-C", build])
        if built.returncode:
            return "does not compile:\n" + "\n".join(built.stdout.splitlines()[-12:])
        return "caught" if tests_catch(build, m["by"]) else "survives"
    finally:
        with open(path, "w", encoding="utf-8") as f:
            f.write(before)


def main():
    root, args = sys.argv[1], sys.argv[2:]
    mutants = read_list(os.path.join(root, "tests/mutants/list.txt"))
    names = [a for a in args if not a.startswith("-")]
    if "--list" in args:
        for m in mutants:
            print(f"{m['name']:24} {m['file']:28} {m['what']}")
        return 0
    if names:
        mutants = [m for m in mutants if m["name"] in names]
    elif "--quick" in args:
        mutants = mutants[::8]
    if not mutants:
        print("mutate: no such mutant; --list shows them")
        return 2
    tree = tempfile.mkdtemp(prefix="ioasis-mutate-")
    build = os.path.join(tree, "build")
    count = {"caught": 0, "survives": 0}
    wrong = 0
    try:
        copy_tree(root, tree)
        setup = sh(["meson", "setup", build, tree, "-Dwerror=false"])
        if setup.returncode or sh(["ninja", "-C", build]).returncode:
            print(setup.stdout[-2000:] + "\nmutate: the unbroken tree does not build")
            return 2
        if not names and "--quick" not in args and tests_catch(build, []):
            print("mutate: the unbroken tree does not pass its tests")
            return 2
        for i, m in enumerate(mutants, 1):
            got = try_one(tree, build, m)
            print(f"[{i}/{len(mutants)}] {m['name']}: {got}" + ("" if got == "caught" else f"  ({m['what']})"),
                  flush=True)
            count[got] = count.get(got, 0) + 1
            wrong += got not in ("caught", "survives")
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    if wrong:
        print(f"{wrong} mutants could not be tried: mend tests/mutants/list.txt")
    print(f"mutate: {count['caught']} caught, {count['survives']} survive")
    return 1 if wrong or count["survives"] else 0


if __name__ == "__main__":
    sys.exit(main())
