package azblob

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// size is that of a blob which does not fit into the buffers on its way.
const size = 5 << 20

func TestHandles(t *testing.T) {
	for address, want := range map[string]bool{
		"https://a.blob.core.windows.net/c/b":          true,
		"https://A.BLOB.core.windows.net/c/b":          true,
		"https://a.blob.core.chinacloudapi.cn/c/b":     true,
		"https://a.blob.core.cloudapi.de/c/b":          true,
		"https://a.blob.core.usgovcloudapi.net/c/b":    true,
		"http://a.blob.core.windows.net/c/b":           false,
		"https://.blob.core.windows.net/c/b":           false,
		"https://blob.core.windows.net/c/b":            false,
		"https://a.b.blob.core.windows.net/c/b":        false,
		"https://a.blob.core.windows.net.evil.test/c":  false,
		"https://a.file.core.windows.net/c/b":          false,
		"https://example.test/a.blob.core.windows.net": false,
	} {
		u, err := url.Parse(address)
		if err != nil || Handles(u) != want {
			t.Errorf("%s: %v, %v", address, Handles(u), err)
		}
	}
}

// All on one server, which takes seconds to start.
func TestOpen(t *testing.T) {
	a := serve(t)
	for name, test := range map[string]func(*testing.T, *azurite){
		"key":       testKey,
		"signature": testSignature,
		"anonymous": testAnonymous,
		"gzip":      testGzip,
		"wrong":     testWrong,
		"resumes":   testResumes,
		"replaced":  testReplaced,
		"canceled":  testCanceled,
		"workload":  testWorkload, "application": testApplication, "managed": testManaged, "nobody": testNobody,
	} {
		t.Run(name, func(t *testing.T) { test(t, a) })
	}
}

func testKey(t *testing.T, a *azurite) {
	content := objecttest.Content(size, 1)
	for _, name := range []string{"builds/context.tar.gz", "builds/a/b c/d+e.tar.gz", "builds/q?h#ü%41.tar"} {
		a.put(t, name, "", content)
		r, err := fetch(t, at(name), with(a.client(t, a.address), accessKey))
		if err != nil {
			t.Fatal(err)
		}
		objecttest.Same(t, r, content)
	}
	a.put(t, "builds/empty", "", nil)
	r, err := fetch(t, at("builds/empty"), with(a.client(t, a.address), accessKey))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, nil)
	for _, h := range hosts()[1:4] {
		r, err := fetch(t, "https://"+h+"/builds/context.tar.gz", with(a.client(t, a.address), accessKey))
		if err != nil {
			t.Fatal(err)
		}
		objecttest.Same(t, r, content)
	}
}

func testSignature(t *testing.T, a *azurite) {
	content := objecttest.Content(1000, 1)
	a.put(t, "builds/x", "", content)
	a.put(t, "builds/y", "", content)
	signed, err := a.blob(t, "builds/x").BlobClient().GetSASURL(sas.BlobPermissions{Read: true}, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	// The signature is what is meant, whatever else there is.
	r, err := fetch(t, signed, with(a.client(t, a.address), "wrong"))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	_, err = fetch(t, strings.Replace(signed, "/x?", "/y?", 1), with(a.client(t, a.address), ""))
	wrong(t, err, 77, "builds/y?", "403", "sp=r")
	u, _ := url.Parse(signed)
	if text := err.Error(); strings.Contains(text, url.QueryEscape(u.Query().Get("sig"))) || strings.Contains(text, u.Query().Get("sig")) {
		t.Errorf("the signature is in: %s", text)
	}
}

func testAnonymous(t *testing.T, a *azurite) {
	content := objecttest.Content(1000, 1)
	a.create(t, "public", to.Ptr(container.PublicAccessTypeBlob))
	a.put(t, "public/x", "", content)
	a.put(t, "builds/x", "", content)
	r, err := fetch(t, at("public/x"), with(a.client(t, a.address), ""))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	_, err = fetch(t, at("builds/x"), with(a.client(t, a.address), ""))
	wrong(t, err, 77, at("builds/x"), "not public", "AZURE_STORAGE_ACCESS_KEY", "AZURE_FEDERATED_TOKEN_FILE", "managed identity")
}

// A blob that is marked as gzip comes as it is stored, or it could not be read on
// from where a connection broke off.
func testGzip(t *testing.T, a *azurite) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(objecttest.Content(size, 1))
	z.Close()
	a.put(t, "builds/x", "gzip", packed.Bytes())
	line := objecttest.NewLine(t, a.address, nil, 1<<20)
	r, err := fetch(t, at("builds/x"), with(a.client(t, line.Address), accessKey))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, packed.Bytes())
	if line.Cuts() != 1 {
		t.Errorf("the line was cut %d times", line.Cuts())
	}
}

