package kind_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/cachegc/internal/kind"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

// The servers here stand for registries that cannot run here. They behave as their
// documentation says; what each of them is believed to do is in its handler.

// entry is a manifest of such a server.
type entry struct {
	digest string
	tags   []string
	locked bool
	parent bool // something refers to it
}

// vendor is the part that such servers have in common.
type vendor struct {
	t    *testing.T
	http *httptest.Server

	mu      sync.Mutex
	entries []entry
	seen    []string // requests but pings and tokens
	deny    bool     // deletions
}

var pushed = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// start serves entries of one tag each, and one without.
func start(t *testing.T, n int, handle func(*vendor, http.ResponseWriter, *http.Request)) *vendor {
	t.Helper()
	v := &vendor{t: t}
	for i := range n {
		v.entries = append(v.entries, entry{digest: digest(t, i).String(), tags: []string{fmt.Sprintf("t%04d", i)}})
	}
	v.entries = append(v.entries, entry{digest: digest(t, n).String()})
	v.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if r.URL.Path != "/v2/" && !strings.HasSuffix(r.URL.Path, "/token") {
			v.seen = append(v.seen, r.Method+" "+r.URL.RequestURI())
		}
		w.Header().Set("Content-Type", "application/json")
		handle(v, w, r)
	}))
	t.Cleanup(v.http.Close)
	return v
}

func (v *vendor) host() string { return strings.TrimPrefix(v.http.URL, "http://") }

// find is the place of a manifest by digest or tag; -1 if it is not there.
func (v *vendor) find(ref string) int {
	return slices.IndexFunc(v.entries, func(e entry) bool { return e.digest == ref || slices.Contains(e.tags, ref) })
}

func (v *vendor) remove(at int) { v.entries = slices.Delete(v.entries, at, at+1) }

// deletions are the requests to delete so far.
func (v *vendor) deletions() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []string
	for _, s := range v.seen {
		if strings.HasPrefix(s, "DELETE ") {
			all = append(all, s)
		}
	}
	return all
}

