// Package signtest runs what signatures are checked against in tests: cosign itself,
// and sigstore's services on this machine.
package signtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// Cosign is the program cosign.
type Cosign struct {
	path string
	home string // of its own: nothing of this machine's user is read or written
}

// OpenCosign finds Debian's cosign; without it the test is skipped.
func OpenCosign(t testing.TB) *Cosign {
	t.Helper()
	return &Cosign{servertest.Program(t, "cosign", "cosign"), t.TempDir()}
}

// cosignPatience is how long one call may take.
const cosignPatience = time.Minute

// Installed tells whether cosign is there, and what [StartServices] runs.
func Installed() (cosign, services bool) {
	cosign, services = true, true
	for _, name := range []string{"cosign", "fulcio", "posix"} {
		if _, err := servertest.Find(name); err != nil {
			cosign, services = cosign && name != "cosign", false
		}
	}
	return cosign, services
}

// Run runs cosign and returns what it prints, and in err what it says of a failure.
func (c *Cosign) Run(t testing.TB, args ...string) (stdout string, err error) {
	t.Helper()
	return c.RunIn(t, c.home, args...)
}

// RunIn is Run in a directory.
func (c *Cosign) RunIn(t testing.TB, dir string, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cosignPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+c.home, "COSIGN_PASSWORD="+Password, "TUF_ROOT="+filepath.Join(c.home, "tuf"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return string(out), &failure{strings.TrimSpace(said.String()), err}
	}
	return string(out), nil
}

// failure is what cosign says.
type failure struct {
	said string
	err  error
}

func (f *failure) Error() string { return f.err.Error() + ": " + f.said }
func (f *failure) Unwrap() error { return f.err }

// Password is that of the keys cosign makes here.
const Password = "a password"

// KeyPair has cosign make a key and returns the files of its private and public half.
func (c *Cosign) KeyPair(t testing.TB) (private, public string) {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "cosign")
	if _, err := c.Run(t, "generate-key-pair", "--output-key-prefix", prefix); err != nil {
		t.Fatal(err)
	}
	return prefix + ".key", prefix + ".pub"
}

// Verify has cosign verify an image by a public key. There is no transparency log here
// that it could ask.
func (c *Cosign) Verify(t testing.TB, public, image string, more ...string) (string, error) {
	t.Helper()
	return c.Run(t, append(append([]string{"verify", "--key", public, "--insecure-ignore-tlog=true"}, more...), image)...)
}
