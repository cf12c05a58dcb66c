package gcs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// quick is what tests wait.
var quick = remote.Retry{Wait: time.Millisecond, Stall: 5 * time.Second}

// size is that of an object which does not fit into the buffers on its way.
const size = 5 << 20

// emulator is a fake-gcs-server, which keeps buckets in memory and lets everybody in.
type emulator struct{ address string }

func serve(t *testing.T) *emulator {
	t.Helper()
	program := servertest.Program(t, "fake-gcs-server", "gcs")
	e := &emulator{servertest.FreeAddress(t)}
	host, port, _ := strings.Cut(e.address, ":")
	servertest.Run(t, e.address, exec.Command(program, "-scheme", "http", "-host", host, "-port", port,
		"-backend", "memory", "-public-host", e.address, "-log-level", "error"))
	e.send(t, http.MethodPost, "/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name": "builds"}`))
	return e
}

// put makes an object; marked as encoding, unless that is empty.
func (e *emulator) put(t *testing.T, name, encoding string, content []byte) {
	t.Helper()
	meta, err := json.Marshal(map[string]string{"name": name, "contentType": "application/octet-stream", "contentEncoding": encoding})
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for kind, text := range map[string][]byte{"application/json": meta} {
		w, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {kind}})
		w.Write(text)
	}
	w, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/octet-stream"}})
	w.Write(content)
	parts.Close()
	e.send(t, http.MethodPost, "/upload/storage/v1/b/builds/o?uploadType=multipart", "multipart/related; boundary="+parts.Boundary(), &body)
}

func (e *emulator) send(t *testing.T, method, path, kind string, body io.Reader) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+e.address+path, body)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode > 299 {
		t.Errorf("%s %s: %s %s", method, path, resp.Status, said)
	}
}

// at are options for a store at an address.
func at(address string) Options {
	return Options{Getenv: func(name string) string {
		if name == "STORAGE_EMULATOR_HOST" {
			return address
		}
		return ""
	}}
}

func fetch(t *testing.T, address string, o Options) (io.ReadCloser, error) {
	t.Helper()
	return fetchUntil(t, t.Context(), address, o)
}

func fetchUntil(t *testing.T, ctx context.Context, address string, o Options) (io.ReadCloser, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r, err := open(ctx, u, o, quick)
	if err == nil {
		t.Cleanup(func() { r.Close() })
	}
	return r, err
}

func TestHandles(t *testing.T) {
	for address, want := range map[string]bool{
		"gs://bucket/key": true, "gs://bucket": true, "s3://bucket/key": false, "https://storage.googleapis.com/bucket/key": false, "gs": false,
	} {
		u, err := url.Parse(address)
		if err != nil || Handles(u) != want {
			t.Errorf("%s: %v, %v", address, Handles(u), err)
		}
	}
}

func TestOpen(t *testing.T) {
	e := serve(t)
	content := objecttest.Content(size, 1)
	for _, name := range []string{"context.tar.gz", "a/b c/d+e.tar.gz", "q?h#ü%41.tar"} {
		e.put(t, name, "", content)
		u := url.URL{Scheme: "gs", Host: "builds", Path: "/" + name}
		for _, host := range []string{e.address, "http://" + e.address, "http://" + e.address + "/"} {
			r, err := fetch(t, u.String(), at(host))
			if err != nil {
				t.Fatal(err)
			}
			objecttest.Same(t, r, content)
		}
	}
	e.put(t, "empty", "", nil)
	r, err := fetch(t, "gs://builds/empty", at(e.address))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, nil)
}

// What is marked as gzip comes as it is stored, or it could not be read on from
// where a connection broke off.
func TestOpen_gzip(t *testing.T) {
	e := serve(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(objecttest.Content(size, 1))
	z.Close()
	e.put(t, "x.tar.gz", "gzip", packed.Bytes())
	line := objecttest.NewLine(t, e.address, nil, 1<<20)
	r, err := fetch(t, "gs://builds/x.tar.gz", at(line.Address))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, packed.Bytes())
	if line.Cuts() != 1 {
		t.Errorf("the line was cut %d times", line.Cuts())
	}
}

func TestOpen_wrong(t *testing.T) {
	e := serve(t)
	for _, tc := range []struct {
		address string
		code    int
		says    []string
	}{
		{"gs://builds/none/x", 66, []string{"gs://builds/none/x", "404", `no object "none/x"`}},
		{"gs://other/x", 66, []string{"gs://other/x", "404", `no bucket "other"`}},
		{"gs://builds", 64, []string{"gs://BUCKET/OBJECT"}},
		{"gs://builds/x?generation=secret", 64, []string{"%3F"}},
		{"gs://builds/x#secret", 64, []string{"%23"}},
	} {
		_, err := fetch(t, tc.address, at(e.address))
		wrong(t, err, tc.code, tc.says...)
	}
	_, err := fetch(t, "gs://builds/x", at(servertest.FreeAddress(t)))
	wrong(t, err, 69, "gs://builds/x", "refused", "HTTPS_PROXY")
}

func TestOpen_resumes(t *testing.T) {
	e := serve(t)
	content := objecttest.Content(size, 1)
	e.put(t, "x", "", content)
	line := objecttest.NewLine(t, e.address, nil, 1<<20, 64<<10, 2<<20)
	witness, o := &objecttest.Witness{}, at(line.Address)
	o.Client = &http.Client{Transport: witness}
	r, err := fetch(t, "gs://builds/x", o)
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	if line.Cuts() != 3 {
		t.Errorf("the line was cut %d times", line.Cuts())
	}
	if !witness.Conditions(func(r *http.Request) string { return r.URL.Query().Get("generation") }) {
		t.Error("the rest of the object is asked for whatever it is")
	}
}

func TestOpen_replaced(t *testing.T) {
	e := serve(t)
	for name, change := range map[string]func(name string){
		"replaced": func(name string) { e.put(t, name, "", objecttest.Content(size, 2)) },
		"removed":  func(name string) { e.send(t, http.MethodDelete, "/storage/v1/b/builds/o/"+name, "", nil) },
	} {
		e.put(t, name, "", objecttest.Content(size, 1))
		line := objecttest.NewLine(t, e.address, func() { change(name) }, 1<<20)
		r, err := fetch(t, "gs://builds/"+name, at(line.Address))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		var replaced *object.ReplacedError
		if !errors.As(err, &replaced) || n == 0 || n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		wrong(t, err, 75, "gs://builds/"+name, fmt.Sprintf("after %d bytes", n))
	}
}

func TestOpen_canceled(t *testing.T) {
	e := serve(t)
	e.put(t, "x", "", objecttest.Content(size, 1))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := fetchUntil(t, ctx, "gs://builds/x", at(e.address))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := fetchUntil(t, ctx, "gs://builds/x", at(e.address)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// wrong checks what is said of a failure, and that no secret is.
func wrong(t *testing.T, err error, code int, says ...string) {
	t.Helper()
	var e *object.Error
	if !errors.As(err, &e) {
		t.Errorf("%v", err)
		return
	}
	text := e.Error() + "\n" + e.Hint()
	if e.ExitCode() != code {
		t.Errorf("exit code %d: %s", e.ExitCode(), text)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q is not in: %s", s, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("a secret is in: %s", text)
	}
}
