package sign

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unsigned is a token that only looks like one.
func unsigned(name string, until time.Time) string {
	claims := fmt.Sprintf(`{"iss":"https://example.com","sub":%q,"exp":%d}`, name, until.Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func none(string) (string, bool) { return "", false }

func only(pairs map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) { v, ok := pairs[key]; return v, ok }
}

// TestSources_github: a workflow of GitHub's is asked for a token, here by a fake: the
// real one is only there for workflows that run at GitHub.
func TestSources_github(t *testing.T) {
	want := unsigned("workflow", time.Now().Add(time.Hour))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("api-version") != "2" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"value":%q}`, want)
	}))
	defer s.Close()
	o := IdentityOptions{Now: time.Now, LookupEnv: only(map[string]string{githubURL: s.URL + "/token?api-version=2", githubToken: "s3cret"})}
	got, err := findToken(t.Context(), o, http.DefaultTransport)
	if err != nil || got.text != want {
		t.Errorf("%v, %v", got, err)
	}

	o.LookupEnv = only(map[string]string{githubURL: s.URL + "/token?api-version=2&key=s3cret", githubToken: "another"})
	_, err = findToken(t.Context(), o, http.DefaultTransport)
	var said *Error
	if !errors.As(err, &said) || said.ExitCode() != exitCredentials || !strings.Contains(err.Error(), "GitHub Actions: the answer is 403") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("refused: %v", err)
	}
}

// TestSources_google: a machine of Google's is asked for a token, here by a fake: the
// real metadata server is only there for machines at Google.
func TestSources_google(t *testing.T) {
	want := unsigned("builder", time.Now().Add(time.Hour))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Query().Get("audience") != "sigstore" || r.URL.Query().Get("format") != "full" ||
			r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, want)
	}))
	defer s.Close()
	o := IdentityOptions{Now: time.Now, LookupEnv: only(map[string]string{metadataHost: strings.TrimPrefix(s.URL, "http://")})}
	got, err := findToken(t.Context(), o, http.DefaultTransport)
	if err != nil || got.text != want {
		t.Errorf("%v, %v", got, err)
	}
}

// elsewhere answers for every host, as a proxy does that knows none.
type elsewhere struct{ header http.Header }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNotFound, Header: e.header, Body: http.NoBody, Request: r}, nil
}

// TestSources_none: where there is no token, what would help is said; a proxy is not
// taken for Google's metadata server, and that server's refusal is not hidden.
func TestSources_none(t *testing.T) {
	var said *Error
	o := IdentityOptions{Now: time.Now, LookupEnv: none}
	_, err := findToken(t.Context(), o, elsewhere{})
	if !errors.As(err, &said) || said.ExitCode() != exitCredentials || !strings.Contains(said.Hint(), "id-token: write") {
		t.Errorf("without any: %v", err)
	}
	_, err = findToken(t.Context(), o, elsewhere{http.Header{"Metadata-Flavor": {"Google"}}})
	if err == nil || !strings.Contains(err.Error(), "Google's metadata server: the answer is 404") {
		t.Errorf("refused by Google: %v", err)
	}
}

// TestSources_order: what the user names comes first, then the environment.
func TestSources_order(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(unsigned("file", time.Now().Add(time.Hour))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := IdentityOptions{Now: time.Now, Token: file, LookupEnv: only(map[string]string{
		tokenVariable: unsigned("variable", time.Now().Add(time.Hour)), githubURL: "http://127.0.0.1:1", githubToken: "x",
	})}
	for _, want := range []string{"--sign-identity-token", tokenVariable} {
		got, err := findToken(t.Context(), o, http.DefaultTransport)
		if err != nil || got.source.name() != want {
			t.Errorf("%v, %v, want %s", got, err, want)
		}
		o.Token = ""
	}
	direct := unsigned("direct", time.Now().Add(time.Hour))
	o.Token = direct
	if got, err := findToken(t.Context(), o, http.DefaultTransport); err != nil || got.text != direct {
		t.Errorf("%v, %v", got, err)
	}
}

// renewing is a source that has a new token each time.
type renewing struct{ tokens []string }

func (*renewing) name() string { return "a test" }

func (r *renewing) token(context.Context) (string, error) {
	if len(r.tokens) == 0 {
		return "", errors.New("there are no more")
	}
	next := r.tokens[0]
	r.tokens = r.tokens[1:]
	return next, nil
}

// TestToken_fresh: a token that ran out during the build is asked for again.
func TestToken_fresh(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	first, second := unsigned("first", begin.Add(time.Minute)), unsigned("second", begin.Add(time.Hour))
	from := &renewing{[]string{second}}
	token, err := readToken(first, from)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]string{0: first, 45 * time.Second: second} {
		from.tokens = []string{second}
		got, err := token.fresh(t.Context(), begin.Add(at))
		if err != nil || got.text != want {
			t.Errorf("after %s: %v, %v", at, got, err)
		}
	}
	from.tokens = nil
	if got, err := token.fresh(t.Context(), begin.Add(45*time.Second)); err != nil || got.text != first {
		t.Errorf("one that is good for a little: %v, %v", got, err)
	}
	_, err = token.fresh(t.Context(), begin.Add(time.Minute))
	var said *Error
	if !errors.As(err, &said) || said.ExitCode() != exitCredentials || !strings.Contains(err.Error(), "it expired at 2027-01-15T08:01:00Z") {
		t.Errorf("one that ran out: %v", err)
	}
}

// TestToken_wrong: what is no token is told, and nothing of it.
func TestToken_wrong(t *testing.T) {
	for _, text := range []string{"", "s3cret", "a.s3cret!.c", "a.czNjcmV0.c"} {
		if _, err := readToken(text, given("")); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
