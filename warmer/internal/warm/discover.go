package warm

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// maxDockerfile bounds a Dockerfile, in bytes.
const maxDockerfile = 16 << 20

// Discover lists the images that Dockerfiles name, for each of the platforms that a
// build may be for. Bases say which triggers an image has; nil is none.
func Discover(ctx context.Context, paths []string, args map[string]string, platforms []v1.Platform, bases plan.Bases) ([]Image, error) {
	var all []Image
	for _, path := range paths {
		f, err := parse(path)
		if err != nil {
			return nil, err
		}
		for _, p := range platforms {
			named, err := plan.Images(ctx, f, plan.Options{
				Bases: bases, BuildArgs: args, TargetPlatform: p,
				BuildPlatform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
			})
			if err != nil {
				return nil, fmt.Errorf("find the images of %s: %w", path, err)
			}
			for _, n := range named {
				all = append(all, Image{n.Ref, n.Platform})
			}
		}
	}
	return all, nil
}

func parse(path string) (*dockerfile.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read Dockerfile: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxDockerfile+1))
	if err != nil {
		return nil, fmt.Errorf("read Dockerfile: %w", err)
	}
	if len(text) > maxDockerfile {
		return nil, fmt.Errorf("read Dockerfile %s: it is larger than %d bytes", path, maxDockerfile)
	}
	return dockerfile.Parse(path, text)
}

// Distinct leaves out what is there twice.
func Distinct(images []Image) []Image {
	var all []Image
	seen := map[string]bool{}
	for _, i := range images {
		if !seen[i.String()] {
			seen[i.String()] = true
			all = append(all, i)
		}
	}
	return all
}
