#!/usr/bin/env bash
# fuzz.sh [DURATION] looks for input that breaks what reads input from outside, for that long (10m by default) on each target, one after the other. What it
# finds is kept by Go in testdata/fuzz beside the test, and is a case of the ordinary tests from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for target in \
	shared/plan:FuzzCompile \
	shared/dockerfile:FuzzParse \
	shared/dockerfile:FuzzExpand \
	shared/dockerfile:FuzzFilter \
	shared/layer:FuzzRead \
	shared/layer:FuzzReadIndex \
	shared/placement:FuzzDecompress \
	shared/disk:FuzzWriteAll \
	executor/internal/buildcontext/archive:FuzzRead \
	shared/sbom:FuzzFiles \
	inspect/internal/signed:FuzzBundle; do
	echo "fuzz: ${target#*:} in ${target%:*}"
	go test "./${target%:*}" -run '^$' -fuzz "^${target#*:}\$" -fuzztime "${1:-10m}" -fuzzminimizetime 1s ${FUZZ_WORKERS:+-parallel "$FUZZ_WORKERS"}
done
