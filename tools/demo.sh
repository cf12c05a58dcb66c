#!/usr/bin/env bash
# demo.sh builds the executor, then builds the example in tools/demo/example with it and pushes the image to a registry that this script
# starts and stops. It needs Go, git and, for the base image, either BASE= or a Debian (or Ubuntu) with apt.
#
#   BASE=REF       build on this image instead of one assembled from Debian's packages
#   OUT=DIR        where the image is left as an OCI layout (default: kaniko-demo below $TMPDIR or /tmp)
#   EXECUTOR=FILE  use this executor instead of building one
#
# It runs as whoever calls it: an ordinary user where user namespaces are allowed, else root. The machine's root file system is never the build's:
# the isolated driver is asked for by name. Only the base's packages (KANIKO_FIXTURES) and OUT outlive it.
. "$(dirname "${BASH_SOURCE[0]}")/fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${OUT:-${TMPDIR:-/tmp}/kaniko-demo-$(id -u)}
cache=$FIXTURES/demo

work=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-demo.XXXXXX")
cleanup() {
	[ ! -e "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null || true
	chmod -R u+w "$work" 2>/dev/null || true
	rm -rf "$work" || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# step TEXT COMMAND… runs a command quietly and prints how long it took; its output is shown if it fails.
step() {
	local text=$1 start rc
	shift
	start=$(date +%s%N)
	# Not `if ! …`: that would switch off set -e inside.
	set +e
	(set -e; "$@") >"$work/step.log" 2>&1
	rc=$?
	set -e
	if [ $rc != 0 ]; then
		sed 's/^/    /' "$work/step.log" >&2
		die "$text (status $rc)"
	fi
	printf '%7.2f s  %s\n' "$((($(date +%s%N) - start) / 10000000))e-2" "$text"
}

namespaces() {
	[ "$(id -u)" = 0 ] && return
	! command -v unshare >/dev/null || unshare -Urm true 2>/dev/null ||
		die "an ordinary user may not make user namespaces on this machine; run this as root, or allow them (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
}

build_tools() {
	(cd "$top/tools/demo" && CGO_ENABLED=0 GOWORK=off go build -trimpath -o "$work/demo" .)
	(cd "$top/tools/treediff" && CGO_ENABLED=0 GOWORK=off go build -trimpath -o "$work/treediff" .)
}

# assemble unpacks a shell, the core utilities and what they depend on into a tar. No package's scripts run, so no root is needed; everything in it
# belongs to root.
assemble() {
	[ -e "$cache/base.tar" ] && return
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "no apt here to take a base from: name one with BASE="
	mkdir -p "$cache/lists/partial" "$cache/archives/partial" "$work/debs" "$work/root"
	local apt=() wanted
	# This machine's own package lists if it has any, else lists of our own from the same sources.
	if ! (cd "$work" && apt-get download --print-uris dash) >/dev/null 2>&1; then
		apt=(-o Dir::State::lists="$cache/lists")
		apt-get "${apt[@]}" update
	fi
	apt+=(-o Dir::Cache::archives="$cache/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
	wanted=$(apt-cache "${apt[@]}" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
		dash coreutils | grep '^[a-z0-9]')
	(cd "$work/debs" && apt-get "${apt[@]}" download base-files $wanted)
	cd "$work/root"
	mkdir -p usr/bin usr/sbin usr/lib etc proc sys dev
	ln -s usr/bin usr/sbin usr/lib .
	local d
	for d in /lib32 /lib64 /libx32; do [ ! -L "$d" ] || { mkdir -p "usr$d" && ln -s "usr$d" ".$d"; }; done
	for d in "$work"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$d" | tar --extract --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/info/*'
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >etc/passwd
	printf 'root:x:0:\nnogroup:x:65534:\n' >etc/group
	[ -e bin/sh ] || ln -s dash bin/sh
	tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1735689600 --file "$work/base.tar" .
	mv "$work/base.tar" "$cache/base.tar"
	rm -rf "$cache/lists" "$cache/archives"
}

start_registry() {
	mkdir "$work/blobs"
	"$work/demo" registry "$work/blobs" "$work/address" >/dev/null 2>&1 &
	local i pid=$!
	echo $pid >"$work/pid"
	for i in $(seq 200); do
		[ ! -e "$work/address" ] || return 0
		kill -0 "$pid" || return 1
		sleep 0.05
	done
	return 1
}

build() {
	rm -rf "$out"
	mkdir -p "$out"
	"$executor" --isolation=namespaces --kaniko-dir "$work/kaniko" \
		--context "$top/tools/demo/example" --dockerfile "$top/tools/demo/example/Dockerfile" --build-arg "BASE=$BASE" \
		--destination "$address/demo/example:1" --insecure --digest-file "$work/digest" --oci-layout-path "$out/image"
}

# read_back fetches the image from the registry, flattens it, and compares it with the layout left in OUT.
read_back() {
	[ -s "$work/digest" ]
	[ "$("$work/treediff" digest "$address/demo/example:1")" = "$(cat "$work/digest")" ]
	"$work/treediff" "$address/demo/example:1" "oci:$out/image"
	"$work/treediff" show "oci:$out/image" >"$work/tree"
	grep -q '^/srv/report/report.txt file 0444 0:0' "$work/tree"
	grep -q '^/srv/report/about file' "$work/tree"
	! grep -q '^/src' "$work/tree"
}

namespaces
command -v go >/dev/null || die "Go is missing"
printf 'as uid %s, in %s\n' "$(id -u)" "$work"
step "build the demo's tools" build_tools
if [ -n "${EXECUTOR-}" ]; then
	executor=$(realpath "$EXECUTOR")
else
	step "build executor" build_executor "$top" "$work/executor"
	executor=$work/executor
fi
step "start a registry" start_registry
address=$(cat "$work/address")
if [ -n "${BASE-}" ]; then
	printf '%7s    base %s\n' - "$BASE"
else
	step "assemble a base from Debian's packages" assemble
	BASE=$address/demo/base:1
	step "push the base to $BASE" "$work/demo" push "$cache/base.tar" "$BASE"
fi
step "build the example and push it to $address/demo/example:1" build
step "read it back and compare" read_back
printf '\ndigest  %s\n\n' "$(cat "$work/digest")"
sed -n 's,^\(/srv[^ ]*\) ,    \1  ,p' "$work/tree"
printf '\nThe registry stops now. The image stays as an OCI layout; this shows every file of it:\n\n'
printf '    (cd %s/tools/treediff && GOWORK=off go run . show oci:%s/image)\n' "$top" "$out"
if command -v skopeo >/dev/null; then printf '\nand this its configuration:\n\n    skopeo inspect --config oci:%s/image\n' "$out"; fi
