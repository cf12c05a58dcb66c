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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

func tagsOf(t *testing.T, c *registry.Client, repo name.Repository) []string {
	t.Helper()
	all := []string{}
	if err := c.Tags(context.Background(), repo, func(tags []string) error {
		all = append(all, tags...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func push(t *testing.T, c *registry.Client, ref string, img v1.Image) {
	t.Helper()
	if err := c.PushImage(context.Background(), tag(t, c, ref), img); err != nil {
		t.Fatal(err)
	}
}

// TestDeleteReal deletes from Docker's own registry in its versions: a digest takes all
// its tags with it, and nothing that others share.
func TestDeleteReal(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			ctx := context.Background()
			host := start(t, registrytest.RealConfig{})
			c := client(t, registry.Config{})
			old := image(t, 2, 1000)
			child, err := mutate.AppendLayers(old, layer(t, image(t, 1, 1000), 0))
			if err != nil {
				t.Fatal(err)
			}
			push(t, c, host+"/a/app:1", old)
			push(t, c, host+"/a/app:same", old)
			push(t, c, host+"/a/app:child", child)
			repo := tag(t, c, host+"/a/app").Context()
			if diff := cmp.Diff([]string{"1", "child", "same"}, tagsOf(t, c, repo)); diff != "" {
				t.Fatal(diff)
			}
			desc, err := partial.Descriptor(old)
			if err != nil {
				t.Fatal(err)
			}
			said, err := c.PushReferrer(ctx, repo, *desc, registry.Referrer{ArtifactType: "application/x-test"})
			if err != nil {
				t.Fatal(err)
			}

			if err := c.ProbeDelete(ctx, repo); err != nil {
				t.Errorf("probe: %v", err)
			}
			for range 2 { // what is gone may be deleted again
				if err := c.Delete(ctx, repo.Digest(hash(t, old).String())); err != nil {
					t.Fatal(err)
				}
			}
			left := tagsOf(t, c, repo)
			// What is said of it stays, and so does the list of that under its tag.
			if diff := cmp.Diff([]string{"child", registry.ReferrersTag(repo, hash(t, old)).TagStr()}, left); diff != "" {
				t.Error(diff)
			}
			fresh := client(t, registry.Config{})
			if _, err := fresh.Manifest(ctx, repo.Digest(said.String()), 1<<20); err != nil {
				t.Errorf("what refers to it is gone: %v", err)
			}
			if _, err := fresh.Manifest(ctx, repo.Tag("1"), 1<<20); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("the tag has something still: %v", err)
			}
			got, err := fresh.Resolve(ctx, host+"/a/app:child", linux)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(got); err != nil {
				t.Errorf("what shares layers is broken: %v", err)
			}

			err = c.Delete(ctx, repo.Tag("child"))
			switch version {
			case "2.8":
				if !errors.Is(err, registry.ErrUnsupported) {
					t.Errorf("delete a tag: %v", err)
				}
			default:
				if err != nil || slices.Contains(tagsOf(t, c, repo), "child") {
					t.Errorf("delete a tag: %v", err)
				}
				if _, err := client(t, registry.Config{}).Manifest(ctx, repo.Digest(hash(t, child).String()), 1<<20); err != nil {
					t.Errorf("the image went with the tag: %v", err)
				}
			}
		})
	}
}

