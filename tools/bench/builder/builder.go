// Package builder runs image builders and says what they cost. A builder is a function from a Job to a Sample; another builder is one more function
// in the list All returns.
package builder

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Builder builds one image and says what it cost.
type Builder struct {
	Name  string
	What  string                                  // how it was run, for the report
	Ready func(ctx context.Context, e *Env) error // once, before the first build; an error leaves the builder out
	Build func(ctx context.Context, j Job) (Sample, error)
	// Caches says whether builds can share layers through a registry (Job.Cache); nil is yes. An error leaves the builder out of workloads that need it.
	Caches func(ctx context.Context) error
	Warm   bool // can take base images from a directory that warmer filled (Job.Warm)
}

// An Env is what all builds of one benchmark share.
type Env struct {
	Executor string // the binary under test
	Warmer   string // the binary that fills directories of base images
	Self     string // this binary, for `bench measure`
	Dir      string // everything is below it, on one file system
	Registry string // host:port
	Far      string // host:port of the same registry, reached with latency; "" without
}

// A Job is one build: nothing in State exists yet, and the destination's repository neither, unless another build has filled the layer cache.
type Job struct {
	*Env
	Dockerfile  string
	Context     string
	Destination string
	State       string
	Log         io.Writer
	Cache       string // repository of the layer cache, which an earlier build may have filled; "" is none
	Warm        string // directory that warmer filled; "" is none
	// Reproducible asks for the image that does not depend on the time of the build: the date is SourceDate.
	Reproducible bool
}

// SourceDate is the SOURCE_DATE_EPOCH of reproducible builds.
const SourceDate = "1735689600"

// All lists the builders this package knows.
func All() []Builder {
	return []Builder{
		{
			Name: "buildah", What: "as root, overlay storage, chroot isolation, a layer per step, private empty storage",
			Ready: needs("buildah", "unshare"), Build: buildah, Caches: buildahCaches,
		},
		{
			Name: "executor in place", What: "in a podman container of a scratch image, default seccomp profile and capabilities",
			Ready: PodmanImage, Build: executorInPlace, Warm: true,
		},
		{
			Name: "executor isolated", What: "as root on the host, namespaces and overlayfs, empty state directory",
			Ready: needs("unshare"), Build: executorIsolated, Warm: true,
		},
		{
			Name: "buildkit", What: "buildkitd as root, overlayfs snapshotter, empty state; wall time of buildctl, processor time of both",
			Ready: needs("buildkitd", "buildctl", "runc"), Build: buildkit,
		},
	}
}

func needs(tools ...string) func(context.Context, *Env) error {
	return func(context.Context, *Env) error {
		for _, t := range tools {
			if _, err := exec.LookPath(t); err != nil {
				return err
			}
		}
		return nil
	}
}

// buildah runs with /var/lib/containers replaced by an empty directory: neither layers nor remembered blob locations outlive a build.
func buildah(ctx context.Context, j Job) (Sample, error) {
	exe, err := exec.LookPath("buildah")
	if err != nil {
		return Sample{}, err
	}
	b := fmt.Sprintf("buildah --root %s/root --runroot %s/runroot --storage-driver overlay", j.State, j.State)
	epoch := ""
	if j.Reproducible {
		epoch = "--timestamp " + SourceDate
	}
	cache := ""
	if j.Cache != "" {
		cache = "--cache-from " + j.Cache + " --cache-to " + j.Cache
	}
	// --identity-label=false: no label naming buildah's version.
	build := b + " bud --isolation chroot --layers --identity-label=false --tls-verify=false " + epoch + " " + cache + " -f " + j.Dockerfile + " -t bench " + j.Context +
		" && " + b + " push -q --tls-verify=false bench docker://" + j.Destination
	return measured(ctx, j, exe, j.State+"/containers", "sh", "-c", build)
}

// buildahCaches refuses a buildah without a layer cache in a registry, which came with 1.28.
func buildahCaches(ctx context.Context) error {
	help, err := exec.CommandContext(ctx, "buildah", "build", "--help").Output()
	if err != nil {
		return fmt.Errorf("buildah build --help: %w", err)
	}
	if !bytes.Contains(help, []byte("--cache-to ")) {
		return errors.New("this version has no --cache-to")
	}
	return nil
}

