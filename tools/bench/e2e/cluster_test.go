//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

// The hosts that the manifests of deploy/ name. A cluster of the tests has a registry and a git server on loopback instead.
const (
	exampleRegistry = "registry.example.com"
	exampleGit      = "git.example.com"
)

// A cluster is a node of Kubernetes (tools/fixtures/node.sh) with our images, a registry that wants a password, and a git server.
type cluster struct {
	world
	config string // of kubectl, as the cluster's administrator
	bin    string
	git    string // host:port
	log    string // of the last Job
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{world: newWorld(t)}
	c.bin = filepath.Join(c.fixtures, "bin")
	if err := c.registry.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.registry, err = fixture.StartClosedRegistry(t.Context(), c.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Registry = c.registry.Addr
	c.pushBase(t)
	c.git = c.serveGit(t)
	c.startNode(t, c.images(t))
	c.kubectl(t, "", "create", "secret", "docker-registry", "registry", "--docker-server="+c.Registry, "--docker-username="+fixture.User, "--docker-password="+fixture.Password)
	return c
}

// images are OCI layouts of our programs: those in $IMAGES, as `make images` writes them, or else ones that the executor makes.
func (c *cluster) images(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("IMAGES"); dir != "" {
		return dir
	}
	dir := filepath.Join(c.Dir, "images")
	for _, name := range []string{"executor", "warmer", "cachegc"} {
		from := filepath.Join(c.Dir, "from", name)
		if err := os.MkdirAll(from, 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "executor" {
			run(t, "cp", c.Executor, from+"/executor")
		} else {
			build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "disable_grpc_modules,grpcnotrace", "-ldflags", "-s -w", "-o", from+"/"+name, ".")
			build.Dir = filepath.Join("..", "..", "..", name)
			build.Env = append(os.Environ(), "GOWORK=", "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", name, err, out)
			}
		}
		text := fmt.Sprintf("FROM scratch\nCOPY --chmod=755 %[1]s /kaniko/%[1]s\nENV HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/kaniko "+
			"SSL_CERT_DIR=/kaniko/ssl/certs DOCKER_CONFIG=/kaniko/.docker/\nWORKDIR /workspace\nENTRYPOINT [\"/kaniko/%[1]s\"]\n", name)
		if err := os.WriteFile(from+"/Dockerfile", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, c.Executor, "--context="+from, "--no-push", "--oci-layout-path="+filepath.Join(dir, name))
	}
	return dir
}

