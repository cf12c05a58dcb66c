package keychain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// TestHelper_places: programs are found where kaniko's images have them, too, and one
// on PATH comes first.
func TestHelper_places(t *testing.T) {
	path, beside, config := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, names := range map[string]string{path: "one", beside: "one two"} {
		for name := range strings.FieldsSeq(names) {
			script := "#!/bin/sh\necho '{\"Username\": \"" + name + " of " + dir + "\", \"Secret\": \"s\"}'\n"
			if err := os.WriteFile(filepath.Join(dir, program(name)), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", path+":/usr/bin:/bin")
	text := `{"credHelpers": {"one.example": "one", "two.example": "two", "three.example": "three"}}`
	if err := os.WriteFile(filepath.Join(config, configName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Docker{Dirs: []string{config}, programs: beside}
	for of, want := range map[string]string{"one.example/a": "one of " + path, "two.example/a": "two of " + beside} {
		repo, err := name.NewRepository(of)
		if err != nil {
			t.Fatal(err)
		}
		a, err := d.Resolve(repo)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := a.Authorization(); err != nil || c.Username != want {
			t.Errorf("%s: got %+v, error %v", of, c, err)
		}
	}
	repo, err := name.NewRepository("three.example/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(repo); err == nil || !strings.Contains(err.Error(), "not on PATH, nor in "+beside) {
		t.Errorf("got error %v", err)
	}
}

// TestHelper_hangs: a program that does not answer is ended, and with it what it has
// started.
func TestHelper_hangs(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	script := "#!/bin/sh\n: >" + started + "\nsleep 1000 &\nsleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, program("hangs")), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(`{"credsStore": "hangs"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	ctx, cancel := context.WithCancelCause(context.Background())
	impatient := errors.New("patience is at its end")
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel(impatient)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	repo, err := name.NewRepository("registry.example/a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Docker{Dirs: []string{dir}}).ResolveContext(ctx, repo)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, impatient) || e.Helper != program("hangs") || e.ExitCode() != exitCredentials {
		t.Errorf("got error %v", err)
	}
}
