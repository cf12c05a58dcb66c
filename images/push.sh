#!/bin/bash
# push.sh EXECUTOR DIRECTORY REPOSITORY TAG [FLAG…]: pushes the images of a directory that
# make images has filled, to REPOSITORY/NAME:TAG. The executor builds each once more and
# pushes what it comes to, with a list of its software and its provenance, and signed if
# FLAGs say how; that it is the same image is checked.
set -euo pipefail
executor=$1 dir=$2 repository=$3 tag=$4
shift 4
build=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/build.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pushed=0
for files in "$dir"/*.files; do
  [ -d "$files" ] || continue
  layout=${files%.files}
  name=${layout##*/}
  want=$(grep -oE 'sha256:[0-9a-f]{64}' "$layout/index.json")
  "$build" "$executor" "$files" --destination "$repository/$name:$tag" --digest-file "$scratch/digest" "$@"
  got=$(cat "$scratch/digest")
  if [ "$got" != "$want" ]; then
    echo "push: $repository/$name:$tag is $got, and $layout is $want: was it built from other sources?" >&2
    exit 1
  fi
  echo "$repository/$name@$got"
  pushed=$((pushed + 1))
done
if [ $pushed = 0 ]; then
  echo "push: there are no images in $dir: make images" >&2
  exit 1
fi
