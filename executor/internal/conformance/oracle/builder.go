//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

// A builder builds a case. out is an empty directory of its own.
type builder interface {
	name() string
	build(ctx context.Context, c *conformance.Built, out string) (result, error)
}

// result is how a build ended. A build that failed has no image.
type result struct {
	img  v1.Image
	said string
	exit int
}

// limit ends builds that hang.
const limit = 3 * time.Minute

// sh runs a command in the case's directory with the case's environment.
func sh(ctx context.Context, c *conformance.Built, argv ...string) (said string, exit int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "TMPDIR=" + os.TempDir()}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return c.Collapse(out.String()), max(failed.ExitCode(), 1), nil
	}
	return c.Collapse(out.String()), 0, err
}

// executor is the builder under test, in namespaces.
type executor struct{ exe string }

func (e *executor) name() string { return "executor" }

func (e *executor) build(ctx context.Context, c *conformance.Built, out string) (result, error) {
	args, err := c.Arguments()
	if err != nil {
		return result{}, err
	}
	argv := []string{e.exe, "--isolation=namespaces", "--kaniko-dir=" + out, "--no-push", "--oci-layout-path=" + out + "/layout", "--dockerfile=" + c.Dockerfile()}
	hasContext := false
	for _, a := range args {
		hasContext = hasContext || a.Flag == "--context"
		switch {
		case a.Flag == "--dockerfile":
		case a.Value == "":
			argv = append(argv, a.Flag)
		default:
			argv = append(argv, a.Flag+"="+a.Value)
		}
	}
	if !hasContext {
		argv = append(argv, "--context=context")
	}
	said, exit, err := sh(ctx, c, argv...)
	if err != nil || exit != 0 {
		return result{said: said, exit: exit}, err
	}
	img, err := fromLayout(out + "/layout")
	return result{img: img, said: said}, err
}

// fromLayout opens the one image of a layout, which may be in an index.
func fromLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	for err == nil {
		var m *v1.IndexManifest
		if m, err = index.IndexManifest(); err != nil {
			break
		}
		if len(m.Manifests) != 1 {
			return nil, fmt.Errorf("%s: %d images, want one", dir, len(m.Manifests))
		}
		if d := m.Manifests[0]; !d.MediaType.IsIndex() {
			return index.Image(d.Digest)
		}
		index, err = index.ImageIndex(m.Manifests[0].Digest)
	}
	return nil, err
}

// buildkit is a daemon of BuildKit's.
type buildkit struct {
	buildctl, addr string
	daemon         *exec.Cmd
	ended          chan error
	one            sync.Mutex // held for a build
}

func (b *buildkit) name() string { return conformance.BuildKit }

