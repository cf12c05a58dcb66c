package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/shared/command/commandtest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
)

// A reach is a row of docs/security.md's table: something that a command might get at.
type reach struct {
	what string
	// found are the lines of [prober.found] that mean that it got at it; "environ *" is all
	// that was found in that way, "* docker" all that is of that kind.
	found []string
	// cells are what the table says of a build in place as root, and as another user, and
	// of an isolated one. They begin with "no" or with "yes", in bold where that may
	// surprise.
	cells [3]string
}

// reaches is what a command finds in a container with a runtime's defaults.
var reaches = []reach{
	{"variables of the executor (`/proc/1/environ`): passwords, tokens, values of `--secret …,env=`", []string{"environ *"}, [3]string{"no; in gVisor, or with `SYS_PTRACE`, **yes**", "no", "no"}},
	{"memory of the executor, with all `--secret` files and credentials it has read; `ptrace`; its core dumps", []string{"mem *", "did mem", "did ptrace", "did kcore", "did raw"}, [3]string{"no; with `SYS_PTRACE` **yes**", "no", "no; before Linux 5.19 yes, of other steps, where `/proc` cannot be fresh"}},
	{"files that the executor has open, and its root and directory, by `/proc/1/fd`, `root` and `cwd`", []string{"fd *", "root *", "did root", "did cwd"}, [3]string{"no; with `SYS_PTRACE` yes", "no", "no"}},
	{"the executor's command line, with the values of `--build-arg`", []string{"cmdline *"}, [3]string{"yes", "yes", "no; yes where `/proc` cannot be fresh (podman, Kubernetes)"}},
	{"`/kaniko/.docker/config.json`, or the one in `DOCKER_CONFIG`", []string{"file docker", "file config", "root docker", "root config"}, [3]string{"**yes**", "no, if its mode is `0600`; `0644` is readable", "no"}},
	{"what is mounted into the container: `/var/run/secrets` (the pod's token), files of secrets, of ssh keys and of keys to sign with, volumes, `--cache-dir` and caches in directories", []string{"file mounted", "file secret", "file agent", "file sign", "file store"}, [3]string{"**yes**", "no, if their modes say so", "no"}},
	{"the build context", []string{"file context"}, [3]string{"yes, as well what `.dockerignore` names", "no, if it was fetched; of a directory as modes say", "no"}},
	{"layers of this build that were made and not pushed yet, below `/kaniko`", []string{"file stage"}, [3]string{"yes", "no", "no"}},
	{"secrets of other steps, of those before it and of those at the same time, in `/run/secrets` or anywhere else; credentials for git", []string{"* variable", "* before", "* held", "* git", "* password"}, [3]string{"no", "no", "no; before Linux 5.19 yes, of those at the same time, where `/proc` cannot be fresh"}},
	{"processes of the container, to be ended", []string{"did signal"}, [3]string{"**yes**, the executor too; from Linux 6.12 on no, if the container has no-new-privileges", "no, but its own user's", "no; before Linux 6.12 yes, where `/proc` cannot be fresh"}},
	{"processes that an earlier step has left", []string{"* earlier"}, [3]string{"no", "no", "no"}},
	{"keys of the kernel's keyrings that the executor was started with", []string{"keyring *"}, [3]string{"no", "no", "no"}},
	{"shared memory of the container's processes (System V and `/dev/shm`)", []string{"sysv *", "file shm"}, [3]string{"yes, and what an earlier step left there", "no, as its mode says", "no"}},
	{"Unix sockets without a path, of processes in the same network", []string{"socket *"}, [3]string{"yes; no as above", "yes; no as above", "no; before Linux 6.12 yes"}},
	{"the executor's program, for later builds in the same container", []string{"did program"}, [3]string{"yes: it can be renamed and replaced", "no", "no"}},
	{"mounting and unmounting, other namespaces, files by their handles", []string{"did mount", "did bind", "did umount", "did unshare", "did setns", "did handle", "did admin", "uncovered *"}, [3]string{"no; as the container's capabilities allow", "no", "no"}},
	{"the machine's clock; modules of its kernel", []string{"did clock", "did module"}, [3]string{"no; as the container's capabilities allow", "no", "no"}},
	{"devices", []string{"did device"}, [3]string{"no; as the container allows", "no", "no: device nodes cannot be opened"}},
}

// reachTable is the table of the documentation.
func reachTable() string {
	var b strings.Builder
	b.WriteString("| | in place, as root | in place, another `USER` | isolated |\n|---|---|---|---|\n")
	for _, r := range reaches {
		fmt.Fprintf(&b, "| %s | %s |\n", r.what, strings.Join(r.cells[:], " | "))
	}
	return b.String()
}

// TestHostileRun_documented: docs/security.md, to which testdata has a link, has the table
// that TestHostileRun tries.
func TestHostileRun_documented(t *testing.T) {
	commandtest.CheckSection(t, "testdata/security.md", "reach", reachTable(), *update)
}

