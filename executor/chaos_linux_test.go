package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// Variables of tools/chaos.sh.
const (
	chaosRuns     = "KANIKO_CHAOS_RUNS"     // how many runs; a few without
	chaosSeed     = "KANIKO_CHAOS_SEED"     // the first one's seed; otherwise the time
	chaosPrograms = "KANIKO_CHAOS_PROGRAMS" // the directory that all programs are in; without, there is only the executor of the tests
)

// A run that takes longer than that hangs.
const chaosPatience = 8 * time.Minute

// ruins is a place in which programs are run while things go wrong: real registries, of
// which one asks for tokens, and what a build makes when nothing does.
type ruins struct {
	programs     string // directory, or ""
	open, closed string // hosts of registries
	tokens       *registrytest.TokenServer
	source       string             // the build context
	want         map[string]v1.Hash // by compression
}

const (
	chaosUser, chaosPassword = "alice", "s3cret"
	chaosDockerfile          = `FROM %[1]s AS one
WORKDIR /work
COPY src src
RUN cat src/* src/large > all
FROM %[1]s
RUN echo own > /own
COPY --from=one /work/all /all
COPY src /src
RUN wc -c /all > /count
`
)

func newRuins(t *testing.T) *ruins {
	t.Helper()
	if _, err := os.Stat(conformance.Busybox); err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err != nil || choice.Grant == nil {
		t.Skip("this machine grants no namespaces")
	}
	u := &ruins{programs: os.Getenv(chaosPrograms), source: t.TempDir(), want: map[string]v1.Hash{}}
	u.tokens = registrytest.StartTokens(t, registrytest.TokenConfig{Users: map[string]string{chaosUser: chaosPassword}})
	u.open = registrytest.RealV3(t, registrytest.RealConfig{})
	u.closed = registrytest.RealV3(t, registrytest.RealConfig{Tokens: u.tokens})
	u.fill(t)
	base, old := chaosBase(t), seededImage(t, 1, 1000, 2)
	for _, host := range []string{u.open, u.closed} {
		u.push(t, host+"/base:1", base)
		u.push(t, host+"/old:1", old)
	}
	for _, compression := range []string{"gzip", "zstd"} {
		r := u.begin(t, compression, u.open, false)
		r.flags = append(r.flags, "--compression="+compression)
		out, err := r.build(nil)
		if err != nil {
			t.Fatalf("without faults: %v\n%s", err, out)
		}
		u.want[compression] = r.built(t)
	}
	return u
}

