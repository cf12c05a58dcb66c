#!/usr/bin/env bash
# e2e.sh [FLAGS OF go test]… runs the end-to-end tests: minutes, as root, with what Debian packages. It builds the executor unless EXECUTOR=FILE names one.
#   IMAGES=DIR    OCI layouts DIR/executor, DIR/warmer and DIR/cachegc for the tests in runtimes and in Kubernetes, which else make their own
#   E2E_KILLS=N   builds killed with each driver (default 12); E2E_SEED=N repeats a run's random moments
. "$(dirname "${BASH_SOURCE[0]}")/fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

[ "$(id -u)" = 0 ] || die "the end-to-end tests need root"
need go=golang buildah=buildah docker-registry=docker-registry podman=podman runc=runc skopeo=skopeo mmdebstrap=mmdebstrap unshare=util-linux containerd=containerd etcd=etcd-server busybox=busybox-static \
	dockerd=docker.io docker=docker.io runsc=runsc crun=crun
"$top/tools/fixtures/build.sh" debian golang gosmall node python maven nginx apt goapp kubernetes helm crds versitygw >/dev/null

bin=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-e2e-bin.XXXXXX")
trap 'rm -rf "$bin"' EXIT
export CGO_ENABLED=0 TREEDIFF=$bin/treediff
(cd "$top/tools/treediff" && GOWORK=off go build -trimpath -o "$TREEDIFF" .)
if [ -n "${EXECUTOR-}" ]; then
	EXECUTOR=$(realpath "$EXECUTOR")
else
	EXECUTOR=$bin/executor
	build_executor "$top" "$EXECUTOR"
fi
export EXECUTOR
cd "$top/tools/bench"
GOWORK=off go test -tags e2e -count=1 -timeout 90m -v "$@" ./e2e
