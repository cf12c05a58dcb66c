//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
)

// A project is a directory of tools/projects: a small program and its Dockerfile, written as its community writes them. What it is built on and what
// it fetches are stand-ins, which the Dockerfile does not know of.
type project struct {
	name       string
	dir        string            // the build context, below tools/projects
	dockerfile string            // below tools/projects
	bases      map[string]string // the images it names, and the fixtures that are given for them
	contexts   map[string]string // further build contexts, below tools/projects
	args       []string          // further flags
	secrets    map[string]string // the content of each, by id
	fetches    string            // where the packages come from that a second build is to find in its caches; none if empty
	check      func(t *testing.T, w world, img image)
}

func projects(w world, p *packages) []project {
	npmrc := fmt.Sprintf("registry=http://%[1]s/npm/\n//%[1]s/npm/:_authToken=%[2]s\nfund=false\naudit=false\nupdate-notifier=false\n", p.addr, password)
	pip := fmt.Sprintf("[global]\nindex-url = http://reader:%[1]s@%[2]s/pypi/simple/\ntrusted-host = %[2]s\ndisable-pip-version-check = true\n", password, p.addr)
	settings := fmt.Sprintf("<settings><mirrors><mirror><id>inside</id><mirrorOf>*</mirrorOf><url>http://%s/maven/</url></mirror></mirrors>"+
		"<servers><server><id>inside</id><username>reader</username><password>%s</password></server></servers></settings>\n", p.addr, password)
	return []project{
		{name: "node", fetches: "/npm/", bases: map[string]string{"node:18-bookworm-slim": "node"}, secrets: map[string]string{"npmrc": npmrc}, check: checkNode},
		{name: "python", fetches: "/pypi/", bases: map[string]string{"python:3.11-slim-bookworm": "python"}, secrets: map[string]string{"pip-conf": pip},
			args: []string{"--build-arg=VERSION=2.5"}, check: checkPython},
		{name: "golang", fetches: "/go/", bases: map[string]string{"golang:1.26": "gosmall"},
			args: []string{"--build-arg=GOPROXY=http://" + p.addr + "/go", "--build-arg=VERSION=v1.2.3"}, check: checkGolang},
		{name: "java", fetches: "/maven/", bases: map[string]string{"maven:3-eclipse-temurin-17": "maven", "debian:bookworm-slim": "debian"},
			secrets: map[string]string{"maven-settings": settings}, check: checkJava},
		{name: "nginx", bases: map[string]string{"nginx:1.22": "nginx"}, args: []string{"--build-arg=TITLE=A page of nginx"}, check: checkNginx},
		{name: "postgres", fetches: "/apt/", bases: map[string]string{"debian:bookworm-slim": "debian"},
			args: []string{"--build-arg=APT_SOURCE=http://" + p.addr + "/apt/"}, check: checkPostgres},
		{name: "multiarch", bases: map[string]string{"golang:1.26": "gosmall", "gcr.io/distroless/static-debian12:nonroot": "both"}, check: checkThisArch},
		{name: "multiarch-arm64", dir: "multiarch", bases: map[string]string{"golang:1.26": "gosmall", "gcr.io/distroless/static-debian12:nonroot": "both"},
			args: []string{"--customPlatform=linux/arm64"}, check: checkArm64},
		{name: "heredoc", bases: map[string]string{"python:3.11-slim-bookworm": "python"}, args: []string{"--build-arg=CURRENCY=EUR"}, check: checkHeredoc},
		{name: "link", bases: map[string]string{"python:3.11-slim-bookworm": "python"},
			args: []string{"--build-arg=DOWNLOADS=http://" + p.addr + "/downloads", "--build-arg=EXTENSION_SHA256=" + extensionSum(),
				"--build-arg=SOURCE_DATE_EPOCH=" + builder.SourceDate}, check: checkLink},
		{name: "link-on-another-base", dir: "link", bases: map[string]string{"python:3.11-slim-bookworm": "python", "example.com/other:1": "node"},
			args: []string{"--build-arg=DOWNLOADS=http://" + p.addr + "/downloads", "--build-arg=EXTENSION_SHA256=" + extensionSum(),
				"--build-arg=SOURCE_DATE_EPOCH=" + builder.SourceDate, "--build-arg=BASE=example.com/other:1"}, check: checkLinkMoved},
		{name: "monorepo-api", dir: "monorepo/services/api", dockerfile: "monorepo/service.Dockerfile", bases: map[string]string{"golang:1.26": "gosmall"},
			contexts: map[string]string{"shared": "monorepo/libs/shared", "schemas": "monorepo/schemas"},
			args:     []string{"--build-arg=SERVICE=api", "--target=api"}, check: checkMonorepoAPI},
		{name: "monorepo-worker", dir: "monorepo/services/worker", dockerfile: "monorepo/service.Dockerfile", bases: map[string]string{"golang:1.26": "gosmall"},
			contexts: map[string]string{"shared": "monorepo/libs/shared", "schemas": "monorepo/schemas"},
			args:     []string{"--build-arg=SERVICE=worker", "--target=worker"}, check: checkMonorepoWorker},
	}
}

