package keychain_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain/clouds"
)

// nowhere is an environment in which nobody is anything: the clouds' libraries read the
// process's.
func nowhere(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "CI_", "KUBERNETES_", "DOCKER_", "XDG_", "REGISTRY_", "MSI_", "IDENTITY_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
}

// secretFile is a file with a text in it.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// found is what a keychain says.
type found struct {
	user, password, source string
	tried                  string
}

func look(t *testing.T, k authn.Keychain, of string) found {
	t.Helper()
	repo, err := name.NewRepository(of)
	if err != nil {
		t.Fatal(err)
	}
	a, err := authn.Resolve(context.Background(), k, repo)
	if err != nil {
		t.Fatal(err)
	}
	var f found
	f.tried = strings.Join(a.(interface{ Tried() []string }).Tried(), "; ")
	c, err := authn.Authorization(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	f.user, f.password = c.Username, c.Password
	if s, ok := a.(interface{ Source() string }); ok {
		f.source = s.Source()
	}
	return f
}

const (
	private = "012345678901.dkr.ecr.eu-central-1.amazonaws.com/app"
	tenant  = "72f988bf-0000-0000-0000-2d7cd011db47"
	person  = "11111111-0000-0000-0000-000000000001"
)

// googleKey is the file of a service account, with a key of its own.
func googleKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "k", "client_email": "ci@p.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"token_uri":   "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return secretFile(t, string(text))
}

func googleUserFile() string {
	return `{"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "1//r3fresh"}`
}

