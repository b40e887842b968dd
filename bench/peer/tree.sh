#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the GLib tree as a shared object: tree.sh OUT.so CC
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2046
exec "$2" -std=gnu11 -O2 -fPIC -shared "-DPEER_CC=\"$2\"" -o "$1" "$here/tree.c" \
	$(pkg-config --cflags --libs glib-2.0)
