//go:build e2e

// Package e2e proves the executor against the world it is made for: Debian's docker-registry, skopeo and podman, a Debian base from mmdebstrap, and a
// third-party Go program. It takes minutes and needs root; tools/e2e.sh makes what it needs and starts it with EXECUTOR and TREEDIFF set.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/tools/bench/builder"
	"github.com/kaniko-suite/kaniko/tools/bench/fixture"
)

type world struct {
	*builder.Env
	registry *fixture.Registry
	fixtures string
	treediff string
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{Env: &builder.Env{Executor: os.Getenv("EXECUTOR")}, treediff: os.Getenv("TREEDIFF")}
	if w.Executor == "" || w.treediff == "" || os.Getuid() != 0 {
		t.Fatal("start this by tools/e2e.sh, as root")
	}
	var err error
	if w.fixtures, err = fixture.Dir(); err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: what a storage driver leaves may have to be unmounted before it can be removed.
	if w.Dir, err = os.MkdirTemp("", "kaniko-e2e"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := builder.Remove(w.Dir); err != nil {
			t.Error(err)
		}
	})
	w.Self = w.Dir + "/bench"
	run(t, "go", "build", "-o", w.Self, "..")
	if w.registry, err = fixture.StartRegistry(t.Context(), w.Dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Registry = w.registry.Addr
	return w
}

