package azblob

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// quick is what tests wait.
var quick = remote.Retry{Wait: time.Millisecond, Stall: 5 * time.Second}

const account = "kanikotest"

// accessKey is the account's.
var accessKey = base64.StdEncoding.EncodeToString([]byte("secret: 32 bytes of somebody's key"))

// azurite is Microsoft's own emulator. It takes the first part of a host's name for
// the account, checks keys and signatures, and of tokens all but who signed them.
type azurite struct {
	address     string
	certificate *objecttest.Certificate
	transport   *http.Transport
}

func serve(t *testing.T) *azurite {
	t.Helper()
	program := servertest.Program(t, "azurite-blob", "azurite")
	isolate(t)
	a := &azurite{address: servertest.FreeAddress(t), certificate: objecttest.NewCertificate(t, hosts()...)}
	host, port, _ := strings.Cut(a.address, ":")
	cmd := exec.Command(program, "--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck",
		"--disableTelemetry", "--cert", a.certificate.Cert, "--key", a.certificate.Key, "--oauth", "basic")
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+account+":"+accessKey)
	servertest.Run(t, a.address, cmd)
	a.transport = a.client(t, a.address).Transport.(*http.Transport)
	a.create(t, "builds", nil)
	return a
}

// hosts are the names of what is Azure's here.
func hosts() []string {
	return []string{account + ".blob.core.windows.net", account + ".blob.core.chinacloudapi.cn", account + ".blob.core.cloudapi.de",
		account + ".blob.core.usgovcloudapi.net", "login.microsoftonline.com", "login.microsoft.com", "login.chinacloudapi.cn",
		"login.microsoftonline.us", "login.microsoftonline.de"}
}

// client is one for which all hosts are at an address.
func (a *azurite) client(t *testing.T, address string) *http.Client {
	t.Helper()
	c, transport := objecttest.Mapped(t, address)
	transport.TLSClientConfig = &tls.Config{RootCAs: a.certificate.Pool}
	return c
}

func (a *azurite) owner(t *testing.T) (*blob.SharedKeyCredential, azcore.ClientOptions) {
	t.Helper()
	key, err := blob.NewSharedKeyCredential(account, accessKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, azcore.ClientOptions{Transport: &http.Client{Transport: a.transport}}
}

func (a *azurite) create(t *testing.T, name string, access *container.PublicAccessType) {
	t.Helper()
	key, options := a.owner(t)
	c, err := container.NewClientWithSharedKeyCredential(at(name), key, &container.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), &container.CreateOptions{Access: access}); err != nil {
		t.Fatal(err)
	}
}

// blob is the owner's way to a blob.
func (a *azurite) blob(t *testing.T, name string) *blockblob.Client {
	t.Helper()
	key, options := a.owner(t)
	c, err := blockblob.NewClientWithSharedKeyCredential(at(name), key, &blockblob.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put makes a blob; marked as encoding, unless that is empty.
func (a *azurite) put(t *testing.T, name, encoding string, content []byte) {
	t.Helper()
	o := &blockblob.UploadOptions{}
	if encoding != "" {
		o.HTTPHeaders = &blob.HTTPHeaders{BlobContentEncoding: &encoding}
	}
	_, err := a.blob(t, name).Upload(t.Context(), struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(content), io.NopCloser(nil)}, o)
	if err != nil {
		t.Error(err)
	}
}

// at is the address of a container or a blob.
func at(name string) string {
	u := url.URL{Scheme: "https", Host: account + ".blob.core.windows.net", Path: "/" + name}
	return u.String()
}

// isolate takes away what this machine knows of Azure.
func isolate(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") || strings.HasPrefix(name, "MSI_") {
			t.Setenv(name, "")
		}
	}
}

// with is a key in the environment, or none.
func with(client *http.Client, key string) Options {
	return Options{Client: client, UserAgent: "kaniko/test", Getenv: func(name string) string {
		if name == "AZURE_STORAGE_ACCESS_KEY" {
			return key
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
