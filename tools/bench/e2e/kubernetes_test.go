//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const deploy = "../../../deploy"

// What deploy/ has does in a cluster what it says. One node serves all of it, since it takes longer to start than most of the parts.
func TestKubernetes(t *testing.T) {
	c := newCluster(t)
	t.Run("accepted", c.testAccepted)
	t.Run("standards", c.testStandards)
	t.Run("build", c.testBuild)
	t.Run("isolated", c.testIsolated)
	t.Run("restricted", c.testRestricted)
	t.Run("sources", c.testSources)
	t.Run("features", c.testFeatures)
	t.Run("mounts", c.testMounts)
	t.Run("failure", c.testFailure)
	t.Run("many", c.testMany)
	t.Run("cachegc", c.testCacheGC)
	t.Run("warmer", c.testWarmer)
	t.Run("chart", c.testChart)
}

// A server that knows every field finds nothing wrong with any manifest, with what kustomize makes of them, or with the chart.
func (c *cluster) testAccepted(t *testing.T) {
	for _, crd := range glob(t, filepath.Join(c.fixtures, "crds", "*.yaml")) {
		c.kubectl(t, "", "apply", "--server-side", "-f", crd)
		// kubectl wait alone is not enough: it fails while there are no conditions at all.
		for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
			out, err := c.tryKubectl(t, "", "wait", "--for=condition=Established", "--timeout=120s", "-f", crd)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %s", crd, out)
			}
		}
	}
	files := glob(t, deploy+"/kubernetes/*/*.yaml")
	files = append(files, glob(t, deploy+"/tekton/*.yaml")...)
	files = append(files, glob(t, deploy+"/argo/*.yaml")...)
	files = append(files, glob(t, deploy+"/github/*.yaml")...)
	for _, file := range files {
		if filepath.Base(file) != "kustomization.yaml" {
			t.Run(strings.TrimPrefix(file, deploy+"/"), func(t *testing.T) { c.dryRun(t, read(t, file)) })
		}
	}
	for _, dir := range glob(t, deploy+"/kubernetes/*") {
		t.Run("kustomize "+filepath.Base(dir), func(t *testing.T) { c.dryRun(t, c.kubectl(t, "", "kustomize", dir)) })
	}
	t.Run("the documentation's overlay", func(t *testing.T) {
		_, text, _ := strings.Cut(read(t, "../../../docs/kubernetes.md"), "```yaml\n")
		text, _, found := strings.Cut(text, "```\n")
		dir := filepath.Join(c.Dir, "documented", "my", "overlay") // from which ../../deploy is deploy/
		if err := os.MkdirAll(dir, 0o755); err != nil || !found {
			t.Fatal(err, found)
		}
		run(t, "cp", "-r", deploy, filepath.Join(c.Dir, "documented"))
		c.write(t, "documented/my/overlay/kustomization.yaml", text)
		c.dryRun(t, c.kubectl(t, "", "kustomize", dir))
	})
	// That the server is strict is no matter of course.
	if out, err := c.tryKubectl(t, strings.Replace(read(t, deploy+"/kubernetes/build-git/job.yaml"), "restartPolicy:", "restartPolice: x\n      restartPolicy:", 1),
		"create", "--dry-run=server", "--validate=strict", "-f", "-"); err == nil || !strings.Contains(out, "restartPolice") {
		t.Errorf("a field that is not there: %v\n%s", err, out)
	}
}

func (c *cluster) dryRun(t *testing.T, manifest string) {
	t.Helper()
	c.kubectl(t, manifest, "create", "--dry-run=server", "--validate=strict", "-f", "-")
}