func TestDeleteOff(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			ctx := context.Background()
			host := start(t, registrytest.RealConfig{KeepsAll: true})
			c := client(t, registry.Config{})
			img := image(t, 1, 1000)
			push(t, c, host+"/a/app:1", img)
			repo := tag(t, c, host+"/a/app").Context()
			for what, err := range map[string]error{"probe": c.ProbeDelete(ctx, repo), "delete": c.Delete(ctx, repo.Digest(hash(t, img).String()))} {
				var e *registry.Error
				if !errors.As(err, &e) || !errors.Is(err, registry.ErrUnsupported) || !strings.Contains(e.Hint(), "REGISTRY_STORAGE_DELETE_ENABLED") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if diff := cmp.Diff([]string{"1"}, tagsOf(t, c, repo)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDeleteToken is a real registry with a token server: whoever may not delete is
// told so.
func TestDeleteToken(t *testing.T) {
	ctx := context.Background()
	tokens := registrytest.StartTokens(t, registrytest.TokenConfig{
		Allow: func(_, repo, action string) bool { return action != "delete" || repo == "open" },
	})
	host := registrytest.Real(t, registrytest.RealConfig{Tokens: tokens})
	c := client(t, registry.Config{})
	img := image(t, 1, 1000)
	for _, repo := range []string{"open", "shut"} {
		push(t, c, host+"/"+repo+":1", img)
		err := c.Delete(ctx, tag(t, c, host+"/"+repo).Context().Digest(hash(t, img).String()))
		var e *registry.Error
		if repo == "open" && err != nil {
			t.Errorf("%s: %v", repo, err)
		}
		if repo == "shut" && (!errors.As(err, &e) || e.ExitCode() != 77 || e.Scope != "repository:shut:push,pull,delete") {
			t.Errorf("%s: %v", repo, err)
		}
	}
}

// TestDeleteUnknownScope is of a token server that refuses whoever asks for an action it
// does not know, as Quay's does; no registry that runs here has one.
func TestDeleteUnknownScope(t *testing.T) {
	var asked []string
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			scope := r.URL.Query().Get("scope")
			asked = append(asked, scope)
			if strings.Contains(scope, "delete") {
				http.Error(w, "invalid scope", http.StatusBadRequest)
				return
			}
			fmt.Fprint(w, `{"token":"t"}`)
		case r.Header.Get("Authorization") != "Bearer t":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://localhost:%s/token",service="s"`, server.URL[strings.LastIndex(server.URL, ":")+1:]))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer server.Close()
	c := client(t, registry.Config{})
	repo := tag(t, c, strings.TrimPrefix(server.URL, "http://")+"/a").Context()
	if err := c.Delete(context.Background(), repo.Digest(hash(t, image(t, 1, 10)).String())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"repository:a:push,pull,delete", "repository:a:push,pull"}, asked); diff != "" {
		t.Error(diff)
	}
}

// TestDeleteRefusals are the words of registries that do not run here.
func TestDeleteRefusals(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   error
	}{
		{400, `{"errors":[{"code":"GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE","message":"Manifest is still referenced by parent image: sha256:1"}]}`, registry.ErrReferenced},
		{405, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, registry.ErrReferenced},
		{412, `{"errors":[{"code":"PRECONDITION","message":"configured as immutable, cannot be deleted"}]}`, registry.ErrLocked},
		{405, `{"errors":[{"code":"UNSUPPORTED","message":"The operation is disallowed on this registry, repository or image."}]}`, registry.ErrLocked},
		{405, `{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}`, registry.ErrUnsupported},
		{405, ``, registry.ErrUnsupported},
		{403, `{"errors":[{"code":"DENIED","message":"no"}]}`, nil},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}
		}))
		c := client(t, registry.Config{})
		err := c.Delete(context.Background(), tag(t, c, strings.TrimPrefix(server.URL, "http://")+"/a").Context().Tag("1"))
		server.Close()
		for _, is := range []error{registry.ErrReferenced, registry.ErrLocked, registry.ErrUnsupported} {
			if errors.Is(err, is) != (is == tc.want) {
				t.Errorf("%d %s: %v is %v: %t", tc.status, tc.body, err, is, is != tc.want)
			}
		}
		if err == nil {
			t.Errorf("%d %s: no error", tc.status, tc.body)
		}
	}
}

