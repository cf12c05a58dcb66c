package azblob

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// What cannot run here is played from testdata: what Azure's login and a machine's
// metadata answer. The token they give is checked by Azurite.

const (
	tenant = "11111111-2222-3333-4444-555555555555"
	client = "66666666-7777-8888-9999-000000000000"
)

// token is one as Azure's login makes them, for a purpose.
func token(t *testing.T, audience string) string {
	t.Helper()
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"aud": audience, "iss": "https://sts.windows.net/" + tenant + "/", "tid": tenant, "oid": client,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + part(claims) + "." + part([]byte("signature"))
}

// azure leads to Azurite and to recordings: that of the login, and that of the
// machine's metadata. An empty name is nothing that answers.
func (a *azurite) azure(t *testing.T, login, machine string, vars map[string]string) *http.Client {
	t.Helper()
	play := func(name string, c *objecttest.Certificate) string {
		if name == "" {
			return servertest.FreeAddress(t)
		}
		return objecttest.Serve(t, objecttest.Recorded(t, filepath.Join("testdata", name+".txtar"), vars), c)
	}
	logins, machines := play(login, a.certificate), play(machine, nil)
	c, transport := objecttest.MappedBy(t, func(host string) string {
		switch {
		case strings.HasPrefix(host, "login."):
			return logins
		case strings.HasPrefix(host, "169.254."):
			return machines
		}
		return a.address
	})
	transport.TLSClientConfig = a.transport.TLSClientConfig.Clone()
	return c
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testWorkload(t *testing.T, a *azurite) {
	content := objecttest.Content(1000, 1)
	a.put(t, "builds/x", "", content)
	t.Setenv("AZURE_TENANT_ID", tenant)
	t.Setenv("AZURE_CLIENT_ID", client)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file(t, "PODTOKEN"))
	c := a.azure(t, "workload", "", map[string]string{"TOKEN": token(t, "https://storage.azure.com")})
	r, err := fetch(t, at("builds/x"), with(c, ""))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)

	// Azurite knows no roles, so who may not read is here who has a token for others.
	c = a.azure(t, "workload", "", map[string]string{"TOKEN": token(t, "https://vault.azure.net")})
	_, err = fetch(t, at("builds/x"), with(c, ""))
	wrong(t, err, 77, at("builds/x"), "Storage Blob Data Reader")
}

func testApplication(t *testing.T, a *azurite) {
	content := objecttest.Content(1000, 1)
	a.put(t, "builds/x", "", content)
	t.Setenv("AZURE_TENANT_ID", tenant)
	t.Setenv("AZURE_CLIENT_ID", client)
	t.Setenv("AZURE_CLIENT_SECRET", "APPLICATIONSECRET")
	c := a.azure(t, "application_china", "", map[string]string{"TOKEN": token(t, "https://storage.azure.com")})
	r, err := fetch(t, strings.Replace(at("builds/x"), "windows.net", "chinacloudapi.cn", 1), with(c, ""))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)

	c = a.azure(t, "application_refused", "", nil)
	_, err = fetch(t, at("builds/x"), with(c, ""))
	wrong(t, err, 77, at("builds/x"), "login.microsoftonline.com answered 401 Unauthorized: AADSTS700016: Application with identifier")
	if text := err.Error(); strings.Contains(text, "APPLICATIONSECRET") || strings.Contains(text, "Trace ID") {
		t.Errorf("too much is said: %s", text)
	}
}

func testManaged(t *testing.T, a *azurite) {
	content := objecttest.Content(1000, 1)
	a.put(t, "builds/x", "", content)
	t.Setenv("AZURE_CLIENT_ID", client)
	c := a.azure(t, "", "managed", map[string]string{"TOKEN": token(t, "https://storage.azure.com")})
	r, err := fetch(t, at("builds/x"), with(c, ""))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
}

// A machine that was given no identity may read what is public, and so may one that
// is somebody else's, where other things answer in the place of metadata.
func testNobody(t *testing.T, a *azurite) {
	a.put(t, "builds/x", "", []byte("x"))
	_, err := fetch(t, at("builds/x"), with(a.azure(t, "", "managed_none", nil), ""))
	wrong(t, err, 77, "not public")
	asked := 0
	other := objecttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.NotFound(w, r)
	}), nil)
	c, transport := objecttest.MappedBy(t, func(host string) string {
		if strings.HasPrefix(host, "169.254.") {
			return other
		}
		return a.address
	})
	transport.TLSClientConfig = a.transport.TLSClientConfig.Clone()
	_, err = fetch(t, at("builds/x"), with(c, ""))
	wrong(t, err, 77, "not public")
	if asked != 1 {
		t.Errorf("what is not Azure's was asked %d times", asked)
	}
}