// The standards of Pod Security that docs/kubernetes.md promises, as the server judges the pods of each Job; and that no pod gets a token or may gain privileges.
func (c *cluster) testStandards(t *testing.T) {
	for _, standard := range []string{"baseline", "restricted"} {
		c.kubectl(t, "", "create", "namespace", standard)
		c.kubectl(t, "", "label", "namespace", standard, "pod-security.kubernetes.io/enforce="+standard)
		// Where no controller was yet, no pod is let in for want of an account.
		c.kubectl(t, "", "wait", "-n", standard, "--for=create", "serviceaccount/default", "--timeout=60s")
		c.kubectl(t, "", "create", "-n", standard, "serviceaccount", "kaniko")
	}
	restricted := []string{"build-restricted", "cachegc", "warmer"}
	for _, dir := range glob(t, deploy+"/kubernetes/*") {
		name := filepath.Base(dir)
		pod := c.podOf(t, c.kubectl(t, "", "kustomize", dir))
		if pod.Spec["automountServiceAccountToken"] != false {
			t.Errorf("%s: the pod gets a token", name)
		}
		if out, err := c.admit(t, "baseline", pod); err != nil {
			t.Errorf("%s is refused under baseline: %s", name, out)
		}
		out, err := c.admit(t, "restricted", pod)
		switch {
		case slices.Contains(restricted, name) && err != nil:
			t.Errorf("%s is refused under restricted: %s", name, out)
		case !slices.Contains(restricted, name) && (err == nil || !strings.Contains(out, `violates PodSecurity "restricted`)):
			t.Errorf("%s under restricted: %v %s", name, err, out)
		}
	}
}

type template struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       map[string]any `json:"spec"`
}

// podOf is the pod that the Job or CronJob of a manifest makes.
func (c *cluster) podOf(t *testing.T, manifest string) template {
	t.Helper()
	type job struct {
		Spec struct{ Template struct{ Spec map[string]any } }
	}
	text := c.kubectl(t, manifest, "create", "--dry-run=client", "-o", "json", "-f", "-")
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var object struct {
			Kind string
			job
			Items []json.RawMessage
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &object); err != nil {
			t.Fatal(err)
		}
		for _, one := range append(object.Items, raw) {
			var j struct {
				Kind string
				Spec struct {
					Template    struct{ Spec map[string]any }
					JobTemplate job
				}
			}
			if err := json.Unmarshal(one, &j); err != nil {
				t.Fatal(err)
			}
			spec := j.Spec.Template.Spec
			if j.Kind == "CronJob" {
				spec = j.Spec.JobTemplate.Spec.Template.Spec
			}
			if spec != nil {
				return template{APIVersion: "v1", Kind: "Pod", Metadata: map[string]any{"name": "pod"}, Spec: spec}
			}
		}
	}
	t.Fatalf("no job in\n%s", text)
	return template{}
}

func (c *cluster) admit(t *testing.T, namespace string, pod template) (string, error) {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return c.tryKubectl(t, string(text), "create", "-n", namespace, "--dry-run=server", "-f", "-")
}

// build-git builds what a repository has, with RUN, two stages and the layer cache, and pushes it by the secret's password; the digest is the termination message. Built again, nothing is
// done anew and the image is the same.
func (c *cluster) testBuild(t *testing.T) {
	first := c.buildGit(t, "build-git")
	again := c.buildGit(t, "build-git")
	if n := strings.Count(again.log, " cached"); n < 3 || strings.Contains(first.log, " cached") || first.layers != again.layers {
		t.Errorf("of three RUNs %d were cached, of an image with %d layers, which had %d:\n%s", n, again.layers, first.layers, again.log)
	}
}

type built struct {
	layers int
	log    string
}

// buildGit runs one of the manifests that build services/web, and looks at the image.
func (c *cluster) buildGit(t *testing.T, name string, patches ...string) built {
	t.Helper()
	pods := c.runJob(t, "default", c.overlay(t, name, patches...), "kaniko-build")
	m, err := c.registry.Stat(t.Context(), "shop/web", "latest")
	if err != nil {
		t.Fatal(err)
	}
	if got := message(t, pods); got != m.Digest {
		t.Errorf("%s: the termination message is %q, the image %s", name, got, m.Digest)
	}
	text, err := c.registry.File(t.Context(), "shop/web", m, "name")
	if err != nil || strings.ToUpper(string(text)) != "WEB\n" {
		t.Errorf("%s: /name of the image is %q, %v", name, text, err)
	}
	return built{m.Layers, c.log}
}

