package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/executor/internal/cli"
	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/host"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sign/signtest"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

func TestMain(m *testing.M) {
	hostileRun()
	if err := limitKernel(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	reaper.Main()
	ignoreFlag()
	if jailed, err := conformance.EnterJail(); err != nil {
		os.Stderr.WriteString("enter the jail: " + err.Error() + "\n")
		os.Exit(1)
	} else if jailed {
		command.Main(cli.Program(nil, full()))
	}
	if grant := isolated.Main(); grant != nil {
		command.Main(cli.Program(grant, full()))
	}
	commandtest.Main(m, "executor", main)
}

// TestScripts runs the executor as its users do. Beside the commands of every
// program's scripts there are:
//
//	base NAME [busybox [TRIGGER]]
//	                      pushes a base image to $REGISTRY/NAME: one with
//	                      /etc/passwd, or with a static busybox as /bin/sh too,
//	                      and with an ONBUILD
//	files LAYOUT          prints what is in the image of an OCI layout
//	config LAYOUT         prints its config
//	manifest LAYOUT       prints its manifest
//	larger LAYOUT OTHER   succeeds if the blobs of the first are more bytes
//	names LAYOUT          prints the names in the archive of its last layer
//	layers LAYOUT         prints the digests of its layers
//	leak WORD PATH…       succeeds if the word stands in a file at or below a path,
//	                      or in what is compressed there
//	once WORD FILE        succeeds if the word stands in the file exactly once
//	pprof WORD FILE       succeeds if the file is a profile whose names have the word
//	inplace STATUS ARG…   runs the executor in a root of its own, on Linux as root
//	tags REPOSITORY       prints the tags of a repository of $REGISTRY
//	entries DIR           prints the instructions of the entries of a cache in a directory
//	evict DIR TEXT        takes the entries of an instruction away
//	redate DIR TEXT TIME  makes them so much younger than now, or older if it is below 0
//
// $GUARDED is a registry that lets nobody in but alice, whose password is s3cret, and
// so is $UNKNOWN, with a certificate that nobody has signed.
// What is sent to $COLLECTOR as traces is found in the directory spans, and $WEB
// serves the directory served and, below git/, the bare repositories of repos. So does
// $TLSWEB, whose certificate is in the file $CA. What is below private/ there is for the
// user me with the password s3cr3t, and for the token t0k3n as a user without one; below
// cut/ and cut-whole/ each answer breaks off in the middle, as networks do: the one gives
// ranges, the other does not.
func TestScripts(t *testing.T) {
	server := registrytest.Start(t, registrytest.Config{})
	guarded := registrytest.Start(t, registrytest.Config{User: "alice", Password: "s3cret", Token: true})
	unknown := registrytest.Start(t, registrytest.Config{User: "alice", Password: "s3cret", TLS: true})
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		"base":   func(ts *testscript.TestScript, _ bool, args []string) { pushBase(t, ts, server.Host(), args) },
		"files":  func(ts *testscript.TestScript, _ bool, args []string) { files(ts, open(ts, args[0])) },
		"names":  func(ts *testscript.TestScript, _ bool, args []string) { names(ts, open(ts, args[0])) },
		"leak":   leak,
		"once":   once,
		"pprof":  pprofHas,
		"larger": larger,
		"manifest": func(ts *testscript.TestScript, _ bool, args []string) {
			raw, err := open(ts, args[0]).RawManifest()
			ts.Check(err)
			fmt.Fprintf(ts.Stdout(), "%s\n", raw)
		},
		"config": func(ts *testscript.TestScript, _ bool, args []string) { config(ts, open(ts, args[0])) },
	}
	maps.Copy(cmds, cacheCommands(t, server))
	maps.Copy(cmds, registryCommands(t))
	maps.Copy(cmds, attestCommands(t, server.Host()))
	maps.Copy(cmds, signCommands(t))
	maps.Copy(cmds, systemCommands())
	commandtest.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("REGISTRY", server.Host())
			e.Setenv("GUARDED", guarded.Host())
			e.Setenv("UNKNOWN", unknown.Host())
			e.Setenv("KANIKO_DIR", e.WorkDir+"/state")
			e.Setenv(ignored, os.Getenv(ignored))
			e.Setenv("COLLECTOR", collector(e))
			web := httptest.NewServer(served(e.WorkDir))
			e.Defer(web.Close)
			e.Setenv("WEB", web.URL)
			if err := serveTLS(e); err != nil {
				return err
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "busybox":
				_, err := os.Stat(busybox)
				return err == nil, nil
			case "emulated":
				return host.Runs(t.Context(), t.TempDir(), v1.Platform{OS: "linux", Architecture: "s390x"}) == nil, nil
			case "cosign":
				cosign, _ := signtest.Installed()
				return cosign, nil
			case "sigstore":
				_, services := signtest.Installed()
				return services, nil
			case "root":
				return os.Geteuid() == 0, nil
			case "namespaces":
				choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
				return err == nil && choice.Grant != nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: cmds,
	})
}

