package store_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/store/clouds"
)

func TestAll(t *testing.T) {
	for address, form := range map[string]string{
		"gs://b/o": store.Googles,
		"s3://b/k": store.Amazons,
		"https://account.blob.core.windows.net/c/p?sig=secret": store.Azures,
		"https://example.test/x.tar.gz":                        "",
		"git://example.test/x.git":                             "",
		"/workspace":                                           "",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		var forms []string
		for _, s := range clouds.All(store.Options{}) {
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
	o := store.Options{Getenv: func(name string) string {
		return map[string]string{"S3_ENDPOINT": "nowhere", "AZURE_STORAGE_ACCESS_KEY": "!", "STORAGE_EMULATOR_HOST": "127.0.0.1:1"}[name]
	}}
	for _, s := range clouds.All(o) {
		u, err := url.Parse(map[string]string{store.Googles: "gs://u@b/o", store.Amazons: "s3://b/k", store.Azures: "https://a.blob.core.windows.net/c/p?x=secret"}[s.Form])
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
