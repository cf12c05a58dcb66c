package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// layered is an image whose files depend on how layers lie one above the other.
func layered(t *testing.T, by string) v1.Image {
	t.Helper()
	return imageOf(t, []string{
		"by=" + by, "mtime=1000000000", "created=2026-11-23T16:00:00Z", "label.a=1", "env=B=2", "run=RUN one",
		"etc/passwd=root", "etc/gone=1", "opt/old/a=1", "opt/old/b=2", "srv/d/deep/x=1", "usr/lib/libc=12345", "lib->usr/lib", "kind/file=1", "kind/dir/x=1", "kind/link->file",
		"layer", "run=RUN two",
		"etc/.wh.gone=", "opt/old/c=3", "opt/old/.wh..wh..opq=", "srv/.wh.d=", "usr/lib/libm=1", "etc/passwd=toor",
		"layer", "run=RUN three",
		"kind/dir=now a file", "kind/link=now a file too", "srv/d/again=1", "kind/.wh.file=", "opt/empty=", "etc/abs->/etc/passwd",
	})
}

// answer is what a command prints as JSON.
func answer(t *testing.T, to any, args ...string) {
	t.Helper()
	status, out := inspect(t, append(args, "--output", "json")...)
	if status != 0 {
		t.Fatalf("%q: status %d: %s", args, status, out)
	}
	if err := json.Unmarshal([]byte(out), to); err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
}

// TestShow_skopeo: what skopeo says of an image in a registry is what show says.
func TestShow_skopeo(t *testing.T) {
	program, err := exec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo is not installed (Debian package skopeo)")
	}
	name := registrytest.Start(t, registrytest.Config{}).Host() + "/app:1"
	push(t, name, layered(t, "gzip"))
	cmd := exec.CommandContext(t.Context(), program, "--override-arch", "amd64", "inspect", "--tls-verify=false", "docker://"+name)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Digest, Created, Architecture, Os string
		Labels                            map[string]string
		Env, Layers                       []string
	}
	if err := json.Unmarshal(raw, &theirs); err != nil {
		t.Fatal(err)
	}
	var ours struct {
		Digest string
		Images []struct {
			Platform, Created string
			Labels            map[string]string
			Env               []string
			Layers            []struct{ Digest, CreatedBy string }
		}
	}
	answer(t, &ours, "show", name)
	i := ours.Images[0]
	var layers, made []string
	for _, l := range i.Layers {
		layers, made = append(layers, l.Digest), append(made, l.CreatedBy)
	}
	for what, pair := range map[string][2]any{
		"digest": {theirs.Digest, ours.Digest}, "created": {theirs.Created, i.Created}, "platform": {theirs.Os + "/" + theirs.Architecture, i.Platform},
		"labels": {theirs.Labels, i.Labels}, "variables": {theirs.Env, i.Env}, "layers": {theirs.Layers, layers},
		"history": {[]string{"RUN one", "RUN two", "RUN three"}, made}, // skopeo does not tell
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s (skopeo -, show +): %s", what, diff)
		}
	}
}

// TestFiles_podman: what podman unpacks is what ls lists and extract saves, whatever
// layers are compressed by.
func TestFiles_podman(t *testing.T) {
	want := unpacked(t, layered(t, "gzip"))
	if len(want) < 15 {
		t.Fatalf("podman has only %q", want)
	}
	name := registrytest.Start(t, registrytest.Config{}).Host() + "/app:"
	for _, by := range []string{"gzip", "zstd", "estargz", "zstd:chunked"} {
		ref := name + strings.ReplaceAll(by, ":", "-")
		push(t, ref, layered(t, by))
		if diff := cmp.Diff(want, listing(t, ref)); diff != "" {
			t.Errorf("%s (podman -, ls +): %s", by, diff)
		}
		dest := filepath.Join(t.TempDir(), "all")
		if status, out := inspect(t, "extract", ref, "/", dest); status != 0 {
			t.Fatalf("status %d: %s", status, out)
		}
		if diff := cmp.Diff(want, onDisk(t, dest)); diff != "" {
			t.Errorf("%s (podman -, extract +): %s", by, diff)
		}
	}
}

// listing is what ls says, as a line for each path.
func listing(t *testing.T, ref string) []string {
	t.Helper()
	var said struct {
		Files []struct {
			Path, Type, Mode, Link, Digest string
			UID, GID, Size                 int
		}
	}
	answer(t, &said, "ls", "--recursive", ref)
	var all []string
	for _, f := range said.Files {
		line := fmt.Sprintf("%s %s %s %d:%d", f.Path, f.Type, f.Mode, f.UID, f.GID)
		switch f.Type {
		case "file":
			line += fmt.Sprintf(" %d %s", f.Size, f.Digest)
		case "symlink":
			line += " " + f.Link
		}
		all = append(all, line)
	}
	return all
}

// onDisk is the same of a directory.
func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		kind, what := "dir", ""
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			kind, what = "file", fmt.Sprintf(" %d sha256:%x", len(raw), sha256.Sum256(raw))
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			kind, what = "symlink", " "+target
		}
		st := info.Sys().(*syscall.Stat_t)
		all = append(all, fmt.Sprintf("%s %s %04o %d:%d%s", strings.TrimPrefix(path, dir), kind, st.Mode&0o7777, st.Uid, st.Gid, what))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// unpacked is what podman makes of an image, in a place that it has for this test only.
func unpacked(t *testing.T, img v1.Image) []string {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir+"/layout", empty.Index)
	if err == nil {
		err = path.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return onDisk(t, servertest.Unpack(t, dir+"/layout"))
}