// served is what $WEB has.
func served(work string) http.Handler {
	mux := http.NewServeMux()
	files := http.FileServer(http.Dir(work + "/served"))
	mux.Handle("/", files)
	mux.Handle("/private/", private(http.StripPrefix("/private", files)))
	mux.Handle("/cut/", cut(http.StripPrefix("/cut", files), true))
	mux.Handle("/cut-whole/", cut(http.StripPrefix("/cut-whole", files), false))
	if git, err := exec.LookPath("git"); err == nil {
		for _, root := range []string{"/git", "/private/git"} {
			var h http.Handler = &cgi.Handler{
				Path: git, Args: []string{"http-backend"}, Root: root, Stderr: io.Discard,
				Env: []string{"GIT_PROJECT_ROOT=" + work + "/repos", "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1"},
			}
			if root != "/git" {
				h = private(h)
			}
			mux.Handle(root+"/", h)
		}
	}
	return mux
}

// serveTLS serves the same by TLS.
func serveTLS(e *testscript.Env) error {
	web := httptest.NewUnstartedServer(served(e.WorkDir))
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it says so itself
	web.StartTLS()
	e.Defer(web.Close)
	e.Setenv("TLSWEB", web.URL)
	e.Setenv("CA", e.WorkDir+"/ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	return os.WriteFile(e.WorkDir+"/ca.pem", ca, 0o644)
}

// private lets in who has a password, or a token for a name.
func private(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if !(user == "me" && password == "s3cr3t" || user == "t0k3n" && password == "") {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, "who is there?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// cut breaks each answer off after so many bytes. Without ranges it gives all of a file
// the third time, and then it is whole.
func cut(h http.Handler, ranges bool) http.Handler {
	const after = 12_000
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if ranges {
			w.Header().Set("Etag", `"v1"`)
		} else {
			r.Header.Del("Range")
			w.Header().Set("Accept-Ranges", "none")
		}
		if !ranges && n > 2 {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(&cutting{ResponseWriter: w, left: after}, r)
	})
}

// cutting is an answer that is broken off.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// busybox is where Debian's package busybox-static puts it.
const busybox = "/bin/busybox"

func pushBase(t *testing.T, ts *testscript.TestScript, host string, args []string) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	add := func(h *tar.Header, content []byte) {
		h.Size = int64(len(content))
		ts.Check(tw.WriteHeader(h))
		_, err := tw.Write(content)
		ts.Check(err)
	}
	for _, dir := range []string{"bin/", "etc/", "tmp/"} {
		add(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	add(&tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/root:/bin/sh\napp:x:10:20::/home/app:/bin/sh\n"))
	if len(args) > 1 {
		content, err := os.ReadFile(busybox)
		ts.Check(err)
		add(&tar.Header{Name: "bin/busybox", Mode: 0o755}, content)
		for _, applet := range strings.Fields("sh cat echo mkdir rm ls touch chmod ln sleep id env test wc") {
			add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, nil)
		}
	}
	ts.Check(tw.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	ts.Check(err)
	img, err := mutate.AppendLayers(empty.Image, l)
	ts.Check(err)
	config := configOf(ts, img)
	if len(args) > 2 {
		config.Config.OnBuild = args[2:3]
	}
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	client := registry.New(registry.Config{})
	tag, err := client.Tag(host + "/" + args[0])
	ts.Check(err)
	ts.Check(client.PushImage(t.Context(), tag, img))
}

func configOf(ts *testscript.TestScript, img v1.Image) *v1.ConfigFile {
	c, err := img.ConfigFile()
	ts.Check(err)
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	return c
}

// open is the one image of a layout.
func open(ts *testscript.TestScript, dir string) v1.Image {
	index, err := layout.ImageIndexFromPath(ts.MkAbs(dir))
	ts.Check(err)
	m, err := index.IndexManifest()
	ts.Check(err)
	if len(m.Manifests) != 1 {
		ts.Fatalf("%d images in %s", len(m.Manifests), dir)
	}
	img, err := index.Image(m.Manifests[0].Digest)
	ts.Check(err)
	return img
}

// larger compares how many bytes the layers of two layouts have.
func larger(ts *testscript.TestScript, _ bool, args []string) {
	size := func(dir string) (sum int64) {
		m, err := open(ts, dir).Manifest()
		ts.Check(err)
		for _, l := range m.Layers {
			sum += l.Size
		}
		return sum
	}
	if a, b := size(args[0]), size(args[1]); a <= b {
		ts.Fatalf("%s has %d bytes, %s %d", args[0], a, args[1], b)
	}
}

func files(ts *testscript.TestScript, img v1.Image) {
	layers, err := img.Layers()
	ts.Check(err)
	var t tree.Tree
	for _, l := range layers {
		ts.Check(layer.Overlay(&t, layer.Open(l)))
	}
	for e, err := range t.Walk(tree.Root) {
		ts.Check(err)
		fmt.Fprintf(ts.Stdout(), "%s %d %o %d:%d %d %s%s\n", e.Path.Abs(), e.Node.Type, e.Node.Mode, e.Node.UID, e.Node.GID, e.Node.Size, e.Node.Link, e.Hard)
	}
}

func names(ts *testscript.TestScript, img v1.Image) {
	layers, err := img.Layers()
	ts.Check(err)
	r, err := layers[len(layers)-1].Uncompressed()
	ts.Check(err)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), h.Name)
	}
}

func config(ts *testscript.TestScript, img v1.Image) {
	raw, err := img.RawConfigFile()
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", raw)
}
