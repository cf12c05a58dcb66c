package registrytest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// RealConfig is how [Real] runs a registry; its zero value is an open one.
type RealConfig struct {
	// Htpasswd is the content of a password file, with bcrypt hashes; empty asks
	// for none.
	Htpasswd string
}

// Real runs Debian's docker-registry, which is Docker's own of 2.8, on a free loopback
// port until the test is over, and returns its host. Without that program the test
// is skipped.
func Real(t testing.TB, c RealConfig) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed (Debian package docker-registry)")
	}
	return run(t, program, c)
}

// RealV3 is as [Real], with the same registry's version 3: the program "registry" in
// PATH, or where tools/fixtures/build.sh puts it.
func RealV3(t testing.TB, c RealConfig) string {
	t.Helper()
	program, err := exec.LookPath("registry")
	if err != nil {
		program, err = fixture("registry")
	}
	if err != nil {
		t.Skipf("distribution's registry is not installed; tools/fixtures/build.sh registry builds it: %v", err)
	}
	return run(t, program, c)
}

// fixture is a program that tools/fixtures/build.sh has built.
func fixture(program string) (string, error) {
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

func run(t testing.TB, program string, c RealConfig) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: %q}
`, filepath.Join(dir, "data"), host)
	if c.Htpasswd != "" {
		passwords := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(passwords, []byte(c.Htpasswd), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", passwords)
	}
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
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
		if resp, err := http.Get("http://" + host + "/v2/"); err == nil {
			resp.Body.Close()
			return host
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer at %s: %s", program, host, said)
	return ""
}
