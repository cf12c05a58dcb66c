#!/usr/bin/env bash
# run.sh [FLAGS OF BENCH]… [WORKLOAD]… makes the benchmark's tools, fixtures and executor, and runs it; of all workloads, or of those that are named: -list has them. See docs/performance.md.
#   SHRINK=N divides the sizes of the large workloads, for a quick run.
#   EXECUTOR=FILE, WARMER=FILE measure these binaries instead of building them.
#   BUILDKIT=DIR has buildkitd and buildctl; else those in the PATH are taken, or they are built once, which takes minutes. BUILDKIT=none does without.
. "$(dirname "${BASH_SOURCE[0]}")/../fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

[ "$(id -u)" = 0 ] || die "the builders need root"
need go=golang git=git buildah=buildah docker-registry=docker-registry podman=podman runc=runc skopeo=skopeo mmdebstrap=mmdebstrap unshare=util-linux
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
args+=(-shrink "${SHRINK:-1}")
case " $* " in
*" -list "* | *" -fixtures "*) ;;
*)
	mapfile -t fixtures < <("$bin/bench" -fixtures "${args[@]}" "$@")
	[ ${#fixtures[@]} -eq 0 ] || [ -z "${fixtures[0]}" ] || "$top/tools/fixtures/build.sh" "${fixtures[@]}" >/dev/null
	if [ -z "${BUILDKIT-}" ] && ! command -v buildkitd >/dev/null; then
		BUILDKIT=$("$top/tools/fixtures/buildkit.sh")
	fi
	;;
esac
[ "${BUILDKIT:-none}" = none ] || PATH=$BUILDKIT:$PATH
cd "$top"
"$bin/bench" "${args[@]}" "$@"
