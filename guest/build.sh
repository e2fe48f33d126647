#!/bin/sh
# Build the test guest into a directory: build.sh OUTDIR
#
#   OUTDIR/vmlinuz    Debian's cloud kernel, fetched once
#   OUTDIR/initrd.gz  an initramfs that holds one static program, dirtier
#
# Does nothing when both are up to date. Uses apt, but installs nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

# Two builds at a time (parallel tests) must not see each other's half-written files.
exec 9>"$out/.lock"
flock 9

scratch=$(mktemp -d "$out/scratch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		awk '/Depends: linux-image-[0-9]/ { print $2; exit }'
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

fetch_kernel() {
	cd "$scratch"
	# An index that is missing or out of date names a package the archive no longer has.
	if ! { package=$(kernel_package) && [ -n "$package" ] && apt-get -q download "$package"; }; then
		as_root apt-get -q update
		package=$(kernel_package)
		[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64" >&2; exit 1; }
		apt-get -q download "$package"
	fi
	dpkg -x "$package"_*.deb unpacked
	mv unpacked/boot/vmlinuz-* "$out/vmlinuz"
	cd - >/dev/null
}

pack_initramfs() {
	mkdir -p "$scratch/root"
	gcc -O2 -static -Wall -Wextra -D_GNU_SOURCE -o "$scratch/root/init" \
		"$here/dirtier.c" "$here/pages.c" "$here/clocks.c"
	(cd "$scratch/root" && echo init | cpio -o -H newc -R 0:0 --quiet) | gzip -9n > "$scratch/initrd.gz"
	mv "$scratch/initrd.gz" "$out/initrd.gz"
}

[ -s "$out/vmlinuz" ] || fetch_kernel >&2
newer=$(find "$here" -newer "$out/initrd.gz" -type f 2>/dev/null) || newer=all
if [ -n "$newer" ]; then pack_initramfs; fi
