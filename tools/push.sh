#!/bin/bash
# Pushes what tools/images.sh has built to $REPO, signed by the key $KEY or, if that is
# empty, by an identity; $TAG is the release if it is empty, and $FLAGS are for the executor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${REPO-}" ]; then
  echo "push: say where to: make push REPO=registry.example.com/kaniko [TAG=…] [KEY=cosign.key]" >&2
  exit 64
fi
tag=${TAG:-$(bin/executor version | cut -d' ' -f2)}
sign=--sign
[ -z "${KEY-}" ] || sign=--sign-key=$KEY
case $sign in
--sign-key=env://* | --sign-key=/* | --sign) ;;
*) sign=--sign-key=$PWD/$KEY ;;
esac
# shellcheck disable=SC2086 # a list
images/push.sh "$PWD/bin/executor" bin/images "$REPO" "$tag" "$sign" ${FLAGS-}