// TestTagPages are registries that page each in its way.
func TestTagPages(t *testing.T) {
	const all = 2500
	names := make([]string, all)
	for i := range names {
		names[i] = fmt.Sprintf("t%05d", i)
	}
	for _, tc := range []struct {
		name     string
		link     string // with the query of the next page for %s; empty sends none
		most     int    // of tags in a page that is asked for
		ignores  bool   // gives all whatever is asked
		anew     bool   // after the last begins anew, as go-containerregistry's registry
		of       int
		requests int
	}{
		{name: "links", link: `<%s>; rel="next"`, most: 1000, of: all, requests: 3},
		{name: "another scheme and host", link: `<http://internal:5000%s>; rel=next`, most: 1000, of: all, requests: 3},
		{name: "among other links", link: `</v2/>; rel="first", <%s>; rel="next"`, most: 1000, of: all, requests: 3},
		{name: "pages without links", most: 1000, of: all, requests: 3},
		{name: "refuses large pages", link: `<%s>; rel="next"`, most: 100, of: all, requests: 26},
		{name: "no pages", ignores: true, most: 1000, of: all, requests: 1},
		{name: "no pages, as many as one has", ignores: true, most: 1000, of: 1000, requests: 2},
		{name: "full pages without links that begin anew", anew: true, most: 1000, of: 2000, requests: 3},
		{name: "none", most: 1000, of: 0, requests: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/a/tags/list" {
					return
				}
				requests++
				page, n := names[:tc.of], 0
				fmt.Sscan(r.URL.Query().Get("n"), &n)
				if n > tc.most {
					http.Error(w, `{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}`, http.StatusBadRequest)
					return
				}
				if !tc.ignores {
					from := 0
					if last := r.URL.Query().Get("last"); last != "" {
						at, _ := slices.BinarySearch(page, last)
						from = at + 1
						if tc.anew && from == len(page) {
							from = 0
						}
					}
					rest := len(page) - from
					page = page[from:min(from+n, len(page))]
					if tc.link != "" && rest > n {
						w.Header().Set("Link", fmt.Sprintf(tc.link, fmt.Sprintf("/v2/a/tags/list?n=%d&last=%s", n, page[len(page)-1])))
					}
				}
				if len(page) == 0 {
					fmt.Fprint(w, `{"name":"a","tags":null}`)
					return
				}
				fmt.Fprintf(w, `{"name":"a","tags":["%s"]}`, strings.Join(page, `","`))
			}))
			defer server.Close()
			c := client(t, registry.Config{})
			got := tagsOf(t, c, tag(t, c, strings.TrimPrefix(server.URL, "http://")+"/a").Context())
			if diff := cmp.Diff(names[:tc.of], got); diff != "" {
				t.Error(diff)
			}
			if requests != tc.requests {
				t.Errorf("%d requests instead of %d", requests, tc.requests)
			}
		})
	}
}

// TestTagsReal has more tags than a page in a real registry that knows pages, and in one
// that does not.
func TestTagsReal(t *testing.T) {
	for version, start := range versions() {
		t.Run(version, func(t *testing.T) {
			ctx := context.Background()
			host := start(t, registrytest.RealConfig{})
			c := client(t, registry.Config{})
			img := image(t, 1, 10)
			push(t, c, host+"/a:t0", img)
			repo := tag(t, c, host+"/a").Context()
			raw, err := img.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			mt, err := img.MediaType()
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"t0"}
			for i := 1; i < 1001; i++ {
				want = append(want, fmt.Sprintf("t%d", i))
				if err := c.PushManifest(ctx, repo.Tag(want[i]), raw, mt); err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, tagsOf(t, c, repo)); diff != "" {
				t.Error(diff)
			}
			if err := c.Delete(ctx, repo.Digest(hash(t, img).String())); err != nil {
				t.Fatal(err)
			}
			if got := tagsOf(t, c, repo); len(got) > 0 {
				t.Errorf("%d tags are left of a digest that is gone", len(got))
			}
			err = c.Tags(ctx, tag(t, c, host+"/nowhere").Context(), func([]string) error { return nil })
			if !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("tags of nothing: %v", err)
			}
		})
	}
}
