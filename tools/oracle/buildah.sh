#!/usr/bin/env bash
# buildah.sh FLAGS… is Debian's buildah behind the executor's command line, as far as the scripts of tools/ use it: the reference to compare with, and a
# stand-in that proves those scripts without the executor. Needs root.
. "$(dirname "${BASH_SOURCE[0]}")/../fixtures/lib.sh" || exit 1
[ "$(id -u)" = 0 ] || die "buildah.sh needs root"
need buildah=buildah skopeo=skopeo unshare=util-linux

if [ -z "${KANIKO_ORACLE_NS-}" ]; then
	KANIKO_ORACLE_NS=1 exec unshare -m --propagation private "$0" "$@"
fi

context=. dockerfile= destination= digest= layout= tar= push=1 args=() epoch=()
while [ $# -gt 0 ]; do
	flag=${1%%=*}
	case $flag in
	--insecure | --force | --reproducible) shift; continue ;;
	--no-push) push=; shift; continue ;;
	esac
	if [[ $1 == *=* ]]; then value=${1#*=}; shift; else value=$2; shift 2; fi
	case $flag in
	--context) context=${value#dir://} ;;
	--dockerfile) dockerfile=$value ;;
	--destination) destination=$value ;;
	--digest-file) digest=$value ;;
	--oci-layout-path) layout=$value ;;
	--tarPath | --tar-path) tar=$value ;;
	--build-arg | --target) args+=("$flag" "$value") ;;
	--isolation | --kaniko-dir) ;;
	*) die "buildah.sh knows no $flag" ;;
	esac
done
[ -z "${SOURCE_DATE_EPOCH-}" ] || epoch=(--timestamp "$SOURCE_DATE_EPOCH")

state=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-oracle.XXXXXX")
trap 'umount "$state/root/overlay" 2>/dev/null || true; rm -rf "$state"' EXIT
mkdir -p "$state/containers" /var/lib/containers
mount --bind "$state/containers" /var/lib/containers
b=(buildah --root "$state/root" --runroot "$state/runroot" --storage-driver overlay)
# --identity-label=false: no label naming buildah's version.
"${b[@]}" bud --isolation chroot --layers --identity-label=false --tls-verify=false ${epoch[@]+"${epoch[@]}"} ${args[@]+"${args[@]}"} \
	-f "${dockerfile:-$context/Dockerfile}" -t out "$context"
[ -z "$layout" ] || "${b[@]}" push -q out "oci:$layout"
[ -z "$tar" ] || "${b[@]}" push -q out "docker-archive:$tar:${destination:-out:latest}"
[ -z "$push" ] || [ -z "$destination" ] || "${b[@]}" push -q --tls-verify=false ${digest:+--digestfile "$digest"} out "docker://$destination"
