package images

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/images/layout"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// Alice's password, and what a registry keeps of it.
const (
	password = "secret"
	htpasswd = "alice:$2a$05$vUIdK168IE/7TTJB8BtOJ.PgbYAJ7nKp5twTfpkgUEvgQWdW69qw2\n"
)

// podman is one with a storage of its own. It is given what a machine without every
// capability can still do.
type podman struct {
	dir string
}

func newPodman(t *testing.T) podman {
	t.Helper()
	for _, needed := range []string{"podman", "runc"} {
		if _, err := exec.LookPath(needed); err != nil || os.Geteuid() != 0 {
			t.Skipf("needs root, and %s", needed)
		}
	}
	// Not t.TempDir: podman takes a path for a name, which has no capitals.
	dir, err := os.MkdirTemp("", "kaniko-images-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return podman{dir}
}

// flags are those of all commands.
func (p podman) flags() []string {
	return []string{"--root=" + p.dir + "/root", "--runroot=" + p.dir + "/run", "--tmpdir=" + p.dir + "/tmp", "--storage-driver=vfs",
		"--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"}
}

// limits are what a root without CAP_SYS_RESOURCE may have.
func limits() []string {
	return []string{"--network=host", "--ulimit=nofile=20000:20000", "--ulimit=nproc=32768:32768"}
}

// do runs a command, and returns what it prints on both streams.
func (p podman) do(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return program(t, stdin, nil, "podman", append(p.flags(), args...)...)
}

func program(t *testing.T, stdin string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out.Bytes())
	}
	return out.String()
}

// load has podman know an image, and returns its id.
func (p podman) load(t *testing.T, name string) string {
	t.Helper()
	link := filepath.Join(p.dir, name)
	if err := os.Symlink(built(t, name), link); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(p.do(t, "", "pull", "-q", "oci:"+link))
}

// run runs a container of the default profile.
func (p podman) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return p.do(t, stdin, append(append([]string{"run", "--rm"}, limits()...), args...)...)
}

