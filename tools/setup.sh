#!/bin/bash
# Makes a Debian machine ready: for `make test` Bazel, if there is none, and the
# servers and tools that tests talk to; with the argument "packages" only these, and
# with "e2e" those of the end-to-end tests as well. As root it installs what is missing;
# as anybody else it says what is, and tests which need it are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What tests run against, by the command that shows that it is there.
wanted=(
  docker-registry:docker-registry
  nginx:nginx-light
  squid:squid
  buildah:buildah
  skopeo:skopeo
  podman:podman
  runc:runc
  crun:crun
  mmdebstrap:mmdebstrap
  newuidmap:uidmap
  busybox:busybox-static
  setcap:libcap2-bin
  setfattr:attr
  zstd:zstd
  xz:xz-utils
  git:git
  sshd:openssh-server
  qemu-s390x-static:qemu-user-static
  rpmbuild:rpm
  chromium-headless-shell:chromium-headless-shell
)
# What the end-to-end tests want besides.
if [ "${1:-}" = e2e ]; then
  wanted+=(
    containerd:containerd
    etcd:etcd-server
    dockerd:docker.io
    runsc:runsc
  )
fi
PATH=$PATH:/usr/sbin:/sbin
missing=()
for w in "${wanted[@]}"; do
  command -v "${w%%:*}" >/dev/null || missing+=("${w#*:}")
done

# Packages are not to start their daemons: tests start what they need themselves.
install_packages() {
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    # shellcheck disable=SC2064 # the path as it is now
    trap "rm -f '$policy'" EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y install --no-install-recommends "${missing[@]}" >/dev/null
}

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${missing[*]}"
    install_packages </dev/null
  else
    echo "setup: not installed, so tests which need them are skipped: ${missing[*]}" >&2
  fi
fi

[ $# = 0 ] || exit 0

# Not in the Debian we have; they take minutes to build, once.
for server in registry versitygw gcs azurite otelcol cosign sigstore diffoci container-diff; do
  tools/fixtures/build.sh $server >/dev/null ||
    echo "setup: $server (tools/fixtures/build.sh) could not be built, so tests against it are skipped" >&2
done

# Without it the debug image cannot be built.
tools/fixtures/build.sh busybox >/dev/null

# A Bazel of the user's own is left alone; ours is brought up to date.
bazel=$(command -v bazel || true)
case $(readlink -f "${bazel:-/nowhere}") in
*/bazel-offline/bin/bazel) stale=yes ;;
*) stale=no ;;
esac
if [ -z "$bazel" ] || { [ $stale = yes ] && [ "$(id -u)" = 0 ]; }; then
  tools/bazel-offline/install.sh
fi
