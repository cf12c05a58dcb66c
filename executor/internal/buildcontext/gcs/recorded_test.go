package gcs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// What cannot run here is played from testdata: what Google's services answer to
// those who log in, which fake-gcs-server does not ask for.

// google leads all names of Google's to a recording. What is a machine of Google's
// is found out once in a process, so all tests are on one; it has no account, unless
// metadata is where its metadata is.
func google(t *testing.T, recording, metadata string) Options {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	if metadata == "" {
		metadata = objecttest.Serve(t, http.NotFoundHandler(), nil)
	}
	t.Setenv("GCE_METADATA_HOST", metadata)
	return recorded(t, objecttest.Recorded(t, filepath.Join("testdata", recording+".txtar"), nil))
}

func recorded(t *testing.T, h http.Handler) Options {
	t.Helper()
	certificate := objecttest.NewCertificate(t, "*.googleapis.com")
	client, transport := objecttest.Mapped(t, objecttest.Serve(t, h, certificate))
	transport.TLSClientConfig = &tls.Config{RootCAs: certificate.Pool}
	return Options{Client: client, UserAgent: "kaniko/test", Getenv: func(string) string { return "" }}
}

func hello(t *testing.T, address string, o Options) {
	t.Helper()
	r, err := fetch(t, address, o)
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, []byte("hello"))
}

func TestOpen_serviceAccount(t *testing.T) {
	o := google(t, "serviceaccount", "")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	write(t, path, map[string]string{
		"type": "service_account", "project_id": "test", "private_key_id": "1", "client_email": "kaniko@test.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "https://oauth2.googleapis.com/token",
	})
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	hello(t, "gs://builds/x", o)
}

// leaveLogin leaves what gcloud would.
func leaveLogin(t *testing.T) {
	t.Helper()
	dir := filepath.Join(os.Getenv("HOME"), ".config", "gcloud")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "application_default_credentials.json"), map[string]string{
		"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "USERTOKEN",
	})
}

func write(t *testing.T, path string, content map[string]string) {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_user(t *testing.T) {
	o := google(t, "user", "")
	leaveLogin(t)
	hello(t, "gs://builds/x", o)
}

func TestOpen_revoked(t *testing.T) {
	o := google(t, "revoked", "")
	leaveLogin(t)
	_, err := fetch(t, "gs://builds/x", o)
	wrong(t, err, 77, "gs://builds/x", "400", "expired or revoked", "GOOGLE_APPLICATION_CREDENTIALS")
}

func TestOpen_forbidden(t *testing.T) {
	o := google(t, "forbidden", "")
	leaveLogin(t)
	_, err := fetch(t, "gs://builds/x", o)
	wrong(t, err, 77, "gs://builds/x", "403", "someone@example.com", "Storage Object Viewer")
}

func TestOpen_metadata(t *testing.T) {
	h := objecttest.Recorded(t, "testdata/metadata.txtar", nil)
	machine := objecttest.Serve(t, h, nil)
	o := recorded(t, h)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", machine)
	hello(t, "gs://builds/x", o)
}

func TestOpen_anonymous(t *testing.T) {
	o := google(t, "anonymous", "")
	hello(t, "gs://public/x", o)
	_, err := fetch(t, "gs://builds/x", o)
	wrong(t, err, 77, "gs://builds/x", "401", "not public", "GOOGLE_APPLICATION_CREDENTIALS", "metadata server")
	_, err = fetch(t, "gs://builds/busy", o)
	wrong(t, err, 75, "gs://builds/busy", "429", "rateLimitExceeded", "exceeded the rate limit")
}

func TestOpen_credentialsWrong(t *testing.T) {
	o := recorded(t, http.NotFoundHandler())
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("GCE_METADATA_HOST", servertest.FreeAddress(t))
	for name, content := range map[string]string{"missing": "", "text": "secret", "type": `{"type": "unknown"}`, "key": `{"type": "service_account", "private_key": "secret"}`} {
		path := filepath.Join(dir, name)
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		_, err := fetch(t, "gs://builds/x", o)
		wrong(t, err, 77, "gs://builds/x", "credentials of "+path)
	}
}
