#!/usr/bin/env bash
# compare.sh [FLAGS OF bench compare]… builds the benchmark's Dockerfiles (the two-stage Go image among them; randomness and dates taken out) with buildah and
# with the executor's drivers, flattens the images and prints every difference that expected.txt does not explain; then it demands one digest of
# all reproducible builds of both drivers. It ends with status 0 only if everything agrees.
#   EXECUTOR=FILE compares that binary instead of building one.
. "$(dirname "${BASH_SOURCE[0]}")/../fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

[ "$(id -u)" = 0 ] || die "the builders need root"
need go=golang buildah=buildah docker-registry=docker-registry podman=podman runc=runc skopeo=skopeo mmdebstrap=mmdebstrap unshare=util-linux
"$top/tools/fixtures/build.sh" >/dev/null

bin=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-oracle-bin.XXXXXX")
trap 'rm -rf "$bin"' EXIT
export CGO_ENABLED=0
(cd "$top/tools/bench" && GOWORK=off go build -trimpath -o "$bin/bench" .)
(cd "$top/tools/treediff" && GOWORK=off go build -trimpath -o "$bin/treediff" .)
args=()
if [ -n "${EXECUTOR-}" ]; then
	args=(-executor "$EXECUTOR")
elif [ -e "$top/executor/main.go" ]; then
	build_executor "$top" "$bin/executor"
	args=(-executor "$bin/executor")
fi
"$bin/bench" compare -treediff "$bin/treediff" -explain "$top/tools/oracle/expected.txt" ${args[@]+"${args[@]}"} "$@"