// runJob makes what a manifest has, waits for its Job, keeps its log and removes all of it.
func (c *cluster) runJob(t *testing.T, namespace, manifest, job string) []pod {
	t.Helper()
	c.kubectl(t, manifest, "create", "-n", namespace, "-f", "-")
	defer c.kubectl(t, manifest, "delete", "-n", namespace, "-f", "-", "--wait=true", "--cascade=foreground")
	start := time.Now()
	pods := c.finish(t, namespace, job)
	t.Logf("%s took %.1f s", job, time.Since(start).Seconds())
	c.log = c.kubectl(t, "", "logs", "-n", namespace, "-l", "job-name="+job, "--tail=-1")
	return pods
}

// build-isolated does the same with a root of its own for each RUN, and a stage's image is the same as in place.
func (c *cluster) testIsolated(t *testing.T) {
	noCache := []string{`{op: replace, path: POD/containers/0/args/3, value: "--reproducible"}`, `{op: remove, path: POD/containers/0/args/4}`}
	c.buildGit(t, "build-isolated", noCache...)
	isolated, err := c.registry.Stat(t.Context(), "shop/web", "latest")
	if err != nil {
		t.Fatal(err)
	}
	c.buildGit(t, "build-git", noCache...)
	inPlace, err := c.registry.Stat(t.Context(), "shop/web", "latest")
	if err != nil {
		t.Fatal(err)
	}
	if isolated.Digest != inPlace.Digest {
		t.Errorf("isolated %s, in place %s", isolated.Digest, inPlace.Digest)
	}
	// With the profile it ends before anything is built, and says why. (What is all in the cache would need no RUN.)
	manifest := c.overlay(t, "build-isolated", append(noCache, `{op: add, path: POD/containers/0/securityContext/seccompProfile, value: {type: RuntimeDefault}}`)...)
	text := c.failing(t, manifest, "kaniko-build")
	if !strings.Contains(text, "use namespaces: every way was refused") {
		t.Errorf("isolated under RuntimeDefault: %s", text)
	}
}

// failing runs a Job that is to fail at its first pod, and returns the pod's message.
func (c *cluster) failing(t *testing.T, manifest, job string) string {
	t.Helper()
	c.kubectl(t, manifest, "create", "-f", "-")
	defer c.kubectl(t, manifest, "delete", "-f", "-", "--wait=true", "--cascade=foreground")
	if reason := c.end(t, "default", job); reason == "" {
		t.Fatalf("job %s did not fail\n%s", job, c.logs(t, "default", job))
	}
	pods := c.pods(t, "default", job)
	if len(pods) != 1 || len(pods[0].Status.ContainerStatuses) != 1 {
		t.Fatalf("%d pods: what cannot get better was tried again", len(pods))
	}
	return pods[0].Status.ContainerStatuses[0].State.Terminated.Message
}

// build-restricted runs in a namespace that enforces the standard. Such a pod may not use the machine's network, so the image goes to a directory.
func (c *cluster) testRestricted(t *testing.T) {
	c.buildGit(t, "build-restricted", `{op: add, path: POD/containers/0/args/-, value: "--dockerfile=Dockerfile.static"}`)

	// A Dockerfile with RUN, once all of that is in the layer cache.
	c.buildGit(t, "build-git")
	if cached := c.buildGit(t, "build-restricted"); strings.Count(cached.log, " cached") < 3 {
		t.Errorf("RUN without a root to run in:\n%s", cached.log)
	}

	manifest := c.overlay(t, "build-restricted",
		`{op: replace, path: POD/hostNetwork, value: false}`,
		`{op: replace, path: POD/containers/0/args, value: ["--no-push", "--kaniko-dir=/layers", "--oci-layout-path=/layers/image", "--digest-file=/dev/termination-log"]}`,
		`{op: add, path: POD/containers/0/volumeMounts/-, value: {name: source, mountPath: /workspace}}`,
		`{op: add, path: POD/volumes/-, value: {name: source, configMap: {name: files}}}`)
	files := filepath.Join(c.Dir, "from", "static")
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	c.write(t, "from/static/Dockerfile", "FROM scratch AS one\nCOPY f /\nFROM scratch\nCOPY --from=one --chown=12:34 /f /g\n")
	c.write(t, "from/static/f", "f\n")
	c.kubectl(t, "", "create", "-n", "restricted", "configmap", "files", "--from-file="+files)
	c.kubectl(t, "", "create", "-n", "restricted", "secret", "docker-registry", "registry", "--docker-server="+c.Registry, "--docker-username=u", "--docker-password=p")
	pods := c.runJob(t, "restricted", manifest, "kaniko-build")
	if got := message(t, pods); !strings.HasPrefix(got, "sha256:") {
		t.Errorf("the termination message is %q", got)
	}
}

