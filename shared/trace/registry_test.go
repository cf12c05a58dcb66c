package trace

import (
	"bytes"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestTransport_registry: the spans of a push say what each request was for and which
// attempt it was, and hold no digest and no upload's name.
func TestTransport_registry(t *testing.T) {
	c, url := overHTTP(t)
	p := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url})
	server := registrytest.Start(t, registrytest.Config{Script: "PUT manifest: 503"})
	client := registry.New(registry.Config{Wrap: p.Transport, Retry: registry.Retry{Wait: 1}})
	img, err := random.Image(5000, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := client.Tag(server.Host() + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := p.Start(t.Context(), "build", Past{})
	if err := client.PushImage(ctx, tag, img); err != nil {
		t.Fatal(err)
	}
	end(nil)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	routes, sent, again := map[string]int{}, false, false
	for _, s := range c.spans {
		a := attributes(s)
		routes[a["http.request.method"]+" "+a["http.route"]]++
		if a["http.route"] != "" && a["http.route"] != "/v2/" && a["kaniko.repository"] != "team/app" {
			t.Errorf("a span is of the repository %q: %v", a["kaniko.repository"], s)
		}
		again = again || a["http.request.resend_count"] == "1"
		sent = sent || len(a["http.request.body.size"]) >= 4
		if bytes.Contains([]byte(s.String()), []byte("sha256:")) {
			t.Errorf("a span has a digest: %v", s)
		}
	}
	if n := routes["PUT /v2/{name}/manifests/{reference}"]; n != 2 || !again {
		t.Errorf("the manifest was put %d times, again is %v: %v", n, again, routes)
	}
	if routes["POST /v2/{name}/blobs/uploads/"] == 0 || !sent {
		t.Errorf("no blob was sent, or of no length: %v", routes)
	}
}