// TestHostileRun: a Dockerfile that looks for what it must not have finds what
// docs/security.md says and nothing else, in a container with a runtime's defaults: in
// place as root and as another user, and isolated, with a /proc of its own and without.
func TestHostileRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a container")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	w := newPlanted(t)
	for _, driver := range []struct {
		name, isolation, user string
		fresh                 bool
		column                int
		least                 bool     // of privileges: none can be gained
		also, not             []string // rows that are reached in this container, and that are not
	}{
		{name: "in place", isolation: "in-place", column: 0},
		{name: "in place, no new privileges", isolation: "in-place", column: 0, least: true, not: []string{"did signal", "socket *"}},
		{name: "in place, another user", isolation: "in-place", user: "1234:1234", column: 1},
		{name: "isolated", isolation: "namespaces", fresh: true, column: 2},
		{name: "isolated, proc shared", isolation: "namespaces", column: 2, also: []string{"cmdline *"}},
	} {
		t.Run(driver.name, func(t *testing.T) {
			if driver.column == 2 {
				needNamespaces(t)
			}
			if version := landlock(); version < 6 && (driver.least || driver.column == 2) {
				t.Skipf("this kernel's Landlock is version %d, and the table's exceptions are not tried", version)
			}
			found := w.probe(t, container{FreshProc: driver.fresh, NoNewPrivileges: driver.least}, driver.isolation, driver.user)
			known := map[string]bool{}
			for _, r := range reaches {
				var how []string
				for line := range found {
					for _, pattern := range r.found {
						if matches(pattern, line) {
							known[line] = true
							how = append(how, line)
						}
					}
				}
				slices.Sort(how)
				want := strings.HasPrefix(strings.Trim(r.cells[driver.column], "*"), "yes") || slices.Contains(driver.also, r.found[0])
				want = want && !slices.Contains(driver.not, r.found[0])
				if got := len(how) > 0; got != want {
					t.Errorf("%s: reached %t %q, and the table says %q", r.what, got, how, r.cells[driver.column])
				}
			}
			for line := range found {
				if !known[line] {
					t.Errorf("it has found %q, of which the table says nothing", line)
				}
			}
		})
	}
}

// landlock is the version of the kernel's Landlock; 0 is none.
func landlock() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

func matches(pattern, line string) bool {
	p, l := strings.Fields(pattern), strings.Fields(line)
	return len(l) == 2 && (p[0] == "*" || p[0] == l[0]) && (p[1] == "*" || p[1] == l[1])
}

// planted is what is there to be found.
type planted struct {
	dir, mark string
	server    *registrytest.Server
	git       string // address of the build context
	agent     []byte // a part of the agent's private key, as files have it
	seed      []byte // and as memory has it
	gate      *gate
}

// text is one that says by its name what was found.
func (w *planted) text(kind string) string { return w.mark + kind + "." }

func newPlanted(t *testing.T) *planted {
	t.Helper()
	random := make([]byte, 8)
	rand.Read(random)
	w := &planted{dir: t.TempDir(), mark: "canary" + hex.EncodeToString(random), gate: newGate(t)}
	w.server = registrytest.Start(t, registrytest.Config{User: "alice", Password: w.text("password"), Token: true})
	w.base(t)
	w.repository(t)

	for _, d := range []string{"secrets/docker", "pod"} {
		if err := os.MkdirAll(filepath.Join(w.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Anybody may pass through, so that modes of files are what keeps others out.
	reachable(t, filepath.Join(w.dir, "secrets", "docker"))
	file := func(name, text string) { write(t, filepath.Join(w.dir, name), text, 0o600) }
	file("secrets/docker/config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}, "HttpHeaders": {"X-Planted": %q}}`,
		w.server.Host(), base64.StdEncoding.EncodeToString([]byte("alice:"+w.text("password"))), w.text("config")))
	file("secrets/secret", w.text("secret"))
	file("pod/token", w.text("mounted"))

	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(block))
	file("secrets/agent", text)
	lines := strings.Split(text, "\n")
	w.agent, w.seed = []byte(lines[len(lines)/2]), key.Seed()

	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	file("secrets/sign", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))+w.text("sign")+"\n")

	// A socket without a path, of a process in the container's network.
	l, err := net.Listen("unix", "@planted-"+w.mark)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, w.text("socket"))
			conn.Close()
		}
	}()
	return w
}

