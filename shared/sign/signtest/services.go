package signtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// Services are sigstore's, all on this machine: Fulcio with an authority of its own and
// no log of certificates, and Rekor of the second version with files; and, of our own, a log of
// the first version and a timestamp authority.
type Services struct {
	Issuer    *Issuer
	Authority string // URL of Fulcio
	Log       string // URL of Rekor
	First     *FirstLog
	Timestamp string // URL of the timestamp authority
	Root      string // file with what cosign has to trust
}

// StartServices runs them until the test is over. Without their programs the test is
// skipped.
func StartServices(t testing.TB, c *Cosign) *Services {
	t.Helper()
	s := &Services{Issuer: StartIssuer(t), First: StartFirstLog(t)}
	dir := t.TempDir()
	fulcio := s.startAuthority(t, dir)
	rekor := s.startLog(t, dir)
	stamps := s.startTimestamps(t, dir)
	s.Root = filepath.Join(dir, "trusted_root.json")
	_, err := c.Run(t, "trusted-root", "create", "--out", s.Root,
		"--fulcio", "url="+s.Authority+",certificate-chain="+fulcio,
		// The log calls itself by the name of its host.
		"--rekor", "url="+s.Log+",public-key="+rekor+",start-time=2024-01-01T00:00:00Z,origin=127.0.0.1",
		"--rekor", "url="+s.First.URL+",public-key="+s.First.Public+",start-time=2024-01-01T00:00:00Z",
		"--tsa", "url="+s.Timestamp+",certificate-chain="+stamps)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Flags are how cosign is told to trust these services, and who has to have signed.
func (s *Services) Flags(email string) []string {
	return []string{
		"--trusted-root", s.Root, "--insecure-ignore-sct", // there is no log of certificates
		"--certificate-identity", email, "--certificate-oidc-issuer", s.Issuer.URL,
	}
}

func (s *Services) startAuthority(t testing.TB, dir string) (root string) {
	path := servertest.Program(t, "fulcio", "sigstore")
	config := filepath.Join(dir, "fulcio.yaml")
	write(t, config, []byte(fmt.Sprintf("oidc-issuers:\n  %[1]s: {issuer-url: %[1]s, client-id: sigstore, type: email}\n", s.Issuer.URL)))
	s.Authority = "http://" + start(t, func(ports [3]string) *exec.Cmd {
		return exec.Command(path, "serve", "--host", "127.0.0.1", "--port", ports[0],
			"--grpc-host", "127.0.0.1", "--grpc-port", ports[1], "--metrics-port", ports[2], "--legacy-unix-domain-socket", "@fulcio-"+ports[0],
			"--ca", "ephemeralca", "--ct-log-url", "", "--config-path", config)
	})
	root = filepath.Join(dir, "fulcio.pem")
	write(t, root, fetch(t, s.Authority+"/api/v1/rootCert"))
	return root
}

func (s *Services) startLog(t testing.TB, dir string) (public string) {
	path := servertest.Program(t, "posix", "sigstore")
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "rekor.key")
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if der, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	public = filepath.Join(dir, "rekor.pub")
	write(t, public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s.Log = "http://" + start(t, func(ports [3]string) *exec.Cmd {
		return exec.Command(path, "serve", "--hostname", "127.0.0.1", "--http-port", ports[0],
			"--grpc-port", ports[1], "--http-metrics-port", ports[2],
			"--signer-filepath", key, "--storage-dir", filepath.Join(dir, "log"), "--checkpoint-interval", "1s")
	})
	return public
}

// start runs a server on free ports, of which the first is the one that it is asked at,
// and returns its address. A port that is free may be another program's a moment later.
func start(t testing.TB, command func(ports [3]string) *exec.Cmd) string {
	t.Helper()
	var err error
	for range 3 {
		at := servertest.FreeAddress(t)
		cmd := command([3]string{port(t, at), port(t, servertest.FreeAddress(t)), port(t, servertest.FreeAddress(t))})
		if err = servertest.Start(t, at, cmd); err == nil {
			return at
		}
	}
	t.Fatal(err)
	return ""
}

func port(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fetch asks for a page until it is there: servers listen before they are ready.
func fetch(t testing.TB, at string) []byte {
	t.Helper()
	var said string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(at)
		if err != nil {
			said = err.Error()
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK && len(bytes.TrimSpace(text)) > 0 {
			return text
		}
		said = fmt.Sprintf("%s %v %s", resp.Status, err, text)
	}
	t.Fatalf("%s: %s", at, said)
	return nil
}