// pushBase pushes a small base, busybox and nothing else, under the names that the manifests have.
func (c *cluster) pushBase(t *testing.T) {
	t.Helper()
	from := filepath.Join(c.Dir, "from", "base")
	if err := os.MkdirAll(from, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "cp", "/bin/busybox", from)
	text := "FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\n"
	if err := os.WriteFile(from+"/Dockerfile", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(c.Dir, "docker")
	if err := os.Mkdir(credentials, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"auths": {%q: {"username": %q, "password": %q}}}`, c.Registry, fixture.User, fixture.Password)
	if err := os.WriteFile(credentials+"/config.json", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "env", "DOCKER_CONFIG="+credentials, c.Executor, "--context="+from, "--isolation=namespaces", "--insecure",
		"--destination="+c.Registry+"/base/debian", "--destination="+c.Registry+"/base/golang")
}

// services are the directories of the repository, and the images that build-many makes of them.
func services() []string {
	return []string{"api", "auth", "cart", "catalog", "mail", "orders", "search", "web"}
}

// serveGit serves the repository shop/shop.git and returns the server's host and port.
func (c *cluster) serveGit(t *testing.T) string {
	t.Helper()
	root := filepath.Join(c.Dir, "git")
	work := filepath.Join(root, "work")
	for _, s := range services() {
		dir := filepath.Join(work, "services", s)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := "FROM " + c.Registry + "/base/debian AS build\nCOPY name /in\nRUN tr a-z A-Z </in >/out && mkdir /d && chown 12:34 /d && chmod 700 /d\nUSER 12:34\nRUN id >/d/who\n" +
			"FROM " + c.Registry + "/base/debian\nCOPY --from=build /out /name\nCOPY --from=build /d /d\nRUN test -s /name && cat /d/who >/who\n"
		if err := os.WriteFile(dir+"/Dockerfile", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/name", []byte(s+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		static := "FROM scratch AS one\nCOPY name /in\nFROM scratch\nCOPY --from=one --chown=12:34 /in /name\nUSER 12:34\n"
		if err := os.WriteFile(dir+"/Dockerfile.static", []byte(static), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "git", "-C", work, "init", "-q", "-b", "main")
	run(t, "git", "-C", work, "add", ".")
	run(t, "git", "-C", work, "-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "commit", "-q", "-m", "services")
	run(t, "git", "clone", "-q", "--bare", work, filepath.Join(root, "shop", "shop.git"))
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&cgi.Handler{
		Path: program, Args: []string{"http-backend"},
		Env:        []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
		InheritEnv: []string{"PATH"}, Stderr: io.Discard,
	})
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// startNode starts the node, which ends when the test does, however that ends: it runs cat, whose input then is over.
func (c *cluster) startNode(t *testing.T, images string) {
	t.Helper()
	cmd := exec.Command("../../fixtures/node.sh", "--images", images, "sh", "-c", `echo "$KUBECONFIG" && exec cat`)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the node: %v", err)
		}
		if _, err := os.Stat(filepath.Dir(c.config)); c.config != "" && !os.IsNotExist(err) {
			t.Errorf("the node left %s: %v", filepath.Dir(c.config), err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the node did not start")
	}
	c.config = strings.TrimSpace(line)
	t.Logf("the node was up after %.1f s", time.Since(start).Seconds())
}

// kubectl runs kubectl with input, and returns what it prints.
func (c *cluster) kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := c.tryKubectl(t, input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *cluster) tryKubectl(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.config)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// local is a manifest with the hosts of the tests.
func (c *cluster) local(manifest string) string {
	return strings.NewReplacer(exampleRegistry, c.Registry, exampleGit, c.git).Replace(manifest)
}

// overlay is what kustomize makes of a directory of deploy/kubernetes for a cluster of the tests: with their images and hosts, and the network of the machine, since the
// registry listens on loopback. more are further patches, as lists of operations, of the Job or CronJob.
func (c *cluster) overlay(t *testing.T, name string, more ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp(c.Dir, "overlay")
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Abs("../../../deploy/kubernetes/" + name)
	if err != nil {
		t.Fatal(err)
	}
	// kustomize takes no absolute path.
	if base, err = filepath.Rel(dir, base); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%s]\nimages:\n", base)
	for _, program := range []string{"executor", "warmer", "cachegc"} {
		fmt.Fprintf(&text, "- {name: %s/kaniko/%s, newName: localhost/%[2]s, newTag: test}\n", exampleRegistry, program)
	}
	text.WriteString("patches:\n")
	for _, kind := range []struct{ name, pod string }{{"Job", "/spec/template/spec"}, {"CronJob", "/spec/jobTemplate/spec/template/spec"}} {
		fmt.Fprintf(&text, `- target: {kind: %[1]s}
  patch: |
    - {op: add, path: %[2]s/hostNetwork, value: true}
    - {op: add, path: %[2]s/containers/0/env, value: [{name: KANIKO_INSECURE_REGISTRY, value: %[3]s}, {name: GIT_PULL_METHOD, value: http}]}
`, kind.name, kind.pod, exampleRegistry)
		for _, patch := range more {
			fmt.Fprintf(&text, "    - %s\n", strings.ReplaceAll(patch, "POD", kind.pod))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(c.local(c.kubectl(t, "", "kustomize", dir))) {
		// The node of the tests does not measure disks, and has none to give.
		if !strings.Contains(line, "ephemeral-storage:") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// pod is what we look at of a pod.
type pod struct {
	Metadata struct{ Name string }
	Status   struct {
		Phase             string
		ContainerStatuses []struct {
			State struct {
				Terminated struct {
					ExitCode int
					Message  string
				}
			}
		}
	}
}

// patience is how long a Job may take. It is long because machines of tests are busy.
const patience = 10 * time.Minute

// finish waits for a Job to be complete, and returns its pods.
func (c *cluster) finish(t *testing.T, namespace, job string) []pod {
	t.Helper()
	if reason := c.end(t, namespace, job); reason != "" {
		t.Fatalf("job %s failed: %s\n%s", job, reason, c.logs(t, namespace, job))
	}
	return c.pods(t, namespace, job)
}

// end waits for a Job to end, and returns why it failed, or nothing.
func (c *cluster) end(t *testing.T, namespace, job string) string {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		var j struct {
			Status struct {
				Conditions []struct{ Type, Status, Reason, Message string }
			}
		}
		c.get(t, &j, "-n", namespace, "job", job)
		for _, cond := range j.Status.Conditions {
			switch {
			case cond.Status != "True":
			case cond.Type == "Complete":
				return ""
			case cond.Type == "Failed":
				return cond.Reason + ": " + cond.Message
			}
		}
	}
	t.Fatalf("job %s did not end\n%s", job, c.logs(t, namespace, job))
	return ""
}

func (c *cluster) pods(t *testing.T, namespace, job string) []pod {
	t.Helper()
	var list struct{ Items []pod }
	c.get(t, &list, "-n", namespace, "pods", "-l", "job-name="+job)
	return list.Items
}

// logs are the logs and the events of a Job, for who wants to know why it failed.
func (c *cluster) logs(t *testing.T, namespace, job string) string {
	t.Helper()
	logs, _ := c.tryKubectl(t, "", "-n", namespace, "logs", "-l", "job-name="+job, "--tail=60", "--prefix")
	pods, _ := c.tryKubectl(t, "", "-n", namespace, "describe", "pods", "-l", "job-name="+job)
	return logs + pods
}

func (c *cluster) get(t *testing.T, into any, args ...string) {
	t.Helper()
	text := c.kubectl(t, "", append([]string{"get", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("kubectl get %s: %v\n%s", strings.Join(args, " "), err, text)
	}
}

// message is the termination message of a Job's only successful pod.
func message(t *testing.T, pods []pod) string {
	t.Helper()
	for _, p := range pods {
		if p.Status.Phase == "Succeeded" && len(p.Status.ContainerStatuses) == 1 {
			return strings.TrimSpace(p.Status.ContainerStatuses[0].State.Terminated.Message)
		}
	}
	t.Fatalf("no pod succeeded: %+v", pods)
	return ""
}
