#!/bin/sh
# Imports into a full file system. The import must report it, and the store must stay unchanged.
# Needs root, to mount a small file system: `tests/full-disk.sh target/release/atlas
# DIRECTORY-OF-NETCDF-FILES`.
set -eu
atlas=$(realpath "$1")
files=$(realpath "$2")
disk=$(mktemp -d)
mount -t tmpfs -o size=2m tmpfs "$disk"
trap 'umount "$disk"; rmdir "$disk"' EXIT
first=$(find "$files" -name '*.nc' | sort | head -n 1)
"$atlas" import "$disk/store" "$first"
before=$("$atlas" sql "$disk/store" --format csv -c 'SELECT count(*) FROM atlas')
# Leaves a few pages free.
dd if=/dev/zero of="$disk/filler" bs=1k count=1900 2>/dev/null || true
if "$atlas" import --skip-errors "$disk/store" $(find "$files" -name '*.nc' | sort | tail -n +2 | head -n 300); then
    echo "the import fitted: give more files" >&2
    exit 1
fi
rm "$disk/filler"
"$atlas" verify "$disk/store"
after=$("$atlas" sql "$disk/store" --format csv -c 'SELECT count(*) FROM atlas')
[ "$before" = "$after" ] && echo "the store is what it was"
