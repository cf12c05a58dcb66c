package cache_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/cache"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// counter counts requests by method.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) count(req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[req.Method]++
	if req.URL.Query().Has("mount") {
		c.seen["mount"]++
	}
}

// countedTransport has a counter know of what goes through it.
type countedTransport struct {
	http.RoundTripper
	*counter
}

func (t countedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.count(req)
	return t.RoundTripper.RoundTrip(req)
}

// forget begins anew.
func (c *counter) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.seen)
}

func counted() (*registry.Client, *counter) {
	n := &counter{seen: map[string]int{}}
	return client(registry.Config{Wrap: func(rt http.RoundTripper) http.RoundTripper {
		return countedTransport{rt, n}
	}}), n
}

// realOnes runs a test with each version of a real registry.
func realOnes(t *testing.T, test func(t *testing.T, host string)) {
	for version, start := range map[string]func(testing.TB, registrytest.RealConfig) string{
		"2.8": registrytest.Real, "3": registrytest.RealV3,
	} {
		t.Run(version, func(t *testing.T) { test(t, start(t, registrytest.RealConfig{})) })
	}
}

// TestReal_mount: between the repositories of a real registry a layer goes without
// being sent or read, both ways.
func TestReal_mount(t *testing.T) {
	realOnes(t, func(t *testing.T, host string) {
		c, n := counted()
		ctx := context.Background()
		r := result(t, "a", 10<<10)
		if err := c.PushLayer(ctx, mustRepo(t, c, host+"/app"), r.Layer); err != nil {
			t.Fatal(err)
		}
		n.forget()
		put(t, with(t, c, host+"/app/cache", cache.Options{}), r)
		if n.seen["mount"] != 1 || n.seen["PUT"] != 3 {
			t.Errorf("put: %v; want a mount, and PUTs of definition, index and manifest", n.seen)
		}

		c, n = counted()
		place := with(t, c, host+"/app/cache", cache.Options{})
		e := get(t, place, r.Definition.Key())
		n.forget()
		get(t, place, r.Definition.Key())
		if n.seen["GET"] != 1 || len(n.seen) != 1 {
			t.Errorf("get: %v", n.seen)
		}
		n.forget()
		if err := c.PushLayer(ctx, mustRepo(t, c, host+"/other"), e.Layer); err != nil {
			t.Fatal(err)
		}
		if n.seen["mount"] != 1 || n.seen["PUT"]+n.seen["PATCH"]+n.seen["GET"] != 0 {
			t.Errorf("to another repository: %v", n.seen)
		}
	})
}

// TestReal_lost: what somebody deletes from a real registry is missed and can be put
// again.
func TestReal_lost(t *testing.T) {
	realOnes(t, func(t *testing.T, host string) {
		r := result(t, "a", 10<<10)
		put(t, in(t, host+"/cache", cache.Options{}), r)
		remove := func(path string) {
			t.Helper()
			req, err := http.NewRequest(http.MethodDelete, "http://"+host+"/v2/cache/"+path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				t.Fatalf("delete %s: %s", path, resp.Status)
			}
		}
		c := client(registry.Config{})
		place := with(t, c, host+"/cache", cache.Options{})
		e := get(t, place, r.Definition.Key())
		for _, h := range []v1.Hash{r.Layer.(*fakeLayer).digest, hash(t, readAll(t, r.Index))} {
			remove("blobs/" + h.String())
		}
		isLost(t, failure(e.Layer.Uncompressed), e)
		for _, err := range layer.Metadata(e.Layer) {
			isLost(t, err, e)
		}
		isLost(t, c.PushLayer(context.Background(), mustRepo(t, c, host+"/app"), e.Layer), e)
		put(t, place, r)
		sameLayer(t, get(t, place, r.Definition.Key()), r)

		m, err := c.Manifest(context.Background(), mustRepo(t, c, host+"/cache").Tag(string(r.Definition.Key())), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		remove("manifests/" + m.Digest.String())
		if _, err := place.Get(context.Background(), r.Definition.Key()); err != cache.ErrMiss {
			t.Errorf("an entry that was deleted: %v", err)
		}
	})
}