// build-configmap: a ConfigMap as build context, which Kubernetes mounts as a farm of links; and the same with a single file of it mounted by subPath, with a secret for a RUN, and
// with the registry's secret as it is, without items.
func (c *cluster) testMounts(t *testing.T) {
	c.runJob(t, "default", c.overlay(t, "build-configmap"), "kaniko-build")
	c.motd(t, "Hello.\n")

	c.kubectl(t, "", "create", "secret", "generic", "token", "--from-literal=token=sesame")
	dockerfile := "FROM " + c.Registry + "/base/debian\nCOPY motd /etc/motd\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = sesame && wc -c </run/secrets/token >>/etc/motd\n"
	c.kubectl(t, "", "create", "configmap", "by-sub-path", "--from-literal=Dockerfile="+dockerfile, "--from-literal=motd=By its path. ")
	c.runJob(t, "default", c.overlay(t, "build-configmap",
		`{op: replace, path: POD/volumes/0/configMap/name, value: by-sub-path}`,
		`{op: replace, path: POD/volumes/1/secret, value: {secretName: registry}}`,
		`{op: add, path: POD/volumes/-, value: {name: token, secret: {secretName: token}}}`,
		`{op: replace, path: POD/containers/0/volumeMounts/0, value: {name: source, mountPath: /workspace/motd, subPath: motd}}`,
		`{op: add, path: POD/containers/0/volumeMounts/-, value: {name: source, mountPath: /kaniko/Dockerfile, subPath: Dockerfile}}`,
		`{op: add, path: POD/containers/0/volumeMounts/-, value: {name: token, mountPath: /secret}}`,
		`{op: add, path: POD/containers/0/args/-, value: "--dockerfile=/kaniko/Dockerfile"}`,
		`{op: add, path: POD/containers/0/args/-, value: "--secret=id=token,src=/secret/token"}`), "kaniko-build")
	c.motd(t, "By its path. 6\n")
}

func (c *cluster) motd(t *testing.T, want string) {
	t.Helper()
	m, err := c.registry.Stat(t.Context(), "shop/motd", "latest")
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.registry.File(t.Context(), "shop/motd", m, "etc/motd")
	if err != nil || string(text) != want {
		t.Errorf("/etc/motd of the image is %q, %v; want %q", text, err, want)
	}
}

// A password that is wrong ends a Job at its first pod, whose message says what is wrong.
func (c *cluster) testFailure(t *testing.T) {
	c.kubectl(t, "", "create", "secret", "docker-registry", "wrong", "--docker-server="+c.Registry, "--docker-username=robot", "--docker-password=guessed")
	text := c.failing(t, c.overlay(t, "build-git", `{op: replace, path: POD/volumes/0/secret/secretName, value: wrong}`), "kaniko-build")
	if !strings.Contains(text, "401 Unauthorized") || strings.Contains(text, "guessed") {
		t.Errorf("the message is %q", text)
	}
}

// build-many builds the eight images of a repository, each with the flags of its index.
func (c *cluster) testMany(t *testing.T) {
	c.runJob(t, "default", c.overlay(t, "build-many"), "kaniko-build-many")
	for _, s := range services() {
		m, err := c.registry.Stat(t.Context(), "shop/"+s, "latest")
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := c.registry.File(t.Context(), "shop/"+s, m, "name")
		if want := strings.ToUpper(s) + "\n"; err != nil || string(text) != want {
			t.Errorf("/name of %s is %q, %v; want %q", s, text, err, want)
		}
	}
}

