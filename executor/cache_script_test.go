package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/cachekey"
	"github.com/kaniko-suite/kaniko/shared/ocidir"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// cacheCommands are what scripts look into caches with, and meddle with them. DIR is
// that of a cache in an OCI layout, TEXT the instruction of an entry.
func cacheCommands(t *testing.T, server *registrytest.Server) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"layers": func(ts *testscript.TestScript, _ bool, args []string) { layers(ts, open(ts, args[0])) },
		"tags": func(ts *testscript.TestScript, _ bool, args []string) {
			fmt.Fprintln(ts.Stdout(), strings.Join(server.Tags(args[0]), "\n"))
		},
		"entries": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, e := range entriesOf(t, ts, args[0]) {
				fmt.Fprintln(ts.Stdout(), e.text)
			}
		},
		"evict": func(ts *testscript.TestScript, _ bool, args []string) {
			dir := openCache(ts, args[0])
			defer dir.Close()
			for _, e := range named(t, ts, args[0], args[1]) {
				ts.Check(dir.RemoveRef(cache.LayoutRefs + string(e.key)))
			}
		},
		"redate": func(ts *testscript.TestScript, _ bool, args []string) { redate(t, ts, args) },
	}
}

func layers(ts *testscript.TestScript, img v1.Image) {
	all, err := img.Layers()
	ts.Check(err)
	for _, l := range all {
		digest, err := l.Digest()
		ts.Check(err)
		fmt.Fprintln(ts.Stdout(), digest)
	}
}

// stored is an entry of a cache.
type stored struct {
	key  cachekey.Key
	text string // of the instruction
}

func openCache(ts *testscript.TestScript, path string) *ocidir.Dir {
	dir, err := ocidir.Open(ts.MkAbs(path))
	ts.Check(err)
	return dir
}

func entriesOf(t *testing.T, ts *testscript.TestScript, path string) []stored {
	dir := openCache(ts, path)
	defer dir.Close()
	names, err := dir.Refs(strings.TrimSuffix(cache.LayoutRefs, "/"))
	ts.Check(err)
	var all []stored
	for _, name := range names {
		ref, err := dir.Ref(name)
		ts.Check(err)
		r, err := dir.Blob(t.Context(), *ref.Manifest)
		ts.Check(err)
		raw, err := io.ReadAll(r)
		ts.Check(errors.Join(err, r.Close()))
		var m v1.Manifest
		ts.Check(json.Unmarshal(raw, &m))
		if m.Annotations[cache.AnnotationKind] == cache.KindEntry {
			all = append(all, stored{cachekey.Key(m.Annotations[cache.AnnotationKey]), m.Annotations[cache.AnnotationText]})
		}
	}
	return all
}

// named are the entries of an instruction; there must be some.
func named(t *testing.T, ts *testscript.TestScript, path, text string) []stored {
	var found []stored
	for _, e := range entriesOf(t, ts, path) {
		if e.text == text {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		ts.Fatalf("%s has no entry of %q", path, text)
	}
	return found
}

// redate makes an entry as old as wanted, or of the future.
func redate(t *testing.T, ts *testscript.TestScript, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: redate DIR TEXT DURATION")
	}
	by, err := time.ParseDuration(args[2])
	ts.Check(err)
	place, err := cache.Open("oci:"+ts.MkAbs(args[0]), registry.New(registry.Config{}), cache.Options{})
	ts.Check(err)
	for _, e := range named(t, ts, args[0], args[1]) {
		entry, err := place.Get(t.Context(), e.key)
		ts.Check(err)
		definition, err := place.Definition(t.Context(), e.key)
		ts.Check(err)
		ts.Check(place.Put(t.Context(), cache.Result{
			Definition: definition, Layer: entry.Layer, Index: entry.Index, Text: e.text, Created: time.Now().Add(by),
		}))
	}
}
