package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

func TestChosen_cachedTogether(t *testing.T) {
	for only, want := range map[string][]string{
		"cached hit": {"cached fill", "cached hit", "cached change"},
		"^warmed$":   {"warmed"},
		"go|copy":    {"copy", "go"},
		"more":       {"unchanged", "unchanged more"},
		"nothing":    nil,
	} {
		var got []string
		o := options{only: regexp.MustCompile(only), shrink: 1}
		for _, w := range o.workloads() {
			got = append(got, w.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", only, got, want)
		}
	}
}

func TestSameLayers(t *testing.T) {
	looked := errors.New("looked")
	then := func(context.Context, image, image) error { return looked }
	of := func(ids ...string) image { return image{Manifest: fixture.Manifest{DiffIDs: ids}} }
	for name, c := range map[string]struct {
		but  int
		now  image
		good bool
	}{
		"same":                {0, of("a", "b"), true},
		"last is another":     {0, of("a", "x"), false},
		"last may be another": {1, of("a", "x"), true},
		"first is another":    {1, of("x", "b"), false},
		"one less":            {1, of("a"), false},
		"one more":            {0, of("a", "b", "c"), false},
	} {
		err := sameLayers(c.but, then)(t.Context(), of("a", "b"), c.now)
		if good := errors.Is(err, looked); err == nil || good != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two contexts differ in one file's content and in nothing else, not even a time.
func TestCachedContext(t *testing.T) {
	var times, texts [2]string
	var root string
	for i, version := range []string{"1", "2"} {
		dir, err := cachedContext(version)(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		root = dir
		err = filepath.Walk(dir, func(file string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, file)
			times[i] += rel + " " + info.ModTime().String() + " " + info.Mode().String() + "\n"
			if err == nil && info.Mode().IsRegular() && rel != "app/version" {
				text, err := os.ReadFile(file)
				texts[i] += string(text)
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if times[0] != times[1] || texts[0] != texts[1] {
		t.Errorf("contexts differ:\n%s%s", times[0], times[1])
	}
	if text, err := os.ReadFile(filepath.Join(root, "app/version")); err != nil || string(text) != "2\n" {
		t.Errorf("version %q, %v", text, err)
	}
}
