package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/rogpeppe/go-internal/testscript"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "inspect", main) }

// TestScripts runs inspect as its users do, with $REGISTRY, and $LOCKED, which wants a
// password. Beside the commands of every program's scripts there is:
//
//	build CACHE IMAGE  leaves in a layer cache what a build of IMAGE, which it pushes,
//	                   would leave: a hit, whose key is $HIT, and a RUN whose key was
//	                   $BEFORE and is $AFTER. The image's digest is $DIGEST
//	image, index       push images: see images_test.go
//	attach, attested   attach things to them: see attached_test.go
//	env-file FILE      sets the variable that the file gives as NAME=VALUE
func TestScripts(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{
		"in memory":    func(t *testing.T) string { return registrytest.Start(t, registrytest.Config{Referrers: true}).Host() },
		"registry 2.8": func(t *testing.T) string { return registrytest.Real(t, registrytest.RealConfig{}) },
		"registry 3":   func(t *testing.T) string { return registrytest.RealV3(t, registrytest.RealConfig{}) },
	} {
		t.Run(name, func(t *testing.T) {
			host := start(t)
			locked := registrytest.Start(t, registrytest.Config{Token: true, User: "a", Password: "b"}).Host()
			commandtest.Run(t, testscript.Params{
				Dir: "testdata/script",
				Setup: func(e *testscript.Env) error {
					e.Setenv("REGISTRY", host)
					e.Setenv("LOCKED", locked)
					e.Setenv("DIGEST0", "sha256:"+strings.Repeat("0", 64))
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"env-file": func(ts *testscript.TestScript, _ bool, args []string) {
						key, value, _ := strings.Cut(strings.TrimSpace(ts.ReadFile(args[0])), "=")
						ts.Setenv(key, value)
					},
					"image":    func(ts *testscript.TestScript, _ bool, args []string) { image(t, ts, args) },
					"index":    func(ts *testscript.TestScript, _ bool, args []string) { index(t, ts, args) },
					"attach":   func(ts *testscript.TestScript, _ bool, args []string) { attach(t, ts, args) },
					"attested": func(ts *testscript.TestScript, _ bool, args []string) { attested(t, ts, args) },
					"build":    func(ts *testscript.TestScript, _ bool, args []string) { build(t, ts, args[0], args[1]) },
				},
			})
		})
	}
}

func build(t *testing.T, ts *testscript.TestScript, spec, ref string) {
	client := registry.New(registry.Config{})
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Author: ref})
	ts.Check(err)
	tag, err := client.Tag(ref)
	ts.Check(err)
	ts.Check(client.PushImage(t.Context(), tag, img))
	digest, err := img.Digest()
	ts.Check(err)

	place, err := cache.Open(spec, client, cache.Options{Tool: "test"})
	ts.Check(err)
	created := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)
	put := func(variable string, lines ...string) cachekey.Key {
		w := cachekey.NewWriter()
		for _, l := range lines {
			fields := strings.Fields(l)
			w.Line(fields[0], fields[1:]...)
		}
		d := w.Definition()
		ts.Check(place.Put(t.Context(), cache.Result{Definition: d, Created: created}))
		ts.Setenv(variable, string(d.Key()))
		return d.Key()
	}
	hit := put("HIT", "dir /src")
	put("BEFORE", "run make all", "env VERSION 1")
	after := put("AFTER", "run make all", "env VERSION 2")
	ts.Check(place.Record(t.Context(), cache.Journal{
		Lineage: "0123", Image: digest.String(), Started: created, Ended: created.Add(2 * time.Second), Tool: "kaniko executor v1",
		Steps: []cache.Step{
			{Stage: 0, Name: "build", Line: 2, Text: "WORKDIR /src", Key: hit, Use: cache.Hit},
			{Stage: 0, Name: "build", Line: 3, Text: "RUN make all", Key: after, Use: cache.Made, Missed: []string{"variable VERSION: 1 → 2"}},
		},
	}))
	ts.Setenv("DIGEST", digest.String())
}
