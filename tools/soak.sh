#!/usr/bin/env bash
# soak.sh builds again and again, with --cleanup: in one container, in place, and on this machine, in namespaces. What there was before, files, mounts,
# processes, open files, memory, is compared with what there is afterwards; a difference fails. It needs to be root, podman, runc and busybox-static.
#
#   BUILDS=N     builds each (default 500)
. "$(dirname "${BASH_SOURCE[0]}")/fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

builds=${BUILDS:-500}
[ "$(id -u)" = 0 ] || die "this needs root"
need podman=podman runc=runc busybox=busybox-static
if [ -z "${REGISTRY-}" ]; then
	make -s -C "$top" build
	exec "$top/tools/fixtures/registry.sh" "$0" "$@"
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-soak.XXXXXX")
podman() {
	command podman --root "$dir/podman/root" --runroot "$dir/podman/runroot" --tmpdir "$dir/podman/tmp" --storage-driver overlay --runtime runc \
		--cgroup-manager cgroupfs --events-backend file "$@"
}
cleanup() {
	podman rm -fa >/dev/null 2>&1 || true
	umount "$dir/podman/root/overlay" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The base is a shell; it is built as everything else here is.
mkdir -p "$dir/base" "$dir/ctx/src" "$dir/image"
cp "$(command -v busybox)" "$dir/base/busybox"
printf 'FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n' >"$dir/base/Dockerfile"
export SOURCE_DATE_EPOCH=1704067200
"$top/bin/executor" --context "$dir/base" --destination "$REGISTRY/soak/base:1" --kaniko-dir "$dir/base-state" --isolation namespaces >"$dir/log" 2>&1 ||
	{ cat "$dir/log"; die "the base cannot be built"; }
for i in $(seq 50); do seq "$i" 400 >"$dir/ctx/src/$i"; done
cat >"$dir/ctx/Dockerfile" <<E2
FROM $REGISTRY/soak/base:1 AS compile
WORKDIR /work
COPY src src
RUN busybox cat src/* >all && busybox mkdir -p /a/b/c && busybox ln -s b /a/link
FROM $REGISTRY/soak/base:1
RUN --mount=type=cache,target=/c busybox seq 100000 >/numbers && busybox sleep 100 & echo begun
COPY --from=compile /work/all /all
COPY src /src
RUN busybox rm -r /src && busybox mkfifo /pipe
E2
flags="--dockerfile=Dockerfile --digest-file=/dev/null --cleanup --cache --cache-copy-layers --insecure"

# compare WHAT compares two states that record left.
failed=
compare() {
	if diff -u "$dir/$1.before" "$dir/$1.after" >"$dir/$1.diff"; then
		say "$1: what is compared is as before after $builds builds"
	else
		cat "$dir/$1.diff" >&2
		say "$1: this is left after $builds builds"
		failed=1
	fi
}

# grown WHAT BEFORE AFTER MOST (kB) fails if memory has grown by more.
grown() {
	say "$1: $2 kB, then $3 kB"
	[ $(($3 - $2)) -le "$4" ] || { say "$1 has grown"; failed=1; }
}

# kernel is what the kernel keeps for itself and in tmpfs, in kB, once it has given back what it can: the least of some looks, since it takes its time,
# and others may use the machine for a moment.
kernel() {
	sync
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
	for _ in 1 2 3 4 5; do
		sleep 2
		awk '/^(SUnreclaim|Shmem|KernelStack|PageTables):/ { n += $2 } END { print n }' /proc/meminfo
	done | sort -n | head -1
}

# On this machine: what belongs to the builds is below one directory.
state=$dir/isolated
mkdir -p "$state/tmp"
record_isolated() {
	{
		(cd "$state" && find . | sort)
		grep -F "$state" /proc/self/mountinfo || true
		for p in /proc/[0-9]*; do
			tr '\0' ' ' <"$p/cmdline" | grep -F "$state" || true
		done 2>/dev/null
	} >"$dir/isolated.$1"
}
one_isolated() {
	# shellcheck disable=SC2086
	(cd "$dir/ctx" && TMPDIR=$state/tmp "$top/bin/executor" --context=. $flags --isolation=namespaces --kaniko-dir="$state/kaniko" --cache-repo="oci:$dir/layers" \
		--build-arg "N=$1" --destination="$REGISTRY/soak/isolated:1" --metrics-file="$dir/metrics") >"$dir/log" 2>&1 || { cat "$dir/log"; die "build $1 failed"; }
}
for i in 1 2 3; do one_isolated "$i"; done
record_isolated before
before=$(kernel)
open=$(cut -f1 /proc/sys/fs/file-nr)
for i in $(seq "$builds"); do
	[ $((i % 2)) = 0 ] || rm -rf "$dir/layers"
	one_isolated "$i"
done
record_isolated after
compare isolated
grown "isolated: memory of the kernel and in tmpfs" "$before" "$(kernel)" 65536
say "isolated: open files on the machine: $open, then $(cut -f1 /proc/sys/fs/file-nr)"

# In one container: its first process is a shell that the executor keeps, below its own directory.
cp "$top/bin/executor" "$(command -v busybox)" "$dir/image/"
mkdir -p "$dir/out"
cat >"$dir/image/soak" <<'E2'
b=/kaniko/busybox
record() {
	{
		$b find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -print | $b sort
		$b awk '{ print $5 }' /proc/self/mountinfo | $b sort
		for p in /proc/[0-9]*; do
			[ "$p" = /proc/1 ] || ! [ -e $p/exe ] || $b readlink $p/exe
		done | $b sort | $b uniq -c | $b grep -v busybox
		echo open $($b ls /proc/1/fd | $b wc -l)
	} >/out/$1 2>/dev/null
}
one() {
	/kaniko/executor --context=/workspace $FLAGS --isolation=in-place --force --cache-repo=oci:/out/layers --build-arg N=$1 --destination=$REGISTRY/soak/inplace:1 >/out/log 2>&1 ||
		{ $b cat /out/log; echo "build $1 failed"; exit 1; }
}
for i in 1 2 3; do one $i; done
record before
$b awk '/^VmRSS/ { print $2 }' /proc/1/status >/out/memory
i=0
while [ $i -lt $BUILDS ]; do
	i=$((i + 1))
	[ $((i % 2)) = 0 ] || $b rm -rf /out/layers
	one $i
done
record after
$b awk '/^VmRSS/ { print $2 }' /proc/1/status >>/out/memory
E2
cat >"$dir/image/Dockerfile" <<'E2'
FROM scratch
COPY executor busybox soak /kaniko/
ENV PATH=/kaniko
ENTRYPOINT ["/kaniko/busybox", "sh", "/kaniko/soak"]
E2
podman build -q -t localhost/soak "$dir/image" >/dev/null
before=$(kernel)
podman run --rm --network host --ulimit nofile=20000:20000 --ulimit nproc=32768:32768 -v "$dir/ctx:/workspace:ro" -v "$dir/out:/out" \
	-e "FLAGS=$flags" -e "BUILDS=$builds" -e "REGISTRY=$REGISTRY" -e SOURCE_DATE_EPOCH localhost/soak || die "in place: a build failed"
cp "$dir/out/before" "$dir/in-place.before"
cp "$dir/out/after" "$dir/in-place.after"
compare in-place
grown "in place: memory of the first process" "$(head -1 "$dir/out/memory")" "$(tail -1 "$dir/out/memory")" 1024
grown "in place: memory of the kernel and in tmpfs" "$before" "$(kernel)" 65536
[ -z "$failed" ] || exit 1
