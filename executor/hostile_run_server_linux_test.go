package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// plantBase has a registry answer for base with an image of busybox and, if there is one,
// of the program that means harm.
func plantBase(t *testing.T, server *registrytest.Server, busybox, hostile []byte) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin/", "tmp/", "etc/"} {
		add(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
	}
	add(&tar.Header{Name: "bin/busybox", Mode: 0o755}, busybox)
	for _, applet := range []string{"sh", "cat", "dd", "echo", "grep", "kill", "ls", "mkdir", "mv", "printf", "rm", "setsid", "sleep", "touch", "test", "tr", "true", "wc", "yes", "head", "date", "nohup"} {
		add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}, nil)
	}
	if hostile != nil {
		add(&tar.Header{Name: hostileName, Mode: 0o755}, hostile)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l := static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), l)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Env = []string{"PATH=/bin"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	name, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	layertest.Image{
		MediaType: types.OCIManifestSchema1, Manifest: manifest, Blobs: map[v1.Hash][]byte{name: raw, digest: b.Bytes()},
	}.Plant(server, "base", "latest")
}

// A gate has one command wait until another is done. Who connects says first whether it
// is to hold or to probe.
type gate struct {
	listener net.Listener

	mu      sync.Mutex
	aside   bool          // both run side by side
	holding chan struct{} // closed once the one holds
	probed  chan struct{} // closed once the other is done
}

func newGate(t *testing.T) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g := &gate{listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.serve(conn)
		}
	}()
	return g
}

func (g *gate) address() string { return g.listener.Addr().String() }

// open begins anew.
func (g *gate) open(aside bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.aside, g.holding, g.probed = aside, make(chan struct{}), make(chan struct{})
}

func (g *gate) serve(conn net.Conn) {
	defer conn.Close()
	const long = 30 * time.Second // should the machine run only one at a time
	g.mu.Lock()
	aside, holding, probed := g.aside, g.holding, g.probed
	g.mu.Unlock()
	wait := func(c chan struct{}) {
		if !aside {
			return
		}
		select {
		case <-c:
		case <-time.After(long):
		}
	}
	switch line, _ := bufio.NewReader(conn).ReadString('\n'); line {
	case "hold\n":
		close(holding)
		wait(probed)
	case "probe\n":
		wait(holding)
		fmt.Fprintln(conn, "go")
		io.Copy(io.Discard, conn)
		close(probed)
	}
}
