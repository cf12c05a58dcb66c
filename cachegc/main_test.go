package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/cachegc/internal/place/placetest"
	"github.com/kaniko-suite/kaniko/shared/base"
	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "cachegc", main) }

// Scripts share $REGISTRY, a real one, and have repositories of their own in it. They
// have some commands more:
//
//	fill CACHE WORD AGE [SIZE [PARENT [LINEAGE]]]
//	build CACHE AGE LINEAGE WORD...
//	holds CACHE WORD...
//
// fill makes an entry of a number of bytes that is made on that of another word, - for
// none; an age is such as 36h. build leaves the journal of a build that used entries. holds
// checks that a cache has just the entries of these words. $KEEPS is a registry that does
// not delete.
//
//	foreign CACHE WORD AGE  makes an entry as kaniko v1 does
//	registry NAME [plain|tls|mutual]  starts one in memory, whose host is $NAME: a plain one
//	                    does not look like this machine; one with tls has a certificate that
//	                    nobody knows; a mutual one has one of the authority $NAME_CA, and
//	                    wants $NAME_CERT and $NAME_KEY. It does not delete
//	warm DIR NAME AGE SEED  puts a base image into a directory, as warmer does; the seed
//	                    decides what is in it
//	used DIR NAME AGE   has a build use it
//	fault NAME LINE     makes it fail; see registrytest
func TestScripts(t *testing.T) {
	host := registrytest.RealV3(t, registrytest.RealConfig{})
	keeps := registrytest.RealV3(t, registrytest.RealConfig{KeepsAll: true})
	var words, servers sync.Map // of caches every word that was ever filled; servers by host
	commandtest.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("REGISTRY", host)
			e.Setenv("KEEPS", keeps)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fill":     func(ts *testscript.TestScript, neg bool, args []string) { fill(t, ts, &words, neg, args) },
			"build":    func(ts *testscript.TestScript, neg bool, args []string) { build(t, ts, neg, args) },
			"registry": func(ts *testscript.TestScript, _ bool, args []string) { start(t, ts, &servers, args) },
			"fault": func(ts *testscript.TestScript, _ bool, args []string) {
				server, ok := servers.Load(ts.Getenv(args[0]))
				if !ok {
					ts.Fatalf("there is no registry %s", args[0])
				}
				server.(*registrytest.Server).Script(strings.Join(args[1:], " "))
			},
			"foreign": func(ts *testscript.TestScript, _ bool, args []string) { foreign(t, ts, args[0], args[1], args[2]) },
			"warm":    func(ts *testscript.TestScript, _ bool, args []string) { warm(t, ts, host, args) },
			"used":    func(ts *testscript.TestScript, _ bool, args []string) { used(ts, args[0], args[1], args[2]) },
			"holds":   func(ts *testscript.TestScript, neg bool, args []string) { holds(t, ts, &words, neg, args) },
		},
	})
}

// at is a cache by its name in a script.
func at(t *testing.T, ts *testscript.TestScript, spec string) *cache.Place {
	if dir, ok := strings.CutPrefix(spec, "oci:"); ok {
		spec = "oci:" + ts.MkAbs(dir)
	}
	return placetest.Cache(t, spec)
}

// before is the time that was an age ago.
func before(ts *testscript.TestScript, age string) time.Time {
	d, err := time.ParseDuration(age)
	ts.Check(err)
	return time.Now().Add(-d)
}

func fill(t *testing.T, ts *testscript.TestScript, words *sync.Map, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fill CACHE WORD AGE [SIZE [PARENT [LINEAGE]]]")
	}
	e := placetest.Entry{Word: args[1], Created: before(ts, args[2]), Lineage: "app"}
	if len(args) > 3 {
		size, err := strconv.Atoi(args[3])
		ts.Check(err)
		e.Size = size
	}
	if len(args) > 4 && args[4] != "-" {
		e.Parent = args[4]
	}
	if len(args) > 5 {
		e.Lineage = args[5]
	}
	placetest.Put(t, at(t, ts, args[0]), e)
	words.Store(ts.Name()+" "+args[0]+" "+e.Word, true)
}

func build(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: build CACHE AGE LINEAGE WORD...")
	}
	placetest.Record(t, at(t, ts, args[0]), placetest.Journal{Lineage: args[2], Ended: before(ts, args[1]), Hits: args[3:]})
}

