package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// twice is a Dockerfile whose stages both read the build context.
const twice = `Two stages that read the build context.
-- Dockerfile --
FROM {{base}} AS one
COPY . /in
RUN --mount=type=bind,target=/ctx cat /in/data /ctx/data > /one
FROM {{base}}
COPY --from=one /one /in /
COPY data /two
RUN cat /one /two > /three
-- context/data --
data
-- context/d/more --
more
-- context/ignored --
-- context/.dockerignore --
ignored
`

// lay lays out a case of its own for a test.
func lay(t *testing.T, text string) *conformance.Built {
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	site, err := conformance.Open(t.Context(), registrytest.Start(t, registrytest.Config{}).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "001-case.txtar")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := conformance.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	built, err := site.Lay(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// run runs a program of this machine and gives what it prints.
func run(t *testing.T, dir string, name string, args ...string) []byte {
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	return out
}

// TestContextsInPlace: where a build changes the root that it runs in, and empties it
// between stages, what it has of a build context stays there. The directory itself is
// mounted read-only, in the jail that each build has.
func TestContextsInPlace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a root of its own needs a mount namespace, and that needs root")
	}
	exe := sandboxtest.StaticBinary(t) // in the jail there are no shared libraries
	built := lay(t, twice)
	ctx := filepath.Join(built.Dir, "context")
	packed := run(t, built.Dir, "tar", "-czC", ctx, ".")
	if err := os.WriteFile(filepath.Join(built.Dir, "c.tgz"), packed, 0o644); err != nil {
		t.Fatal(err)
	}
	plantFarm(t, filepath.Join(built.Dir, "farm"), ctx)
	work := t.TempDir()
	for _, dir := range []string{"served", "repos"} {
		if err := os.Mkdir(filepath.Join(work, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "served/c.tgz"), packed, 0o644); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(served(work))
	t.Cleanup(web.Close)
	build := func(t *testing.T, stdin []byte, flags ...string) v1.Hash {
		b := inPlaceCommand(t, built, exe)
		b.Args = append(b.Args, flags...)
		b.Stdin = bytes.NewReader(stdin) // a pipe
		return digestOf(t, b)
	}
	want := build(t, nil)
	for name, tc := range map[string]struct {
		context string
		stdin   []byte
	}{
		"archive":        {context: "tar://c.tgz"},
		"standard input": {context: "tar://stdin", stdin: packed},
		"web":            {context: web.URL + "/c.tgz"},
		"web, broken":    {context: web.URL + "/cut/c.tgz"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := build(t, tc.stdin, "--context="+tc.context); got != want {
				t.Errorf("the image is %s, from the directory %s", got, want)
			}
		})
	}
	t.Run("configMap", func(t *testing.T) { build(t, nil, "--context=farm") })
	t.Run("repository", func(t *testing.T) {
		bare := filepath.Join(work, "repos/r.git")
		run(t, work, "git", "init", "-q", "--bare", "-b", "main", bare)
		run(t, ctx, "git", "init", "-q", "-b", "main", ".")
		run(t, ctx, "git", "add", "-f", "-A")
		run(t, ctx, "git", "commit", "-qm", "all")
		run(t, ctx, "git", "push", "-q", bare, "main")
		build(t, nil, "--context="+web.URL+"/git/r.git")
	})
}