// startBuildKit starts a daemon with an empty state below dir.
func startBuildKit(ctx context.Context, bin, dir, registry string) (*buildkit, error) {
	state := filepath.Join(dir, "buildkit")
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	addr := "unix://" + state + "/s"
	toml := fmt.Sprintf("root = %q\ninsecure-entitlements = [\"network.host\"]\n[grpc]\naddress = [%q]\n[worker.oci]\nenabled = true\nsnapshotter = \"overlayfs\"\nnetworkMode = \"host\"\ngc = false\n"+
		"[worker.containerd]\nenabled = false\n[registry.%q]\nhttp = true\n", state+"/root", addr, registry)
	config := filepath.Join(state, "buildkitd.toml")
	if err := os.WriteFile(config, []byte(toml), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(state, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b := &buildkit{buildctl: filepath.Join(bin, "buildctl"), addr: addr, ended: make(chan error, 1)}
	b.daemon = exec.Command(filepath.Join(bin, "buildkitd"), "--config", config)
	b.daemon.Stdout, b.daemon.Stderr = log, log
	b.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := b.daemon.Start(); err != nil {
		return nil, err
	}
	go func() { b.ended <- b.daemon.Wait() }()
	for range 400 {
		if exec.CommandContext(ctx, b.buildctl, "--addr", addr, "debug", "workers").Run() == nil {
			return b, nil
		}
		select {
		case err := <-b.ended:
			said, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("buildkitd ended: %v\n%s", err, said)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), b.stop())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.Join(errors.New("buildkitd does not answer"), b.stop())
}

func (b *buildkit) stop() error {
	if err := b.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return nil // it has ended
	}
	select {
	case <-b.ended:
	case <-time.After(20 * time.Second):
		return b.daemon.Process.Kill()
	}
	return nil
}

func (b *buildkit) build(ctx context.Context, c *conformance.Built, out string) (result, error) {
	args, err := c.Arguments()
	if err != nil {
		return result{}, err
	}
	file := c.Dockerfile()
	argv := []string{b.buildctl, "--addr", b.addr, "build", "--progress=plain", "--no-cache", "--allow", "network.host", "--frontend", "dockerfile.v0",
		"--local", "dockerfile=" + filepath.Dir(file), "--opt", "filename=" + filepath.Base(file), "--opt", "build-arg:BUILDKIT_CACHE_MOUNT_NS=" + c.Name,
		"--output", "type=oci,tar=false,compression=uncompressed,dest=" + out + "/layout"}
	hasContext := false
	for _, a := range args {
		hasContext = hasContext || a.Flag == "--context"
		more, err := b.flag(c, a)
		if err != nil {
			return result{}, err
		}
		argv = append(argv, more...)
	}
	if !hasContext {
		argv = append(argv, "--local", "context=context")
	}
	// A context is sent as a difference from the last one, and then times of
	// directories are not those on disk: so there must not be a last one.
	b.one.Lock()
	defer b.one.Unlock()
	if said, exit, err := sh(ctx, c, b.buildctl, "--addr", b.addr, "prune", "--filter", "type==source.local"); err != nil || exit != 0 {
		return result{}, errors.Join(err, fmt.Errorf("buildctl prune ended with status %d: %s", exit, said))
	}
	said, exit, err := sh(ctx, c, argv...)
	if err != nil || exit != 0 {
		return result{said: said, exit: exit}, err
	}
	img, err := fromLayout(out + "/layout")
	return result{img: img, said: said}, err
}

// flag is a flag of the executor in BuildKit's words.
func (b *buildkit) flag(c *conformance.Built, a conformance.Arg) ([]string, error) {
	name, value, _ := strings.Cut(a.Value, "=")
	opt := func(s string) ([]string, error) { return []string{"--opt", s}, nil }
	switch a.Flag {
	case "--dockerfile", "--cache-mounts", "--reproducible", "--single-snapshot", "--cleanup":
		return nil, nil
	case "--build-arg":
		if !strings.Contains(a.Value, "=") {
			v, ok := lookup(c.Env, name)
			if !ok {
				return nil, nil
			}
			value = v
		}
		return opt("build-arg:" + name + "=" + value)
	case "--target":
		return opt("target=" + a.Value)
	case "--custom-platform", "--customPlatform", "--platform":
		return opt("platform=" + a.Value)
	case "--label":
		return opt("label:" + a.Value)
	case "--secret", "--ssh":
		return []string{a.Flag, a.Value}, nil
	case "--context":
		if strings.Contains(a.Value, "://") {
			return opt("context=" + a.Value)
		}
		return []string{"--local", "context=" + a.Value}, nil
	case "--build-context":
		switch {
		case strings.HasPrefix(value, "oci-layout://"):
			dir := strings.TrimPrefix(value, "oci-layout://")
			img, err := fromLayout(filepath.Join(c.Dir, dir))
			if err != nil {
				return nil, err
			}
			digest, err := img.Digest()
			if err != nil {
				return nil, err
			}
			store := strings.ToLower("layout-" + name)
			return []string{"--oci-layout", store + "=" + dir, "--opt", "context:" + name + "=oci-layout://" + store + "@" + digest.String()}, nil
		case strings.Contains(value, "://"):
			return opt("context:" + name + "=" + value)
		}
		return []string{"--local", "named-" + name + "=" + value, "--opt", "context:" + name + "=local:named-" + name}, nil
	}
	return nil, fmt.Errorf("%s: how is %s said to BuildKit? teach it to the oracle", c.File, a.Flag)
}

func lookup(env []string, name string) (string, bool) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// buildah is Debian's buildah, with a storage of its own.
type buildah struct{ dir string }

func (b *buildah) name() string { return conformance.Buildah }

func (b *buildah) build(ctx context.Context, c *conformance.Built, out string) (result, error) {
	args, err := c.Arguments()
	if err != nil {
		return result{}, err
	}
	command := []string{"buildah", "--root", b.dir + "/buildah/root", "--runroot", b.dir + "/buildah/runroot", "--storage-driver", "overlay"}
	image := "localhost/" + c.Name
	argv := append(command[:len(command):len(command)], "bud", "--isolation", "chroot", "--format", "docker", "--layers", "--no-cache", "--identity-label=false",
		"--tls-verify=false", "-f", c.Dockerfile(), "-t", image)
	where := "context"
	for _, a := range args {
		switch a.Flag {
		case "--dockerfile", "--cache-mounts", "--reproducible", "--single-snapshot", "--cleanup":
		case "--context":
			where = a.Value
		case "--custom-platform", "--customPlatform":
			argv = append(argv, "--platform", a.Value)
		case "--build-arg", "--target", "--label", "--secret", "--ssh", "--build-context", "--platform":
			argv = append(argv, a.Flag, a.Value)
		default:
			return result{}, fmt.Errorf("%s: how is %s said to buildah? teach it to the oracle", c.File, a.Flag)
		}
	}
	// Its cache mounts lie there, and are not to be those of another case.
	tmp := filepath.Join(out, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return result{}, err
	}
	argv = append([]string{"env", "TMPDIR=" + tmp}, argv...)
	said, exit, err := sh(ctx, c, append(argv, where)...)
	if err != nil || exit != 0 {
		return result{said: said, exit: exit}, err
	}
	more, exit, err := sh(ctx, c, append(command, "push", "-q", image, "docker-archive:"+out+"/image.tar")...)
	if err != nil || exit != 0 {
		return result{}, errors.Join(err, fmt.Errorf("buildah push ended with status %d: %s", exit, more))
	}
	img, err := tarball.ImageFromPath(out+"/image.tar", nil)
	return result{img: img, said: said}, err
}

// remove deletes a directory, what a storage driver left mounted in it first.
func remove(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(mounts), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			// What cannot be unmounted cannot be removed either, and that is said.
			_ = syscall.Unmount(f[4], syscall.MNT_DETACH)
		}
	}
	return os.RemoveAll(dir)
}