// TestClouds: each way in which a cloud knows who we are, against exchanges as they are
// documented. None of these services can run here.
func TestClouds(t *testing.T) {
	aws := func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	}
	azure := func(t *testing.T, name, value string) {
		t.Setenv("AZURE_CLIENT_ID", person)
		t.Setenv("AZURE_TENANT_ID", tenant)
		t.Setenv(name, value)
	}
	for _, tc := range []struct {
		record, of   string
		env          func(t *testing.T)
		user, source string
	}{
		{"ecr-private.http", private, aws, "AWS", "ECR, AWS credentials by EnvConfigCredentials"},
		{"ecr-fips.http", "012345678901.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app", aws, "AWS", "ECR"},
		{"ecr-china.http", "012345678901.dkr.ecr.cn-north-1.amazonaws.com.cn/app", aws, "AWS", "ECR"},
		{"ecr-public.http", "public.ecr.aws/team/app", aws, "AWS", "ECR"},
		{"ecr-private.http", private, func(t *testing.T) {
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", secretFile(t, "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s3cretkey\n"))
		}, "AWS", "ECR, AWS credentials by SharedConfigCredentials"},
		{"ecr-web-identity.http", private, func(t *testing.T) {
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::012345678901:role/build")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", secretFile(t, "pr0jected"))
		}, "AWS", "ECR, AWS credentials by WebIdentityCredentials"},
		{"ecr-container.http", private, func(t *testing.T) {
			// Amazon's library has a transport of its own for this one.
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				resp, err := replay(t, "ecr-container-credentials.http").RoundTrip(r)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				io.Copy(w, resp.Body)
			}))
			t.Cleanup(server.Close)
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL+"/v1/credentials")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", secretFile(t, "p0d"))
		}, "AWS", "ECR, AWS credentials by"},
		{"ecr-instance.http", private, func(*testing.T) {}, "AWS", "ECR, AWS credentials by EC2RoleProvider"},
		{"google-service-account.http", "europe-docker.pkg.dev/p/r/app", func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", googleKey(t))
		}, "oauth2accesstoken", "Google, file of $GOOGLE_APPLICATION_CREDENTIALS"},
		{"google-user.http", "eu.gcr.io/p/app", func(t *testing.T) {
			dir := filepath.Join(os.Getenv("HOME"), ".config", "gcloud")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(googleUserFile()), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "oauth2accesstoken", "Google, /"},
		{"google-federation.http", "gcr.io/p/app", func(t *testing.T) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", secretFile(t, fmt.Sprintf(`{"type": "external_account", "audience": "//iam.googleapis.com/x",
				"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.googleapis.com/v1/token",
				"credential_source": {"file": %q}}`, secretFile(t, "pr0jected"))))
		}, "oauth2accesstoken", "Google, file"},
		{"google-metadata.http", "us-east1-docker.pkg.dev/p/r/app", func(*testing.T) {}, "oauth2accesstoken", "Google, metadata server"},
		{"acr-secret.http", "app.azurecr.io/team/app", func(t *testing.T) {
			azure(t, "AZURE_CLIENT_SECRET", "cl1entsecret")
		}, "00000000-0000-0000-0000-000000000000", "ACR, service principal of $AZURE_CLIENT_ID"},
		{"acr-federated.http", "app.azurecr.cn/team/app", func(t *testing.T) {
			azure(t, "AZURE_FEDERATED_TOKEN_FILE", secretFile(t, "pr0jected"))
		}, "00000000-0000-0000-0000-000000000000", "ACR, workload identity"},
		{"acr-managed.http", "app.azurecr.io/team/app", func(t *testing.T) {
			t.Setenv("AZURE_CLIENT_ID", person)
		}, "00000000-0000-0000-0000-000000000000", "ACR, managed identity"},
	} {
		t.Run(strings.TrimSuffix(tc.record, ".http"), func(t *testing.T) {
			nowhere(t)
			tc.env(t)
			k := keychain.New(keychain.Options{Getenv: os.Getenv, HTTP: replay(t, tc.record)}, clouds.All())
			for range 2 { // the second time from memory
				got := look(t, k, tc.of)
				if got.user != tc.user || got.password == "" || !strings.HasPrefix(got.source, tc.source) {
					t.Fatalf("got %+v", got)
				}
				if !strings.HasPrefix(tc.record, "acr") && got.password != "s3cret" {
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}

// TestClouds_nothing: what is said where a cloud has nothing for us.
func TestClouds_nothing(t *testing.T) {
	for _, tc := range []struct {
		record, of string
		env        map[string]string
		tried      string
	}{
		{"ecr-denied.http", private, map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cretkey"},
			"; ECR: operation error ECR: GetAuthorizationToken, https response error StatusCode: 400"},
		{"", private, map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "; ECR: no AWS credentials found: "},
		{"google-refused.http", "gcr.io/p/app", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": secretFile(t, googleUserFile())},
			`; Google: $GOOGLE_APPLICATION_CREDENTIALS: get a token for /`},
		{"google-elsewhere.http", "gcr.io/p/app", nil,
			"; Google: no credentials in a file, and the metadata server at 169.254.169.254: it is not Google's"},
		{"", "gcr.io/p/app", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"},
			"; Google: $GOOGLE_APPLICATION_CREDENTIALS: read /nowhere: no such file or directory"},
		{"", "gcr.io/p/app", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": secretFile(t, "{\n\"s3cret\"")},
			"; Google: $GOOGLE_APPLICATION_CREDENTIALS: read /"},
		{"acr-refused.http", "app.azurecr.io/app", map[string]string{"AZURE_CLIENT_ID": person, "AZURE_TENANT_ID": tenant, "AZURE_CLIENT_SECRET": "s3cret"},
			"; ACR: service principal of $AZURE_CLIENT_ID: exchange the token at app.azurecr.io: 401 as recorded"},
		{"", "app.azurecr.io/app", map[string]string{"AZURE_CLIENT_SECRET": "s3cret"}, "; ACR: service principal of $AZURE_CLIENT_ID: missing environment variable AZURE_TENANT_ID"},
	} {
		t.Run(tc.record+tc.of, func(t *testing.T) {
			nowhere(t)
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			o := keychain.Options{Getenv: os.Getenv}
			if tc.record != "" {
				o.HTTP = replay(t, tc.record)
			} else {
				o.HTTP = silent{t}
			}
			k := keychain.New(o, clouds.All())
			for range 2 { // nothing is asked a second time
				got := look(t, k, tc.of)
				if got.user != "" || got.source != "" || !strings.Contains(got.tried, tc.tried) {
					t.Errorf("got %+v", got)
				}
				if strings.Contains(got.tried, "s3cret") {
					t.Errorf("%s tells a secret", got.tried)
				}
			}
		})
	}
}

// silent is a network that nobody may use.
type silent struct{ t *testing.T }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.t.Errorf("somebody asks %s %s", r.Method, r.URL)
	return nil, fmt.Errorf("no network")
}

// TestClouds_others: registries that are no cloud's are nobody's business there, and
// names that only look like a cloud's are not its.
func TestClouds_others(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	k := keychain.New(keychain.Options{Getenv: os.Getenv, HTTP: silent{t}}, clouds.All())
	for _, of := range []string{
		"busybox", "ghcr.io/a/b", "registry.example:5000/a", "gcr.io.example/a", "notgcr.io/a", "pkg.dev.example/a", "azurecr.io.example/a",
		"12345.dkr.ecr.eu-central-1.amazonaws.com/a", "012345678901.dkr.ecr.eu-central-1.amazonaws.com.example/a", "public.ecr.aws.example/a",
	} {
		if got := look(t, k, of); got.user != "" || strings.Contains(got.tried, ";") {
			t.Errorf("%s: got %+v", of, got)
		}
	}
}

// TestClouds_renewed: credentials that are about to be void are fetched again.
func TestClouds_renewed(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	k := keychain.New(keychain.Options{Getenv: os.Getenv, HTTP: replay(t, "ecr-renewed.http")}, clouds.All())
	repo, err := name.NewRepository(private)
	if err != nil {
		t.Fatal(err)
	}
	a, err := k.Resolve(repo) // which asks once
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Authorization()
	if err != nil || c.Password != "s3cret" {
		t.Errorf("got %+v, error %v", c, err)
	}
}

// TestClouds_realms: registries of one region share a token, and builds of several
// stages ask once.
func TestClouds_realms(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	k := keychain.New(keychain.Options{Getenv: os.Getenv, HTTP: replay(t, "ecr-private.http")}, clouds.All())
	got := make(chan found)
	for _, account := range []string{"012345678901", "109876543210"} {
		go func() { got <- look(t, k, account+".dkr.ecr.eu-central-1.amazonaws.com/app") }()
	}
	for range 2 {
		if f := <-got; f.password != "s3cret" {
			t.Errorf("got %+v", f)
		}
	}
}

// TestClouds_programs: a program that config.json names and that is not installed is
// done without where its work is built in, whatever sources are allowed; one that is
// installed is asked.
func TestClouds_programs(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	var none keychain.Sources
	if err := none.Set(""); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, config := range []string{
		`{"credsStore": "ecr-login"}`,
		`{"credHelpers": {"012345678901.dkr.ecr.eu-central-1.amazonaws.com": "ecr-login", "public.ecr.aws": "ecr-login"}}`,
	} {
		write(config)
		k := keychain.New(keychain.Options{Getenv: os.Getenv, Sources: none, HTTP: replay(t, "ecr-private.http")}, clouds.All())
		if got := look(t, k, private); got.password != "s3cret" {
			t.Errorf("%s: got %+v", config, got)
		}
	}
	write(`{"credsStore": "ecr-login"}`)
	k := keychain.New(keychain.Options{Getenv: os.Getenv, Sources: none, HTTP: silent{t}}, clouds.All())
	if got := look(t, k, "busybox"); got.user != "" || !strings.Contains(got.tried, "docker-credential-ecr-login: knows nothing of index.docker.io") {
		t.Errorf("got %+v", got)
	}
	helpers(t, map[string]string{"ecr-login": `echo '{"Username": "own", "Secret": "s"}'`})
	if got := look(t, k, private); got.user != "own" {
		t.Errorf("got %+v", got)
	}
}

// TestSources: --credential-helpers.
func TestSources(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cretkey")
	t.Setenv("CI_REGISTRY", "registry.example")
	t.Setenv("CI_JOB_TOKEN", "s3cret")
	for _, tc := range []struct {
		values []string
		of     string
		record string // what may be asked; empty is nothing
		user   string
	}{
		{nil, "registry.example/a", "", "gitlab-ci-token"},
		{[]string{"gitlab"}, "registry.example/a", "", "gitlab-ci-token"},
		{[]string{"ecr,acr"}, "registry.example/a", "", ""},
		{[]string{""}, "registry.example/a", "", ""},
		{[]string{""}, private, "", ""},
		{[]string{"google, gitlab"}, private, "", ""},
		{[]string{"google", "ecr"}, private, "ecr-private.http", "AWS"},
	} {
		o := keychain.Options{Getenv: os.Getenv, HTTP: silent{t}}
		for _, v := range tc.values {
			if err := o.Sources.Set(v); err != nil {
				t.Fatal(err)
			}
		}
		if tc.record != "" {
			o.HTTP = replay(t, tc.record)
		}
		if got := look(t, keychain.New(o, clouds.All()), tc.of); got.user != tc.user {
			t.Errorf("%q of %s: got %+v", tc.values, tc.of, got)
		}
	}
	var s keychain.Sources
	if err := s.Set("ecr,dockerhub"); err == nil || !strings.Contains(err.Error(), `no "dockerhub": it must be of env, google`) {
		t.Errorf("got error %v", err)
	}
}

// TestGoogle_silent: a metadata server that takes a question and never answers, as a
// firewall makes one, does not hold a build.
func TestGoogle_silent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := map[string]string{"GCE_METADATA_HOST": l.Addr().String(), "DOCKER_CONFIG": t.TempDir()}
	k := keychain.New(keychain.Options{Getenv: func(name string) string { return env[name] }}, clouds.All())
	if got := look(t, k, "gcr.io/p/app"); got.user != "" || !strings.Contains(got.tried, "no answer within 5s") {
		t.Errorf("got %+v", got)
	}
}
