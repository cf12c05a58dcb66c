package store

import (
	"errors"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

func TestAll(t *testing.T) {
	for address, form := range map[string]string{
		"gs://b/o": googles,
		"s3://b/k": amazons,
		"https://account.blob.core.windows.net/c/p?sig=secret": azures,
		"https://example.test/x.tar.gz":                        "",
		"git://example.test/x.git":                             "",
		"/workspace":                                           "",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		var forms []string
		for _, s := range All(Options{}) {
			if s.Handles(u) {
				forms = append(forms, s.Form)
			}
		}
		if strings.Join(forms, ", ") != form {
			t.Errorf("%s is handled as %q, and not %q", address, forms, form)
		}
	}
}

// Each store is asked with what the options say, and says what is wrong in the same
// words, whether it is there or was left out.
func TestAll_open(t *testing.T) {
	o := Options{Getenv: func(name string) string {
		return map[string]string{"S3_ENDPOINT": "nowhere", "AZURE_STORAGE_ACCESS_KEY": "!", "STORAGE_EMULATOR_HOST": "127.0.0.1:1"}[name]
	}}
	for _, s := range All(o) {
		u, err := url.Parse(map[string]string{googles: "gs://u@b/o", amazons: "s3://b/k", azures: "https://a.blob.core.windows.net/c/p?x=secret"}[s.Form])
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Open(t.Context(), u)
		var e *object.Error
		if !errors.As(err, &e) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", s.Form, err)
		}
	}
}

// A slim executor links no SDK of a store's, and refuses what it would need one for.
func TestAll_slim(t *testing.T) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command")
	}
	out, err := exec.Command(goCommand, "list", "-deps", "-tags=slim", ".").CombinedOutput()
	if err != nil {
		t.Skipf("the go command cannot look here: %v, %s", err, out)
	}
	for _, p := range strings.Fields(string(out)) {
		for _, sdk := range []string{"github.com/aws", "github.com/Azure", "google.golang.org/api", "cloud.google.com"} {
			if strings.HasPrefix(p, sdk) {
				t.Errorf("it links %s", p)
			}
		}
	}
	if out, err := exec.Command(goCommand, "test", "-tags=slim", "-run=TestAll_refuses", ".").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
