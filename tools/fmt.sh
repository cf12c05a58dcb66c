#!/bin/bash
# Formats the Go and Bazel files, and writes what is generated: BUILD files, the
# repositories MODULE.bazel names, and the programs' lists of dependencies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 gofmt -l -w
bazel run --noshow_progress --ui_event_filters=-info //:gazelle
bazel mod tidy --noshow_progress --ui_event_filters=-info
git ls-files -z --cached --others --exclude-standard -- '*BUILD.bazel' '*.bzl' MODULE.bazel WORKSPACE |
  xargs -0 realpath -z |
  xargs -0 bazel run --noshow_progress --ui_event_filters=-info //tools/drift:buildifier -- -lint=fix
GOFLAGS=-count=1 go test ./shared/internal/floors -run TestDependencies -update