// The projects of tools/projects are built by each driver, and what comes out does what it is for. Where packages are fetched, a second build with the
// same cache mounts fetches none, and makes an image that works too.
func TestProjects(t *testing.T) {
	w := newWorld(t)
	if err := builder.PodmanImage(t.Context(), w.Env); err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Abs("../../projects")
	if err != nil {
		t.Fatal(err)
	}
	served := servePackages(t, filepath.Join(top, "packages"), w.fixtures)
	images := map[string]string{}
	for _, p := range projects(w, served) {
		t.Run(p.name, func(t *testing.T) {
			for base, fixture := range p.bases {
				if images[fixture] == "" {
					images[fixture] = w.base(t, fixture)
				}
				p.args = append(p.args, "--build-context="+base+"=docker-image://"+images[fixture])
			}
			for _, driver := range []string{"isolated", "in-place"} {
				t.Run(driver, func(t *testing.T) { w.project(t, top, served, p, driver) })
			}
		})
	}
}

// project builds p and looks at it.
func (w world) project(t *testing.T, top string, served *packages, p project, driver string) {
	state, err := os.MkdirTemp(w.Dir, "project-"+p.name+"-"+driver)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"cache", "secrets", "kaniko"} {
		if err := os.Mkdir(filepath.Join(state, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for id, text := range p.secrets {
		if err := os.WriteFile(filepath.Join(state, "secrets", id), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	repo := "projects/" + p.name + "/" + driver
	rounds := 1
	if p.fetches != "" {
		rounds = 2
	}
	served.taken()
	for round := range rounds {
		start := time.Now()
		log := w.buildProject(t, top, p, driver, state, repo)
		took := time.Since(start)
		var fetched []string
		for _, file := range served.taken() {
			if p.fetches != "" && strings.HasPrefix(file, p.fetches) {
				fetched = append(fetched, file)
			}
		}
		t.Logf("build %d: %.1f s, %d archives fetched", round+1, took.Seconds(), len(fetched))
		switch {
		case round == 0 && p.fetches != "" && len(fetched) == 0:
			t.Errorf("the first build fetched nothing below %s", p.fetches)
		case round == 1 && len(fetched) > 0:
			t.Errorf("the second build fetched %v again", fetched)
		}
		if strings.Contains(log, password) {
			t.Error("the log has the secret")
		}
		img := w.image(t, repo)
		img.mustNotHold(t, password)
		p.check(t, w, img)
	}
}

// buildProject runs the executor and returns its log.
func (w world) buildProject(t *testing.T, top string, p project, driver, state, repo string) string {
	t.Helper()
	dir, dockerfile := filepath.Join(top, p.dir), filepath.Join(top, p.dockerfile)
	if p.dir == "" {
		dir = filepath.Join(top, p.name)
	}
	if p.dockerfile == "" {
		dockerfile = filepath.Join(dir, "Dockerfile")
	}
	flags := append([]string{"--destination=" + w.Registry + "/" + repo + ":1", "--insecure"}, p.args...)
	var argv []string
	if driver == "isolated" {
		argv = append([]string{w.Executor, "--isolation=namespaces", "--kaniko-dir=" + state + "/kaniko", "--cache-mounts=" + state + "/cache",
			"--context=" + dir, "--dockerfile=" + dockerfile}, flags...)
		for name, sub := range p.contexts {
			argv = append(argv, "--build-context="+name+"="+filepath.Join(top, sub))
		}
		for id := range p.secrets {
			argv = append(argv, "--secret=id="+id+",src="+filepath.Join(state, "secrets", id))
		}
	} else {
		// Not /workspace: Dockerfiles use that themselves, and in place there is one root for both.
		run := []string{"run", "--rm", "--network", "host", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768",
			"-v", dir + ":/context:ro", "-v", dockerfile + ":/Dockerfile.e2e:ro", "-v", state + "/cache:/cache", "-v", state + "/secrets:/secrets:ro"}
		flags = append(flags, "--isolation=in-place", "--force", "--cache-mounts=/cache", "--context=/context", "--dockerfile=/Dockerfile.e2e")
		for name, sub := range p.contexts {
			run = append(run, "-v", filepath.Join(top, sub)+":/contexts/"+name+":ro")
			flags = append(flags, "--build-context="+name+"=/contexts/"+name)
		}
		for id := range p.secrets {
			flags = append(flags, "--secret=id="+id+",src=/secrets/"+id)
		}
		argv = builder.Podman(w.Env, slices.Concat(run, []string{builder.InPlaceImage}, flags)...)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, log.Bytes())
	}
	return log.String()
}

// base puts a fixture into the registry. "both" is made here: an index of an image for each of two platforms.
func (w world) base(t *testing.T, tag string) string {
	t.Helper()
	if tag != "both" {
		return w.push(t, tag)
	}
	layout := filepath.Join(w.Dir, "both")
	if err := writeIndex(layout, "amd64", "arm64"); err != nil {
		t.Fatal(err)
	}
	ref := w.Registry + "/fixtures/both:1"
	run(t, "skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", "oci:"+layout+":1", "docker://"+ref)
	return ref
}

// output runs a built image to its end.
func (w world) output(t *testing.T, img image, args ...string) string {
	t.Helper()
	return w.podman(t, slices.Concat([]string{"run", "--rm", "--pull", "always", "-q", "--tls-verify=false", "--network", "none",
		"--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768", w.Registry + "/" + img.repo + ":1"}, args)...)
}

// A running container of a built image.
type running struct {
	w    world
	name string
	addr string // where its PORT is
	log  *bytes.Buffer
	kill func()
	over chan struct{}
}

// start runs a built image until the test ends. It gets a free port as $PORT.
func (w world) start(t *testing.T, img image, flags ...string) *running {
	t.Helper()
	// Pulled first, for that may take long, and then the container is not there to be stopped.
	ref := w.Registry + "/" + img.repo + ":1"
	w.podman(t, "pull", "-q", "--tls-verify=false", ref)
	port := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := &running{w: w, name: strings.ReplaceAll(img.repo, "/", "-") + "-" + port, addr: "127.0.0.1:" + port, log: new(bytes.Buffer), kill: cancel, over: make(chan struct{})}
	argv := builder.Podman(w.Env, slices.Concat([]string{"run", "--rm", "--name", r.name, "--pull", "never", "--network", "host",
		"--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768", "--env", "PORT=" + port}, flags, []string{ref})...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.over)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop is by the image's own signal.
func (r *running) stop(t *testing.T) {
	select {
	case <-r.over:
		return
	default:
	}
	argv := builder.Podman(r.w.Env, "stop", "-t", "10", r.name)
	if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("stop %s: %v\n%s", r.name, err, out)
		r.kill()
	}
	<-r.over
}

// eventually tries until there is no error, for as long as the container runs and some minutes at most.
func (r *running) eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for range 3000 {
		if err = try(); err == nil {
			return
		}
		select {
		case <-r.over:
			t.Fatalf("%s ended: %v\n%s", r.name, err, r.log)
		case <-time.After(100 * time.Millisecond):
		}
	}
	r.stop(t)
	t.Fatalf("%s: %v\n%s", r.name, err, r.log)
}

// page is what the container answers, once it does.
func (r *running) page(t *testing.T, path string) string {
	t.Helper()
	var body []byte
	r.eventually(t, func() error {
		resp, err := http.Get("http://" + r.addr + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		return nil
	})
	return string(body)
}

// pages are what the container has to answer.
func (r *running) pages(t *testing.T, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got := r.page(t, path); !strings.Contains(got, want[path]) {
			t.Errorf("%s of %s is %q, without %q", path, r.name, got, want[path])
		}
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		t.Errorf("%s is %s, not %s", what, g, w)
	}
}

func checkNode(t *testing.T, w world, img image) {
	c := img.Config.Config
	equal(t, "USER", c.User, "node")
	equal(t, "CMD", c.Cmd, []string{"node", "dist/server.js"})
	if c.Healthcheck == nil || len(c.Healthcheck.Test) != 4 {
		t.Errorf("HEALTHCHECK is %+v", c.Healthcheck)
	}
	w.start(t, img).pages(t, map[string]string{
		"/":      "Hello, node!\n",
		"/about": `{"environment":"production","user":"node","built":true,"modules":["@acme","tiny-router"]}`,
	})
}

func checkPython(t *testing.T, w world, img image) {
	equal(t, "USER", img.Config.Config.User, "app")
	w.start(t, img).pages(t, map[string]string{"/": "a: 4\n", "/about": `{"user": "app", "prefix": "/opt/venv", "version": "2.5"}`})
}

func checkGolang(t *testing.T, w world, img image) {
	equal(t, "number of layers", len(img.layers), 3)
	if tests := string(img.file(t, "results/tests.txt")); !strings.Contains(tests, "TestVersion") {
		t.Errorf("the tests were %q", tests)
	}
	r := w.start(t, img)
	r.pages(t, map[string]string{"/": "go v1.2.3\n", "/healthz": "ok\n", "/uid": "65534\n"})
	equal(t, "first number", r.page(t, "/next"), "1\n")
	equal(t, "second number", r.page(t, "/next"), "2\n")
}

func checkJava(t *testing.T, w world, img image) {
	equal(t, "USER", img.Config.Config.User, "app:app")
	w.start(t, img).pages(t, map[string]string{"/quotes": "Small images ship sooner.\n", "/about": "1.0.0 app /opt/java\n"})
}

func checkNginx(t *testing.T, w world, img image) {
	equal(t, "STOPSIGNAL", img.Config.Config.StopSignal, "SIGQUIT")
	r := w.start(t, img, "--env", "API_URL=https://api.example.com")
	r.pages(t, map[string]string{
		"/":          "<title>A page of nginx</title>",
		"/config.js": `window.API = "https://api.example.com"; // for 127.0.0.1`,
		"/style.css": "body { margin: 0; }\nh1 { color: teal; }\n",
	})
}

func checkPostgres(t *testing.T, w world, img image) {
	equal(t, "VOLUME", slices.Collect(maps.Keys(img.Config.Config.Volumes)), []string{"/var/lib/postgresql/data"})
	r := w.start(t, img, "--env", "POSTGRES_PASSWORD=tiger", "--env", "FIRST_BOOK=Layers", "--env", "PGPORT="+freePort(t))
	// Through the network: only the last server listens there, the one that initialises the database does not.
	query := func(sql string) (string, error) {
		argv := builder.Podman(w.Env, "exec", "--env", "PGPASSWORD=tiger", r.name, "psql", "-h", "127.0.0.1", "-U", "postgres", "-At", "-c", sql)
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("psql: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), err
	}
	var books string
	r.eventually(t, func() (err error) {
		books, err = query("SELECT title FROM books")
		return err
	})
	equal(t, "first book", books, "Layers")
	owner := run(t, "podman", builder.Podman(w.Env, "exec", r.name, "stat", "-c", "%U %a", "/var/lib/postgresql/data/PG_VERSION", "/var/lib/postgresql/data", "/var/run/postgresql")[1:]...)
	equal(t, "owners", owner, "postgres 600\npostgres 700\npostgres 3777\n")
	server := run(t, "podman", builder.Podman(w.Env, "exec", r.name, "stat", "-c", "%U", "/proc/1")[1:]...)
	equal(t, "the server's user", server, "postgres\n")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func checkThisArch(t *testing.T, w world, img image) {
	equal(t, "output", w.output(t, img), "linux/amd64, built on linux/amd64\n")
}

// checkArm64 cannot run it, but for what is in the files.
func checkArm64(t *testing.T, _ world, img image) {
	equal(t, "platform", img.Config.OS+"/"+img.Config.Architecture, "linux/arm64")
	c := img.Config.Config
	equal(t, "labels", c.Labels, map[string]string{"platform": "linux/arm64", "arch.arm64": "true"})
	if !slices.Contains(c.Env, "PAGE_SIZE=65536") {
		t.Errorf("ENV is %q", c.Env)
	}
	equal(t, "base", string(img.file(t, "etc/base-arch")), "arm64\n")
	f, err := elf.NewFile(bytes.NewReader(img.file(t, "usr/bin/which-platform")))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "machine", f.Machine.String(), "EM_AARCH64")
}

func checkHeredoc(t *testing.T, w world, img image) {
	want := "ledger in /srv/ledger, computed, $other\n" +
		"{'currency': 'EUR', 'currency_lower': 'euro', 'path': '$APP_HOME', 'indented': 'yes', 'literal': '\\\\backslash'}\n" +
		"1200 1,4,9,16,25\n"
	got := w.output(t, img)
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " table\n['--help', \"it's\"]\n") {
		t.Errorf("printed\n%s\nnot\n%s", got, want)
	}
	equal(t, "motd", string(img.file(t, "etc/motd")), "first of ledger\nsecond of ledger\n2 files\npipefail holds\n")
}

func checkLink(t *testing.T, w world, img image) {
	r := w.start(t, img)
	r.pages(t, map[string]string{"/": "<h1>linked</h1>", "/assets/app.js": `console.log("linked")`})
	if got := r.page(t, "/"); strings.Contains(got, "\n") {
		t.Errorf("the page still has its newline: %q", got)
	}
	r.stop(t)
	if log := r.log.String(); !strings.Contains(log, "extension: 3.1\nvendor: LICENCE\ncharts\n") {
		t.Errorf("the log is %s", log)
	}
	equal(t, "configuration", string(img.file(t, "etc/app/conf.d/20-prod.ini")), "level = warning\n")
}

// checkLinkMoved compares with the same project on its own base: the layers of COPY --link do not know what they are on.
func checkLinkMoved(t *testing.T, w world, img image) {
	own := w.image(t, strings.Replace(img.repo, "link-on-another-base", "link", 1))
	const linked = 7 // of COPY and ADD in the last two stages; WORKDIR finds its directory
	if len(own.layers) < linked || len(img.layers) < linked || !slices.Equal(own.layers[len(own.layers)-linked:], img.layers[len(img.layers)-linked:]) {
		t.Errorf("the last %d layers differ:\n%s\nand\n%s", linked, strings.Join(own.layers, "\n"), strings.Join(img.layers, "\n"))
	}
}

func checkMonorepoAPI(t *testing.T, w world, img image) {
	equal(t, "ports", slices.Collect(maps.Keys(img.Config.Config.ExposedPorts)), []string{"8080/tcp"})
	w.start(t, img).pages(t, map[string]string{"/": "this is api\n", "/schemas/orders.json": `["id", "amount"]`, "/schemas/users.json": `["id"]`})
}

func checkMonorepoWorker(t *testing.T, w world, img image) {
	equal(t, "output", w.output(t, img), "this is worker\norders.json: {\"orders\": [\"id\", \"amount\"]}\n")
	if log := string(img.file(t, "usr/share/doc/test.log")); !strings.HasPrefix(log, "ok  \texample.com/acme/shared/text") || strings.Contains(log, "private.secret") {
		t.Errorf("the tests, and what .dockerignore should have kept away: %q", log)
	}
}
