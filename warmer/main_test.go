package main

import (
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func TestMain(m *testing.M) { commandtest.Main(m, "warmer", main) }

type serverKey struct{}

// TestScripts runs the warmer as its users do, each with a registry of its own at
// $REGISTRY. Beside the commands of every program's scripts there are:
//
//	push NAME SEED PLATFORM…  pushes an index of images for the platforms, each of 100 kB;
//	                          one platform alone is an image. The seed decides what is in
//	                          them. $DIGEST is then the digest of what was pushed
//	fault LINE                makes the registry fail; see registrytest
//	registry NAME plain|tls   starts another, empty one, of which $NAME is the host: one that
//	                          speaks plain HTTP and does not look like this machine, or
//	                          one whose certificate nobody knows
//	asked COUNT WORD…         the registry was asked that often, in requests that begin
//	                          with the words, since the last time
//
// $LOCKED is a registry that lets nobody in but a, whose password is b.
func TestScripts(t *testing.T) {
	commandtest.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			server := registrytest.Start(t, registrytest.Config{})
			e.Values[serverKey{}] = server
			e.Setenv("REGISTRY", server.Host())
			locked := registrytest.Start(t, registrytest.Config{User: "a", Password: "b"})
			e.Setenv("LOCKED", locked.Host())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"push": push, "fault": fault, "registry": another(t), "asked": asked},
	})
}

func another(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		c := registrytest.Config{TLS: args[1] == "tls", Public: args[1] == "plain"}
		ts.Setenv(args[0], registrytest.Start(t, c).Host())
	}
}

func fault(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(serverKey{}).(*registrytest.Server).Script(strings.Join(args, " "))
}

func asked(ts *testscript.TestScript, _ bool, args []string) {
	server := ts.Value(serverKey{}).(*registrytest.Server)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := server.Count(strings.Join(args[1:], " ")); got != want {
		ts.Fatalf("asked %d times: %q", got, server.Requests())
	}
	server.Forget()
}

func push(ts *testscript.TestScript, _ bool, args []string) {
	server := ts.Value(serverKey{}).(*registrytest.Server)
	ref, err := name.ParseReference(server.Host() + "/" + args[0])
	ts.Check(err)
	seed, err := strconv.Atoi(args[1])
	ts.Check(err)
	var images []v1.Image
	index := v1.ImageIndex(empty.Index)
	for n, text := range args[2:] {
		p, err := v1.ParsePlatform(text)
		ts.Check(err)
		img, err := makeImage(int64(seed*10+n), *p)
		ts.Check(err)
		images = append(images, img)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	var digest v1.Hash
	if len(images) == 1 {
		ts.Check(remote.Write(ref, images[0]))
		digest, err = images[0].Digest()
	} else {
		ts.Check(remote.WriteIndex(ref, index))
		digest, err = index.Digest()
	}
	ts.Check(err)
	ts.Setenv("DIGEST", digest.String())
	server.Forget()
}

func makeImage(seed int64, p v1.Platform) (v1.Image, error) {
	l, err := random.Layer(100_000, types.DockerLayer, random.WithSource(rand.NewSource(seed)))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Author = fmt.Sprint(seed)
	return mutate.ConfigFile(img, config)
}
