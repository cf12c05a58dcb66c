package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

// cachedDockerfile is what changes little from build to build: a tool made of sources in a stage of its own, ten steps of installing, and the application last. Each
// RUN leaves random bytes or the date: a step that was done again shows.
func cachedDockerfile() string {
	return "FROM @debian@ AS tool\nCOPY src/ /src/\nRUN mkdir /out && cat /src/* >/out/tool && head -c 20M /dev/urandom >>/out/tool\n" +
		"FROM @big@\n" + tenRuns() + "COPY --from=tool /out/ /opt/tool/\nCOPY app/ /app/\nENTRYPOINT [\"/app/start\"]\n"
}

// cachedContext makes the build context with that content in app/version. All its times are the same, so that two contexts differ in nothing else.
func cachedContext(version string) func(dir, fixtures string) (string, error) {
	return func(dir, _ string) (string, error) {
		dir = filepath.Join(dir, "context")
		files := map[string]string{"app/start": "#!/bin/sh\nexec cat /app/version\n", "app/version": version + "\n"}
		for i := range 20 {
			files[fmt.Sprintf("app/conf/%02d.conf", i)] = strings.Repeat(fmt.Sprintf("setting.%d = value %d\n", i, i), 40)
			files[fmt.Sprintf("src/%02d.txt", i)] = strings.Repeat(fmt.Sprintf("line of source %d\n", i), 100)
		}
		for name, text := range files {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return "", err
			}
			if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
				return "", err
			}
		}
		date := time.Unix(1735689600, 0)
		return dir, filepath.WalkDir(dir, func(file string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(file, date, date))
		})
	}
}

// An image is one that a build has pushed.
type image struct {
	fixture.Manifest
	repo     string
	registry *fixture.Registry
}

// hasVersion demands that app/version has this content.
func hasVersion(version string) func(ctx context.Context, first, now image) error {
	return func(ctx context.Context, _, now image) error {
		text, err := now.registry.File(ctx, now.repo, now.Manifest, "app/version")
		if err != nil {
			return err
		}
		if string(text) != version+"\n" {
			return fmt.Errorf("app/version in the image is %q, want %q", text, version+"\n")
		}
		return nil
	}
}

// sameLayers demands the layers of the first image, but for the uppermost, and what then demands.
func sameLayers(but int, then func(ctx context.Context, first, now image) error) func(ctx context.Context, first, now image) error {
	return func(ctx context.Context, first, now image) error {
		if len(now.DiffIDs) != len(first.DiffIDs) {
			return fmt.Errorf("the image has %d layers, and what filled the cache had %d", len(now.DiffIDs), len(first.DiffIDs))
		}
		n := len(now.DiffIDs) - but
		if !slices.Equal(now.DiffIDs[:n], first.DiffIDs[:n]) {
			var wrong []int
			for i := range n {
				if now.DiffIDs[i] != first.DiffIDs[i] {
					wrong = append(wrong, i)
				}
			}
			return fmt.Errorf("layers %v of %d, counted from 0, are not what the cache was filled with", wrong, len(now.DiffIDs))
		}
		return then(ctx, first, now)
	}
}
