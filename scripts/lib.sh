# SPDX-License-Identifier: MIT
# What every verb of ./dev shares. Sourced by bash; ROOT is the repository.

say() {
	printf '%s\n' "$*"
}

step() {
	printf '==> %s\n' "$*" >&2
}

# Exits with DIE_CODE where a verb gives "it could not be run" a code of its own.
die() {
	printf 'dev: %s\n' "$*" >&2
	exit "${DIE_CODE:-1}"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root or sudo: $*"
	fi
}

# need PACKAGE... : install the Debian packages that are missing.
need() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
			missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	step "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >/dev/null ||
		say "apt-get update failed; trying with the package lists at hand" >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends \
		install "${missing[@]}" >/dev/null || die "could not install: ${missing[*]}"
}

need_build() {
	need gcc libc6-dev meson ninja-build pkg-config libjansson-dev libcmocka-dev \
		systemtap-sdt-dev libzydis-dev libzycore-dev libssl-dev liburing-dev python3 g++ binutils
}

# build DIR [MESON OPTIONS...] : configure once, then compile. CC is honoured at the first time.
# BUILD_TARGETS names what to compile, if not all.
build() {
	local dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		step "configuring $(basename "$dir")"
		meson setup "$dir" "$ROOT" "$@" >"$dir.log" 2>&1 || {
			cat "$dir.log" >&2
			die "meson setup failed"
		}
		rm -f "$dir.log"
	fi
	step "compiling $(basename "$dir")"
	# shellcheck disable=SC2086
	ninja -C "$dir" ${BUILD_TARGETS:-} >"$dir/compile.log" 2>&1 || {
		grep -E 'error|FAILED' -A5 "$dir/compile.log" | head -60 >&2
		die "compilation failed; the whole log is $dir/compile.log"
	}
}

cache_dir() {
	local d=${IOASIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ioasis}
	mkdir -p "$d" || die "cannot make the cache directory $d (IOASIS_CACHE names another)"
	printf '%s\n' "$d"
}
