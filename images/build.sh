#!/bin/bash
# build.sh EXECUTOR FILES [FLAG…]: builds an image from what prepare has left in FILES,
# for all platforms; FLAGs say where to. Paths in its provenance are the same wherever
# that happens: the executor runs in a directory that holds a link to FILES.
set -euo pipefail
executor=$(realpath "$1")
files=$(realpath "$2")
here=$PWD
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/state"
# Bazel gives files modes of its own, and may give links in place of files.
cp -rL "$files" "$work/image"
chmod -R u+w "$work/image"
mkdir "$work/image/files/empty"
args=()
for flag in "$@"; do
  case $flag in
  --*-path=[!/]* | --*-dir=[!/]*) flag=${flag%%=*}=$here/${flag#*=} ;;
  esac
  args+=("$flag")
done
while IFS= read -r flag; do args+=("$flag"); done <"$work/image/flags"
cd "$work/image"
if ! "$executor" --context files --dockerfile Dockerfile --kaniko-dir "$work/state" --platform linux/amd64,linux/arm64 \
  --reproducible --image-format oci --sbom=spdx,cyclonedx --provenance "${args[@]}" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi
[ -z "${VERBOSE-}" ] || cat "$work/log"
