package main

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// registries are those that scripts have of their own.
type registries struct {
	t  *testing.T
	mu sync.Mutex
	of map[string]*registrytest.Server // by host
}

// registryCommands are for scripts that have registries of their own:
//
//	registry NAME [immutable|limited|plain|tls|mutual]
//	                          starts one whose host is $NAME. Limited ones take no
//	                          request of more than 1 MiB; plain ones do not look like
//	                          this machine, so that plain HTTP is not good enough; those
//	                          with tls have a certificate that nobody knows; mutual ones
//	                          have one of the authority $NAME_CA, and want $NAME_CERT
//	                          and $NAME_KEY
//	fault NAME LINE           makes it fail; see registrytest
//	asked NAME COUNT WORD…    it was asked that often, in requests that begin with the
//	                          words, since the last time
//	image NAME REPOSITORY:TAG pushes an image with a layer of 3 MiB, by other means
func registryCommands(t *testing.T) map[string]func(*testscript.TestScript, bool, []string) {
	r := &registries{t: t, of: map[string]*registrytest.Server{}}
	return map[string]func(*testscript.TestScript, bool, []string){
		"registry": r.start,
		"fault": func(ts *testscript.TestScript, _ bool, args []string) {
			r.named(ts, args[0]).Script(strings.Join(args[1:], " "))
		},
		"asked": r.asked,
		"image": r.image,
	}
}

func (r *registries) start(ts *testscript.TestScript, _ bool, args []string) {
	name, kind := args[0], strings.Join(args[1:], " ")
	var c registrytest.Config
	switch kind {
	case "":
	case "immutable":
		c.Immutable = true
	case "plain":
		c.Public = true
	case "tls":
		c.TLS = true
	case "limited":
		c.MaxBody = 1 << 20
	case "mutual":
		ca := registrytest.NewAuthority(r.t)
		ours := ca.Issue(r.t, "builder")
		c.Certificate, c.Clients = ca.Issue(r.t, "127.0.0.1"), ca
		ts.Setenv(name+"_CA", ca.File)
		ts.Setenv(name+"_CERT", ours.Cert)
		ts.Setenv(name+"_KEY", ours.Key)
	default:
		ts.Fatalf("there are no registries that are %s", kind)
	}
	server := registrytest.Start(r.t, c)
	ts.Setenv(name, server.Host())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[server.Host()] = server
}

func (r *registries) named(ts *testscript.TestScript, name string) *registrytest.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	server := r.of[ts.Getenv(name)]
	if server == nil {
		ts.Fatalf("there is no registry %s", name)
	}
	return server
}

func (r *registries) asked(ts *testscript.TestScript, _ bool, args []string) {
	server := r.named(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := server.Count(strings.Join(args[2:], " ")); got != want {
		ts.Fatalf("asked %d times: %q", got, server.Requests())
	}
	server.Forget()
}

func (r *registries) image(ts *testscript.TestScript, _ bool, args []string) {
	img, err := random.Image(3<<20, 1)
	ts.Check(err)
	client := registry.New(registry.Config{})
	tag, err := client.Tag(ts.Getenv(args[0]) + "/" + args[1])
	ts.Check(err)
	ts.Check(client.PushImage(r.t.Context(), tag, img))
	r.named(ts, args[0]).Forget()
}
