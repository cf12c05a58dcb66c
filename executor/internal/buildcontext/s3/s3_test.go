package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object/objecttest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// size is that of an object which does not fit into the buffers on its way.
const size = 5 << 20

func TestHandles(t *testing.T) {
	for address, want := range map[string]bool{
		"s3://bucket/key": true, "s3://bucket": true, "gs://bucket/key": false, "https://bucket.s3.amazonaws.com/key": false, "s3": false, "/s3/x": false,
	} {
		u, err := url.Parse(address)
		if err != nil || Handles(u) != want {
			t.Errorf("%s: %v, %v", address, Handles(u), err)
		}
	}
}

func TestOpen(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	content := objecttest.Content(size, 1)
	for _, key := range []string{"context.tar.gz", "a/b c/d+e.tar.gz", "q?h#ü%41.tar"} {
		g.put(t, key, content)
		u := url.URL{Scheme: "s3", Host: "builds", Path: "/" + key}
		r, err := fetch(t, u.String(), at(g.address))
		if err != nil {
			t.Fatal(err)
		}
		objecttest.Same(t, r, content)
	}
	g.put(t, "empty", nil)
	r, err := fetch(t, "s3://builds/empty", at(g.address))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, nil)
}

// The SDK's own variables lead to a store as well.
func TestOpen_variables(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	content := objecttest.Content(1000, 1)
	g.put(t, "x", content)
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+g.address)
	t.Setenv("AWS_REGION", defaultRegion)
	r, err := fetch(t, "s3://builds/x", Options{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)

	// Where both say where the store is, ours is the one meant.
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://"+servertest.FreeAddress(t))
	if r, err = fetch(t, "s3://builds/x", at(g.address)); err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
}

// A store that is told nothing of hosts for buckets takes the first part of the
// path for one.
func TestOpen_pathStyle(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	content := objecttest.Content(1000, 1)
	g.put(t, "x", content)
	client, _ := objecttest.Mapped(t, g.address)
	for style, works := range map[string]bool{"": false, "false": false, "true": true, "TRUE": true} {
		r, err := fetch(t, "s3://builds/x", Options{Client: client, Getenv: func(name string) string {
			return map[string]string{"S3_ENDPOINT": "http://store.test", "S3_FORCE_PATH_STYLE": style}[name]
		}})
		if works != (err == nil) {
			t.Errorf("%q: %v", style, err)
		}
		if err == nil {
			objecttest.Same(t, r, content)
		}
	}
}

func TestOpen_files(t *testing.T) {
	g := serve(t)
	content := objecttest.Content(1000, 1)
	g.put(t, "x", content)
	text := fmt.Sprintf("[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n", accessKey, secretKey)
	if err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_PROFILE", "other")
	r, err := fetch(t, "s3://builds/x", at(g.address))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)

	t.Setenv("AWS_PROFILE", "missing")
	_, err = fetch(t, "s3://builds/x", at(g.address))
	wrong(t, err, 78, "missing")
}

// Anybody may read what a bucket's policy says that anybody may.
func TestOpen_anonymous(t *testing.T) {
	g := serve(t)
	content := objecttest.Content(1000, 1)
	g.put(t, "public/x", content)
	g.put(t, "x", content)
	_, err := g.client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("builds"), Policy: aws.String(
		`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::builds/public/*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := fetch(t, "s3://builds/public/x", at(g.address))
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	_, err = fetch(t, "s3://builds/x", at(g.address))
	wrong(t, err, 77, "s3://builds/x", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "metadata")
}

func TestOpen_wrong(t *testing.T) {
	g := serve(t)
	g.put(t, "x", []byte("x"))
	for _, tc := range []struct {
		name, id, secret, address string
		code                      int
		says                      []string
	}{
		{"unknown key", "AKIDUNKNOWN", secretKey, "s3://builds/x", 77, []string{"s3://builds/x", "does not know the access key"}},
		{"wrong secret", accessKey, "SECRET/" + secretKey, "s3://builds/x", 77, []string{"s3://builds/x", "403", "SignatureDoesNotMatch"}},
		{"no object", accessKey, secretKey, "s3://builds/none/x", 66, []string{"s3://builds/none/x", "NoSuchKey", `has no object "none/x"`}},
		{"no bucket", accessKey, secretKey, "s3://other/x", 66, []string{"s3://other/x", "NoSuchBucket", "S3_ENDPOINT"}},
		{"no key", accessKey, secretKey, "s3://builds/", 64, []string{"s3://BUCKET/OBJECT"}},
		{"query", accessKey, secretKey, "s3://builds/x?versionId=secret", 64, []string{"%3F"}},
		{"user", accessKey, secretKey, "s3://u:secret@builds/x", 64, []string{"credentials"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			as(t, tc.id, tc.secret)
			_, err := fetch(t, tc.address, at(g.address))
			wrong(t, err, tc.code, tc.says...)
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		as(t, accessKey, secretKey)
		_, err := fetch(t, "s3://builds/x", at(servertest.FreeAddress(t)))
		wrong(t, err, 69, "s3://builds/x", "refused", "HTTPS_PROXY")
	})
	for _, endpoint := range []string{"store.test:9000", "ftp://store.test", "https://", "https://user:secret@store.test", ":"} {
		_, err := fetch(t, "s3://builds/x", Options{Getenv: func(name string) string { return map[string]string{"S3_ENDPOINT": endpoint}[name] }})
		wrong(t, err, 78, "S3_ENDPOINT")
	}
}

func TestOpen_resumes(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	content := objecttest.Content(size, 1)
	g.put(t, "x", content)
	line := objecttest.NewLine(t, g.address, nil, 1<<20, 64<<10, 2<<20)
	witness, o := &objecttest.Witness{}, at(line.Address)
	o.Client = &http.Client{Transport: witness}
	r, err := fetch(t, "s3://builds/x", o)
	if err != nil {
		t.Fatal(err)
	}
	objecttest.Same(t, r, content)
	if line.Cuts() != 3 {
		t.Errorf("the line was cut %d times", line.Cuts())
	}
	if !witness.Conditions(func(r *http.Request) string { return r.Header.Get("If-Match") }) {
		t.Error("the rest of the object is asked for whatever it is")
	}
}

func TestOpen_replaced(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	for name, change := range map[string]func(key string){
		"replaced": func(key string) { g.put(t, key, objecttest.Content(size, 2)) },
		"removed": func(key string) {
			if _, err := g.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("builds"), Key: &key}); err != nil {
				t.Error(err)
			}
		},
	} {
		g.put(t, name, objecttest.Content(size, 1))
		line := objecttest.NewLine(t, g.address, func() { change(name) }, 1<<20)
		r, err := fetch(t, "s3://builds/"+name, at(line.Address))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		var replaced *object.ReplacedError
		if !errors.As(err, &replaced) || n == 0 || n > 1<<20 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		wrong(t, err, 75, "s3://builds/"+name, fmt.Sprintf("after %d bytes", n))
	}
}

func TestOpen_canceled(t *testing.T) {
	g := serve(t)
	as(t, accessKey, secretKey)
	g.put(t, "x", objecttest.Content(size, 1))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := fetchUntil(t, ctx, "s3://builds/x", at(g.address))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := fetchUntil(t, ctx, "s3://builds/x", at(g.address)); !errors.Is(err, context.Canceled) {
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
	for _, secret := range []string{"secret", "SECRET", secretKey} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in: %s", secret, text)
		}
	}
}