// base is an image with busybox and the program that means harm.
func (w *planted) base(t *testing.T) {
	t.Helper()
	busybox, err := os.ReadFile(conformance.Busybox)
	if err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	program, err := os.ReadFile(sandboxtest.StaticBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	plantBase(t, w.server, busybox, program)
}

// repository is a build context for whoever knows its token.
func (w *planted) repository(t *testing.T) {
	t.Helper()
	dir := filepath.Join(w.dir, "repository", "r.git")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "file"), w.text("context"), 0o644)
	write(t, filepath.Join(dir, "stage"), w.text("stage"), 0o600)
	write(t, filepath.Join(dir, ".dockerignore"), "file\n", 0o644)
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "a"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "GIT_CONFIG_NOSYSTEM=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip(err)
	}
	h := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + w.dir,
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != w.text("git") && password != w.text("git") {
			rw.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(rw, "who is there?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.git = server.URL + "/r.git"
}

// ofPlanted has stages that have what the last must not find. The one called held has its
// secret for as long as the last runs, where stages run side by side.
const ofPlanted = `FROM %[1]s AS before
COPY stage /stage
RUN --mount=type=secret,id=before --mount=type=ssh [ -s /run/secrets/before ] && [ -n "$SSH_AUTH_SOCK" ]
FROM %[1]s AS held
RUN --mount=type=secret,id=held ["/hostile", "hold", "%[2]s"]
FROM %[1]s AS last
%[4]s
RUN (EARLIER=%[5]s setsid sleep 1000 </dev/null >/dev/null 2>&1 &)
RUN ["/hostile", "probe", "%[2]s", %[3]s]
FROM scratch
COPY --from=before /stage /stage
COPY --from=held /bin/busybox /held
COPY --from=last /bin/busybox /last
`

// probe builds, and returns what was found.
func (w *planted) probe(t *testing.T, c container, isolation, user string) map[string]bool {
	t.Helper()
	var words []string
	for _, word := range []string{veil([]byte(w.mark)), "agent=" + veil(w.agent), "agent=" + veil(w.seed)} {
		words = append(words, fmt.Sprintf("%q", word))
	}
	if user != "" {
		user = "USER " + user
	}
	// In the Dockerfile, this text would be found as a part of it.
	earlier := `$(printf '%s%s' ` + w.mark[:9] + ` ` + w.mark[9:] + `earlier.)`
	dockerfile := fmt.Sprintf(ofPlanted, w.server.Host()+"/base", w.gate.address(), strings.Join(words, ", "), user, earlier)
	store := t.TempDir()
	write(t, filepath.Join(store, "planted"), w.text("store"), 0o600)
	reachable(t, store)
	c.Root, c.Plant = t.TempDir(), w.mark
	c.Binds = map[string]string{
		"/secrets": filepath.Join(w.dir, "secrets"), "/var/run/secrets": filepath.Join(w.dir, "pod"), "/cache": store,
	}
	c.Files = map[string]string{"/kaniko/Dockerfile": dockerfile}
	c.Args = []string{
		"--isolation=" + isolation, "--force", "--context=" + w.git, "--dockerfile=/kaniko/Dockerfile", "--destination=" + w.server.Host() + "/built:1",
		"--cache", "--cache-dir=/cache", "--cache-repo=oci:/cache/layers", "--build-arg=PLANTED=" + w.text("argument"), "--compression=none",
		"--secret=id=before,env=SECRET", "--secret=id=held,env=HELD", "--secret=id=unused,src=/secrets/secret", "--ssh=default=/secrets/agent",
		"--sign-key=/secrets/sign",
	}
	c.Env = []string{
		"HOME=/", "PATH=/bin:/kaniko", "TMPDIR=/kaniko", "DOCKER_CONFIG=/secrets/docker", "SECRET=" + w.text("before"), "HELD=" + w.text("held"),
		"GIT_TOKEN=" + w.text("git"), "COSIGN_PASSWORD=" + w.text("variable"), "REGISTRY_TOKEN=" + w.text("variable"), "AWS_SECRET_ACCESS_KEY=" + w.text("variable"),
	}
	write(t, filepath.Join(c.Root, "config.json"), `{"HttpHeaders": {"X-Planted": "`+w.text("docker")+`"}}`, 0o600)
	if err := os.MkdirAll(filepath.Join(c.Root, "kaniko", ".docker"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(c.Root, "config.json"), filepath.Join(c.Root, "kaniko", ".docker", "config.json")); err != nil {
		t.Fatal(err)
	}
	reachable(t, c.Root)
	w.gate.open(isolation == "namespaces")
	got := c.run(t)
	if got.status != 0 {
		t.Fatalf("status %d\n%s", got.status, got.said)
	}
	if !strings.Contains(got.said, "the end is reached") {
		t.Fatalf("it did not get to its end:\n%s", got.said)
	}
	t.Log(got.said)
	found := map[string]bool{}
	for line := range strings.Lines(got.said) {
		if _, line, ok := strings.Cut(line, "] "); ok {
			if f := strings.Fields(line); len(f) == 4 && f[2] == "in" && (slices.Contains(hows, f[0]) || f[0] == "did") {
				found[f[0]+" "+f[1]] = true
			}
		}
	}
	return found
}

// hows are the ways in which [prober] looks.
var hows = []string{"file", "environ", "cmdline", "mem", "root", "fd", "keyring", "sysv", "socket", "uncovered"}
