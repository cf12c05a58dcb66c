// Package objecttest runs object stores for tests, and lines to them that break.
package objecttest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Program is a server that tools/fixtures/build.sh builds by the name of fixture, in
// PATH or where that puts it. Without it the test is skipped.
func Program(t testing.TB, program, fixture string) string {
	t.Helper()
	path, err := Find(program)
	if err != nil {
		t.Skipf("%s is not installed; tools/fixtures/build.sh %s builds it: %v", program, fixture, err)
	}
	return path
}

// Find is where such a program is.
func Find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
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
	return exec.LookPath(filepath.Join(dir, "bin", program))
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

// Run runs a server until the test is over, and returns when something listens at
// the address.
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
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
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

// Mapped is a client for which all names are at one address. Its connections end
// with the test.
func Mapped(t testing.TB, address string) (*http.Client, *http.Transport) {
	t.Helper()
	return MappedBy(t, func(string) string { return address })
}

// MappedBy is a client that is told where a host is.
func MappedBy(t testing.TB, where func(host string) string) (*http.Client, *http.Transport) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, where(host))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, transport
}
