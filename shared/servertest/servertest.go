// Package servertest finds the programs of others that tests run against, and runs those
// that are servers.
package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Fixtures is the directory that tools/fixtures/build.sh builds into: $KANIKO_FIXTURES, or
// else one in the user's cache.
func Fixtures() (string, error) {
	if dir := os.Getenv("KANIKO_FIXTURES"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "kaniko-fixtures"), nil
}

// Fixture is where tools/fixtures/build.sh has put a program.
func Fixture(program string) (string, error) {
	dir, err := Fixtures()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(dir, "bin", program))
}

// Find is where a program is, in PATH or among the fixtures.
func Find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return Fixture(program)
}

// Program finds one that tools/fixtures/build.sh builds by the name of fixture. Without it
// the test is skipped.
func Program(t testing.TB, program, fixture string) string {
	t.Helper()
	path, err := Find(program)
	if err != nil {
		t.Skipf("%s is not installed; tools/fixtures/build.sh %s builds it: %v", program, fixture, err)
	}
	return path
}

// FreeAddress is a loopback address that nothing listens at.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Run runs a server until the test is over, and returns when something listens at the
// address.
func Run(t testing.TB, address string, cmd *exec.Cmd) {
	t.Helper()
	if err := Start(t, address, cmd); err != nil {
		t.Fatal(err)
	}
}

// Start is Run for who can try again: another program may have taken the address by now.
func Start(t testing.TB, address string, cmd *exec.Cmd) error {
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
		cmd.Wait() // its end is what matters
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // it may have ended
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
