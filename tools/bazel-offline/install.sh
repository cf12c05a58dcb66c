#!/bin/bash
# Installs a Bazel for machines that reach Debian's mirror and a Go module proxy,
# and neither GitHub nor the Bazel Central Registry. docs/decisions/0001 says why
# it is made like this.
#
#   tools/bazel-offline/install.sh [PREFIX]      default /opt/bazel-offline; root
#
# What it leaves:
#   PREFIX/root        what Bazel needs of Debian forky; nothing of the machine changes
#   PREFIX/modules     the Bazel modules that MODULE.bazel reaches
#   PREFIX/bazelrc     the flags that point Bazel there
#   PREFIX/bin/bazel   the command, linked as $BAZEL_LINK (default /usr/local/bin/bazel)
#   PREFIX/bin/on-host what tests run under: it gives them the machine's own /usr
#
# A second run does nothing unless this directory has changed.
set -euo pipefail

RULES_GO=v0.64.2
GAZELLE=v0.53.0
GAZELLE_V2=v2.0.0-3 # a Go module of its own inside gazelle; the version gazelle's go.mod names
BUILDTOOLS=v0.0.0-20250930140053-2eb4fccefb52
SUITE=forky
PACKAGES="bazel-bootstrap bazel-rules-shell
  base-files bash coreutils dash debianutils diffutils file findutils git grep gzip
  hostname libc-bin mawk mount sed tar util-linux"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=${1:-/opt/bazel-offline}
link=${BAZEL_LINK:-/usr/local/bin/bazel}

die() { echo "bazel-offline: $*" >&2; exit 1; }

stamp=$(cat "$here/install.sh" "$here/shims.txt" | sha256sum | cut -c1-16)
if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "bazel-offline: $prefix is up to date"
  exit 0
fi

[ "$(id -u)" = 0 ] || die "run me as root"
[ "$(dpkg --print-architecture)" = amd64 ] || die "made for amd64"
PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || die "there is no go command"
# The toolchain that go.work asks for, which need not be the one first found.
goroot=$(cd "$here" && go env GOROOT)
mirror=${DEBIAN_MIRROR:-$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
  sed -nE 's#^(URIs:|deb( \[[^]]*\])?) *(https?://[^ ]*/debian)/?( .*)?$#\3#p' | sed -n 1p)}
[ -n "$mirror" ] || die "no Debian mirror in /etc/apt; set DEBIAN_MIRROR"

mkdir -p "$prefix"
exec 9>"$prefix/.lock"
flock 9
rm -f "$prefix/stamp"

# A server that runs on keeps the files which are about to be replaced.
if [ -x "$prefix/bin/bazel" ] && command -v pgrep >/dev/null && pgrep -f -- "--install_base=[^ ]*/usr/share/bazel" >/dev/null; then
  echo "bazel-offline: a Bazel server is running; 'bazel shutdown' lets it see the change" >&2
fi

# --- 1. Debian's Bazel -----------------------------------------------------------
# Packages are fetched with a private state of apt and unpacked, not installed: no
# chroot, no maintainer scripts. That state is empty, so apt takes nothing for
# granted, and the essential commands are in PACKAGES.
unpack_debian() {
  local root=$prefix/root apt=$prefix/apt d deb to alternative
  rm -rf "$apt" "$root"
  mkdir -p "$apt"/{lists,cache/archives}/partial "$root"/usr/{bin,sbin,lib,lib64,local}
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $SUITE main" >"$apt/sources.list"
  # Bazel's package wants a whole JDK, 350 MB; the JRE serves. Say the JDK is there.
  printf '%s\n' "Package: openjdk-25-jdk-headless" "Status: install ok installed" \
    "Priority: optional" "Section: java" "Maintainer: nobody <nobody@localhost>" \
    "Architecture: amd64" "Version: 99" "Description: claimed by $here" "" >"$apt/status"
  # A mirror may stand still for longer than forky's index claims to be valid. What
  # it serves is signed all the same.
  cat >"$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
CONF
  APT_CONFIG=$apt/apt.conf apt-get -qq update
  # shellcheck disable=SC2086 # a list
  APT_CONFIG=$apt/apt.conf apt-get -qq -y --download-only install $PACKAGES >/dev/null
  for deb in "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" -x --keep-directory-symlink \
      --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
  done
  # Only root/usr will be mounted. What it has in root/etc (the JRE's settings) is
  # copied in, and what alternatives would have chosen is chosen here.
  find "$root/usr" -type l -lname '/etc/*' ! -lname '/etc/alternatives/*' | while read -r l; do
    to=$root$(readlink "$l")
    if [ -e "$to" ]; then rm "$l" && cp -a "$to" "$l"; fi
  done
  for alternative in sh:dash awk:mawk which:which.debianutils cc:gcc c++:g++; do
    if [ -e "$root/usr/bin/${alternative#*:}" ]; then
      ln -sfn "${alternative#*:}" "$root/usr/bin/${alternative%%:*}"
    fi
  done
  rm -rf "$apt"
  echo "$SUITE $PACKAGES" >"$root/.packages"
}
[ "$(cat "$prefix/root/.packages" 2>/dev/null)" = "$SUITE $PACKAGES" ] || unpack_debian

