package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// TestReaders: podman unpacks layers of every compression to the same files, and the
// library of eStargz finds each chunk of its layers to be what the index says.
func TestReaders(t *testing.T) {
	site, drivers := digestSite(t)
	list := filepath.Join(t.TempDir(), "first")
	if err := os.WriteFile(list, []byte("app\nd/e/f\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, flags := range [][]string{
		{"--compression=gzip"}, {"--compression=zstd"}, {"--compression=none"},
		{"--compression=estargz"}, {"--compression=zstd:chunked"}, {"--compression=estargz", "--estargz-prioritized-files=" + list},
	} {
		b := machine{driver: drivers[0], cpus: 2, flags: flags}.build(t, site)
		digestOf(t, b)
		checkIndexes(t, b)
		got := unpacked(t, b.layout)
		// Who does not know the format sees its index and marks as files.
		got = slices.DeleteFunc(got, func(line string) bool {
			return strings.HasPrefix(line, "/stargz.index.json ") || strings.HasPrefix(line, "/.prefetch.landmark ") || strings.HasPrefix(line, "/.no.prefetch.landmark ")
		})
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %q podman makes something else than of gzip: %s", flags, diff)
		}
	}
	if len(want) < 300 {
		t.Errorf("there are only %d files", len(want))
	}
}

// unpacked is what podman makes of an image: a line for each file.
func unpacked(t *testing.T, layout string) []string {
	t.Helper()
	at := servertest.Unpack(t, layout)
	var lines []string
	err := filepath.WalkDir(at, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == at { // the root's own time is in no layer
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		what := fmt.Sprintf("%s %v %d:%d %d %d", strings.TrimPrefix(path, at), info.Mode(), st.Uid, st.Gid, st.Nlink, info.ModTime().UnixNano())
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x", sha256.Sum256(raw))
		case d.Type() == os.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + link
		}
		lines = append(lines, what)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// checkIndexes verifies those layers that have an index, the index against the manifest
// and what it says of each file against the layer.
func checkIndexes(t *testing.T, b build) {
	t.Helper()
	m, err := image(t, b.layout).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	indexed := 0
	for _, l := range m.Layers {
		toc := l.Annotations[estargz.TOCJSONDigestAnnotation]
		if toc == "" {
			continue
		}
		indexed++
		raw, err := os.ReadFile(filepath.Join(b.layout, "blobs", "sha256", l.Digest.Hex))
		if err != nil {
			t.Fatal(err)
		}
		r, err := estargz.Open(io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw))), estargz.WithDecompressors(new(zstdchunked.Decompressor)))
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := r.VerifyTOC(digest.Digest(toc))
		if err != nil {
			t.Fatal(err)
		}
		root, _ := r.Lookup("")
		verifyBelow(t, r, verifier, "", root)
	}
	// The base's layer is as it was.
	if args := strings.Join(b.Args, " "); indexed != len(m.Layers)-1 && (strings.Contains(args, "estargz") || strings.Contains(args, "chunked")) {
		t.Errorf("%d of %d layers have an index", indexed, len(m.Layers))
	}
}

// verifyBelow reads all files below a directory in chunks.
func verifyBelow(t *testing.T, r *estargz.Reader, v estargz.TOCEntryVerifier, dir string, e *estargz.TOCEntry) {
	t.Helper()
	e.ForeachChild(func(name string, child *estargz.TOCEntry) bool {
		path := filepath.Join(dir, name)
		if child.Type == "dir" {
			verifyBelow(t, r, v, path, child)
			return true
		}
		if child.Type != "reg" || child.Size == 0 {
			return true
		}
		file, err := r.OpenFile(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for at := int64(0); at < child.Size; {
			chunk, ok := r.ChunkEntryForOffset(path, at)
			if !ok {
				t.Fatalf("%s has no chunk at %d", path, at)
			}
			check, err := v.Verifier(chunk)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			size := chunk.ChunkSize
			if size == 0 {
				size = child.Size - chunk.ChunkOffset
			}
			if _, err := io.Copy(check, io.NewSectionReader(file, chunk.ChunkOffset, size)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if !check.Verified() {
				t.Errorf("%s is not at %d what the index says", path, at)
			}
			at = chunk.ChunkOffset + size
		}
		return true
	})
}
