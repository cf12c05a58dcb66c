#!/usr/bin/env bash
# chaos.sh lets two executors and a warmer share a cache directory and a layer cache, kills them at random moments, and has builds afterwards make the
# image that a build without caches makes, to the byte. Before that, warmers alone are killed, with a reader beside them. It needs docker-registry, skopeo and mmdebstrap, and to be root or to be allowed namespaces.
#
# Then builds, pushes, warmer and cachegc are run while a registry fails, the disk is full, and signals come (executor/chaos_*_test.go): docs/reliability.md.
#
#   KILLS=N      programs to kill (default 100), half of them with the layer cache in a registry and half with it in a directory
#   RUNS=N       runs with a registry that fails (default 500); a fifth as many sizes of a disk; with fewer than there are moments for signals, as many of these
#   SEED=N       repeats the random moments of the killing, or with RUNS=1 one run with a registry that fails
#   ONLY=WORD    only killed, faults, full or signals
#   PARALLEL=N   runs at the same time (default 8): most of what they do is to wait
. "$(dirname "${BASH_SOURCE[0]}")/fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -z "${REGISTRY-}" ]; then
	make -s -C "$top" build
	for what in faults full signals; do
		[ "${ONLY:-$what}" = $what ] || continue
		"$top/tools/fixtures/build.sh" registry >/dev/null
		(cd "$top/executor" && KANIKO_CHAOS_PROGRAMS=$top/bin KANIKO_CHAOS_RUNS=${RUNS-} KANIKO_CHAOS_SEED=${SEED-} \
			go test -count=1 -timeout 6h -parallel "${PARALLEL:-8}" -v -run "TestChaos_$what\$" . | grep -Ev '^ *(=== |--- PASS)|^PASS$')
	done
	[ "${ONLY:-killed}" = killed ] || exit 0
	"$top/tools/fixtures/build.sh" debian >/dev/null
	(cd "$top" && KANIKO_CHAOS_KILLS=${KILLS:-100} go test -count=1 ./warmer/internal/warm -run Killed)
	exec "$top/tools/fixtures/registry.sh" --with debian "$0" "$@"
fi

kills=${KILLS:-100}
RANDOM=${SEED:=$$}
echo "seed $SEED"
dir=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-chaos.XXXXXX")
trap '{ jobs -p | xargs -r kill -9; wait; } 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# What is built is the same each time: files are not younger than this, and commands make the same.
export SOURCE_DATE_EPOCH=1704067200
mkdir -p "$dir/ctx/src"
for i in $(seq 40); do seq "$i" 2000 >"$dir/ctx/src/$i"; done
for app in a b; do
	cat >"$dir/ctx/$app.Dockerfile" <<E
FROM $REGISTRY/fixtures/debian:1 AS compile
WORKDIR /work
COPY src src
RUN cat src/* >all && seq 300000 >numbers
ARG ROUND
RUN echo \$ROUND | cat - all >out
FROM $REGISTRY/fixtures/debian:1
RUN seq 100000 >/shared
COPY --from=compile /work/out /out
RUN sed s/^/$app/ /out >/own
COPY src /src
E
done

# build APP ROUND STATE FLAGS… builds into an OCI layout below STATE.
build() {
	local app=$1 round=$2 state=$3
	shift 3
	exec "$top/bin/executor" --context "$dir/ctx" --dockerfile "$dir/ctx/$app.Dockerfile" --build-arg "ROUND=$round" --no-push \
		--oci-layout-path "$state/layout" --digest-file "$state/digest" --kaniko-dir "$state/kaniko" --isolation namespaces "$@"
}

# caches are the flags of what is shared.
caches() { echo --cache --cache-copy-layers "--cache-repo=$repo" "--cache-dir=$dir/bases"; }

killed=0 round=0
while [ $killed -lt "$kills" ]; do
	round=$((round + 1))
	repo=$REGISTRY/chaos/cache
	[ $((round % 2)) = 0 ] || repo=oci:$dir/layers
	pids=()
	for app in a b; do
		mkdir -p "$dir/$app"
		# shellcheck disable=SC2046
		(build $app $round "$dir/$app" $(caches)) >"$dir/$app/log" 2>&1 &
		pids+=($!)
	done
	"$top/bin/warmer" --cache-dir "$dir/bases" --image "$REGISTRY/fixtures/debian:1" --force >"$dir/warmer.log" 2>&1 &
	pids+=($!)
	for pid in "${pids[@]}"; do
		sleep "0.$(printf %03d $((RANDOM % 900)))"
		# Waiting here keeps bash from telling of each.
		if { kill -9 "$pid" && ! wait "$pid"; } 2>/dev/null; then killed=$((killed + 1)); fi
	done

	for app in a b; do
		rm -rf "$dir/$app/layout"
		(build $app $round "$dir/$app" --no-push) >"$dir/$app/log" 2>&1 || { cat "$dir/$app/log"; die "round $round: without caches, $app cannot be built"; }
		want=$(cat "$dir/$app/digest")
		for time in first second; do
			rm -rf "$dir/$app/layout"
			# shellcheck disable=SC2046
			(build $app $round "$dir/$app" $(caches)) >"$dir/$app/log" 2>&1 || { cat "$dir/$app/log"; die "round $round: after the killing, $app cannot be built"; }
			got=$(cat "$dir/$app/digest")
			[ "$got" = "$want" ] || { cat "$dir/$app/log"; die "round $round: with caches $app is $got, without $want"; }
			if grep -q WARN "$dir/$app/log"; then grep WARN "$dir/$app/log"; fi
		done
		! grep -q 'not cached' "$dir/$app/log" || { cat "$dir/$app/log"; die "round $round: what was just built is not cached"; }
	done
	[ $((round % 5)) != 0 ] || echo "$killed killed, $round rounds"
done
echo "$killed killed in $round rounds; every build after that was right"
