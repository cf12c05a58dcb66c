package servertest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Unpack has podman unpack the image of an OCI layout, in a store for this test only, and
// is the directory where it is until the test is over. Without podman, or root, the test is
// skipped.
func Unpack(t testing.TB, layout string) string {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs podman (Debian package podman), and root to unpack files of others")
	}
	// Podman takes the path for a name, which has no capitals, as the test's own has.
	dir, err := os.MkdirTemp("", "podman-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Symlink(layout, dir+"/layout")
	}
	if err != nil {
		t.Fatal(err)
	}
	podman := func(args ...string) string {
		cmd := exec.Command("podman", append([]string{
			"--root=" + dir + "/root", "--runroot=" + dir + "/run", "--tmpdir=" + dir + "/tmp", "--storage-driver=vfs",
		}, args...)...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("podman %q: %v\n%s", args, err, said.Bytes())
		}
		return strings.TrimSpace(string(out))
	}
	id := podman("pull", "-q", "oci:"+dir+"/layout")
	t.Cleanup(func() { podman("image", "unmount", id) })
	return podman("image", "mount", id)
}