// The CronJob of cachegc fires, and entries of the cache that the builds before have left go.
func (c *cluster) testCacheGC(t *testing.T) {
	before, err := c.registry.Tags(t.Context(), "shop/cache")
	if err != nil || len(before) < 4 {
		t.Fatalf("the cache before: %q, %v", before, err)
	}
	manifest := strings.NewReplacer("17 3 * * *", "'* * * * *'", "unused-for: 14d", "unused-for: 1s\n      grace: 1s").Replace(
		c.overlay(t, "cachegc", `{op: add, path: POD/containers/0/args/-, value: --force-large}`))
	c.kubectl(t, manifest, "create", "-f", "-")
	defer c.kubectl(t, manifest, "delete", "-f", "-", "--wait=true", "--cascade=foreground")
	job := ""
	for end := time.Now().Add(patience); job == "" && time.Now().Before(end); time.Sleep(time.Second) {
		var jobs struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		c.get(t, &jobs, "jobs", "-l", "")
		for _, j := range jobs.Items {
			if strings.HasPrefix(j.Metadata.Name, "kaniko-cachegc-") {
				job = j.Metadata.Name
			}
		}
	}
	if job == "" {
		t.Fatal("the CronJob did not fire")
	}
	c.kubectl(t, "", "patch", "cronjob", "kaniko-cachegc", "-p", `{"spec": {"suspend": true}}`)
	pods := c.finish(t, "default", job)
	after, err := c.registry.Tags(t.Context(), "shop/cache")
	if err != nil {
		t.Fatal(err)
	}
	summary := message(t, pods)
	t.Logf("%d tags before, %d after; %s", len(before), len(after), summary)
	if len(after) >= len(before) || summary == "" {
		t.Errorf("the cache has %d tags, and had %d; the termination message is %q", len(after), len(before), summary)
	}
}

// volume makes a directory of this machine the volume of a claim, which the manifests or the caller make. It is of the kind "local", for kubelet gives such a one to the pod's group.
func (c *cluster) volume(t *testing.T, claim, dir string) {
	t.Helper()
	c.kubectl(t, fmt.Sprintf(`{apiVersion: v1, kind: PersistentVolume, metadata: {name: %[1]s}, spec: {capacity: {storage: 20Gi}, accessModes: [ReadWriteOnce], local: {path: %[2]q},
		claimRef: {namespace: default, name: %[1]s}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [localhost]}]}]}}}}`, claim, dir),
		"create", "-f", "-")
}

// build-volume builds what a claim has, and build-bucket what a store has that speaks Amazon's protocol and checks signatures, with the keys of a secret.
func (c *cluster) testSources(t *testing.T) {
	service := filepath.Join(c.Dir, "git", "work", "services", "web")
	c.volume(t, "source", service)
	c.kubectl(t, `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: source}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`, "create", "-f", "-")
	c.buildGit(t, "build-volume")

	bucket := filepath.Join(c.Dir, "buckets", "builds", "shop")
	for _, d := range []string{bucket, filepath.Join(c.Dir, "attributes")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "tar", "-C", service, "-czf", filepath.Join(bucket, "web.tar.gz"), ".")
	address := freeAddress(t)
	store := exec.Command(filepath.Join(c.bin, "versitygw"), "--port", address, "--quiet", "posix", "--sidecar", filepath.Join(c.Dir, "attributes"), filepath.Join(c.Dir, "buckets"))
	store.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=of-the-bucket")
	if err := store.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = store.Process.Kill()
		_ = store.Wait()
	}()
	c.kubectl(t, "", "create", "secret", "generic", "bucket", "--from-literal=AWS_ACCESS_KEY_ID=key", "--from-literal=AWS_SECRET_ACCESS_KEY=of-the-bucket", "--from-literal=AWS_REGION=us-east-1",
		"--from-literal=S3_ENDPOINT=http://"+address, "--from-literal=S3_FORCE_PATH_STYLE=true")
	c.buildGit(t, "build-bucket")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The warmer fills a volume, and a build with that volume needs no registry for its base.
