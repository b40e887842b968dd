#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds Linux's own page-table code, unmodified, as a shared object: build.sh LINUX OUT.so CC
# Nothing of Linux is copied: its files are compiled where they lie, over linux_stub.h.
set -eu
linux=$(cd "$1" && pwd) out=$2 cc=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pt=$linux/drivers/iommu/generic_pt
test -f "$pt/iommu_pt.h" && test -f "$linux/drivers/iommu/io-pgtable-arm.c" || {
	echo "$linux has no drivers/iommu/generic_pt: Linux 6.19 or later is needed" >&2
	exit 2
}
# Each header that the code asks for forwards to the stub; those that describe the code's own
# interface are Linux's.
cat "$pt"/*.h "$pt"/fmt/*.h "$pt"/fmt/*.c "$linux"/drivers/iommu/io-pgtable-arm.[ch] \
	"$linux"/drivers/iommu/iommu-pages.h "$linux"/include/linux/io-pgtable.h \
	"$linux"/include/linux/generic_pt/*.h |
	sed -n 's/^#include <\(\(linux\|asm\|kunit\)\/[^>]*\)>.*/\1/p' | sort -u |
	while read -r name; do
		mkdir -p "$work/inc/$(dirname "$name")"
		case $name in
		linux/errno.h | linux/limits.h) ;; # libc's own headers include the system's
		linux/io-pgtable.h | linux/generic_pt/*)
			echo "#include \"$linux/include/$name\"" >"$work/inc/$name" ;;
		*)
			echo '#include "linux_stub.h"' >"$work/inc/$name" ;;
		esac
	done
flags="-std=gnu11 -O2 -fPIC -fno-strict-aliasing -w -D__KERNEL__ -I$work/inc -I$here"
flags="$flags -include $here/linux_stub.h -include $work/inc/linux/io-pgtable.h"
case $cc in
*gcc*) flags="$flags -mno-sse -mno-mmx -mno-avx" ;; # the kernel's own flags make it faster
esac
for src in "$pt/fmt/iommu_amdv1.c" "$pt/fmt/iommu_vtdss.c" "$linux/drivers/iommu/io-pgtable-arm.c" \
	"$here/peer.c"; do
	# shellcheck disable=SC2086
	$cc $flags "-DPEER_CC=\"$cc\"" -c "$src" -o "$work/$(basename "$src").o"
done
$cc -shared -o "$out" "$work"/*.o
