package registrytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// RealConfig is how [Real] runs a registry; its zero value is an open one.
type RealConfig struct {
	// Htpasswd is the content of a password file, with bcrypt hashes; empty asks
	// for none.
	Htpasswd string
	// Tokens asks for tokens of that server.
	Tokens *TokenServer
	// TLS, if set, is the certificate that HTTPS is served with.
	TLS Pair
	// Clients are asked for a certificate of this authority; needs TLS.
	Clients *Authority
	// KeepsAll refuses to delete, as the registry does that nobody told otherwise.
	KeepsAll bool
	// Memory keeps everything in the registry's memory, for tests with so many tags that
	// reading files is most of what it does.
	Memory bool
	// Mirrors is the URL of a registry that this one hands on what it has not got
	// from; it can then only be pulled from.
	Mirrors string
}

// Real runs Debian's docker-registry, which is Docker's own of 2.8, on a free loopback
// port until the test is over, and returns its host. Without that program the test
// is skipped.
func Real(t testing.TB, c RealConfig) string {
	t.Helper()
	return run(t, program(t, "docker-registry", "docker-registry"), c)
}

// RealV3 is as [Real], with the same registry's version 3: the program "registry" in
// PATH, or where tools/fixtures/build.sh puts it.
func RealV3(t testing.TB, c RealConfig) string {
	t.Helper()
	program, err := exec.LookPath("registry")
	if err != nil {
		program, err = servertest.Fixture("registry")
	}
	if err != nil {
		t.Skipf("distribution's registry is not installed; tools/fixtures/build.sh registry builds it: %v", err)
	}
	return run(t, program, c)
}

// Crane runs the registry that go-containerregistry has as a program (cmd/registry), built
// by the go command, which keeps all in memory. Without that command the test is skipped.
func Crane(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build go-containerregistry's registry with")
	}
	path := filepath.Join(t.TempDir(), "registry")
	const source = "github.com/google/go-containerregistry/cmd/registry"
	if out, err := exec.Command("go", "build", "-o", path, source).CombinedOutput(); err != nil {
		t.Skipf("go-containerregistry's registry cannot be built: %v\n%s", err, out)
	}
	host := servertest.FreeAddress(t)
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Run(t, host, exec.Command(path, "-port", port))
	return host
}

func run(t testing.TB, program string, c RealConfig) string {
	t.Helper()
	dir := t.TempDir()
	host := servertest.FreeAddress(t)
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(c.config(t, dir, host)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", path)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	servertest.Run(t, host, cmd)
	return host
}

// config is the registry's configuration; what it needs beside goes into dir.
func (c *RealConfig) config(t testing.TB, dir, host string) string {
	t.Helper()
	tls := ""
	if c.TLS != (Pair{}) {
		tls = fmt.Sprintf(", tls: {certificate: %q, key: %q", c.TLS.Cert, c.TLS.Key)
		if c.Clients != nil {
			tls += fmt.Sprintf(", clientcas: [%q]", c.Clients.File)
		}
		tls += "}"
	}
	storage := fmt.Sprintf("filesystem: {rootdirectory: %q}", filepath.Join(dir, "data"))
	if c.Memory {
		storage = "inmemory: {}"
	}
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {%s, delete: {enabled: %t}}
http: {addr: %q%s}
`, storage, !c.KeepsAll, host, tls)
	if c.Htpasswd != "" {
		passwords := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(passwords, []byte(c.Htpasswd), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", passwords)
	}
	if c.Tokens != nil {
		config += c.Tokens.config()
	}
	if c.Mirrors != "" {
		config += fmt.Sprintf("proxy: {remoteurl: %q}\n", c.Mirrors)
	}
	return config
}
