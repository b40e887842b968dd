#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The layout of every struct and the value of every name in our uAPI headers.

abi.py CC INCLUDE golden TEXT       compare with the recorded text (--record writes it)
abi.py CC INCLUDE linux TREE        compare with the headers of a Linux source tree
"""
import os
import re
import subprocess
import sys
import tempfile

HEADERS = {  # ours -> where Linux has it
    'linux/iommufd.h': 'include/uapi/linux/iommufd.h',
    'linux/vfio.h': 'include/uapi/linux/vfio.h',
    'ioasis/iommufd_test.h': 'drivers/iommu/iommufd/iommufd_test.h',
}
SKIP = 77


def strip(text):
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    return text.replace('\\\n', ' ')


def members(body):
    """Names of the members of a struct's body, those of unnamed unions and structs included."""
    out, i, names = [], 0, ''
    while i < len(body):
        c = body[i]
        if c == '{':
            depth, start = 1, i + 1
            while depth:
                i += 1
                depth += {'{': 1, '}': -1}.get(body[i], 0)
            end = body.index(';', i)
            name = body[i + 1:end].strip()
            inner = members(body[start:i])
            out += [name] + [name + '.' + m for m in inner] if name else inner
            i, names = end, ''
        elif c == ';':
            names = re.sub(r'__counted_by\(\w+\)', '', names)
            m = re.search(r'(\w+)\s*(\[[^\]]*\])?\s*$', names)
            if m:
                out.append(m.group(1))
            names = ''
        else:
            names += c
        i += 1
    return out


def facts_of(text):
    """(struct name -> members, constants) of a header's text."""
    text = strip(text)
    lines, structs, consts = [], {}, []
    for line in text.split('\n'):
        m = re.match(r'\s*#\s*define\s+(\w+)(\(?)\s*(.*)', line)
        if m and m.group(3).strip() and m.group(2) != '(' or m and '_IO(' in line:
            if not m.group(1).startswith('_UAPI') and '"' not in line:
                consts.append(m.group(1))
        elif m and m.group(2) == '(' and re.match(r'\s*#\s*define\s+\w+\s', line):
            consts.append(m.group(1))
        if not line.lstrip().startswith('#'):
            lines.append(line)
    body = '\n'.join(lines)
    for m in re.finditer(r'^enum\s*\w*\s*\{(.*?)\}', body, flags=re.S | re.M):
        for e in m.group(1).split(','):
            name = e.split('=')[0].strip()
            if name:
                consts.append(name)
    for m in re.finditer(r'^struct\s+(\w+)\s*\{', body, flags=re.M):
        depth, i = 1, m.end()
        while depth:
            depth += {'{': 1, '}': -1}.get(body[i], 0)
            i += 1
        structs[m.group(1)] = members(body[m.end():i - 1])
    return structs, consts


def program(header, structs, consts):
    out = ['#include <stdio.h>', '#include <stddef.h>', '#define __user',
           '#define __counted_by(x)', '#include <%s>' % header,
           '#define C(n) printf("%s = 0x%llx %s%zu\\n", #n, (unsigned long long)(n), '
           '(__typeof__(n))-1 < 0 ? "s" : "u", sizeof(n))',
           'int main(void)', '{']
    for name in sorted(set(consts)):
        out.append('\tC(%s);' % name)
    for name in sorted(structs):
        s = 'struct ' + name
        out.append('\tprintf("%s: size %%zu align %%zu\\n", sizeof(%s), _Alignof(%s));' % (s, s, s))
        for m in structs[name]:
            out.append('\tprintf("\\t%%4zu %s\\n", offsetof(%s, %s));' % (m, s, m))
    return '\n'.join(out + ['\treturn 0;', '}', ''])


def run(cc, text, includes):
    with tempfile.TemporaryDirectory() as tmp:
        src, exe = os.path.join(tmp, 'abi.c'), os.path.join(tmp, 'abi')
        with open(src, 'w') as f:
            f.write(text)
        subprocess.run([*cc.split(), '-std=gnu11', '-w', *['-I' + i for i in includes], '-o', exe, src],
                       check=True)
        return subprocess.run([exe], check=True, stdout=subprocess.PIPE, text=True).stdout


def read(path):
    with open(path) as f:
        return f.read()


def ours_text(cc, include):
    out = ''
    for header in HEADERS:
        facts = facts_of(read(os.path.join(include, header)))
        out += '# %s\n' % header + run(cc, program(header, *facts), [include])
    return out


def compare(what, a, b):
    if a == b:
        return 0
    seen_a, seen_b = a.split('\n'), b.split('\n')
    for line in sorted(set(seen_a) ^ set(seen_b)):
        print('%s %s' % ('+' if line in seen_b else '-', line))
    print('%s: differs (- ours, + theirs)' % what)
    return 1


def against_linux(cc, include, tree):
    if not tree:
        print('skipped: no Linux source tree (meson option linux_src)')
        return SKIP
    rc = 0
    for header, path in HEADERS.items():
        full = os.path.join(tree, path)
        if not os.path.exists(full):
            print('skipped: %s has no %s' % (tree, path))
            return SKIP
        structs, consts = facts_of(read(full))
        # Names that ours lacks do not compile, and ours may have none that theirs lacks.
        mine = facts_of(read(os.path.join(include, header)))
        for kind, a, b in (('struct', mine[0], structs), ('constant', mine[1], consts)):
            for name in sorted(set(a) ^ set(b)):
                print('%s %s is in %s only' % (kind, name, 'ours' if name in a else "Linux's"))
                rc = 1
        if rc:
            return rc
        with tempfile.TemporaryDirectory() as tmp:
            os.makedirs(os.path.join(tmp, 'linux'))
            for other in HEADERS.values():
                base = os.path.basename(other)
                text = read(os.path.join(tree, other))
                with open(os.path.join(tmp, 'linux', base), 'w') as f:
                    f.write(text)
            theirs = run(cc, program('linux/' + os.path.basename(path), structs, consts), [tmp])
        own = run(cc, program(header, structs, consts), [include])
        rc |= compare(header, own, theirs)
    return rc


def main(argv):
    cc, include, mode, arg = argv[1:5]
    if mode == 'linux':
        return against_linux(cc, include, arg)
    text = ours_text(cc, include)
    if '--record' in argv:
        with open(arg, 'w') as f:
            f.write(text)
        return 0
    return compare('golden text', text, read(arg))


if __name__ == '__main__':
    sys.exit(main(sys.argv))