func (c *cluster) testWarmer(t *testing.T) {
	disk := filepath.Join(c.Dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	c.volume(t, "kaniko-bases", disk)
	manifest := c.overlay(t, "warmer")
	c.kubectl(t, manifest, "create", "-f", "-")
	defer c.kubectl(t, manifest, "delete", "-f", "-", "--wait=false")
	c.kubectl(t, "", "create", "job", "--from=cronjob/kaniko-warmer", "warm-now")
	c.finish(t, "default", "warm-now")

	// Under the standard baseline, where a pod may not use the machine's network: there is no registry at all.
	c.kubectl(t, "", "delete", "job", "warm-now", "--wait=true", "--cascade=foreground")
	c.runJob(t, "default", c.overlay(t, "build-warmed",
		`{op: replace, path: POD/hostNetwork, value: false}`,
		`{op: replace, path: POD/containers/0/args, value: ["--no-push", "--cache", "--cache-repo=oci:/kaniko/layers", "--cache-dir=/cache", "--offline", "--digest-file=/dev/termination-log"]}`,
		`{op: add, path: POD/containers/0/volumeMounts/-, value: {name: source, mountPath: /workspace}}`,
		`{op: add, path: POD/volumes/-, value: {name: source, configMap: {name: by-sub-path}}}`,
		`{op: add, path: POD/volumes/-, value: {name: token, secret: {secretName: token}}}`,
		`{op: add, path: POD/containers/0/volumeMounts/-, value: {name: token, mountPath: /secret}}`,
		`{op: add, path: POD/containers/0/args/-, value: "--secret=id=token,src=/secret/token"}`), "kaniko-build")
}

// The chart with everything switched on is accepted, and what it refuses it refuses with a reason; its restricted parts are so.
func (c *cluster) testChart(t *testing.T) {
	values := c.write(t, "values.yaml", `
builds:
  web: {flags: {context: "git://git.example.com/shop/shop.git", destination: ["registry.example.com/shop/web:1", "registry.example.com/shop/web:2"], cache-repo: registry.example.com/shop/cache}, warmed: true}
  motd: {profile: restricted, context: {configMap: motd}, flags: {destination: "registry.example.com/shop/motd:1"}, env: [{name: A, value: b}]}
  isolated: {profile: isolated, context: {claim: source}, flags: {destination: "registry.example.com/shop/isolated:1"}, envFrom: [{secretRef: {name: bucket}}]}
many:
  shop: {flags: {context: "git://git.example.com/shop/shop.git"}, builds: [{context-sub-path: a, destination: "registry.example.com/shop/a:1"}, {context-sub-path: b, destination: ["registry.example.com/shop/b:1", "registry.example.com/shop/b:2"]}]}
warmer: {enabled: true, flags: {image: [registry.example.com/base/debian]}}
cachegc: {enabled: true, config: {caches: [{cache: registry.example.com/shop/cache}]}}
`)
	helm := filepath.Join(c.bin, "helm")
	home := "HELM_CACHE_HOME=" + c.Dir + "/helm"
	run(t, "env", home, helm, "lint", "--strict", deploy+"/helm/kaniko", "-f", values)
	text := run(t, "env", home, helm, "template", "--kube-version=1.34.4", "shop", deploy+"/helm/kaniko", "-f", values)
	c.dryRun(t, text)
	for _, want := range []string{`"--destination=registry.example.com/shop/web:2"`, "destination=registry.example.com/shop/b:2", `"--flags-file=/kaniko/builds/$(JOB_COMPLETION_INDEX)"`, "completions: 2", "claimName: shop-bases"} {
		if !strings.Contains(text, want) {
			t.Errorf("the chart's manifests do not have %s:\n%s", want, text)
		}
	}
	c.dryRun(t, run(t, "env", home, helm, "template", "--kube-version=1.34.4", "empty", deploy+"/helm/kaniko"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, helm, "template", "--kube-version=1.34.4", "x", deploy+"/helm/kaniko", "--set", "builds.a.profile=best")
	cmd.Env = append(os.Environ(), home)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "it is default, isolated or restricted") {
		t.Errorf("a profile that is none: %v\n%s", err, out)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