# --- 2. The Bazel modules --------------------------------------------------------
# rules_go and gazelle are Go modules too; Debian packages the small ones; the rest
# is stand-ins.
modules=$prefix/modules
share=$prefix/root/usr/share/bazel
rm -rf "$modules"
mkdir -p "$modules"
take() {
  cp -a "$2" "$modules/$1"
  chmod -R u+w "$modules/$1"
}
take_go() { # name, Go module, version
  local dir
  dir=$(cd / && GOWORK=off GOFLAGS=-mod=mod go mod download -json "$2@$3" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -d "$dir" ] || die "go mod download $2@$3 gave nothing"
  take "$1" "$dir"
}
take_go rules_go github.com/bazelbuild/rules_go $RULES_GO
take_go gazelle github.com/bazelbuild/bazel-gazelle $GAZELLE
take_go gazelle/v2 github.com/bazel-contrib/bazel-gazelle/v2 $GAZELLE_V2
for module in bazel_skylib:tools/skylib bazel_features:tools/features platforms:tools/platforms \
  rules_cc:rules/cc rules_java:rules/java rules_license:rules/license rules_proto:rules/proto \
  rules_python:rules/python rules_shell:rules/shell; do
  take "${module%%:*}" "$share/${module#*:}"
done
awk -v dir="$modules" '
  /^-- .* --$/ {
    if (out) close(out)
    out = dir "/" $2; path = out; sub("/[^/]*$", "", path)
    system("mkdir -p \"" path "\""); printf "" > out; next
  }
  out { print > out }' "$here/shims.txt"

# A Go module's zip has no empty files, no execute bits and no release's version.
touch "$modules/gazelle/v2/go.sum"
find "$modules/rules_go" "$modules/gazelle" -name '*.sh' -exec chmod +x {} +
sed -i "0,/version = \"\"/s//version = \"${RULES_GO#v}\"/" "$modules/rules_go/MODULE.bazel"
sed -i "0,/version = \"\"/s//version = \"${GAZELLE#v}\"/" "$modules/gazelle/MODULE.bazel"

# go_sdk.from_file downloads a Go; here it is to take the machine's.
extensions=$modules/rules_go/go/private/extensions.bzl
awk '
  /^def _download_sdk\(/ {
    print "def _download_sdk(*, get_sdks_by_version, name, goos, goarch, download_tag):"
    print "    go_host_sdk_rule(name = name, experiments = download_tag.experiments)"
    print ""
    inside = 1; replaced++; next
  }
  inside && /^[^ \t)]/ { inside = 0 }
  !inside { print }
  END { exit replaced != 1 }' "$extensions" >"$extensions.new" || die "rules_go $RULES_GO downloads its Go in a way not known here"
mv "$extensions.new" "$extensions"

# rules_go asks bazel_features about one feature that Debian's copy is too old for.
sed -i 's/^_rules = struct($/&\n    instrumented_files_info_has_baseline_coverage_files = ge("8.3.0"),/' "$modules/bazel_features/features.bzl"

# `bazel mod tidy` edits MODULE.bazel with buildozer.
(cd / && GOWORK=off GOFLAGS='' CGO_ENABLED=0 GOBIN="$modules/buildozer" go install "github.com/bazelbuild/buildtools/buildozer@$BUILDTOOLS")

# --- 3. The flags ----------------------------------------------------------------
{
  echo "# Written by tools/bazel-offline/install.sh."
  echo "common --lockfile_mode=off"
  echo "common --check_direct_dependencies=off"
  # Go dependencies come from, and go to, the go command's module cache.
  echo "common --repo_env=GO_REPOSITORY_USE_HOST_MODCACHE=1"
  for module in "$modules"/*/; do
    module=${module%/}
    echo "common --override_module=${module##*/}=$module"
  done
  echo "build --run_under=$prefix/bin/on-host"
} >"$prefix/bazelrc"

# --- 4. The commands -------------------------------------------------------------
# Bazel sees forky's /usr in place of the machine's, in a mount namespace of its
# own; the rest, /usr/local with Go included, is the machine's.
mkdir -p "$prefix/bin" "$prefix/host/usr"
case $goroot in
/usr/local/*) gobin=$goroot/bin ;;
/usr/*) gobin=$prefix/host$goroot/bin ;;
*) gobin=$goroot/bin ;;
esac
cat >"$prefix/bin/bazel" <<WRAPPER
#!/bin/sh
# Written by tools/bazel-offline/install.sh.
[ "\$(id -u)" = 0 ] && as= || as=-r
exec unshare \$as -m --propagation slave /bin/sh -c '
mount --rbind /usr $prefix/host/usr &&
mount --rbind /usr/local $prefix/root/usr/local &&
mount --rbind $prefix/root/usr /usr &&
PATH=$gobin:\$PATH exec /usr/bin/bazel --install_base=$prefix/root/usr/share/bazel --trust_install_base \\
  --server_javabase=/usr/lib/jvm/default-java --bazelrc=$prefix/bazelrc "\$@"' bazel "\$@"
WRAPPER
cat >"$prefix/bin/on-host" <<WRAPPER
#!/bin/bash
# Written by tools/bazel-offline/install.sh: runs a test with the machine's own
# /usr, so that it finds the servers and tools which are installed there.
exec unshare -m --propagation private /bin/bash -c '
mount --rbind $prefix/host/usr /usr && exec "\$@"' on-host "\$@"
WRAPPER
chmod 755 "$prefix/bin/bazel" "$prefix/bin/on-host"
ln -sfn "$prefix/bin/bazel" "$link"

echo "$stamp" >"$prefix/stamp"
echo "bazel-offline: installed in $prefix"
