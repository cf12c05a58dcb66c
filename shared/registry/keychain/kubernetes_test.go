package keychain

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// pod is the API of a cluster, as far as image-pull secrets go, with recorded answers,
// and what a pod has mounted. A cluster's own API server cannot run here.
type pod struct {
	k     *kubernetes
	asked atomic.Int64
	// account is the file with the service account; empty is one the pod may not see.
	account string
}

func newPod(t *testing.T, account string) *pod {
	t.Helper()
	p := &pod{account: account}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://kubernetes.default.svc.cluster.local","sub":"system:serviceaccount:ci:build"}`))
	token = "eyJhbGciOiJSUzI1NiJ9." + token + ".c2lnbmF0dXJl"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		p.answer(w, r)
	}))
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"token": token + "\n", "namespace": "ci",
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "HTTPS_PROXY": "http://127.0.0.1:1"}
	p.k = newKubernetes(Options{Getenv: func(name string) string { return env[name] }}).(*kubernetes)
	p.k.dir = dir
	return p
}

func (p *pod) answer(w http.ResponseWriter, r *http.Request) {
	file, status := "", http.StatusOK
	switch path, _ := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/ci/"); {
	case path == "serviceaccounts/build" && p.account == "":
		file, status = "forbidden.json", http.StatusForbidden
	case path == "serviceaccounts/build":
		file = p.account
	default:
		file = strings.TrimPrefix(path, "secrets/") + ".json"
	}
	raw, err := os.ReadFile(filepath.Join("testdata/kubernetes", filepath.Base(file)))
	if err != nil {
		http.Error(w, `{"kind":"Status","status":"Failure","reason":"NotFound","code":404}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(raw)
}

func (p *pod) look(t *testing.T, of string) (user, source, tried string) {
	t.Helper()
	repo, err := name.NewRepository(of)
	if err != nil {
		t.Fatal(err)
	}
	a, why, err := p.k.resolve(context.Background(), repo)
	if err != nil {
		t.Fatal(err)
	}
	if a == nil {
		return "", "", strings.Join(why, "; ")
	}
	c, err := a.Authorization()
	if err != nil || c.Password != "s3cret" {
		t.Errorf("got %+v, error %v", c, err)
	}
	return c.Username, a.Source(), ""
}

// TestKubernetes: the secrets of a pod's service account are read once, in both of
// their forms; what cannot be read is told.
func TestKubernetes(t *testing.T) {
	p := newPod(t, "serviceaccount.json")
	for _, tc := range []struct{ of, user, source string }{
		{"registry.example/team/app", "robot", "Kubernetes secret pull (entry registry.example)"},
		{"old.example/app", "old", "Kubernetes secret old (entry https://old.example)"},
		{"registry.example/other", "robot", "Kubernetes secret pull (entry registry.example)"},
	} {
		if user, source, tried := p.look(t, tc.of); user != tc.user || source != tc.source {
			t.Errorf("%s: %q from %q; tried %s", tc.of, user, source, tried)
		}
	}
	for range 2 {
		_, _, tried := p.look(t, "busybox")
		want := "Kubernetes secret broken: line 1, column 1: invalid character 's' looking for beginning of value; " +
			"Kubernetes secret gone: 404 Not Found; Kubernetes secret tls: it is no image-pull secret; " +
			"Kubernetes secret old: no entry for index.docker.io; Kubernetes secret pull: no entry for index.docker.io"
		if tried != want {
			t.Errorf("tried %s\nwant  %s", tried, want)
		}
	}
	if n := p.asked.Load(); n != 6 {
		t.Errorf("%d questions, want 6", n)
	}
}

// TestKubernetes_nothing: a pod that may not read its secrets, that has none, and one
// that has no service account build without.
func TestKubernetes_nothing(t *testing.T) {
	for _, tc := range []struct {
		account string
		change  func(*testing.T, *pod)
		tried   string
	}{
		{"", nil, "Kubernetes service account build: 403 Forbidden"},
		{"serviceaccount-bare.json", nil, "Kubernetes service account build: it has no image-pull secrets"},
		{"serviceaccount.json", func(t *testing.T, p *pod) { p.k.dir = t.TempDir() }, "Kubernetes: no token of a service account is mounted at /"},
		{"serviceaccount.json", func(t *testing.T, p *pod) {
			if err := os.WriteFile(filepath.Join(p.k.dir, "token"), []byte("another"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "Kubernetes service account default: 401 Unauthorized"},
		{"serviceaccount.json", func(t *testing.T, p *pod) {
			if err := os.WriteFile(filepath.Join(p.k.dir, "ca.crt"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "Kubernetes: /"},
		{"serviceaccount.json", func(_ *testing.T, p *pod) {
			p.k.Getenv = func(name string) string {
				return map[string]string{"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}[name]
			}
		}, "Kubernetes service account build: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"serviceaccount.json", func(_ *testing.T, p *pod) { p.k.Getenv = func(string) string { return "" } }, ""},
	} {
		p := newPod(t, tc.account)
		if tc.change != nil {
			tc.change(t, p)
		}
		for range 2 {
			if user, _, tried := p.look(t, "registry.example/app"); user != "" || !strings.HasPrefix(tried, tc.tried) || tc.tried == "" && tried != "" {
				t.Errorf("%q: %q, tried %s", tc.tried, user, tried)
			}
		}
		if n := p.asked.Load(); n > 1 {
			t.Errorf("%q: %d questions, want one", tc.tried, n)
		}
	}
}

// TestKubernetes_stopped: a build that is stopped while the cluster is silent ends, and
// nothing is remembered of it.
func TestKubernetes_stopped(t *testing.T) {
	p := newPod(t, "serviceaccount.json")
	repo, err := name.NewRepository("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, _, err := p.k.resolve(ctx, repo); !errors.Is(err, stopped) {
		t.Errorf("got error %v", err)
	}
	if user, _, tried := p.look(t, "registry.example/app"); user != "robot" {
		t.Errorf("afterwards %q, tried %s", user, tried)
	}
}