// flags are the executor's, for both drivers. warm is where the driver sees what warmer filled.
func (j Job) flags(isolation, context, dockerfile, warm string) []string {
	f := []string{"--isolation=" + isolation, "--context=" + context, "--dockerfile=" + dockerfile, "--destination=" + j.Destination, "--insecure"}
	if j.Reproducible {
		f = append(f, "--reproducible")
	}
	if j.Cache != "" {
		f = append(f, "--cache", "--cache-repo="+j.Cache)
	}
	if j.Warm != "" {
		f = append(f, "--cache", "--cache-dir="+warm)
	}
	return f
}

// executorIsolated runs the namespaces driver on the host.
func executorIsolated(ctx context.Context, j Job) (Sample, error) {
	argv := append([]string{j.Executor, "--kaniko-dir=" + j.State + "/kaniko"}, j.flags("namespaces", j.Context, j.Dockerfile, j.Warm)...)
	return measured(ctx, j, j.Executor, "", argv...)
}

// Part runs `bench floor` with arguments, and says what that cost. The job needs its State and its Log only.
func Part(ctx context.Context, j Job, args []string) (Sample, error) {
	return measured(ctx, j, j.Self, "", append([]string{j.Self, "floor"}, args...)...)
}

// measured runs a command on the host under `bench measure`, in a mount namespace of its own, with containers (if named) in the place of
// /var/lib/containers.
func measured(ctx context.Context, j Job, exe, containers string, argv ...string) (Sample, error) {
	out := j.State + "/sample.json"
	script := `set -e; c=$1; shift; if [ -n "$c" ]; then mkdir -p "$c" /var/lib/containers; mount --bind "$c" /var/lib/containers; fi; exec "$@"`
	args := append([]string{"-m", "--propagation", "private", "sh", "-c", script, "sh", containers, j.Self, "measure", out, exe}, argv...)
	return sample(command(ctx, j, "unshare", args...), out)
}

func command(ctx context.Context, j Job, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = j.Log, j.Log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if j.Reproducible {
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+SourceDate)
	}
	return cmd
}

// sample runs cmd and reads what `bench measure` left in out.
func sample(cmd *exec.Cmd, out string) (Sample, error) {
	if err := cmd.Run(); err != nil {
		return Sample{}, fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if err := json.Unmarshal(b, &s); err != nil {
		return Sample{}, err
	}
	if s.Exit != 0 {
		return s, fmt.Errorf("the build ended with status %d", s.Exit)
	}
	return s, nil
}

// Podman is the command line this project's test machines need; the limits are what a root without CAP_SYS_RESOURCE may keep.
func Podman(e *Env, args ...string) []string {
	return append([]string{
		"podman", "--root", e.Dir + "/podman/root", "--runroot", e.Dir + "/podman/runroot", "--tmpdir", e.Dir + "/podman/tmp",
		"--storage-driver", "overlay", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
	}, args...)
}

// InPlaceImage is what PodmanImage makes.
const InPlaceImage = "localhost/bench-executor"

// PodmanImage makes the scratch image with nothing but the executor and the certificate authorities.
func PodmanImage(ctx context.Context, e *Env) error {
	if err := needs("podman", "runc")(ctx, e); err != nil {
		return err
	}
	if err := static(e.Executor); err != nil {
		return err
	}
	dir := e.Dir + "/executor-image"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := copyFile(e.Executor, dir+"/executor", 0o755); err != nil {
		return err
	}
	if err := copyFile("/etc/ssl/certs/ca-certificates.crt", dir+"/ca-certificates.crt", 0o644); err != nil {
		return err
	}
	const text = "FROM scratch\nCOPY executor /kaniko/executor\nCOPY ca-certificates.crt /kaniko/ssl/certs/ca-certificates.crt\n" +
		"ENV PATH=/kaniko SSL_CERT_DIR=/kaniko/ssl/certs\nENTRYPOINT [\"/kaniko/executor\"]\n"
	if err := os.WriteFile(dir+"/Dockerfile", []byte(text), 0o644); err != nil {
		return err
	}
	argv := Podman(e, "build", "-q", "-t", InPlaceImage, dir)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("podman build: %w\n%s", err, out)
	}
	return nil
}

// static refuses a binary that could not start in a scratch image; the runtime would only say that the file does not exist.
func static(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically, build it with CGO_ENABLED=0", file)
		}
	}
	return nil
}

