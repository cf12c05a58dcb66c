// Treediff flattens container images into the file system a container would see, and says where two of them differ.
//
//	treediff [-mtime] [-explain FILE] A B   0 equal or every difference explained, 1 different, 2 could not tell
//	treediff [-mtime] show A                every path with its attributes
//	treediff digest A                       the manifest's digest
//
// An image is oci:DIR[:TAG], tar:FILE (docker save), or a registry reference. It is an independent oracle: it shares no code with the engine
// it judges, it keeps metadata in memory and never content.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/kaniko-suite/kaniko/shared/treediff"
)

func main() {
	mtime := flag.Bool("mtime", false, "compare modification times too")
	explain := flag.String("explain", "", "`file` of expected differences: GLOB KIND REASON per line")
	limit := flag.Int("limit", 200, "print at most this many differences")
	flag.Parse()
	differs, err := run(flag.Args(), *mtime, *explain, *limit)
	if err != nil {
		fmt.Fprintln(os.Stderr, "treediff:", err)
		os.Exit(2)
	}
	if differs {
		os.Exit(1)
	}
}

func run(args []string, mtime bool, explain string, limit int) (bool, error) {
	switch {
	case len(args) == 2 && args[0] == "show":
		return false, showTree(args[1], mtime)
	case len(args) == 2 && args[0] == "digest":
		img, err := Image(args[1])
		if err != nil {
			return false, fmt.Errorf("%s: %w", args[1], err)
		}
		d, err := img.Digest()
		if err != nil {
			return false, fmt.Errorf("%s: %w", args[1], err)
		}
		fmt.Println(d)
		return false, nil
	case len(args) != 2:
		return false, errors.New("usage: treediff [-mtime] [-explain FILE] A B | treediff show A | treediff digest A")
	}
	known, err := explanations(explain)
	if err != nil {
		return false, err
	}
	a, b, err := loadBoth(args[0], args[1])
	if err != nil {
		return false, err
	}
	return report(a, b, known, mtime, limit), nil
}

func explanations(file string) ([]treediff.Explanation, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return treediff.ReadExplanations(file, f)
}

type loaded struct {
	tree   *treediff.Tree
	config *treediff.Config
	layers int
}

func load(ref string) (loaded, error) {
	img, err := Image(ref)
	if err != nil {
		return loaded{}, fmt.Errorf("%s: %w", ref, err)
	}
	c, err := treediff.ReadConfig(img)
	if err != nil {
		return loaded{}, fmt.Errorf("%s: %w", ref, err)
	}
	t, err := treediff.Flatten(img, treediff.Options{})
	if err != nil {
		return loaded{}, fmt.Errorf("%s: %w", ref, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return loaded{}, fmt.Errorf("%s: %w", ref, err)
	}
	return loaded{t, c, len(layers)}, nil
}

func loadBoth(x, y string) (a, b loaded, err error) {
	done := make(chan error)
	go func() {
		var err error
		b, err = load(y)
		done <- err
	}()
	a, err = load(x)
	return a, b, errors.Join(err, <-done)
}

func report(a, b loaded, known []treediff.Explanation, mtime bool, limit int) bool {
	diffs := append(treediff.Configs(a.config, b.config), treediff.Trees(a.tree, b.tree, clock(mtime))...)
	for _, s := range a.tree.Anomalies {
		diffs = append(diffs, treediff.Difference{Path: "A", Kind: "anomaly", Text: s})
	}
	for _, s := range b.tree.Anomalies {
		diffs = append(diffs, treediff.Difference{Path: "B", Kind: "anomaly", Text: s})
	}
	explained := make([]int, len(known))
	open := 0
next:
	for _, d := range diffs {
		for i, x := range known {
			if x.Covers(d) {
				explained[i]++
				continue next
			}
		}
		if open++; open <= limit {
			fmt.Printf("%s  %s  %s\n", d.Path, d.Kind, d.Text)
		}
	}
	if open > limit {
		fmt.Printf("… and %d more\n", open-limit)
	}
	for i, n := range explained {
		if n > 0 {
			fmt.Printf("expected: %d × %s %s: %s\n", n, known[i].Glob, known[i].Kind, known[i].Reason)
		}
	}
	fmt.Printf("%d and %d paths, %d and %d layers, %d differences, %d of them unexplained\n",
		a.tree.Len(), b.tree.Len(), a.layers, b.layers, len(diffs), open)
	return open > 0
}

func showTree(ref string, mtime bool) error {
	l, err := load(ref)
	if err != nil {
		return err
	}
	for e := range l.tree.Entries() {
		fmt.Println(e.Path, e.Describe(clock(mtime)))
	}
	for _, s := range l.tree.Anomalies {
		fmt.Fprintln(os.Stderr, "anomaly:", s)
	}
	return nil
}

func clock(mtime bool) treediff.Clock {
	if mtime {
		return treediff.Exact
	}
	return nil
}
