package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// packedContext is a build context as a compressed archive.
func packedContext(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "Dockerfile\n", "f": "of the store\n"} {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// builtFrom builds what is at an address, and ends in status, and says the words.
func builtFrom(t *testing.T, address string, env []string, status int, words ...string) {
	t.Helper()
	exe, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), exe, "--context="+address, "--no-push", "--oci-layout-path="+dir+"/layout", "--kaniko-dir="+dir)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("status %d, want %d: %v\n%s", got, status, err, out)
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			t.Errorf("nothing says %q:\n%s", w, out)
		}
	}
	if status != 0 {
		return
	}
	layers, err := image(t, dir+"/layout").Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, error %v", len(layers), err)
	}
}

// TestStore_google builds from an object of fake-gcs-server.
func TestStore_google(t *testing.T) {
	program, address := servertest.Program(t, "fake-gcs-server", "gcs"), servertest.FreeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	servertest.Run(t, address, exec.Command(program, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", address, "-log-level", "error"))
	post := func(path string, body []byte) {
		resp, err := http.Post("http://"+address+path, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	post("/storage/v1/b?project=test", []byte(`{"name": "builds"}`))
	post("/upload/storage/v1/b/builds/o?uploadType=media&name=a/context.tar.gz", packedContext(t))
	env := []string{"STORAGE_EMULATOR_HOST=" + address}
	builtFrom(t, "gs://builds/a/context.tar.gz", env, 0)
	builtFrom(t, "gs://builds/a/other.tar.gz", env, 66, "gs://builds/a/other.tar.gz", "hint: ")
}

// TestStore_amazon builds from an object of versitygw, which keeps it as a file.
func TestStore_amazon(t *testing.T) {
	program, address, dir := servertest.Program(t, "versitygw", "versitygw"), servertest.FreeAddress(t), t.TempDir()
	for _, d := range []string{"attributes", "buckets/builds/a"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "buckets/builds/a/context.tar.gz"), packedContext(t), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", address, "--quiet", "posix", "--sidecar", dir+"/attributes", dir+"/buckets")
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=secret")
	servertest.Run(t, address, cmd)
	env := []string{"S3_ENDPOINT=http://" + address, "S3_FORCE_PATH_STYLE=true", "AWS_ACCESS_KEY_ID=key", "AWS_EC2_METADATA_DISABLED=true"}
	builtFrom(t, "s3://builds/a/context.tar.gz", append(env, "AWS_SECRET_ACCESS_KEY=secret"), 0)
	builtFrom(t, "s3://builds/a/context.tar.gz", append(env, "AWS_SECRET_ACCESS_KEY=wrong"), 77, "s3://builds/a/context.tar.gz", "hint: ")
	builtFrom(t, "s3://builds/a/other.tar.gz", append(env, "AWS_SECRET_ACCESS_KEY=secret"), 66)
}
