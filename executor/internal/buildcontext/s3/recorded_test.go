package s3

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// What cannot run here is played from testdata: what Amazon's services answer, and a
// store that takes the temporary credentials they give, which versitygw does not.

func recorded(t *testing.T, name string) string {
	t.Helper()
	vars := map[string]string{"ID": accessKey, "SECRET": secretKey}
	return objecttest.Serve(t, objecttest.Recorded(t, filepath.Join("testdata", name+".txtar"), vars), nil)
}

func TestOpen_machines(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(t *testing.T, service string)
	}{
		{"instance", func(t *testing.T, service string) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+service)
		}},
		{"webidentity", func(t *testing.T, service string) {
			t.Setenv("AWS_ENDPOINT_URL_STS", "http://"+service)
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/builder")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "PODTOKEN"))
		}},
		{"container", func(t *testing.T, service string) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+service+"/v1/credentials")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file(t, "AGENTTOKEN"))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			isolate(t)
			service := recorded(t, tc.name)
			tc.set(t, service)
			r, err := fetch(t, "s3://builds/x", at(service))
			if err != nil {
				t.Fatal(err)
			}
			objecttest.Same(t, r, []byte("hello"))
		})
	}
}

// Credentials that are meant to be there are missed if they are not.
func TestOpen_webIdentityRefused(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("AWS_ENDPOINT_URL_STS", "http://"+recorded(t, "webidentity_refused"))
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/builder")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "secret"))
	_, err := fetch(t, "s3://builds/x", at(servertest.FreeAddress(t)))
	wrong(t, err, 77, "s3://builds/x", "No OpenIDConnect provider")
}

// Most machines have something else, or nothing, where an instance has its metadata.
func TestOpen_noInstance(t *testing.T) {
	g := serve(t)
	g.put(t, "x", []byte("x"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	for _, h := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+objecttest.Serve(t, h, nil))
		_, err := fetch(t, "s3://builds/x", at(g.address))
		wrong(t, err, 77, "not public")
	}
}

func TestOpen_region(t *testing.T) {
	isolate(t)
	as(t, accessKey, secretKey)
	certificate := objecttest.NewCertificate(t, "*.s3.us-east-1.amazonaws.com", "*.s3.eu-west-3.amazonaws.com")
	address := objecttest.Serve(t, objecttest.Recorded(t, "testdata/region.txtar", nil), certificate)
	client, transport := objecttest.Mapped(t, address)
	transport.TLSClientConfig = &tls.Config{RootCAs: certificate.Pool}
	r, err := fetch(t, "s3://builds/x", Options{Client: client, UserAgent: "kaniko/test", Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, []byte("hello"))
}

func TestOpen_busy(t *testing.T) {
	isolate(t)
	as(t, accessKey, secretKey)
	r, err := fetch(t, "s3://builds/x", at(recorded(t, "busy")))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, []byte("hello"))
}

func TestOpen_refusals(t *testing.T) {
	isolate(t)
	as(t, accessKey, secretKey)
	store := recorded(t, "refusals")
	for key, want := range map[string]struct {
		code int
		says string
	}{
		"expired": {77, "get new ones"}, "skewed": {77, "clock"}, "archived": {69, "restore"}, "down": {75, "500"}, "elsewhere": {69, "301"},
	} {
		_, err := fetch(t, "s3://builds/"+key, at(store))
		wrong(t, err, want.code, want.says)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
