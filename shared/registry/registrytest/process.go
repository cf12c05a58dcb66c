package registrytest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// address is a free port of this machine alone.
func address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

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

// serve runs a server until the test is over, and returns when it listens at host.
func serve(t testing.TB, host string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		log.Close()
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			deadline = time.Time{}
			continue
		default:
		}
		if conn, err := net.Dial("tcp", host); err == nil {
			conn.Close()
			return
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer at %s: %s", cmd.Path, host, said)
}
