package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func parse(args ...string) (registry.Options, error) {
	var o registry.Options
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(f)
	o.BindPush(f)
	err := f.Parse(args)
	return o, err
}

// TestFlags: what flags say, and what they do not take.
func TestFlags(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want registry.Options
	}{
		{[]string{"--registry-mirror=a", "--registry-mirror=b:5000/p/q", "--registry-mirror=c,d/x;e"},
			registry.Options{Mirrors: []string{"a", "b:5000/p/q", "c", "d/x", "e"}}},
		{[]string{"--registry-map=docker.io=a;gcr.io=b/p", "--registry-map", "docker.io=c", "--registry-map=x=y, x=z;"},
			registry.Options{Maps: []string{"docker.io=a", "gcr.io=b/p", "docker.io=c", "x=y", "x=z"}}},
		{[]string{"--skip-default-registry-fallback"}, registry.Options{SkipFallback: true}},
		{[]string{"--registry-certificate=a=/x,y", "--registry-certificate=b=/z"}, registry.Options{Authorities: []string{"a=/x,y", "b=/z"}}},
		{[]string{"--registry-client-cert=a=/c,/k"}, registry.Options{ClientCertificates: []string{"a=/c,/k"}}},
		{[]string{"--push-retry=0", "--image-download-retry=3", "--image-fs-extract-retry=100"},
			registry.Options{PushRetries: registry.Again(0), PullRetries: registry.Again(3), LayerRetries: registry.Again(100)}},
		{[]string{"--push-chunk-size=16MiB"}, registry.Options{ChunkSize: 16 << 20}},
		{[]string{"--push-chunk-size=16mb"}, registry.Options{ChunkSize: 16_000_000}},
		{[]string{"--push-chunk-size=1.5 GiB"}, registry.Options{ChunkSize: 3 << 29}},
		{[]string{"--push-chunk-size=5242880"}, registry.Options{ChunkSize: 5 << 20}},
		{[]string{"--push-chunk-size=0"}, registry.Options{}},
	} {
		got, err := parse(tc.args...)
		if err != nil {
			t.Errorf("%q: %v", tc.args, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(registry.Retries{})); diff != "" {
			t.Errorf("%q: %s", tc.args, diff)
		}
	}
	for arg, want := range map[string]string{
		"--registry-mirror=":                      "not HOST[/PREFIX]",
		"--registry-mirror=https://a":             "has a scheme",
		"--registry-mirror=a=b":                   "--registry-map takes ORIG=HOST",
		"--registry-mirror=a b":                   "not HOST[/PREFIX]",
		"--registry-mirror=a/UPPER":               "not HOST[/PREFIX]",
		"--registry-map=a":                        "not ORIG=HOST[/PREFIX]",
		"--registry-map=a=":                       "not ORIG=HOST[/PREFIX]",
		"--registry-map==a":                       "not ORIG=HOST[/PREFIX]",
		"--registry-map=a/b=c":                    "is not a registry",
		"--registry-map=a=http://c":               "has a scheme",
		"--registry-certificate=/etc/ssl/ca.pem":  "not HOST=FILE",
		"--registry-certificate=a":                "not HOST=FILE",
		"--registry-client-cert=a=/c":             "not HOST=CERT,KEY",
		"--push-retry=-1":                         "not a number from 0 to 100",
		"--push-retry=many":                       "not a number from 0 to 100",
		"--image-download-retry=101":              "not a number from 0 to 100",
		"--image-fs-extract-retry=":               "not a number from 0 to 100",
		"--push-chunk-size=16XB":                  "not a size",
		"--push-chunk-size=-1":                    "not a size",
		"--push-chunk-size=MiB":                   "not a size",
		"--push-chunk-size=1000":                  "less than 1MiB",
		"--push-chunk-size=99999999999999999 GiB": "not a size",
	} {
		if o, err := parse(arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %+v", arg, err, o)
		}
	}
	for _, o := range []registry.Options{{Maps: []string{"a"}}, {Mirrors: []string{"a=b"}}, {Authorities: []string{"a"}}, {ClientCertificates: []string{"a=b"}}} {
		if err := o.Check(); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestFlags_slices: who sets flags from elsewhere sees lists for what they are.
func TestFlags_slices(t *testing.T) {
	var o registry.Options
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(f)
	for name, text := range map[string]string{
		"registry-mirror": "a", "registry-map": "a=b", "registry-certificate": "a=/b", "registry-client-cert": "a=/b,/c",
	} {
		v, ok := f.Lookup(name).Value.(pflag.SliceValue)
		if !ok {
			t.Fatalf("--%s is no list", name)
		}
		if err := v.Append(text); err != nil {
			t.Error(err)
		}
		if err := v.Replace([]string{text, text}); err != nil {
			t.Error(err)
		}
		if err := v.Replace([]string{" "}); err == nil {
			t.Errorf("--%s takes nothing", name)
		}
		if got := v.GetSlice(); !slices.Equal(got, []string{text, text}) {
			t.Errorf("--%s is %q", name, got)
		}
	}
}

// TestRetries: the flags say how often more than once; without them it is four times.
func TestRetries(t *testing.T) {
	img := image(t, 1, 1000)
	for _, tc := range []struct {
		script, count string
		push          bool
		o             registry.Options
		want          int
		fails         bool
	}{
		{script: "GET manifest: 503 always", count: "GET manifest", want: 5, fails: true},
		{script: "GET manifest: 503 always", count: "GET manifest", o: registry.Options{PullRetries: registry.Again(0)}, want: 1, fails: true},
		{script: "GET manifest: 503 always", count: "GET manifest", o: registry.Options{PullRetries: registry.Again(2)}, want: 3, fails: true},
		{script: "GET manifest: 503 x6", count: "GET manifest", o: registry.Options{PullRetries: registry.Again(6)}, want: 7},
		{script: "GET manifest: 503 x2", count: "GET manifest", o: registry.Options{PushRetries: registry.Again(0)}, want: 3},
		{script: "2nd GET blob: cut at 10 x6", count: "GET blob", o: registry.Options{PullRetries: registry.Again(6)}, want: 10},
		{script: "2nd GET blob: cut at 10 x2", count: "GET blob", o: registry.Options{PullRetries: registry.Again(1)}, want: 3, fails: true},
		{script: "2nd GET blob: 403", count: "GET blob", want: 2, fails: true},
		{script: "2nd GET blob: 403 x2", count: "GET blob", o: registry.Options{LayerRetries: registry.Again(2)}, want: 6},
		{script: "2nd GET blob: 403 x2", count: "GET blob", o: registry.Options{LayerRetries: registry.Again(1)}, want: 3, fails: true},
		{script: "2nd GET blob: cut at 10 x2", count: "GET blob", o: registry.Options{PullRetries: registry.Again(0), LayerRetries: registry.Again(2)}, want: 6},
		{push: true, script: "PUT manifest: 503 always", count: "PUT manifest", want: 5, fails: true},
		{push: true, script: "PUT manifest: 503 always", count: "PUT manifest", o: registry.Options{PushRetries: registry.Again(0)}, want: 1, fails: true},
		{push: true, script: "PUT manifest: 503 x6", count: "PUT manifest", o: registry.Options{PushRetries: registry.Again(6)}, want: 7},
		{push: true, script: "PUT manifest: 503 x2", count: "PUT manifest", o: registry.Options{PullRetries: registry.Again(0)}, want: 3},
		{push: true, script: "PUT upload: 503 always", count: "PUT upload", o: registry.Options{PushRetries: registry.Again(1)}, want: 2, fails: true},
		{push: true, script: "ping: 503 always", count: "GET ping", o: registry.Options{PushRetries: registry.Again(1)}, want: 2, fails: true},
	} {
		t.Run(fmt.Sprintf("%s %d %s %s %s", tc.script, tc.want, tc.o.PullRetries.String(), tc.o.LayerRetries.String(), tc.o.PushRetries.String()), func(t *testing.T) {
			t.Parallel()
			s := registrytest.Start(t, registrytest.Config{})
			seed(t, s, "app:1", img)
			s.Script(tc.script)
			c := client(t, registry.Config{Options: tc.o})
			var err error
			if tc.push {
				err = c.PushImage(context.Background(), tag(t, c, s.Host()+"/other:1"), image(t, 0, 0))
			} else {
				err = pullAll(c, s.Host()+"/app:1", img)
			}
			if (err != nil) != tc.fails {
				t.Errorf("got %v", err)
			}
			if n := s.Count(tc.count); n != tc.want {
				t.Errorf("%d times %s, not %d: %q", n, tc.count, tc.want, s.Requests())
			}
		})
	}
}

// TestRetries_after: however often something is tried, a registry that says when to come
// back is not asked before.
func TestRetries_after(t *testing.T) {
	img := image(t, 1, 1000)
	s := registrytest.Start(t, registrytest.Config{})
	seed(t, s, "app:1", img)
	s.Script("GET manifest: 429 retry-after 1")
	c := client(t, registry.Config{Options: registry.Options{PullRetries: registry.Again(1)}})
	begin := time.Now()
	if err := pullAll(c, s.Host()+"/app:1", img); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begin); waited < time.Second {
		t.Errorf("waited %s", waited)
	}
}

// TestImmutable: in whatever words a registry says that a tag cannot be moved, it is
// understood; and what only sounds like it is not. The answers are as the registries are
// known to give them: none of them can run here.
func TestImmutable(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   bool
	}{
		{"ECR", 400, `{"errors":[{"code":"TAG_INVALID","message":"The image tag '1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable."}]}`, true},
		{"ECR's API", 400, `{"errors":[{"code":"ImageTagAlreadyExistsException","message":"tag invalid"}]}`, true},
		{"Harbor", 412, `{"errors":[{"code":"PRECONDITION","message":"Failed to process request due to 'app:1' configured as immutable."}]}`, true},
		{"Artifact Registry", 400, `{"errors":[{"code":"FAILED_PRECONDITION","message":"The repository has enabled tag immutability"}]}`, true},
		{"Quay", 409, `{"errors":[{"code":"TAG_IMMUTABLE","message":"Cannot overwrite immutable tag"}]}`, true},
		{"ACR", 403, `{"errors":[{"code":"DENIED","message":"The operation is disallowed on this registry, repository or image. View troubleshooting steps"}]}`, true},
		{"GitLab", 403, `{"errors":[{"code":"DENIED","message":"tag is protected by an immutable tag rule"}]}`, true},
		{"Nexus", 400, `{"errors":[{"code":"UNKNOWN","message":"Repository does not allow updating assets: docker"}]}`, true},
		{"in words", 409, `the tag is immutable`, true},
		{"may not push", 403, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, false},
		{"no tag", 400, `{"errors":[{"code":"TAG_INVALID","message":"manifest tag did not match URI"}]}`, false},
		{"broken", 500, `immutable`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := registrytest.Start(t, registrytest.Config{})
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(tc.status)
					w.Write([]byte(tc.body))
					return
				}
				s.ServeHTTP(w, r)
			}))
			defer front.Close()
			c := client(t, registry.Config{})
			err := c.PushImage(context.Background(), tag(t, c, strings.TrimPrefix(front.URL, "http://")+"/app:1"), image(t, 1, 100))
			if got := errors.Is(err, registry.ErrImmutable); err == nil || got != tc.want {
				t.Fatalf("%v is %t", err, got)
			}
			var e *registry.Error
			if !errors.As(err, &e) || strings.Contains(e.Hint(), "--push-ignore-immutable-tag-errors") != tc.want {
				t.Errorf("hint of %v", err)
			}
		})
	}
}
