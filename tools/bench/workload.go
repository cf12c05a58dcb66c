package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

// A Workload is one Dockerfile with its build context. BASE, GOLANG and BIG in the text become references to fixture images.
type Workload struct {
	Name       string
	What       string
	Fixtures   []string
	Dockerfile string
	// Context returns the build context's directory; it may make one below dir.
	Context func(dir, fixtures string) (string, error)
	// Cache is the name of a layer cache, and of a repository for images, that this workload shares with others of the same builder and round, in the order
	// of the list; "" is none. They are run together or not at all.
	Cache string
	// Check looks at what was built, and at what the first workload of the same Cache has left.
	Check func(ctx context.Context, first, now image) error
	// Warm asks for a directory of base images that warmer has filled.
	Warm bool
	// Far pushes to a registry with latency.
	Far bool
	// Made are bases that are made of fixture images; their names in the Dockerfile are replaced as well.
	Made []fixture.Made
	// Dirs are build contexts of tools/fixtures/build.sh.
	Dirs []string
	// Floor is what no builder can do without.
	Floor []Part
	// Steps and Less say that this workload is another one and so many steps more: what one costs is told, beside what the part of the floor called Step does.
	Steps int
	Less  string
	Step  string
	// PerStep says that the figures are of a step, not of a build.
	PerStep bool
	// Memory is how much the builder may have at its peak, in bytes, if that is not what it may have on others.
	Memory int64
	// Heavy is too large to be built for comparing images only.
	Heavy bool
	// Against is the workload that a builder's figures are set against, instead of the better peer's on this one.
	Against string
}

// chosen are those of the workloads that are wanted, and those that they need.
func chosen(all []Workload, wanted func(Workload) bool) []Workload {
	var out []Workload
	for _, w := range all {
		needs := func(o Workload) bool {
			return (o.Name == w.Name || w.Cache != "" && o.Cache == w.Cache || o.Less == w.Name) && wanted(o)
		}
		if slices.ContainsFunc(all, needs) {
			out = append(out, w)
		}
	}
	return out
}

// Slug is the workload's name as part of a path.
func (w Workload) Slug() string { return strings.ReplaceAll(w.Name, " ", "-") }

// called reports whether that is the workload's name, with spaces or without.
func (w Workload) called(name string) bool { return name == w.Name || name == w.Slug() }

const copyDockerfile = "FROM @debian@\nCOPY . /app/\nENV MODE=production\nENTRYPOINT [\"/app/start\"]\n"

func workloads(s sizes) []Workload { return append(light(), heavy(s)...) }

