package kind_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// alice is a keychain with one pair of name and secret, for every registry.
type alice struct{}

func (alice) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "alice", Password: "secret"}), nil
}

func client(c registry.Config) *registry.Client {
	c.Retry = registry.Retry{Wait: time.Millisecond, Stall: 5 * time.Second}
	return registry.New(c)
}

func repository(t *testing.T, c *registry.Client, s string) name.Repository {
	t.Helper()
	repo, err := c.Repository(s)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func open(t *testing.T, c *registry.Client, repo name.Repository, o kind.Options) kind.Registry {
	t.Helper()
	r, err := kind.Open(c, repo, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name() != o.Kind {
		t.Fatalf("opened %s for %s", r.Name(), o.Kind)
	}
	return r
}

// listed are the tags, sorted by name and digest.
func listed(t *testing.T, r kind.Registry, repo name.Repository) []kind.Tag {
	t.Helper()
	all := []kind.Tag{}
	if err := r.Tags(context.Background(), repo, func(tag kind.Tag) error {
		all = append(all, tag)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b kind.Tag) int {
		return strings.Compare(a.Name+" "+a.Digest.Hex, b.Name+" "+b.Digest.Hex)
	})
	return all
}

func names(all []kind.Tag) []string {
	some := []string{}
	for _, t := range all {
		some = append(some, t.Name)
	}
	return some
}

func push(t *testing.T, c *registry.Client, repo name.Repository, img v1.Image, tags ...string) v1.Hash {
	t.Helper()
	for _, tag := range tags {
		if err := c.PushImage(context.Background(), repo.Tag(tag), img); err != nil {
			t.Fatal(err)
		}
	}
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// reals are the registries that run here. The one of go-containerregistry, which many
// test with, leaves tags when their digest is deleted.
func reals() map[string]func(*testing.T, registrytest.RealConfig) string {
	return map[string]func(*testing.T, registrytest.RealConfig) string{
		"docker-registry 2.8": func(t *testing.T, c registrytest.RealConfig) string { return registrytest.Real(t, c) },
		"distribution 3":      func(t *testing.T, c registrytest.RealConfig) string { return registrytest.RealV3(t, c) },
		"go-containerregistry": func(t *testing.T, _ registrytest.RealConfig) string {
			s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
			t.Cleanup(s.Close)
			return strings.TrimPrefix(s.URL, "http://")
		},
	}
}

func TestReal(t *testing.T) {
	for real, start := range reals() {
		for _, as := range []string{"oci", "tags-first"} {
			t.Run(real+" "+as, func(t *testing.T) {
				if real == "go-containerregistry" && as == "oci" {
					t.Skip("its tags stay: it is of the other kind")
				}
				ctx := context.Background()
				c := client(registry.Config{})
				repo := repository(t, c, start(t, registrytest.RealConfig{})+"/a/cache")
				r := open(t, c, repo, kind.Options{Kind: as})
				old := push(t, c, repo, image(t), "old", "same")
				push(t, c, repo, image(t), "new")
				if diff := cmp.Diff([]string{"new", "old", "same"}, names(listed(t, r, repo))); diff != "" {
					t.Fatal(diff)
				}
				can, err := r.Probe(ctx, repo)
				if err != nil || can.Delete != kind.Yes || can.Why != nil {
					t.Errorf("probe: %v, %v, %v", can.Delete, can.Why, err)
				}
				if diff := cmp.Diff([]string{"new", "old", "same"}, names(listed(t, r, repo))); diff != "" {
					t.Errorf("after the probe: %s", diff)
				}
				for range 2 {
					if err := r.Delete(ctx, repo, kind.Victim{Digest: old, Tags: []string{"old", "same"}}); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff([]string{"new"}, names(listed(t, r, repo))); diff != "" {
					t.Error(diff)
				}
				for _, ref := range []name.Reference{repo.Tag("old"), repo.Digest(old.String())} {
					if _, err := client(registry.Config{}).Manifest(ctx, ref, 1<<20); !errors.Is(err, registry.ErrNotFound) {
						t.Errorf("%s: %v", ref, err)
					}
				}
			})
		}
	}
}

func TestRealOff(t *testing.T) {
	for real, start := range reals() {
		if real == "go-containerregistry" {
			continue // it cannot be told to keep all
		}
		t.Run(real, func(t *testing.T) {
			ctx := context.Background()
			c := client(registry.Config{})
			repo := repository(t, c, start(t, registrytest.RealConfig{KeepsAll: true})+"/a/cache")
			r := open(t, c, repo, kind.Options{Kind: "oci"})
			h := push(t, c, repo, image(t), "1")
			can, err := r.Probe(ctx, repo)
			if err != nil || can.Delete != kind.No || !errors.Is(can.Why, registry.ErrUnsupported) {
				t.Errorf("probe: %v, %v, %v", can.Delete, can.Why, err)
			}
			if err := r.Delete(ctx, repo, kind.Victim{Digest: h, Tags: []string{"1"}}); !errors.Is(err, registry.ErrUnsupported) {
				t.Errorf("delete: %v", err)
			}
		})
	}
}

// TestProbe is a registry that may not be deleted from, one that cannot be asked, and
// one that is out of order.
func TestProbe(t *testing.T) {
	ctx := context.Background()
	tokens := registrytest.StartTokens(t, registrytest.TokenConfig{Allow: func(_, _, action string) bool { return action != "delete" }})
	c := client(registry.Config{})
	repo := repository(t, c, registrytest.Real(t, registrytest.RealConfig{Tokens: tokens})+"/a/cache")
	can, err := open(t, c, repo, kind.Options{Kind: "oci"}).Probe(ctx, repo)
	var e *registry.Error
	if err != nil || can.Delete != kind.No || !errors.As(can.Why, &e) || e.ExitCode() != 77 {
		t.Errorf("denied: %v, %v, %v", can.Delete, can.Why, err)
	}
	repo = repository(t, c, "127.0.0.1:1/a/cache")
	if can, err := open(t, c, repo, kind.Options{Kind: "oci"}).Probe(ctx, repo); err == nil {
		t.Errorf("out of reach: %v", can)
	}
}

func TestOpen(t *testing.T) {
	c := client(registry.Config{})
	for host, want := range map[string]string{
		"ghcr.io":                           "ghcr",
		"docker.io":                         "hub",
		"index.docker.io":                   "hub",
		"gcr.io":                            "google",
		"eu.gcr.io":                         "google",
		"europe-west1-docker.pkg.dev":       "google",
		"team.azurecr.io":                   "acr",
		"team.azurecr.cn":                   "acr",
		"quay.io":                           "oci",
		"registry.gitlab.com":               "oci",
		"1.dkr.ecr.eu-west-1.amazonaws.com": "oci",
		"notgcr.io":                         "oci",
		"127.0.0.1:5000":                    "oci",
	} {
		for _, as := range []string{"", kind.Auto} {
			r, err := kind.Open(c, repository(t, c, host+"/a/b"), kind.Options{Kind: as})
			if err != nil || r.Name() != want {
				t.Errorf("%s: %v, %v, want %s", host, r, err, want)
			}
		}
	}
	for _, as := range kind.Kinds() {
		open(t, c, repository(t, c, "host.example/a/b"), kind.Options{Kind: as})
	}
	_, err := kind.Open(c, repository(t, c, "host.example/a/b"), kind.Options{Kind: "nexus"})
	var e *kind.UnknownError
	if !errors.As(err, &e) || !strings.Contains(e.Error(), "nexus") || !strings.Contains(e.Hint(), "ghcr") || e.ExitCode() != 64 {
		t.Errorf("nexus: %v", err)
	}
}

func digest(t *testing.T, n int) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader([]byte(fmt.Sprint(n))))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
