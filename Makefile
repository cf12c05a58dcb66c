# What is behind each target is in tools/; CONTRIBUTING.md says when to use which.
.DEFAULT_GOAL := build
programs := executor warmer cachegc inspect

export CGO_ENABLED = 0
export CASES
export KILLS
export RUNS
export SEED
export ONLY
export PARALLEL
export ENTRIES
export BUILDS
export PATH := $(PATH):/usr/local/go/bin

export KEY
export REPO
export TAG
export FLAGS

.PHONY: build images push test quick flags e2e chaos soak scale race oracle fuzz vuln fmt demo bench

# The programs, in bin/, by the go command alone. gRPC's pages about itself, which grpcnotrace leaves out, have templates that call methods by name;
# with those the linker keeps every method there is: ten megabytes of the executor (decision 20).
build:
	@for p in $(programs); do go build -trimpath -tags disable_grpc_modules,grpcnotrace -ldflags '-s -w' -o bin/$$p ./$$p || exit 1; done

# All images for both platforms, as OCI layouts in bin/images, by Bazel; prints their digests and sizes (docs/images.md).
images:
	@tools/images.sh

# Pushes them to REPO/NAME:TAG, attests and signs them: by KEY=FILE or, without, by the identity of the CI job. FLAGS are more flags of the executor.
push: images
	@tools/push.sh

# All tests, by Bazel; installs what they need first. TARGETS narrows it.
test:
	@tools/setup.sh
	@tools/test.sh $(TARGETS)

# The same tests by the go command alone, without Bazel's checks of BUILD files.
quick:
	go vet work
	go test work

# Ignores each flag of the executor in turn, and demands that a test fails: minutes, as root. FLAGS=label,target is fewer.
flags:
	@tools/setup.sh packages
	@cd executor && KANIKO_TEST_FLAGS=$${FLAGS:-all} go test . -run TestFlags_obeyed -v -timeout 60m

# Our images in real runtimes and in a cluster, and real images with real servers: an hour at most, as root.
e2e: images
	@tools/setup.sh e2e
	@IMAGES=$(CURDIR)/bin/images tools/e2e.sh

# Lets registries fail, disks be full and signals come, and kills what shares caches (docs/reliability.md): RUNS=20 KILLS=10 is shorter than 500 and
# a hundred; RUNS=1 SEED=N ONLY=faults repeats one run.
chaos:
	@tools/setup.sh packages
	@tools/chaos.sh

# Builds again and again, in one container and on the machine itself, and looks what is left: BUILDS=20 is shorter than 500.
soak:
	@tools/setup.sh packages
	@tools/soak.sh

# Cleans half of a large cache, and looks what it takes: minutes. ENTRIES=2000 is fewer. SCALE_REGISTRY=distribution takes Docker's registry, and hours: it reads all its tags for each deletion.
scale:
	@tools/setup.sh packages
	@cd cachegc && KANIKO_SCALE=$${ENTRIES:-20000} KANIKO_SCALE_REGISTRY=$(SCALE_REGISTRY) go test . -run TestScale_large -v -timeout 120m

# Builds while the cache is deleted under them; BUILDS=10 is shorter than a hundred.
race:
	@tools/setup.sh packages
	@cd cachegc && KANIKO_RACES=$${BUILDS:-100} go test . -run TestRace -v -timeout 60m

# Looks for input that breaks the parsers; TIME=1m makes it shorter than ten minutes for each.
fuzz:
	@tools/fuzz.sh $(TIME)

# Looks whether what the programs reach is known to be vulnerable. GOVULNDB names another copy of Go's database.
vuln:
	@tools/vuln.sh

# Everything that is formatted or generated: Go, BUILD files, the lists of dependencies.
fmt:
	@tools/fmt.sh

# Builds an image and looks at it, beginning with nothing.
demo:
	@tools/demo.sh

# Measures builds against the other builders that this machine has.
bench:
	@tools/setup.sh packages
	@tools/bench/run.sh

# Compares what the executor, BuildKit and buildah make of the conformance corpus, and of the benchmark's Dockerfiles. CASES=026* narrows it to cases.
oracle:
	@tools/setup.sh packages
	@tools/oracle/conformance.sh
ifndef CASES
	@tools/oracle/compare.sh
endif
