#!/bin/sh
# same_test.sh LAYOUT LAYOUT: an image built twice is the same, and what its index names is there.
set -eu
cmp "$1/index.json" "$2/index.json"
digests=$(grep -rhoE 'sha256:[0-9a-f]{64}' "$1/index.json")
[ -n "$digests" ]
for digest in $digests; do
	file=$1/blobs/sha256/${digest#sha256:}
	echo "${digest#sha256:}  $file" | sha256sum -c - >/dev/null
	for inner in $(grep -oE '"digest": *"sha256:[0-9a-f]{64}"' "$file" | grep -oE '[0-9a-f]{64}'); do
		echo "$inner  $1/blobs/sha256/$inner" | sha256sum -c - >/dev/null
	done
done
echo "$digests"
