#!/usr/bin/env bash
# conformance.sh [FLAGS OF THE ORACLE]… builds the conformance corpus with the executor, BuildKit and buildah and prints a table of differences; it ends with
# status 1 if one is unexplained. docs/conformance.md has more.
#   CASES=GLOB      only cases whose names match, such as 026*
#   EXECUTOR=FILE   judges that binary instead of building one
#   BUILDKIT=DIR    has buildkitd and buildctl; else they are installed once, which takes minutes
. "$(dirname "${BASH_SOURCE[0]}")/../fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

[ "$(id -u)" = 0 ] || die "the builders need root"
need go=golang buildah=buildah docker-registry=docker-registry runc=runc skopeo=skopeo unshare=util-linux git=git busybox=busybox-static

[ -n "${BUILDKIT-}" ] || BUILDKIT=$("$top/tools/fixtures/buildkit.sh")
bin=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-oracle-bin.XXXXXX")
trap 'rm -rf "$bin"' EXIT
export CGO_ENABLED=0
(cd "$top/executor" && go build -trimpath -o "$bin/oracle" ./internal/conformance/oracle)
if [ -z "${EXECUTOR-}" ]; then
	EXECUTOR=$bin/executor
	build_executor "$top" "$EXECUTOR"
fi
args=()
if [ -n "${CASES-}" ]; then
	pattern=${CASES//./\\.}
	pattern=${pattern//\*/.*}
	args=(-run "^$pattern\$")
fi
# Whatever the builders mount goes with the namespace; /var/lib/containers is buildah's memory of where blobs are.
rc=0
"$top/tools/fixtures/registry.sh" unshare -m --propagation private sh -c '
	mkdir -p "$1/containers" /var/lib/containers && mount --bind "$1/containers" /var/lib/containers && shift && exec "$@" -registry "$REGISTRY"' sh "$bin" \
	"$bin/oracle" -cases "$top/executor/testdata/conformance" -executor "$(realpath "$EXECUTOR")" -explain "$top/tools/oracle/conformance.txt" \
	-buildkit "$BUILDKIT" ${args[@]+"${args[@]}"} "$@" || rc=$?
exit $rc