// executorInPlace builds on the root of a default container. `bench measure` is the container's first process, so podman, conmon and runc are
// no part of the figures.
func executorInPlace(ctx context.Context, j Job) (Sample, error) {
	if err := copyFile(j.Self, j.State+"/bench", 0o755); err != nil {
		return Sample{}, err
	}
	if err := copyFile(j.Dockerfile, j.State+"/Dockerfile", 0o644); err != nil {
		return Sample{}, err
	}
	argv := Podman(j.Env, "run", "--rm", "--network", "host", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768",
		"-v", j.Context+":/workspace:ro", "-v", j.State+":/bench", "--entrypoint", "/bench/bench")
	if j.Reproducible {
		argv = append(argv, "-e", "SOURCE_DATE_EPOCH="+SourceDate)
	}
	if j.Warm != "" {
		argv = append(argv, "-v", j.Warm+":/cache:ro")
	}
	argv = append(argv, InPlaceImage, "measure", "/bench/sample.json", "/kaniko/executor", "/kaniko/executor", "--force")
	argv = append(argv, j.flags("in-place", "/workspace", "/bench/Dockerfile", "/cache")...)
	return sample(command(ctx, j, argv[0], argv[1:]...), j.State+"/sample.json")
}

// buildkit starts an empty daemon for each build; its start is not in the wall time.
func buildkit(ctx context.Context, j Job) (Sample, error) {
	exe, err := exec.LookPath("buildkitd")
	if err != nil {
		return Sample{}, err
	}
	socket, out := "unix://"+j.State+"/s", j.State+"/sample.json"
	toml := fmt.Sprintf("root = %q\n[grpc]\naddress = [%q]\n[worker.oci]\nenabled = true\nsnapshotter = \"overlayfs\"\nnetworkMode = \"host\"\ngc = false\n"+
		"[worker.containerd]\nenabled = false\n", j.State+"/root", socket)
	for _, host := range []string{j.Registry, j.Far} {
		if host != "" {
			toml += fmt.Sprintf("[registry.%q]\nhttp = true\n", host)
		}
	}
	if err := os.WriteFile(j.State+"/buildkitd.toml", []byte(toml), 0o644); err != nil {
		return Sample{}, err
	}
	daemon := command(ctx, j, j.Self, "measure", out, exe, exe, "--config", j.State+"/buildkitd.toml")
	if err := daemon.Start(); err != nil {
		return Sample{}, err
	}
	ready := false
	for range 200 {
		if ready = exec.CommandContext(ctx, "buildctl", "--addr", socket, "debug", "workers").Run() == nil; ready {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	var buildErr error
	var wall, cpu float64
	if ready {
		start := time.Now()
		args := []string{"--addr", socket, "build", "--frontend", "dockerfile.v0", "--local", "context=" + j.Context,
			"--local", "dockerfile=" + filepath.Dir(j.Dockerfile), "--opt", "filename=" + filepath.Base(j.Dockerfile),
			"--output", "type=image,name=" + j.Destination + ",push=true,registry.insecure=true"}
		if j.Cache != "" {
			args = append(args, "--export-cache", "type=registry,mode=max,ref="+j.Cache, "--import-cache", "type=registry,ref="+j.Cache)
		}
		cmd := command(ctx, j, "buildctl", args...)
		buildErr = cmd.Run()
		wall = time.Since(start).Seconds()
		if st := cmd.ProcessState; st != nil {
			cpu = (st.UserTime() + st.SystemTime()).Seconds()
		}
	} else {
		buildErr = fmt.Errorf("buildkitd did not become ready")
	}
	for _, pid := range children(daemon.Process.Pid, nil) {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	if err := daemon.Wait(); err != nil && buildErr == nil {
		buildErr = err
	}
	if buildErr != nil {
		return Sample{}, buildErr
	}
	var s Sample
	b, err := os.ReadFile(out)
	if err != nil {
		return Sample{}, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return Sample{}, err
	}
	s.Wall, s.CPU = wall, s.CPU+cpu
	return s, nil
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// Remove deletes a state directory, the mounts a storage driver left in it first. A container's last process may still be at that, so it is tried
// for some seconds.
func Remove(dir string) error {
	var err error
	for range 50 {
		if err = unmountBelow(dir); err != nil {
			return err
		}
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			_ = syscall.Unmount(f[4], syscall.MNT_DETACH)
		}
	}
	return nil
}

// Slug is the builder's name as part of a path.
func (b Builder) Slug() string { return strings.ReplaceAll(b.Name, " ", "-") }