func holds(t *testing.T, ts *testscript.TestScript, words *sync.Map, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: holds CACHE WORD...")
	}
	c := at(t, ts, args[0])
	want := map[string]bool{}
	for _, w := range args[1:] {
		want[w] = true
	}
	var wrong []string
	words.Range(func(k, _ any) bool {
		word, ok := strings.CutPrefix(k.(string), ts.Name()+" "+args[0]+" ")
		if !ok {
			return true
		}
		_, err := c.Get(t.Context(), placetest.Definition(word).Key())
		if there := err == nil; there != want[word] {
			wrong = append(wrong, fmt.Sprintf("%s is there: %t", word, there))
		}
		return true
	})
	if len(wrong) > 0 {
		ts.Fatalf("%s: %s", args[0], strings.Join(wrong, ", "))
	}
}

func start(t *testing.T, ts *testscript.TestScript, servers *sync.Map, args []string) {
	var c registrytest.Config
	switch strings.Join(args[1:], " ") {
	case "":
	case "plain":
		c.Public = true
	case "tls":
		c.TLS = true
	case "mutual":
		ca := registrytest.NewAuthority(t)
		ours := ca.Issue(t, "cleaner")
		c.Certificate, c.Clients = ca.Issue(t, "127.0.0.1"), ca
		ts.Setenv(args[0]+"_CA", ca.File)
		ts.Setenv(args[0]+"_CERT", ours.Cert)
		ts.Setenv(args[0]+"_KEY", ours.Key)
	default:
		ts.Fatalf("there are no such registries: %q", args[1:])
	}
	server := registrytest.Start(t, c)
	ts.Setenv(args[0], server.Host())
	servers.Store(server.Host(), server)
}

func foreign(t *testing.T, ts *testscript.TestScript, spec, word, age string) {
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte(word), types.DockerLayer))
	ts.Check(err)
	image, err = mutate.CreatedAt(image, v1.Time{Time: before(ts, age)})
	ts.Check(err)
	client := placetest.Client()
	repo, err := client.Repository(spec)
	ts.Check(err)
	ts.Check(client.PushImage(t.Context(), repo.Tag(placetest.Key(word)), image))
}

func warm(t *testing.T, ts *testscript.TestScript, host string, args []string) {
	ctx, client, when := t.Context(), placetest.Client(), before(ts, args[2])
	seed, err := strconv.Atoi(args[3])
	ts.Check(err)
	image, err := random.Image(10_000, 2, random.WithSource(rand.NewSource(int64(seed))))
	ts.Check(err)
	at := host + "/" + args[1]
	ref, err := client.Tag(at)
	ts.Check(err)
	ts.Check(client.PushImage(ctx, ref, image))
	store, err := base.CreateStore(ts.MkAbs(args[0]))
	ts.Check(err)
	defer store.Close()
	linux := v1.Platform{OS: "linux", Architecture: "amd64"}
	pulled, err := client.Resolve(ctx, at, linux)
	ts.Check(err)
	release, err := store.Hold(ctx)
	ts.Check(err)
	defer release()
	for _, l := range pulled.Blobs() {
		ts.Check(store.AddLayer(ctx, l, false))
	}
	ts.Check(store.AddImage(ctx, ref, linux, pulled, when))
	ts.Check(filepath.WalkDir(filepath.Join(store.Path(), "blobs"), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, when, when))
	}))
	used(ts, args[0], args[1], args[2])
}

// used has the store as it is when a build used an image, or warmer was asked for it.
func used(ts *testscript.TestScript, dir, name, age string) {
	store, err := base.OpenStore(ts.MkAbs(dir))
	ts.Check(err)
	defer store.Close()
	images, err := store.Images()
	ts.Check(err)
	refs, err := ocidir.Open(ts.MkAbs(dir))
	ts.Check(err)
	defer refs.Close()
	when := before(ts, age)
	for _, i := range images {
		if !slices.ContainsFunc(i.Names, func(n string) bool { return strings.HasSuffix(n, "/"+name) }) {
			continue
		}
		for _, ref := range i.Refs {
			ts.Check(refs.Touch(ref, when))
		}
	}
}
