package plan_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// triggering has one image, with triggers.
type triggering struct{ triggers []string }

func (t triggering) Resolve(_ context.Context, ref string, p v1.Platform) (*plan.Image, error) {
	if ref != "trigger:1" {
		return nil, errors.New("not there")
	}
	return &plan.Image{Ref: ref, Platform: p, Config: &v1.ConfigFile{Config: v1.Config{OnBuild: t.triggers}}}, nil
}

func TestImages(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		args map[string]string
		want []string
	}{
		"one":              {"FROM debian:12\n", nil, []string{"debian:12"}},
		"default of ARG":   {"ARG TAG=12\nARG NAME=debian:${TAG}\nFROM $NAME\n", nil, []string{"debian:12"}},
		"build argument":   {"ARG TAG=12\nFROM debian:${TAG}\n", map[string]string{"TAG": "13"}, []string{"debian:13"}},
		"ARG with no use":  {"ARG TAG=12\nFROM debian:${TAG:-11}\nARG TAG=13\nFROM debian:$TAG\n", nil, []string{"debian:12"}},
		"stages":           {"FROM golang:1 AS build\nFROM build AS test\nFROM BUILD\nCOPY --from=build a b\nCOPY --from=0 a b\n", nil, []string{"golang:1"}},
		"scratch":          {"FROM scratch\nCOPY --from=tool:1 a b\n", nil, []string{"tool:1"}},
		"mounts":           {"FROM a\nRUN --mount=from=b,target=/b --mount=type=cache,from=c,target=/c --mount=type=secret,id=d true\n", nil, []string{"a", "b", "c"}},
		"twice":            {"FROM a\nCOPY --from=b x y\nFROM a\nCOPY --from=b x y\n", nil, []string{"a", "b"}},
		"not needed":       {"FROM a AS one\nFROM b AS two\nFROM c\nCOPY --from=one x y\n", nil, []string{"a", "b", "c"}},
		"named as itself":  {"FROM debian AS debian\nFROM debian\n", nil, []string{"debian"}},
		"named as a later": {"FROM later\nFROM a AS later\n", nil, []string{"later", "a"}},
		"platforms": {"FROM --platform=$BUILDPLATFORM a\nFROM a\nFROM --platform=linux/arm64 a\nCOPY --from=a x y\n", nil,
			[]string{"a linux/amd64", "a linux/s390x", "a linux/arm64"}},
		"digest":             {"FROM debian:12@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", nil, []string{"debian:12@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
		"comments":           {"# FROM a\n#syntax=docker/dockerfile:1\nFROM b\n", nil, []string{"b"}},
		"heredoc":            {"FROM a\nRUN <<E\nFROM x\nCOPY --from=y 1 2\nE\n", nil, []string{"a"}},
		"trigger of a base":  {"FROM trigger:1\n", nil, []string{"trigger:1", "of-trigger"}},
		"trigger of a stage": {"FROM a AS x\nONBUILD COPY --from=b 1 2\nFROM x\n", nil, []string{"a", "b"}},
		"empty reference":    {"ARG X\nFROM a$X\n", nil, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := dockerfile.Parse("Dockerfile", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			got, err := plan.Images(t.Context(), f, plan.Options{
				BuildArgs: c.args, Bases: triggering{[]string{"COPY --from=of-trigger a b"}},
				BuildPlatform: v1.Platform{OS: "linux", Architecture: "amd64"}, TargetPlatform: v1.Platform{OS: "linux", Architecture: "s390x"},
			})
			if err != nil {
				t.Fatal(err)
			}
			var refs []string
			for _, i := range got {
				if i.At.Line == 0 {
					t.Errorf("%s has no place", i.Ref)
				}
				if name == "platforms" {
					i.Ref += " " + i.Platform.String()
				}
				refs = append(refs, i.Ref)
			}
			if !slices.Equal(refs, c.want) {
				t.Errorf("images %q, want %q", refs, c.want)
			}
		})
	}
}

func TestImages_faults(t *testing.T) {
	for name, text := range map[string]string{
		"no base":       "ARG X\nFROM $X\n",
		"later stage":   "FROM a\nCOPY --from=b x y\nFROM c AS b\n",
		"platform":      "FROM --platform=a/b/c/d x\n",
		"windows":       "FROM --platform=windows/amd64 x\n",
		"of itself":     "FROM a AS b\nCOPY --from=b x y\n",
		"from a number": "FROM a\nCOPY --from=7 x y\n",
	} {
		f, err := dockerfile.Parse("Dockerfile", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var fault *dockerfile.Error
		if got, err := plan.Images(t.Context(), f, plan.Options{}); !errors.As(err, &fault) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
