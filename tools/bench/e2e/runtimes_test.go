//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
)

// A command with a daemon that leaves its session, owners, a set-id bit, a deletion and a stage to copy from: what a runtime could make differ.
const ofRuntimes = `FROM %s AS build
WORKDIR /src
COPY hello .
RUN cp hello /built && chown 1000:1000 /built && chmod 4755 /built && (setsid sleep 300 & sleep 300 &)
FROM %[1]s
COPY --from=build /built /app/built
RUN mkdir /data && touch /data/x && ln -s x /data/y && rm /etc/issue && useradd -m someone
USER someone
RUN id -un > ~/who
`

// A command that wants to know what the executor was told and not the Dockerfile, and fails the build if it gets to know it.
const hostile = `FROM %s
RUN ! cat /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" | grep "pl[a]nted-"
RUN ! for p in /proc/[0-9]*; do while read -r range more; do start=$(printf %%d 0x${range%%%%-*}); \
  dd if=$p/mem bs=4096 skip=$((start / 4096)) count=64 2>/dev/null; done <$p/maps; done 2>/dev/null | grep -ao "pl[a]nted-s[a-z]*t"
`

// needed are the capabilities that docs/security.md names for a build in place.
var needed = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID"}

// TestRuntimes: the executor's image builds stages, RUN and cache and pushes, in containers of every runtime with its own defaults, and
// everywhere to the digest that it has on the machine itself. The image is what --tarPath writes, loaded by each.
func TestRuntimes(t *testing.T) {
	w := newWorld(t)
	debian := w.push(t, "debian")
	context := filepath.Join(w.Dir, "context")
	if err := os.MkdirAll(context, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(t, "context/hello", "hello\n")
	w.write(t, "context/Dockerfile", fmt.Sprintf(ofRuntimes, debian))
	w.write(t, "context/hostile", fmt.Sprintf(hostile, debian))
	archive := w.executorArchive(t)

	want := w.built(t, "machine", func(args ...string) {
		run(t, w.Executor, append(args, "--context="+context, "--kaniko-dir="+filepath.Join(w.Dir, "machine"))...)
	})
	for _, r := range []struct {
		name  string
		start func(t *testing.T, w world, archive string) runtime
		args  []string
	}{
		{"docker", startDocker, nil},
		{"docker-least", startDocker, least()},
		{"docker-crun", startDocker, []string{"--runtime=crun"}},
		{"docker-gvisor", startDocker, []string{"--runtime=runsc"}},
		{"podman-runc", startPodman, nil},
		{"podman-least", startPodman, least()},
		{"podman-crun", startPodman, []string{"--runtime=crun"}},
		{"containerd", startContainerd, nil},
	} {
		t.Run(r.name, func(t *testing.T) {
			if strings.HasSuffix(r.name, "crun") {
				splitHierarchy(t)
			}
			c := r.start(t, w, archive)
			for _, again := range []string{"", ", from the cache"} {
				got := w.built(t, r.name, func(args ...string) { c.run(t, context, r.args, args) })
				if got != want {
					t.Errorf("the image%s is %s, and %s on the machine", again, got, want)
				}
			}
			if !strings.HasSuffix(r.name, "gvisor") { // whose processes have no secrets of each other's
				c.run(t, context, r.args, []string{"--dockerfile=hostile", "--insecure", "--no-push", "--secret=id=one,env=SECRET"})
			}
		})
	}
}

// least are the flags of docker and podman for a container that can do as little as a build in place may.
func least() []string {
	flags := []string{"--security-opt=no-new-privileges", "--cap-drop=ALL"}
	for _, c := range needed {
		flags = append(flags, "--cap-add="+c)
	}
	return flags
}

// built builds with a cache of its own, and returns the digest of what is pushed.
func (w world) built(t *testing.T, name string, build func(args ...string)) string {
	t.Helper()
	repo := "runtimes/" + name
	build("--insecure", "--reproducible", "--cache", "--cache-repo="+w.Registry+"/"+repo+"/cache", "--destination="+w.Registry+"/"+repo+":1")
	m, err := w.registry.Stat(t.Context(), repo, "1")
	if err != nil {
		t.Fatal(err)
	}
	return m.Digest
}

// executorArchive is an archive for docker load of the executor's image, written by it: the image in $IMAGES, or else one that holds the executor only.
func (w world) executorArchive(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(w.Dir, "image")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(w.Dir, "executor.tar")
	args := []string{"--context=" + dir, "--kaniko-dir=" + filepath.Join(w.Dir, "machine"), "--destination=" + tested, "--tarPath=" + archive, "--no-push"}
	if images := os.Getenv("IMAGES"); images != "" {
		w.write(t, "image/Dockerfile", "FROM ours\n")
		args = append(args, "--build-context=ours=oci-layout://"+images+"/executor")
	} else {
		run(t, "cp", w.Executor, dir+"/executor")
		w.write(t, "image/Dockerfile", "FROM scratch\nCOPY executor /kaniko/executor\nENV PATH=/usr/local/bin:/usr/bin:/bin:/kaniko\nENTRYPOINT [\"/kaniko/executor\"]\n")
	}
	run(t, w.Executor, args...)
	return archive
}

// tested is the name of the executor's image in the archive.
const tested = "docker.io/kaniko/executor:tested"

// planted is a variable of each container that no RUN may see.
const planted = "SECRET=planted-secret"

// A runtime runs the executor's image with the build context at /workspace and the machine's network.
type runtime interface {
	run(t *testing.T, context string, flags, args []string)
}

// splitHierarchy gives crun what it wants on a machine with both versions of cgroups: a second without controllers. The one controller that is taken
// from it is back when the test is over.
func splitHierarchy(t *testing.T) {
	t.Helper()
	controllers, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers")
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(controllers)) == "" {
		return
	}
	if err != nil || strings.TrimSpace(string(controllers)) != "hugetlb" {
		t.Skipf("crun does not run where both versions of cgroups have controllers: %q, %v", controllers, err)
	}
	const dir = "/sys/fs/cgroup/hugetlb"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skip(err)
	}
	if err := syscall.Mount("hugetlb", dir, "cgroup", 0, "hugetlb"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		// The runtimes' groups in it end a moment after their containers.
		for range 50 {
			if err = syscall.Unmount(dir, 0); err == nil {
				err = os.Remove(dir)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("give the controller hugetlb back: %v", err)
		}
	})
}