func (w world) push(t *testing.T, tag string) string {
	t.Helper()
	ref, err := w.registry.Push(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (w world) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(w.Dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// drivers are the executor's two, as the benchmark runs them.
func (w world) drivers(t *testing.T) []builder.Builder {
	t.Helper()
	var out []builder.Builder
	for _, b := range builder.All() {
		if strings.HasPrefix(b.Name, "executor ") {
			if err := b.Ready(t.Context(), w.Env); err != nil {
				t.Fatal(err)
			}
			out = append(out, b)
		}
	}
	return out
}

// A two-stage image whose first stage compiles crane with its vendored dependencies: both drivers build the same image, skopeo reads it, and the
// program in it runs.
func TestGoProgram(t *testing.T) {
	w := newWorld(t)
	golang, debian := w.push(t, "golang"), w.push(t, "debian")
	dockerfile := w.write(t, "Dockerfile", "FROM "+golang+" AS build\nWORKDIR /src\nCOPY . .\n"+
		"RUN CGO_ENABLED=0 go build -trimpath -o /crane ./cmd/crane\n"+
		"FROM "+debian+"\nCOPY --from=build /crane /usr/local/bin/crane\nENV WHO=e2e\nENTRYPOINT [\"crane\"]\n")
	digests := map[string]string{}
	for _, b := range w.drivers(t) {
		state := filepath.Join(w.Dir, b.Slug())
		if err := os.Mkdir(state, 0o755); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		repo := "e2e/" + b.Slug()
		start := time.Now()
		_, err := b.Build(t.Context(), builder.Job{
			Env: w.Env, Dockerfile: dockerfile, Context: filepath.Join(w.fixtures, "goapp"), Destination: w.Registry + "/" + repo + ":1",
			State: state, Log: &log, Reproducible: true,
		})
		if err != nil {
			t.Errorf("%s: %v\n%s", b.Name, err, log.Bytes())
			continue
		}
		t.Logf("%s: %.1f s", b.Name, time.Since(start).Seconds())
		m, err := w.registry.Stat(t.Context(), repo, "1")
		if err != nil {
			t.Error(err)
			continue
		}
		digests[b.Name] = m.Digest

		var seen struct {
			Digest, Os, Architecture string
			Layers, Env              []string
		}
		ref := "docker://" + w.Registry + "/" + repo + ":1"
		if err := json.Unmarshal([]byte(run(t, "skopeo", "inspect", "--tls-verify=false", ref)), &seen); err != nil {
			t.Error(err)
		}
		if seen.Digest != m.Digest || len(seen.Layers) != m.Layers || seen.Os != "linux" || !slices.Contains(seen.Env, "WHO=e2e") {
			t.Errorf("skopeo inspect: %+v, the registry has %+v", seen, m)
		}
		out := w.podman(t, "run", "--rm", "--tls-verify=false", "--network", "none",
			"--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768", w.Registry+"/"+repo+":1", "digest", "--help")
		if !strings.Contains(out, "crane digest") {
			t.Errorf("crane in the image of %s printed %q", b.Name, out)
		}
	}
	t.Log(digests)
	for _, d := range digests {
		for _, e := range digests {
			if d != e {
				t.Fatalf("the drivers' images differ: %v", digests)
			}
		}
	}
}

func (w world) podman(t *testing.T, args ...string) string {
	t.Helper()
	argv := builder.Podman(w.Env, args...)
	return run(t, argv[0], argv[1:]...)
}

// The executor is killed at random moments while it replaces an image. Whatever the moment, the tag names the old image or the new one, whole; no mount
// and no process is left; and the next build with the same state directory succeeds.
func TestKill(t *testing.T) {
	w := newWorld(t)
	debian := w.push(t, "debian")
	empty := filepath.Join(w.Dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	steps := "RUN echo %[1]s >/version && cat /usr/bin/* >/big\nRUN head -c 20M /dev/urandom >/random && echo %[1]s >>/version\nRUN rm /big && mkdir -p /a/b && touch /a/b/%[1]s\n"
	older := w.write(t, "older", "FROM "+debian+"\n"+fmt.Sprintf(steps, "older"))
	newer := w.write(t, "newer", "FROM "+debian+" AS one\nRUN cat /usr/bin/* >/one\nFROM "+debian+"\n"+fmt.Sprintf(steps, "newer")+"COPY --from=one /one /one\n")
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("E2E_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	rounds := 12
	if s := os.Getenv("E2E_KILLS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}

	for _, v := range []victim{isolatedVictim{w}, inPlaceVictim{w}} {
		t.Run(v.name(), func(t *testing.T) {
			if err := v.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			repo := "kill/" + v.name()
			destination := w.Registry + "/" + repo + ":1"
			state := filepath.Join(w.Dir, v.name())
			if err := os.Mkdir(state, 0o755); err != nil {
				t.Fatal(err)
			}
			build := func(dockerfile string, after time.Duration) (killed bool) {
				t.Helper()
				var log bytes.Buffer
				cmd, kill := v.start(t, dockerfile, empty, destination, state)
				cmd.Stdout, cmd.Stderr = &log, &log
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var timer *time.Timer
				over := make(chan struct{})
				if after > 0 {
					timer = time.AfterFunc(after, func() { kill(over) })
				}
				err := cmd.Wait()
				close(over)
				if timer == nil {
					if err != nil {
						t.Fatalf("build: %v\n%s", err, log.Bytes())
					}
					return false
				}
				if timer.Stop() && err != nil {
					t.Errorf("the build ended by itself: %v\n%s", err, log.Bytes())
				}
				return err != nil
			}
			mounts := mountPoints(t)
			build(older, 0)
			intact := w.intact(t, repo)
			start := time.Now()
			build(newer, 0)
			whole := time.Since(start)
			w.intact(t, repo)
			build(older, 0)
			intact = w.intact(t, repo)
			t.Logf("a whole build takes %.1f s", whole.Seconds())
			killed, replaced := 0, 0
			for i := range rounds {
				after := time.Duration(random.Int64N(int64(whole)))
				was := build(newer, after)
				if was {
					killed++
				}
				waitGone(t, w.Executor, state)
				now := w.intact(t, repo)
				if now != intact {
					replaced++
					if was {
						t.Logf("round %d: killed after %s, when the new image was already in place", i, after)
					}
					intact = now
				}
				if got := mountPoints(t); !slices.Equal(got, mounts) {
					t.Fatalf("round %d, killed after %s: mounts were\n%s\nand are\n%s", i, after, strings.Join(mounts, "\n"), strings.Join(got, "\n"))
				}
			}
			t.Logf("%d of %d builds killed, %d images replaced", killed, rounds, replaced)
			build(newer, 0)
			if w.intact(t, repo) == intact {
				t.Error("the last build, not killed, did not replace the image")
			}
		})
	}
}

// intact reads all of the image, which checks every digest on the way, and returns the manifest's.
func (w world) intact(t *testing.T, repo string) string {
	t.Helper()
	ref := w.Registry + "/" + repo + ":1"
	tree := run(t, w.treediff, "show", ref)
	if !strings.Contains(tree, "\n/version file ") || strings.Contains(tree, "\n/big ") {
		t.Fatal("the image at the destination is not one of the two that were built")
	}
	return strings.TrimSpace(run(t, w.treediff, "digest", ref))
}

// mountPoints are this namespace's, without those of podman's storage, which come and go with its containers.
func mountPoints(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && !strings.Contains(f[4], "/podman/") {
			out = append(out, f[4])
		}
	}
	slices.Sort(out)
	return out
}

// waitGone waits until no process runs the executor's binary or keeps its root or working directory in the state directory.
func waitGone(t *testing.T, executor, state string) {
	t.Helper()
	own, err := os.Stat(executor)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for range 100 {
		left = nil
		procs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range procs {
			st, err := os.Stat(p + "/exe")
			same := err == nil && os.SameFile(st, own)
			root, _ := os.Readlink(p + "/root")
			cwd, _ := os.Readlink(p + "/cwd")
			if same || strings.HasPrefix(root, state) || strings.HasPrefix(cwd, state) {
				cmdline, _ := os.ReadFile(p + "/cmdline")
				left = append(left, filepath.Base(p)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("still running 5 s after the kill:\n%s", strings.Join(left, "\n"))
}

// A victim is a driver whose build can be killed.
type victim interface {
	name() string
	ready(context.Context) error
	start(t *testing.T, dockerfile, dir, destination, state string) (cmd *exec.Cmd, kill func(over <-chan struct{}))
}

type isolatedVictim struct{ w world }

func (v isolatedVictim) name() string                { return "isolated" }
func (v isolatedVictim) ready(context.Context) error { return nil }

func (v isolatedVictim) start(t *testing.T, dockerfile, dir, destination, state string) (*exec.Cmd, func(<-chan struct{})) {
	cmd := exec.CommandContext(t.Context(), v.w.Executor, "--isolation=namespaces", "--kaniko-dir="+state+"/kaniko", "--context="+dir,
		"--dockerfile="+dockerfile, "--destination="+destination, "--insecure")
	return cmd, func(<-chan struct{}) { _ = cmd.Process.Kill() }
}

// In place the executor is the first process of a container of its own; killing it ends the container.
type inPlaceVictim struct{ w world }

func (v inPlaceVictim) name() string { return "in-place" }

func (v inPlaceVictim) ready(ctx context.Context) error {
	return builder.PodmanImage(ctx, v.w.Env)
}

func (v inPlaceVictim) start(t *testing.T, dockerfile, dir, destination, state string) (*exec.Cmd, func(<-chan struct{})) {
	id := "kill-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	argv := builder.Podman(v.w.Env, "run", "--rm", "--name", id, "--network", "host", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768",
		"-v", dir+":/workspace:ro", "-v", dockerfile+":/Dockerfile.e2e:ro", builder.InPlaceImage,
		"--isolation=in-place", "--force", "--context=/workspace", "--dockerfile=/Dockerfile.e2e", "--destination="+destination, "--insecure")
	return exec.CommandContext(t.Context(), argv[0], argv[1:]...), func(over <-chan struct{}) {
		// The container may not exist yet: try until it does or the run is over.
		for range 100 {
			k := builder.Podman(v.w.Env, "kill", "-s", "KILL", id)
			if exec.Command(k[0], k[1:]...).Run() == nil {
				return
			}
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}