func say(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func put(w http.ResponseWriter, v any) { json.NewEncoder(w).Encode(v) }

// bearer is a registry's token server: whoever has no token for an action is sent to it.
func (v *vendor) bearer(w http.ResponseWriter, r *http.Request, action string) bool {
	if strings.HasSuffix(r.URL.Path, "/token") {
		put(w, map[string]string{"token": "for " + r.URL.Query().Get("scope")})
		return false
	}
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer for repository:a/cache:") || !strings.Contains(got, action) {
		_, port, _ := strings.Cut(v.host(), ":")
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://localhost:%s/token",service="s"`, port))
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return r.URL.Path != "/v2/"
}

// listAll checks a listing with a tag for each of n entries and, if the kind knows it,
// one without.
func listAll(t *testing.T, v *vendor, r kind.Registry, repo name.Repository, n int, untagged bool, size int64) {
	t.Helper()
	want := []kind.Tag{}
	if untagged {
		want = append(want, kind.Tag{Digest: digest(t, n), Size: size, Updated: pushed})
	}
	for i := range n {
		want = append(want, kind.Tag{Name: fmt.Sprintf("t%04d", i), Digest: digest(t, i), Size: size, Updated: pushed})
	}
	if diff := cmp.Diff(want, listed(t, r, repo)); diff != "" {
		t.Error(diff)
	}
}

// google: tags before digests, and what something refers to not at all.
func google(v *vendor, w http.ResponseWriter, r *http.Request) {
	action := "pull"
	if r.Method == http.MethodDelete {
		action = "delete"
	}
	if !v.bearer(w, r, action) {
		return
	}
	ref, ok := strings.CutPrefix(r.URL.Path, "/v2/a/cache/manifests/")
	if !ok {
		all := map[string]any{}
		tags := []string{}
		for _, e := range v.entries {
			tags = append(tags, e.tags...)
			all[e.digest] = map[string]any{
				"imageSizeBytes": "1234", "mediaType": "application/vnd.oci.image.manifest.v1+json", "tag": e.tags,
				"timeCreatedMs": "0", "timeUploadedMs": fmt.Sprint(pushed.UnixMilli()), "layerId": "",
			}
		}
		put(w, map[string]any{"child": []string{}, "manifest": all, "name": "a/cache", "tags": tags})
		return
	}
	at := v.find(ref)
	switch {
	case v.deny:
		say(w, http.StatusForbidden, "DENIED", `Permission "artifactregistry.versions.delete" denied on resource`)
	case at < 0:
		say(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "Failed to fetch")
	case !strings.HasPrefix(ref, "sha256:"):
		v.entries[at].tags = slices.DeleteFunc(v.entries[at].tags, func(s string) bool { return s == ref })
		w.WriteHeader(http.StatusAccepted)
	case len(v.entries[at].tags) > 0:
		say(w, http.StatusBadRequest, "GOOGLE_MANIFEST_DANGLING_TAG", "Manifest is still referenced by tag: "+v.entries[at].tags[0])
	case v.entries[at].parent:
		say(w, http.StatusBadRequest, "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE", "Manifest is still referenced by parent image: sha256:0")
	default:
		v.remove(at)
		w.WriteHeader(http.StatusAccepted)
	}
}

func TestGoogle(t *testing.T) {
	ctx := context.Background()
	const n = 1500
	v := start(t, n, google)
	c := client(registry.Config{Keychain: alice{}})
	repo := repository(t, c, v.host()+"/a/cache")
	r := open(t, c, repo, kind.Options{Kind: "google", Untagged: true})
	listAll(t, v, r, repo, n, true, 1234)
	if len(v.seen) != 1 {
		t.Errorf("listed with %d requests: %q", len(v.seen), v.seen)
	}
	if tagged := listed(t, open(t, c, repo, kind.Options{Kind: "google"}), repo); len(tagged) != n {
		t.Errorf("%d of %d tags without what has none", len(tagged), n)
	}
	can, err := r.Probe(ctx, repo)
	if err != nil || can.Delete != kind.Yes || !can.Digests || !can.Untagged {
		t.Errorf("probe: %+v, %v", can, err)
	}
	if err := r.Delete(ctx, repo, victim(t, 3, "t0003")); err != nil || v.find(digest(t, 3).String()) >= 0 {
		t.Errorf("delete: %v", err)
	}
	v.entries[0].parent = true
	if err := r.Delete(ctx, repo, victim(t, 0, "t0000")); !errors.Is(err, registry.ErrReferenced) {
		t.Errorf("referred to: %v", err)
	}
	v.deny = true
	can, err = r.Probe(ctx, repo)
	if err != nil || can.Delete != kind.No || !strings.Contains(hint(can.Why), "repoAdmin") {
		t.Errorf("denied: %+v, %v", can, err)
	}
}

func victim(t *testing.T, n int, tags ...string) kind.Victim {
	t.Helper()
	return kind.Victim{Digest: digest(t, n), Tags: tags}
}

func hint(err error) string {
	var h interface{ Hint() string }
	if !errors.As(err, &h) {
		return ""
	}
	return h.Hint()
}

// azure: a digest takes its tags with it unless it is locked; tokens are by action.
func azure(v *vendor, w http.ResponseWriter, r *http.Request) {
	action := "metadata_read"
	if r.Method == http.MethodDelete {
		action = "delete"
	}
	if !v.bearer(w, r, action) {
		return
	}
	if ref, ok := strings.CutPrefix(r.URL.Path, "/v2/a/cache/manifests/"); ok {
		at := v.find(ref)
		switch {
		case v.deny:
			say(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		case at < 0:
			say(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		case v.entries[at].locked:
			say(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is disallowed on this registry, repository or image. View troubleshooting steps")
		default:
			v.remove(at)
			w.WriteHeader(http.StatusAccepted)
		}
		return
	}
	from, size := 0, 100
	fmt.Sscan(r.URL.Query().Get("n"), &size)
	if last := r.URL.Query().Get("last"); last != "" {
		from = v.find(last) + 1
	}
	to := min(from+size, len(v.entries))
	all := []any{}
	for _, e := range v.entries[from:to] {
		all = append(all, map[string]any{
			"digest": e.digest, "imageSize": 1234, "createdTime": pushed.Add(-time.Hour), "lastUpdateTime": pushed, "tags": e.tags,
			"changeableAttributes": map[string]bool{"deleteEnabled": !e.locked, "writeEnabled": true, "readEnabled": true, "listEnabled": true},
		})
	}
	if to < len(v.entries) {
		w.Header().Set("Link", fmt.Sprintf(`</acr/v1/a/cache/_manifests?last=%s&n=%d&orderby=>; rel="next"`, v.entries[to-1].digest, size))
	}
	put(w, map[string]any{"registry": "team.azurecr.io", "imageName": "a/cache", "manifests": all})
}

func TestACR(t *testing.T) {
	ctx := context.Background()
	const n = 1200
	v := start(t, n, azure)
	c := client(registry.Config{Keychain: alice{}})
	repo := repository(t, c, v.host()+"/a/cache")
	r := open(t, c, repo, kind.Options{Kind: "acr", Untagged: true})
	listAll(t, v, r, repo, n, true, 1234)
	if len(v.seen) != 3 {
		t.Errorf("listed with %d requests: %q", len(v.seen), v.seen)
	}
	if can, err := r.Probe(ctx, repo); err != nil || can.Delete != kind.Yes {
		t.Errorf("probe: %+v, %v", can, err)
	}
	if err := r.Delete(ctx, repo, victim(t, 3, "t0003")); err != nil || v.find("t0003") >= 0 {
		t.Errorf("delete: %v", err)
	}
	v.entries[0].locked = true
	if err := r.Delete(ctx, repo, victim(t, 0, "t0000")); !errors.Is(err, registry.ErrLocked) || errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("locked: %v", err)
	}
	for _, tag := range listed(t, r, repo) {
		if tag.Locked != (tag.Name == "t0000") {
			t.Errorf("%s is locked: %t", tag.Name, tag.Locked)
		}
	}
	v.deny = true
	if can, err := r.Probe(ctx, repo); err != nil || can.Delete != kind.No || !strings.Contains(hint(can.Why), "AcrDelete") {
		t.Errorf("denied: %+v, %v", can, err)
	}
}

// github: DELETE of the registry's own interface is refused; versions are numbered.
func github(whose, scopes string) func(*vendor, http.ResponseWriter, *http.Request) {
	return func(v *vendor, w http.ResponseWriter, r *http.Request) {
		if ref, ok := strings.CutPrefix(r.URL.Path, "/v2/acme/cache/app/manifests/"); ok {
			switch {
			case r.Method == http.MethodDelete:
				say(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
			case v.find(ref) < 0:
				say(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
			default:
				fmt.Fprint(w, numbered(ref)-7000) // which has that digest; nobody looks further
			}
			return
		}
		if r.URL.Path == "/v2/" {
			return
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if scopes != "" {
			w.Header().Set("X-OAuth-Scopes", scopes)
		}
		rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/"+whose+"/acme/packages/container/cache%2Fapp")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			put(w, map[string]string{"message": "Package not found."})
			return
		}
		id, one := strings.CutPrefix(rest, "/versions/")
		switch {
		case rest == "":
			put(w, map[string]any{"name": "cache/app", "package_type": "container", "version_count": len(v.entries)})
		case one && r.Method == http.MethodDelete:
			at := v.find(number(id))
			switch {
			case at < 0:
				w.WriteHeader(http.StatusNotFound)
			case len(v.entries) == 1:
				w.WriteHeader(http.StatusBadRequest)
				put(w, map[string]string{"message": "You cannot delete the last tagged version of a package. You must delete the package instead."})
			default:
				v.remove(at)
				w.WriteHeader(http.StatusNoContent)
			}
		default:
			page, size := 1, 30
			fmt.Sscan(r.URL.Query().Get("page"), &page)
			fmt.Sscan(r.URL.Query().Get("per_page"), &size)
			from := min((page-1)*size, len(v.entries))
			to := min(from+size, len(v.entries))
			all := []any{}
			for _, e := range v.entries[from:to] {
				all = append(all, map[string]any{
					"id": numbered(e.digest), "name": e.digest, "created_at": pushed.Add(-time.Hour), "updated_at": pushed,
					"metadata": map[string]any{"package_type": "container", "container": map[string]any{"tags": e.tags}},
				})
			}
			if to < len(v.entries) {
				w.Header().Set("Link", fmt.Sprintf(`<https://api.github.com/x?page=1>; rel="prev", <https://api.github.com/x?page=%d>; rel="next"`, page+1))
			}
			put(w, all)
		}
	}
}

// numbered is the number that a digest has as a version, and number the other way.
func numbered(digest string) int64 {
	for i := range 2000 {
		if h, _, _ := v1.SHA256(strings.NewReader(fmt.Sprint(i))); h.String() == digest {
			return int64(7000 + i)
		}
	}
	return 0
}

func number(id string) string {
	n := 0
	fmt.Sscan(id, &n)
	h, _, _ := v1.SHA256(strings.NewReader(fmt.Sprint(n - 7000)))
	return h.String()
}

func TestGHCR(t *testing.T) {
	for _, whose := range []string{"orgs", "users"} {
		t.Run(whose, func(t *testing.T) {
			ctx := context.Background()
			const n = 250
			v := start(t, n, github(whose, "read:packages, delete:packages"))
			c := client(registry.Config{Keychain: alice{}})
			repo := repository(t, c, v.host()+"/acme/cache/app")
			o := kind.Options{Kind: "ghcr", API: v.http.URL + "/api/", Untagged: true}
			r := open(t, c, repo, o)
			listAll(t, v, r, repo, n, true, 0)
			if can, err := r.Probe(ctx, repo); err != nil || can.Delete != kind.Yes {
				t.Errorf("probe: %+v, %v", can, err)
			}
			for range 2 {
				if err := r.Delete(ctx, repo, victim(t, 3, "t0003")); err != nil || v.find("t0003") >= 0 {
					t.Errorf("delete: %v", err)
				}
			}
			// Another process, which has not listed: of what is gone it asks no list.
			fresh := open(t, c, repo, o)
			v.seen = nil
			if err := fresh.Delete(ctx, repo, victim(t, 3)); err != nil || strings.Contains(fmt.Sprint(v.seen), "versions") {
				t.Errorf("delete again: %v, %q", err, v.seen)
			}
			if err := fresh.Delete(ctx, repo, victim(t, 4)); err != nil || v.find("t0004") >= 0 {
				t.Errorf("delete without a list: %v", err)
			}
			if got := v.deletions(); len(got) != 1 || !strings.HasSuffix(got[0], "/versions/7004") {
				t.Errorf("%q", got)
			}
			v.entries = v.entries[:1]
			if err := fresh.Delete(ctx, repo, victim(t, 0)); !errors.Is(err, registry.ErrLocked) {
				t.Errorf("the last: %v", err)
			}
		})
	}
}

func TestGHCRProbe(t *testing.T) {
	for scopes, want := range map[string]kind.Answer{"repo, write:packages": kind.No, "": kind.Unknown} {
		v := start(t, 1, github("orgs", scopes))
		c := client(registry.Config{Keychain: alice{}})
		repo := repository(t, c, v.host()+"/acme/cache/app")
		can, err := open(t, c, repo, kind.Options{Kind: "ghcr", API: v.http.URL + "/api"}).Probe(context.Background(), repo)
		if err != nil || can.Delete != want || can.Why == nil || want == kind.No && !strings.Contains(hint(can.Why), "delete:packages") {
			t.Errorf("%q: %+v, %v", scopes, can, err)
		}
	}
	v := start(t, 1, github("orgs", ""))
	c := client(registry.Config{})
	repo := repository(t, c, v.host()+"/acme/cache/app")
	can, err := open(t, c, repo, kind.Options{Kind: "ghcr", API: v.http.URL + "/api"}).Probe(context.Background(), repo)
	if err != nil || can.Delete != kind.No || !strings.Contains(hint(can.Why), "delete:packages") {
		t.Errorf("without a token: %+v, %v", can, err)
	}
}

// docker: tags by its API; a digest by the registry if it has no tag, or with an answer
// of 500 and later.
func docker(v *vendor, w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/v2/":
		return
	case r.URL.Path == "/v2/auth/token":
		var login struct{ Identifier, Secret string }
		if err := json.NewDecoder(r.Body).Decode(&login); err != nil || login.Identifier != "alice" || login.Secret != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		put(w, map[string]string{"access_token": "jwt"})
		return
	case strings.HasPrefix(r.URL.Path, "/v2/a/cache/manifests/"):
		at := v.find(strings.TrimPrefix(r.URL.Path, "/v2/a/cache/manifests/"))
		switch {
		case at < 0:
			say(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		case len(v.entries[at].tags) > 0:
			say(w, http.StatusForbidden, "DENIED", "manifest is tagged")
		case v.entries[at].parent:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			v.remove(at)
			w.WriteHeader(http.StatusAccepted)
		}
		return
	case r.Header.Get("Authorization") != "Bearer jwt":
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if tag, ok := strings.CutPrefix(r.URL.Path, "/v2/repositories/a/cache/tags/"); ok && r.Method == http.MethodDelete {
		tag = strings.TrimSuffix(tag, "/")
		at := v.find(tag)
		switch {
		case v.deny:
			w.WriteHeader(http.StatusForbidden)
			put(w, map[string]string{"detail": "access to the resource is forbidden with personal access token"})
		case at < 0:
			w.WriteHeader(http.StatusNotFound)
		default:
			v.entries[at].tags = slices.DeleteFunc(v.entries[at].tags, func(s string) bool { return s == tag })
			w.WriteHeader(http.StatusNoContent)
		}
		return
	}
	page, size := 1, 10
	fmt.Sscan(r.URL.Query().Get("page"), &page)
	fmt.Sscan(r.URL.Query().Get("page_size"), &size)
	all := []map[string]any{}
	for _, e := range v.entries {
		for _, tag := range e.tags {
			all = append(all, map[string]any{"name": tag, "digest": e.digest, "full_size": 1234, "last_updated": pushed, "images": []any{}})
		}
	}
	if len(all) > 0 { // of long ago
		delete(all[0], "digest")
		all[0]["images"] = []map[string]string{{"digest": v.entries[0].digest}}
	}
	from := min((page-1)*size, len(all))
	to := min(from+size, len(all))
	answer := map[string]any{"count": len(all), "next": nil, "results": all[from:to]}
	if to < len(all) {
		answer["next"] = fmt.Sprintf("https://hub.docker.com/v2/namespaces/a/repositories/cache/tags?page=%d&page_size=%d", page+1, size)
	}
	put(w, answer)
}

func TestHub(t *testing.T) {
	ctx := context.Background()
	const n = 250
	v := start(t, n, docker)
	c := client(registry.Config{Keychain: alice{}})
	repo := repository(t, c, v.host()+"/a/cache")
	r := open(t, c, repo, kind.Options{Kind: "hub", API: v.http.URL})
	listAll(t, v, r, repo, n, false, 1234)
	if len(v.seen) != 3 {
		t.Errorf("listed with %d requests: %q", len(v.seen), v.seen)
	}
	if can, err := r.Probe(ctx, repo); err != nil || can.Delete != kind.Yes {
		t.Errorf("probe: %+v, %v", can, err)
	}
	for range 2 {
		if err := r.Delete(ctx, repo, victim(t, 3, "t0003")); err != nil || v.find(digest(t, 3).String()) >= 0 {
			t.Errorf("delete: %v", err)
		}
	}
	// One that Hub says it failed at, and does later, is asked for once.
	v.entries[0].parent = true
	v.seen = nil
	if err := r.Delete(ctx, repo, victim(t, 0, "t0000")); err != nil || v.find("t0000") >= 0 || len(v.deletions()) != 2 {
		t.Errorf("delete: %v, %q", err, v.deletions())
	}
	v.deny = true
	if can, err := r.Probe(ctx, repo); err != nil || can.Delete != kind.No || !strings.Contains(hint(can.Why), "personal access token") {
		t.Errorf("denied: %+v, %v", can, err)
	}
	if err := r.Delete(ctx, repo, victim(t, 5, "t0005")); err == nil || v.find("t0005") < 0 {
		t.Errorf("denied: %v", err)
	}
}

// TestSecrets: what is wrong with a kind's own interface is said without the secret.
func TestSecrets(t *testing.T) {
	v := start(t, 1, func(_ *vendor, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	c := client(registry.Config{Keychain: alice{}})
	repo := repository(t, c, v.host()+"/a/cache")
	for _, as := range []string{"ghcr", "hub", "acr", "google"} {
		r := open(t, c, repo, kind.Options{Kind: as, API: v.http.URL})
		err := r.Tags(context.Background(), repo, func(kind.Tag) error { return nil })
		var e *registry.Error
		if !errors.As(err, &e) || e.ExitCode() != 77 || strings.Contains(err.Error()+e.Hint(), "secret") {
			t.Errorf("%s: %v", as, err)
		}
	}
}
