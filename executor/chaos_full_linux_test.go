package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestChaos_full has builds write all they write to a file system that is larger each
// time, until one passes: the disk is full at one write after the other. Each ends with a
// status that says so, and what it wrote before is of no harm. docs/reliability.md.
func TestChaos_full(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting takes root")
	}
	u := newRuins(t)
	otherwise := int64(500)
	if u.programs == "" {
		otherwise = 20
	}
	steps := float64(setting(t, chaosRuns, otherwise)) / 5
	const smallest, largest = 64 << 10, 64 << 20
	factor := math.Pow(largest/smallest, 1/max(steps, 4))
	for _, output := range []string{"layers in a directory", "an archive", "a layout"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			r := u.begin(t, strings.ReplaceAll(strings.ReplaceAll(output, "a ", ""), " ", "-"), u.open, false)
			small := filepath.Join(r.dir, "small")
			if err := errors.Join(os.Mkdir(small, 0o755), syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k")); err != nil {
				t.Skipf("no file system can be mounted: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(small, 0); err != nil {
					t.Error(err)
				}
			})
			r.onto(small, output)
			var outcomes tally
			tried := 0
			for size := float64(smallest); ; size *= factor {
				tried++
				if size > largest {
					t.Errorf("64 MiB do not suffice")
					break
				}
				if r.cramped(t, small, int64(size), &outcomes) || t.Failed() {
					break
				}
			}
			t.Logf("%d sizes\n%s", tried, outcomes.String())
		})
	}
}

// onto has a run write to a directory, and what it makes in a form.
func (r *ruin) onto(dir, output string) {
	for n, flag := range r.flags {
		switch {
		case strings.HasPrefix(flag, "--kaniko-dir="):
			r.flags[n] = "--kaniko-dir=" + dir + "/kaniko"
		case strings.HasPrefix(flag, "--destination=") && output != "layers in a directory":
			r.flags[n] = "--no-push"
		}
	}
	switch output {
	case "layers in a directory":
		r.cache = "oci:" + dir + "/cache"
		r.flags = append(r.flags, "--cache", "--cache-copy-layers", "--cache-repo="+r.cache)
	case "an archive":
		r.flags = append(r.flags, "--tarPath="+dir+"/image.tar", "--destination="+r.at+"/"+r.repo+":1")
	default:
		r.flags = append(r.flags, "--oci-layout-path="+dir+"/layout")
	}
}

// cramped builds with so many bytes of room; true if that is enough for everything.
func (r *ruin) cramped(t *testing.T, small string, size int64, outcomes *tally) bool {
	t.Helper()
	left, err := filepath.Glob(small + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		if err := os.RemoveAll(p); err != nil {
			t.Fatal(err)
		}
	}
	room := func(bytes int64) {
		if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
			t.Fatal(err)
		}
	}
	room(size)
	out, err := r.build(nil)
	code, want := status(err), r.want["gzip"]
	outcomes.add(fmt.Sprint(code), 1)
	legible(t, out)
	full := bytes.Contains(bytes.ToLower(out), []byte("no space left"))
	switch {
	case code == 0:
		if got := r.built(t); got != want {
			t.Errorf("with %d bytes of room it makes %s, not %s\n%s", size, got, want, out)
		}
	case code == 1: // of the command, which has met it
	case !slices.Contains([]int{73, 74}, code):
		t.Errorf("with %d bytes of room it ends with %d\n%s", size, code, out)
	}
	if code != 0 && !full {
		t.Errorf("with %d bytes of room it does not say what is wrong\n%s", size, out)
	}
	r.clean(t)
	room(256 << 20)
	for _, d := range []string{"kaniko"} {
		if files := filesIn(small + "/" + d); len(files) > 0 {
			t.Errorf("with %d bytes of room, files are left: %q", size, files)
		}
	}
	if slices.Contains(r.flags, "--no-push") || slices.ContainsFunc(r.flags, func(f string) bool { return strings.HasPrefix(f, "--tarPath=") }) {
		if out, err := r.build(nil); err != nil || r.built(t) != want {
			t.Errorf("after %d bytes of room: %v, %s\n%s", size, err, r.built(t), out)
		}
	} else {
		r.sound(t, want)
	}
	return code == 0 && !full
}

// filesIn are the regular files below a directory that may not be there.
func filesIn(dir string) (files []string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error { //nolint:errcheck // what cannot be read is not there
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	return files
}