// fill makes a build context of a file that takes more than one piece to send, and of
// small ones.
func (u *ruins) fill(t *testing.T) {
	t.Helper()
	dir := filepath.Join(u.source, "src")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 1_200_000)
	if _, err := rand.NewChaCha8([32]byte{9}).Read(large); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"large": large}
	for n := range 20 {
		files[fmt.Sprint("small", n)] = []byte(strings.Repeat(fmt.Sprintln("line", n), 100))
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// seededImage is the same each time for a seed.
func seededImage(t *testing.T, seed, size int64, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, layers, random.WithSource(seedSource(seed)))
	if err == nil {
		img, err = mutate.ConfigFile(img, platformOf(t, img))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// chaosBase is a base image with a shell, in two layers.
func chaosBase(t *testing.T) v1.Image {
	t.Helper()
	layer, err := shellLayer()
	var extra v1.Layer
	if err == nil {
		extra, err = random.Layer(200_000, "application/vnd.oci.image.layer.v1.tar+gzip", random.WithSource(seedSource(2)))
	}
	var img v1.Image
	if err == nil {
		img, err = mutate.AppendLayers(mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json"), extra, layer)
	}
	if err == nil {
		img, err = mutate.ConfigFile(img, platformOf(t, img))
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func platformOf(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", runtime.GOARCH
	return c
}

func asAlice() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: chaosUser, Password: chaosPassword})
}

func (u *ruins) push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err == nil {
		err = remote.Write(tag, img, asAlice())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ruin is one run: a directory, repositories of its own, and flags.
type ruin struct {
	*ruins
	dir      string
	registry string // where what is asked by the way of at is kept
	at       string // host that programs are told
	repo     string
	cache    string
	flags    []string // of builds
	digest   string   // file
}

// begin prepares a run whose programs know a host that is the open registry or, with
// tokens, the closed one.
func (u *ruins) begin(t *testing.T, repo, at string, tokens bool) *ruin {
	t.Helper()
	dir := t.TempDir()
	r := &ruin{ruins: u, dir: dir, registry: u.open, at: at, repo: repo, digest: filepath.Join(dir, "digest")}
	config := "{}"
	if tokens {
		r.registry = u.closed
		config = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, at, base64.StdEncoding.EncodeToString([]byte(chaosUser+":"+chaosPassword)))
	}
	r.cache = at + "/" + r.repo + "/cache"
	err := errors.Join(os.Mkdir(filepath.Join(dir, "tmp"), 0o755), os.Mkdir(filepath.Join(dir, "kaniko"), 0o755),
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "Dockerfile"), fmt.Appendf(nil, chaosDockerfile, at+"/base:1"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	r.flags = []string{
		"--context=" + u.source, "--dockerfile=" + filepath.Join(dir, "Dockerfile"), "--kaniko-dir=" + filepath.Join(dir, "kaniko"),
		"--destination=" + at + "/" + r.repo + ":1", "--digest-file=" + r.digest, "--isolation=namespaces",
	}
	return r
}

// command is a program of the suite, in a process group of its own.
func (r *ruin) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if r.programs != "" {
		program = filepath.Join(r.programs, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1704067200", "TMPDIR="+filepath.Join(r.dir, "tmp"), "DOCKER_CONFIG="+r.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run runs a program; what it said, and what became of it.
func (r *ruin) run(program string, args ...string) ([]byte, error) {
	ctx, stop := context.WithTimeout(context.Background(), chaosPatience)
	defer stop()
	out, err := r.command(ctx, program, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = errHangs
	}
	return out, err
}

var errHangs = errors.New("it hangs")

func (r *ruin) build(more []string) ([]byte, error) {
	os.Remove(r.digest) //nolint:errcheck // there is none the first time
	return r.run("executor", append(slices.Clone(r.flags), more...)...)
}

// built is the digest that a build has written down.
func (r *ruin) built(t *testing.T) v1.Hash {
	t.Helper()
	text, err := os.ReadFile(r.digest)
	var h v1.Hash
	if err == nil {
		h, err = v1.NewHash(strings.TrimSpace(string(text)))
	}
	if err != nil {
		t.Error(err)
	}
	return h
}

// tagged is the digest of what the destination's tag stands for, all of which is read.
func (r *ruin) tagged(t *testing.T) v1.Hash {
	t.Helper()
	tag, err := name.NewTag(r.registry + "/" + r.repo + ":1")
	var img v1.Image
	if err == nil {
		img, err = remote.Image(tag, asAlice())
	}
	if err == nil {
		err = readAll(img)
	}
	var h v1.Hash
	if err == nil {
		h, err = img.Digest()
	}
	if err != nil {
		t.Errorf("the image at the destination is not whole: %v", err)
	}
	return h
}

// readAll reads all of an image; the digests are compared by who reads.
func readAll(img v1.Image) error {
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		blob, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, blob)
		if err := errors.Join(err, blob.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tagOld has the destination's tag stand for another image, and returns its digest.
func (r *ruin) tagOld(t *testing.T) v1.Hash {
	t.Helper()
	from, err := name.NewTag(r.registry + "/old:1")
	var img v1.Image
	if err == nil {
		img, err = remote.Image(from, asAlice())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.push(t, r.registry+"/"+r.repo+":1", img)
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// status is a program's exit status, -1 if a signal ended it or it hangs.
func status(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// legible demands that what a program said in the end is an error that one can read.
func legible(t *testing.T, out []byte) {
	t.Helper()
	for _, word := range []string{"panic:", "goroutine ", "runtime error", "DATA RACE"} {
		if bytes.Contains(out, []byte(word)) {
			t.Errorf("it says %q", word)
		}
	}
	if len(bytes.TrimSpace(out)) == 0 {
		t.Error("it says nothing")
	}
}

// clean demands that nothing is left of a program: no process, no mount, no file.
func (r *ruin) clean(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := processes(r.dir)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("processes are left: %q", left)
			break
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, r.dir+"/kaniko") || strings.Contains(line, r.dir+"/tmp") {
			t.Errorf("a mount is left: %s", line)
		}
	}
}

// empty demands that a program left no file, either.
func (r *ruin) empty(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"tmp", "kaniko"} {
		err := filepath.WalkDir(filepath.Join(r.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				t.Errorf("a file is left: %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// processes are those that have to do with a directory.
func processes(dir string) (left []string) {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return []string{err.Error()}
	}
	for _, p := range all {
		cmdline, err := os.ReadFile(p + "/cmdline")
		if err != nil {
			continue // it is over
		}
		root, _ := os.Readlink(p + "/root")
		cwd, _ := os.Readlink(p + "/cwd")
		if bytes.Contains(cmdline, []byte(dir)) || strings.HasPrefix(root, dir) || strings.HasPrefix(cwd, dir) {
			left = append(left, filepath.Base(p)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return left
}

// sound demands that builds with the cache, while nothing goes wrong, make the right
// image, and that the second takes all from it.
func (r *ruin) sound(t *testing.T, want v1.Hash, more ...string) {
	t.Helper()
	for _, time := range []string{"first", "second"} {
		out, err := r.build(more)
		if err != nil {
			t.Errorf("the %s build after that: %v\n%s", time, err, out)
			return
		}
		if got := r.built(t); got != want {
			t.Errorf("the %s build after that makes %s, not %s\n%s", time, got, want, out)
		}
		if time == "second" && bytes.Contains(out, []byte("not cached")) {
			t.Errorf("the second build after that does not find what the first has made:\n%s", out)
		}
	}
	if got := r.tagged(t); got != want {
		t.Errorf("the tag stands for %s after that, not for %s", got, want)
	}
}

// tally counts what became of runs.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(what string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.counts == nil {
		y.counts = map[string]int{}
	}
	y.counts[what] += n
}

// String has the most frequent first.
func (y *tally) String() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	var names []string
	for name := range y.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.SortStableFunc(names, func(a, b string) int { return y.counts[b] - y.counts[a] })
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%6d %s\n", y.counts[name], name)
	}
	return b.String()
}

// setting is a variable that is a number.
func setting(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
