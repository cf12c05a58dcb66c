package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// collector takes what a traced program sends, and keeps each request's body as a
// file in the script's directory spans.
func collector(e *testscript.Env) string {
	var n atomic.Int64
	dir := filepath.Join(e.WorkDir, "spans")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprint(n.Add(1))), body, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	e.Defer(srv.Close)
	return srv.URL
}

// leak looks for a word in every byte of files, as they are and decompressed.
func leak(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: leak WORD PATH…")
	}
	word := []byte(args[0])
	looked, found := 0, ""
	for _, path := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(path), func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			looked++
			for _, open := range []func(string) (io.Reader, error){plain, decompressed} {
				r, err := open(p)
				if err != nil {
					continue // not compressed in a way that is known
				}
				if text, _ := io.ReadAll(r); bytes.Contains(text, word) {
					found = p
				}
			}
			return nil
		}))
	}
	switch {
	case looked == 0:
		ts.Fatalf("there is no file to look into")
	case neg && found != "":
		ts.Fatalf("%q stands in %s", word, found)
	case !neg && found == "":
		ts.Fatalf("%q stands in none of %d files", word, looked)
	}
}

// once counts a word in a file.
func once(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: once WORD FILE")
	}
	if n := strings.Count(ts.ReadFile(args[1]), args[0]); n != 1 {
		ts.Fatalf("%q stands %d times in %s", args[0], n, args[1])
	}
}

func plain(path string) (io.Reader, error) {
	text, err := os.ReadFile(path)
	return bytes.NewReader(text), err
}

func decompressed(path string) (io.Reader, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return layer.Decompress(io.NopCloser(bytes.NewReader(text)))
}