// project is a directory with a Dockerfile of two stages that runs commands, and needs
// nothing from elsewhere.
func project(t *testing.T) string {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"busybox": string(busybox),
		"Dockerfile": `FROM scratch AS base
COPY --chmod=755 busybox /bin/
RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]
FROM base AS make
RUN busybox mkdir -p /made && busybox id -u >/made/by && echo of a RUN >/made/what
FROM base
COPY --from=make /made /made
CMD ["busybox", "cat", "/made/by", "/made/what"]
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkMade runs the image of a project.
func checkMade(t *testing.T, p podman, image string) {
	t.Helper()
	if out := p.run(t, "", "--tls-verify=false", "-q", image); !strings.HasSuffix(out, "0\nof a RUN\n") {
		t.Errorf("%s says %q", image, out)
	}
}

// TestPodman_executor: each executor builds, with a cache, in podman's default container,
// and the second time takes everything from the cache.
func TestPodman_executor(t *testing.T) {
	p := newPodman(t)
	dir := project(t)
	host := registrytest.Real(t, registrytest.RealConfig{})
	for _, name := range []string{"executor", "executor-slim", "executor-debug"} {
		image := p.load(t, name)
		build := func() string {
			return p.run(t, "", "-v", dir+":/workspace:ro", image, "--destination", host+"/"+name+":1", "--cache", "--insecure", "--insecure-pull")
		}
		const cached = "] cached"
		if out := build(); strings.Contains(out, cached) {
			t.Errorf("%s: the first build finds something in the cache: %s", name, out)
		}
		if out := build(); !strings.Contains(out, cached) {
			t.Errorf("%s: the second build finds nothing in the cache: %s", name, out)
		}
		checkMade(t, p, host+"/"+name+":1")
	}
}

// TestPodman_gitlab: the debug image does a job as GitLab's runner starts it: no
// entrypoint, a shell looked for by its name, the script on standard input.
func TestPodman_gitlab(t *testing.T) {
	p := newPodman(t)
	dir := project(t)
	host := registrytest.Real(t, registrytest.RealConfig{Htpasswd: htpasswd})
	image := p.load(t, "executor-debug")
	script := `set -eu
mkdir -p /kaniko/.docker
printf '{"auths":{"%s":{"auth":"%s"}}}' "$CI_REGISTRY" "$(printf 'alice:` + password + `' | base64 | tr -d '\n')" >/kaniko/.docker/config.json
/kaniko/executor --context "$CI_PROJECT_DIR" --dockerfile "$CI_PROJECT_DIR/Dockerfile" --destination "$CI_REGISTRY/group/app:1" \
  --digest-file "$CI_PROJECT_DIR/digest" --insecure --insecure-pull
echo "after the build: $(cat "$CI_PROJECT_DIR/digest")"
`
	out := p.run(t, script, "-i", "--entrypoint=", "-v", dir+":/builds/group/app", "-e", "CI_PROJECT_DIR=/builds/group/app", "-e", "CI_REGISTRY="+host,
		image, "sh", "-c", `if [ -x /usr/local/bin/bash ]; then exec /usr/local/bin/bash; elif [ -x /bin/sh ]; then exec /bin/sh; elif [ -x /busybox/sh ]; then exec /busybox/sh; fi`)
	if !strings.Contains(out, "after the build: sha256:") {
		t.Errorf("the job ended too soon: %s", out)
	}
	p.do(t, "", "login", "--tls-verify=false", "-u=alice", "-p="+password, "--authfile="+p.dir+"/auth.json", host)
	p.do(t, "", "pull", "-q", "--tls-verify=false", "--authfile="+p.dir+"/auth.json", host+"/group/app:1")
	checkMade(t, p, host+"/group/app:1")
	if out := p.run(t, "", "--entrypoint=/busybox/sh", image, "-c", "id -u; busybox | head -n 1"); !strings.HasPrefix(out, "0\nBusyBox v1.35") {
		t.Errorf("the shell says %q", out)
	}
}

// TestPodman_programs: the others run as nobody in particular.
func TestPodman_programs(t *testing.T) {
	p := newPodman(t)
	for name, want := range promises() {
		if want.user == "" {
			continue
		}
		out := p.run(t, "", "--cap-drop=all", "--security-opt=no-new-privileges", "--read-only", p.load(t, name), "version")
		if !strings.HasPrefix(out, want.program+" "+command.Release+" ") {
			t.Errorf("%s says %q", name, out)
		}
	}
}

// TestRunInDocker: run_in_docker.sh builds with podman, whether the Dockerfile is in the
// build context or not.
func TestRunInDocker(t *testing.T) {
	p := newPodman(t)
	dir := project(t)
	host := registrytest.Real(t, registrytest.RealConfig{})
	runtime := filepath.Join(p.dir, "podman")
	text := "#!/bin/sh\nexec podman " + strings.Join(p.flags(), " ") + ` "$@"` + "\n"
	if err := os.WriteFile(runtime, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.Rename(filepath.Join(dir, "Dockerfile"), elsewhere); err != nil {
		t.Fatal(err)
	}
	env := []string{"KANIKO_RUNTIME=" + runtime, "KANIKO_IMAGE=" + p.load(t, "executor"), "HOME=" + p.dir, "DOCKER_CONFIG=",
		"KANIKO_RUN_FLAGS=" + strings.Join(limits(), " "), "KANIKO_FLAGS=--insecure --insecure-pull"}
	program(t, "", env, "../run_in_docker.sh", elsewhere, dir, host+"/one:1")
	checkMade(t, p, host+"/one:1")
	if err := os.Rename(elsewhere, filepath.Join(dir, "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	program(t, "", env, "../run_in_docker.sh", "Dockerfile", dir, host+"/two:1", "true")
	checkMade(t, p, host+"/two:1")
	resp, err := http.Get("http://" + host + "/v2/two/cache/tags/list")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("with the fourth argument there is no cache: %s", resp.Status)
	}
}

// TestPush: what is pushed is what was built, with attestations, and signed.
func TestPush(t *testing.T) {
	host := registrytest.Real(t, registrytest.RealConfig{})
	dir := t.TempDir()
	from := built(t, "inspect")
	for _, suffix := range []string{"", ".files"} {
		if err := os.Symlink(from+suffix, filepath.Join(dir, "inspect"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	executor, err := filepath.Abs("../executor/executor_/executor")
	if os.Getenv("TEST_SRCDIR") == "" {
		executor, err = filepath.Abs("../bin/executor")
	}
	if err != nil {
		t.Fatal(err)
	}
	out := program(t, "", nil, "./push.sh", executor, dir, host+"/kaniko", "v9", "--sign-key="+privateKey(t), "--insecure")
	l, err := layout.Read(from)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, host+"/kaniko/inspect@"+l.Digest) {
		t.Errorf("it says %q, and the image is %s", out, l.Digest)
	}
	sig := strings.Replace(l.Digest, ":", "-", 1) + ".sig"
	att := strings.Replace(l.Images[1].Digest, ":", "-", 1) + ".att"
	for _, tag := range []string{"v9", l.Digest, sig, att} {
		if status := manifestStatus(t, "http://"+host+"/v2/kaniko/inspect/manifests/"+tag); status != http.StatusOK {
			t.Errorf("the registry says of %s: %d", tag, status)
		}
	}
}

// manifestStatus is what a registry answers who asks for a manifest.
func manifestStatus(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// privateKey is a file with one.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
