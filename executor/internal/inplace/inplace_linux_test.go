package inplace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	slices.Sort(list)
	return list
}

func newDriver(t testing.TB, o Options) *Driver {
	t.Helper()
	before := names(t, "/kaniko")
	o.Force = true
	o.Warn = func(s string) { t.Log(s) }
	d, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(before, names(t, "/kaniko")); d != "" {
			t.Errorf("left in /kaniko:\n%s", d)
		}
	})
	return d
}

func TestJail_suite(t *testing.T) {
	needJail(t)
	sandboxtest.Run(t, func(t *testing.T) sandbox.Driver { return newDriver(t, Options{}) })
	if got, err := os.ReadFile("/etc/resolv.conf"); err != nil || len(got) == 0 {
		t.Errorf("resolv.conf of the runtime: %q, %v", got, err)
	}
}

var _ = errors.Is
var _ = filepath.Join
