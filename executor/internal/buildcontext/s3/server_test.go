package s3

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// quick is what tests wait.
var quick = remote.Retry{Wait: time.Millisecond, Stall: 5 * time.Second}

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// gateway is a versitygw, which keeps buckets in a directory and checks signatures.
type gateway struct {
	address string
	client  *s3.Client // its owner's
}

func serve(t *testing.T) *gateway {
	t.Helper()
	program := servertest.Program(t, "versitygw", "versitygw")
	isolate(t)
	dir, address := t.TempDir(), servertest.FreeAddress(t)
	buckets, attributes := filepath.Join(dir, "buckets"), filepath.Join(dir, "attributes")
	for _, d := range []string{buckets, attributes} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	// Not all file systems of test machines have attributes of files.
	cmd := exec.Command(program, "--port", address, "--quiet", "posix", "--sidecar", attributes, buckets)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	servertest.Run(t, address, cmd)
	g := &gateway{address: address, client: s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + address), Region: defaultRegion,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})}
	if _, err := g.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("builds")}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) put(t *testing.T, key string, content []byte) {
	t.Helper()
	_, err := g.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("builds"), Key: &key, Body: bytes.NewReader(content)})
	if err != nil {
		t.Error(err)
	}
}

// isolate takes away what this machine knows of Amazon.
func isolate(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// as lets the process have a key.
func as(t *testing.T, id, secret string) {
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
}

// at are options for a store at an address.
func at(address string) Options {
	return Options{Getenv: func(name string) string {
		if name == "S3_ENDPOINT" {
			return "http://" + address
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
