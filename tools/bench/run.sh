#!/usr/bin/env bash
# run.sh [FLAGS OF BENCH]… makes the benchmark's tools, fixtures and executor, and runs it. See docs/performance.md.
#   EXECUTOR=FILE, WARMER=FILE measure these binaries instead of building them.
#   BUILDKIT=DIR has buildkitd and buildctl, where they are not in the PATH.
. "$(dirname "${BASH_SOURCE[0]}")/../fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

[ "$(id -u)" = 0 ] || die "the builders need root"
need go=golang git=git buildah=buildah docker-registry=docker-registry podman=podman runc=runc skopeo=skopeo mmdebstrap=mmdebstrap unshare=util-linux
"$top/tools/fixtures/build.sh" >/dev/null

bin=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-bench-bin.XXXXXX")
trap 'rm -rf "$bin"' EXIT
export CGO_ENABLED=0
(cd "$top/tools/bench" && GOWORK=off go build -trimpath -o "$bin/bench" .)
args=()
if [ -n "${EXECUTOR-}" ]; then
	args=(-executor "$EXECUTOR")
elif [ -e "$top/executor/main.go" ]; then
	build_executor "$top" "$bin/executor"
	args=(-executor "$bin/executor")
fi
if [ -z "${WARMER-}" ]; then
	WARMER=$bin/warmer
	(cd "$top/warmer" && go build -trimpath -tags disable_grpc_modules,grpcnotrace -ldflags '-s -w' -o "$WARMER" .)
fi
args+=(-warmer "$WARMER")
[ -z "${BUILDKIT-}" ] || PATH=$BUILDKIT:$PATH
cd "$top"
"$bin/bench" ${args[@]+"${args[@]}"} "$@"