func light() []Workload {
	return []Workload{
		{
			Name: "copy", What: "COPY only onto a 130 MB base", Fixtures: []string{"debian"},
			Dockerfile: copyDockerfile, Context: smallContext,
		},
		{
			Name: "runs", What: "ten small RUN steps on a base of 52,000 files", Fixtures: []string{"big"},
			Dockerfile: "FROM @big@\n" + tenRuns(),
			Context:    emptyContext,
			Floor:      []Part{received(), hashed(false), unpacked()},
		},
		{
			Name: "go", What: "two-stage Go application, dependencies vendored", Fixtures: []string{"golang", "debian"},
			Dockerfile: "FROM @golang@ AS build\nWORKDIR /src\nCOPY . .\nRUN CGO_ENABLED=0 go build -trimpath -o /crane ./cmd/crane\n" +
				"FROM @debian@\nCOPY --from=build /crane /usr/local/bin/crane\nENTRYPOINT [\"crane\"]\n",
			Context: func(_, fixtures string) (string, error) { return filepath.Join(fixtures, "goapp"), nil },
			Dirs:    []string{"goapp"},
		},
		{
			Name: "files", What: "context of 50,000 small files, then a RUN touching 100", Fixtures: []string{"debian"},
			Dockerfile: "FROM @debian@\nCOPY . /data/\nRUN for f in /data/0[0-3]/*/file00.txt; do echo touched >>$f; done\n",
			Context:    func(_, fixtures string) (string, error) { return filepath.Join(fixtures, "files"), nil },
			Dirs:       []string{"files"},
			Floor:      []Part{unpacked(), walked(true), allHashed(), compressed(true)},
		},
		{
			Name: "gigabyte", What: "one RUN writing 1 GB, half of it random", Fixtures: []string{"debian"},
			Dockerfile: "FROM @debian@\nRUN head -c 512M /dev/urandom >/random && head -c 512M /dev/zero >/zero\n",
			Context:    emptyContext,
			Floor: []Part{unpacked(), script("write", "head -c 512M /dev/urandom >random && head -c 512M /dev/zero >zero"),
				hashed(true), compressed(false), sent(512<<20, false)},
		},
		{
			Name: "stages", What: "two independent stages that each take time (5 s of waiting, 20 MB written)", Fixtures: []string{"debian"},
			Dockerfile: "FROM @debian@ AS one\nRUN sleep 5 && head -c 20M /dev/urandom >/one\n" +
				"FROM @debian@ AS two\nRUN sleep 5 && head -c 20M /dev/urandom >/two\n" +
				"FROM @debian@\nCOPY --from=one /one /one\nCOPY --from=two /two /two\n",
			Context: emptyContext,
			Floor: []Part{unpacked(), script("commands", "for i in 1 2; do sh -c \"sleep 5 && head -c 20M /dev/urandom >$i\" & done; wait"),
				hashed(true), compressed(false), sent(40<<20, false)},
		},
		{
			Name: "cached fill", What: "two stages, ten RUN steps on a base of 52,000 files, COPY --from and COPY; an empty layer cache that is filled",
			Fixtures: []string{"debian", "big"}, Dockerfile: cachedDockerfile(), Context: cachedContext("1"), Cache: "cached", Check: hasVersion("1"),
		},
		{
			Name: "cached hit", What: "the same, nothing changed, on a machine that has nothing but the registry's layer cache",
			Fixtures: []string{"debian", "big"}, Dockerfile: cachedDockerfile(), Context: cachedContext("1"), Cache: "cached", Check: sameLayers(0, hasVersion("1")),
		},
		{
			Name: "cached change", What: "the same, one file of the last COPY changed, on such a machine",
			Fixtures: []string{"debian", "big"}, Dockerfile: cachedDockerfile(), Context: cachedContext("2"), Cache: "cached", Check: sameLayers(1, hasVersion("2")),
		},
		{
			Name: "warmed", What: "copy, with a directory of base images that warmer has filled; ratios by the same builder's copy", Fixtures: []string{"debian"},
			Dockerfile: copyDockerfile, Context: smallContext, Warm: true, Against: "copy",
		},
	}
}

// repeatable is the workload without its randomness and its dates, for comparing what builders make of it.
func (w Workload) repeatable() Workload {
	w.Dockerfile = strings.NewReplacer(
		"head -c 512M /dev/urandom", "while cat /usr/bin/*; do :; done | head -c 512M",
		"head -c 20M /dev/urandom", "while cat /usr/bin/*; do :; done | head -c 20M",
		"sleep 5 && ", "", "&& date >", "&& echo date >").Replace(w.Dockerfile)
	return w
}

func tenRuns() string {
	var b strings.Builder
	for i := range 10 {
		fmt.Fprintf(&b, "RUN mkdir -p /srv/step%d && echo %d >/srv/step%d/a && echo step %d >>/etc/steps && date >/srv/step%d/date\n", i, i, i, i, i)
	}
	return b.String()
}

func emptyContext(dir, _ string) (string, error) {
	dir = filepath.Join(dir, "empty")
	return dir, os.MkdirAll(dir, 0o755)
}

func smallContext(dir, _ string) (string, error) {
	dir = filepath.Join(dir, "small")
	if err := os.MkdirAll(filepath.Join(dir, "conf"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "start"), []byte("#!/bin/sh\nexec cat /app/conf/*\n"), 0o755); err != nil {
		return "", err
	}
	for i := range 20 {
		text := strings.Repeat(fmt.Sprintf("setting.%d = value %d\n", i, i), 40)
		if err := os.WriteFile(filepath.Join(dir, "conf", fmt.Sprintf("%02d.conf", i)), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