type dockerd struct{ host string }

// startDocker starts a daemon of Docker on a socket of its own, that changes no tables of the machine's network.
func startDocker(t *testing.T, w world, archive string) runtime {
	t.Helper()
	dir := w.daemonDir(t)
	host := "unix://" + dir + "/socket"
	config, err := json.Marshal(map[string]any{
		"data-root": dir + "/data", "exec-root": dir + "/exec", "pidfile": dir + "/pid", "hosts": []string{host},
		"iptables": false, "ip6tables": false, "bridge": "none",
		"runtimes": map[string]any{
			"runsc": map[string]any{"path": "runsc", "runtimeArgs": []string{"--network=host", "--platform=ptrace"}},
			"crun":  map[string]any{"path": "crun"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		t.Fatal(err)
	}
	d := dockerd{host}
	daemon(t, dir, exec.Command("dockerd", "--config-file", file), func() error { return d.command("info").Run() })
	if out, err := d.command("load", "-i", archive).CombinedOutput(); err != nil {
		t.Fatalf("docker load: %v\n%s", err, out)
	}
	return d
}

func (d dockerd) command(args ...string) *exec.Cmd {
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+d.host)
	return cmd
}

func (d dockerd) run(t *testing.T, context string, flags, args []string) {
	t.Helper()
	words := slices.Concat([]string{"run", "--rm", "--network=host", "-e", planted, "-v", context + ":/workspace:ro"}, flags, []string{tested}, args)
	if out, err := d.command(words...).CombinedOutput(); err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

type podman struct{ w world }

func startPodman(t *testing.T, w world, archive string) runtime {
	t.Helper()
	w.podman(t, "load", "-i", archive)
	return podman{w}
}

func (p podman) run(t *testing.T, context string, flags, args []string) {
	t.Helper()
	var ofPodman []string // rather than of its run
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool {
		global := strings.HasPrefix(f, "--runtime=")
		if global {
			ofPodman = append(ofPodman, f)
		}
		return global
	})
	p.w.podman(t, slices.Concat(ofPodman, []string{"run", "--rm", "--network=host", "-e", planted, "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768",
		"-v", context + ":/workspace:ro"}, flags, []string{tested}, args)...)
}

type containerd struct{ socket string }

// startContainerd starts a containerd without what Kubernetes wants of it, to be spoken to by its own ctr.
func startContainerd(t *testing.T, w world, archive string) runtime {
	t.Helper()
	dir := w.daemonDir(t)
	c := containerd{dir + "/socket"}
	file := filepath.Join(dir, "config.toml")
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = %q\n", dir+"/root", dir+"/state", c.socket)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon(t, dir, exec.Command("containerd", "-c", file), func() error { return exec.Command("ctr", "-a", c.socket, "version").Run() })
	run(t, "ctr", "-a", c.socket, "images", "import", archive)
	return c
}

func (c containerd) run(t *testing.T, context string, flags, args []string) {
	t.Helper()
	id := fmt.Sprintf("build-%d", time.Now().UnixNano())
	run(t, "ctr", slices.Concat([]string{"-a", c.socket, "run", "--rm", "--net-host", "--env", planted, "--mount", "type=bind,src=" + context + ",dst=/workspace,options=rbind:ro"},
		flags, []string{tested, id, "/kaniko/executor", "--context=/workspace"}, args)...)
}

// daemonDir is a directory of a daemon, with a name short enough for sockets.
func (w world) daemonDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kaniko-e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := builder.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// daemon starts one, waits until it answers, and ends it with the test.
func daemon(t *testing.T, dir string, cmd *exec.Cmd, answers func() error) {
	t.Helper()
	if _, err := exec.LookPath(cmd.Path); err != nil {
		t.Skip(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not end", cmd.Path)
			cmd.Process.Kill()
		}
	})
	for range 300 {
		if answers() == nil {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("%s: %v\n%s", cmd.Path, err, said)
		case <-time.After(100 * time.Millisecond):
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer\n%s", cmd.Path, said)
}
