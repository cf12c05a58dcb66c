package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

// heavy are the workloads that are much of one thing.
func heavy(s sizes) []Workload {
	const layers, files = 40, 500
	half := s.layer / 4
	unchanged := fixture.Made{Name: "unchanged", From: "debian", Layers: 1, Files: s.unchanged, Size: 100}
	all := []Workload{
		{
			Name: "layers", What: fmt.Sprintf("a base of %d layers, %d files of %s in each, pulled and unpacked for a RUN that does nothing", layers, files, inUnits(s.layerFile)),
			Fixtures: []string{"debian"}, Made: []fixture.Made{{Name: "layers", From: "debian", Layers: layers, Files: files, Size: s.layerFile}},
			Dockerfile: "FROM @layers@\nRUN true\n", Context: emptyContext,
			Floor: []Part{received(), hashed(false), unpacked()},
		},
		{
			Name: "million", What: fmt.Sprintf("COPY of a build context of %d files", s.files), Fixtures: []string{"debian"},
			Dockerfile: "FROM @debian@\nCOPY . /data/\n", Context: manyFiles(s.files), Memory: 400e6,
			Floor: []Part{walked(true), contextHashed(), compressed(true)},
		},
		{
			Name: "ten gigabytes", What: fmt.Sprintf("one RUN writing %s, a quarter of it random, the rest zeros", inUnits(s.layer)), Fixtures: []string{"debian"},
			Dockerfile: fmt.Sprintf("FROM @debian@\nRUN head -c %d /dev/urandom >/random && head -c %d /dev/zero >/zero\n", half, s.layer-half),
			Context:    emptyContext,
			Floor: []Part{unpacked(), script("write", fmt.Sprintf("head -c %d /dev/urandom >random && head -c %d /dev/zero >zero", half, s.layer-half)),
				hashed(true), compressed(false), sent(int64(half), false)},
		},
		{
			Name: "push", What: fmt.Sprintf("twenty layers, each a file of %s that cannot be compressed, to a registry with %d ms latency", inUnits(s.push), roundTrip/time.Millisecond),
			Dockerfile: "FROM scratch\n" + twentyCopies(), Context: randomFiles(20, s.push), Far: true,
			Floor: []Part{contextHashed(), compressed(true), sent(20*int64(s.push), true)},
		},
		{
			Name: "eight stages", What: "eight independent stages that each take time (2 s of waiting, 20 MB written), and a last one that copies from all", Fixtures: []string{"debian"},
			Dockerfile: eightStages(), Context: emptyContext,
			Floor: []Part{unpacked(), script("commands", "for i in 1 2 3 4 5 6 7 8; do sh -c \"sleep 2 && head -c 20M /dev/urandom >$i\" & done; wait"),
				hashed(true), compressed(false), sent(160<<20, false)},
		},
		{
			Name: "unchanged", What: fmt.Sprintf("one RUN that changes nothing, on a base of %d files", s.unchanged), Fixtures: []string{"debian"},
			Made: []fixture.Made{unchanged}, Dockerfile: "FROM @unchanged@\nRUN true\n", Context: emptyContext,
		},
		{
			Name: "unchanged more", What: "eleven such RUN; *a step* is a tenth of what that costs more", Fixtures: []string{"debian"},
			Made: []fixture.Made{unchanged}, Dockerfile: "FROM @unchanged@\n" + moreRuns(11), Context: emptyContext,
			Floor: []Part{received(), hashed(false), unpacked(), walked(false)}, Step: "walk", Steps: 10, Less: "unchanged",
		},
	}
	for i := range all {
		all[i].Heavy = true
	}
	return all
}

// moreRuns are commands that do nothing and differ: of two that are the same a builder may do one.
func moreRuns(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "RUN true %d\n", i)
	}
	return b.String()
}

func twentyCopies() string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "COPY %02d /%02d\n", i, i)
	}
	return b.String()
}

func eightStages() string {
	var stages, copies strings.Builder
	for i := 1; i <= 8; i++ {
		fmt.Fprintf(&stages, "FROM @debian@ AS s%d\nRUN sleep 2 && head -c 20M /dev/urandom >/%d\n", i, i)
		fmt.Fprintf(&copies, "COPY --from=s%d /%d /%d\n", i, i, i)
	}
	return stages.String() + "FROM @debian@\n" + copies.String()
}

// randomFiles makes a build context of so many files whose content looks random and is the same in each run.
func randomFiles(files, size int) func(dir, fixtures string) (string, error) {
	return func(dir, _ string) (string, error) {
		dir = filepath.Join(dir, "context")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		content := make([]byte, size)
		for i := range files {
			_, _ = rand.NewChaCha8(sha256.Sum256([]byte{byte(i)})).Read(content) // which never fails
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d", i)), content, 0o644); err != nil {
				return "", err
			}
		}
		return dir, nil
	}
}

// manyFiles makes a build context of so many small files, a thousand in each directory.
func manyFiles(n int) func(dir, fixtures string) (string, error) {
	return func(dir, _ string) (string, error) {
		dir = filepath.Join(dir, "context")
		below := ""
		for i := range n {
			if i%1000 == 0 {
				below = filepath.Join(dir, fmt.Sprintf("%03d", i/1000%1000), fmt.Sprint(i/1_000_000))
				if err := os.MkdirAll(below, 0o755); err != nil {
					return "", err
				}
			}
			if err := os.WriteFile(filepath.Join(below, fmt.Sprintf("%03d.txt", i%1000)), fmt.Appendf(nil, "file %d of many\n", i), 0o644); err != nil {
				return "", err
			}
		}
		return dir, nil
	}
}