func testWrong(t *testing.T, a *azurite) {
	a.put(t, "builds/x", "", []byte("x"))
	other := strings.Replace(at("builds/x"), account, "unknown", 1)
	for _, tc := range []struct {
		name, address, key string
		code               int
		says               []string
	}{
		{"wrong key", at("builds/x"), "c2VjcmV0", 77, []string{at("builds/x"), "a key of this account"}},
		{"no key", at("builds/x"), "secret!", 77, []string{"AZURE_STORAGE_ACCESS_KEY", "base64"}},
		{"no blob", at("builds/none/x"), accessKey, 66, []string{at("builds/none/x"), "BlobNotFound", "no such blob"}},
		{"no container", at("other/x"), accessKey, 66, []string{at("other/x"), "ContainerNotFound", "no such container"}},
		{"no path", at("builds"), accessKey, 64, []string{"CONTAINER/PATH"}},
		{"user", strings.Replace(at("builds/x"), "//", "//u:secret@", 1), accessKey, 64, []string{"AZURE_STORAGE_ACCESS_KEY"}},
		{"fragment", at("builds/x") + "#secret", accessKey, 64, []string{"%23"}},
		{"untrusted", other, accessKey, 69, []string{other, "certificate", "another name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := fetch(t, tc.address, with(a.client(t, a.address), tc.key))
			wrong(t, err, tc.code, tc.says...)
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		_, err := fetch(t, at("builds/x"), with(a.client(t, servertest.FreeAddress(t)), accessKey))
		wrong(t, err, 69, at("builds/x"), "refused", "HTTPS_PROXY")
	})
}

func testResumes(t *testing.T, a *azurite) {
	content := objecttest.Content(size, 1)
	a.put(t, "builds/x", "", content)
	line := objecttest.NewLine(t, a.address, nil, 1<<20, 64<<10, 2<<20)
	witness := &objecttest.Witness{Base: a.client(t, line.Address).Transport}
	r, err := fetch(t, at("builds/x"), with(&http.Client{Transport: witness}, accessKey))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	if line.Cuts() != 3 {
		t.Errorf("the line was cut %d times", line.Cuts())
	}
	if !witness.Conditions(func(r *http.Request) string { return r.Header.Get("If-Match") }) {
		t.Error("the rest of the blob is asked for whatever it is")
	}
}

func testReplaced(t *testing.T, a *azurite) {
	for name, change := range map[string]func(name string){
		"builds/replaced": func(name string) { a.put(t, name, "", objecttest.Content(size, 2)) },
		"builds/removed": func(name string) {
			if _, err := a.blob(t, name).Delete(t.Context(), nil); err != nil {
				t.Error(err)
			}
		},
	} {
		a.put(t, name, "", objecttest.Content(size, 1))
		line := objecttest.NewLine(t, a.address, func() { change(name) }, 1<<20)
		r, err := fetch(t, at(name), with(a.client(t, line.Address), accessKey))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		var replaced *object.ReplacedError
		if !errors.As(err, &replaced) || n == 0 || n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		wrong(t, err, 75, at(name), fmt.Sprintf("after %d bytes", n))
	}
}

func testCanceled(t *testing.T, a *azurite) {
	a.put(t, "builds/x", "", objecttest.Content(size, 1))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := fetchUntil(t, ctx, at("builds/x"), with(a.client(t, a.address), accessKey))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, key := range []string{accessKey, ""} {
		if _, err := fetchUntil(t, ctx, at("builds/x"), with(a.client(t, a.address), key)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
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
	for _, secret := range []string{"secret", accessKey, "c2VjcmV0"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in: %s", secret, text)
		}
	}
}
