package signtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// program is one that tools/fixtures/build.sh builds by the name of fixture, in PATH or
// where that puts it. Without it the test is skipped.
func program(t testing.TB, name, fixture string) string {
	t.Helper()
	path, err := find(name)
	if err != nil {
		t.Skipf("%s is not installed; tools/fixtures/build.sh %s builds it: %v", name, fixture, err)
	}
	return path
}

func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	dir := os.Getenv("KANIKO_FIXTURES")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(cache, "kaniko-fixtures")
	}
	return exec.LookPath(filepath.Join(dir, "bin", name))
}

// freeAddress is a loopback address that nothing listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run runs a server until the test is over, and returns when something listens at the
// address. Another program may have taken the address by now.
func run(t testing.TB, address string, cmd *exec.Cmd) error {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // it is killed
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
		log.Close()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			deadline = time.Time{}
			continue
		default:
		}
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return nil
		}
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("%s does not listen at %s: %s", cmd.Path, address, said)
}
