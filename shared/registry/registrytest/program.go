package registrytest

import (
	"os/exec"
	"testing"
)

// program finds a server's program, also where only root has it in PATH, or skips the
// test.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed (Debian package %s)", name, debian)
	return ""
}
