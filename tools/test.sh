#!/bin/bash
# Runs `bazel test //...`, or what it is told to, and ends with a line that says how
# many tests passed, failed and were skipped. BAZEL_FLAGS are handed to Bazel.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
PATH=$PATH:/usr/local/bin:/usr/local/go/bin
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
[ $# -gt 0 ] || set -- //...
(cd tools && GOWORK=off go build -o "$scratch/testsum" ./testsum) || exit 1
# Where tools/fixtures/build.sh puts the registry that is not in Debian.
fixtures=${KANIKO_FIXTURES:-${XDG_CACHE_HOME:-$HOME/.cache}/kaniko-fixtures}
# shellcheck disable=SC2086 # a list of flags
bazel test --test_env=KANIKO_FIXTURES="$fixtures" --keep_going --color=no --curses=no --noshow_loading_progress \
  --show_progress_rate_limit=10 --build_event_json_file="$scratch/events" ${BAZEL_FLAGS:-} "$@" </dev/null
status=$?
"$scratch/testsum" "$scratch/events"
counted=$?
[ $status -ne 0 ] && exit $status
exit $counted