// plantFarm makes a directory as Kubernetes mounts a configMap with the files of
// another one's top, and with a directory.
func plantFarm(t *testing.T, farm, from string) {
	const now = "..2024_01_02_03_04_05.123456789"
	if err := os.CopyFS(filepath.Join(farm, now), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"..data": now}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		links[e.Name()] = "..data/" + e.Name()
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(farm, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestContextsSSH: a repository is fetched from a real sshd, with a real agent's key.
func TestContextsSSH(t *testing.T) {
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("sshd is not installed (package openssh-server)")
	}
	if os.Geteuid() != 0 {
		t.Skip("sshd lets in its own user only: needs root")
	}
	// It insists on an empty directory of root's for the part of it without rights.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { os.Remove("/run/sshd") })
	} else if !errors.Is(err, fs.ErrExist) {
		t.Skipf("sshd wants /run/sshd: %v", err)
	}
	dir := t.TempDir()
	for _, key := range []string{"host", "user"} {
		run(t, dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)
	}
	port := freePort(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	public := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write("authorized", public("user"))
	write("known", "[127.0.0.1]:"+port+" "+public("host"))
	write("conf", strings.Join([]string{"ListenAddress 127.0.0.1", "Port " + port, "HostKey " + dir + "/host", "StrictModes no", "UsePAM no", "PidFile none",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes", "AuthorizedKeysFile " + dir + "/authorized",
		"SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null", ""}, "\n"))
	start(t, sshd, "-D", "-e", "-f", filepath.Join(dir, "conf"))
	sockets, err := os.MkdirTemp("", "agent") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "s")
	start(t, "ssh-agent", "-D", "-a", socket)
	await(t, "unix", socket)
	await(t, "tcp", "127.0.0.1:"+port)
	run(t, dir, "env", "SSH_AUTH_SOCK="+socket, "ssh-add", "-q", filepath.Join(dir, "user"))

	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	write("work/Dockerfile", "FROM scratch\nCOPY . /all\n")
	write("work/file", "file")
	bare := filepath.Join(dir, "r.git")
	run(t, dir, "git", "init", "-q", "--bare", "-b", "main", bare)
	run(t, work, "git", "init", "-q", "-b", "main", ".")
	run(t, work, "git", "add", "-A")
	run(t, work, "git", "commit", "-qm", "all")
	run(t, work, "git", "push", "-q", bare, "main")

	exe, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	build := func(agent string) (string, error) {
		cmd := exec.CommandContext(t.Context(), exe, "--context=ssh://root@127.0.0.1:"+port+bare+"#main", "--no-push",
			"--oci-layout-path="+filepath.Join(dir, "layout"), "--kaniko-dir="+filepath.Join(dir, "state"))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SSH_AUTH_SOCK=" + agent, "SSH_KNOWN_HOSTS=" + filepath.Join(dir, "known")}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := build(socket); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	layers, err := image(t, filepath.Join(dir, "layout")).Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(len(layers), err)
	}
	found := false
	for c, err := range layer.Open(layers[0]) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || c.Path == "all/file"
	}
	if !found {
		t.Error("the file of the repository is not in the image")
	}
	out, err := build("")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 77 {
		t.Errorf("without a key: %v\n%s", err, out)
	}
}

// start starts a server, which the test's end stops.
func start(t *testing.T, name string, args ...string) {
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
}

func await(t *testing.T, network, address string) {
	for range 500 {
		if conn, err := net.Dial(network, address); err == nil {
			conn.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nobody listens at " + address)
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestContextsStore: an object in a store is a build context, by its address and by
// kaniko's --bucket. The other stores are tried in the packages that open them.
func TestContextsStore(t *testing.T) {
	program := servertest.Program(t, "fake-gcs-server", "gcs")
	exe, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	work, bucket := filepath.Join(dir, "work"), filepath.Join(dir, "data/builds")
	for _, d := range []string{work, filepath.Join(bucket, "a")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "Dockerfile"), []byte("FROM scratch\nCOPY . /all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	packed := run(t, dir, "tar", "-czC", work, ".")
	for _, name := range []string{"a/c.tgz", "context.tar.gz"} {
		if err := os.WriteFile(filepath.Join(bucket, name), packed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	address := servertest.FreeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	servertest.Run(t, address, exec.Command(program, "-scheme", "http", "-host", host, "-port", port,
		"-backend", "memory", "-data", filepath.Join(dir, "data"), "-public-host", address, "-log-level", "error"))
	build := func(flags ...string) build {
		layout := filepath.Join(t.TempDir(), "layout")
		cmd := exec.CommandContext(t.Context(), exe, append(flags, "--no-push", "--reproducible", "--oci-layout-path="+layout, "--kaniko-dir="+filepath.Join(dir, "state"))...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "STORAGE_EMULATOR_HOST=" + address}
		return build{cmd, layout}
	}
	want := digestOf(t, build("--context="+work))
	for _, flags := range [][]string{{"--context=gs://builds/a/c.tgz"}, {"--bucket=builds", "--context=a/c.tgz"}, {"-b", "builds"}} {
		if got := digestOf(t, build(flags...)); got != want {
			t.Errorf("%q: the image is %s, from the directory %s", flags, got, want)
		}
	}
	out, err := build("--context=gs://builds/none").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 66 || !strings.Contains(string(out), "gs://builds/none") {
		t.Errorf("of an object that is not there: %v\n%s", err, out)
	}
}
