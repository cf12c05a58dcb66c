package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/shared/disk/disktest"
	"github.com/kaniko-suite/kaniko/shared/layer/layertest"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
	"github.com/kaniko-suite/kaniko/shared/sandbox/sandboxtest"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// oldKernel is the variable that has the executor of the tests live without openat2.
const oldKernel = "KANIKO_TEST_NO_OPENAT2"

// limitKernel takes from this process what [oldKernel] says.
func limitKernel() error {
	if os.Getenv(oldKernel) == "" {
		return nil
	}
	if err := os.Unsetenv(oldKernel); err != nil {
		return err
	}
	return disktest.RefuseOpenat2()
}

// harm is what the tests of one input need.
type harm struct {
	server *registrytest.Server
	canary *layertest.Canary
	base   []byte // a layer with busybox
	static string // the executor to build in place with
}

// way is one way of an input through the executor.
type way struct {
	name string
	// dockerfile has %s for the image; files are those of the build context.
	dockerfile string
	flags      []string
	env        string
	inPlace    bool
}

// see prints what a command finds of what the layers put.
const see = `RUN ["/busybox", "sh", "-c", "cd / && /busybox find probe | /busybox sort > /seen; for f in $(/busybox find probe -type f -size -9); do /busybox cat $f; done > /read; /busybox true"]`

func imageWays() []way {
	run := "FROM %s\n" + see + "\n"
	return []way{
		{name: "namespaces", dockerfile: run, flags: []string{"--isolation=namespaces"}},
		{name: "namespaces, without openat2", dockerfile: run, flags: []string{"--isolation=namespaces"}, env: oldKernel + "=1"},
		{name: "in place", dockerfile: run, inPlace: true},
		{name: "in place, without openat2", dockerfile: run, inPlace: true, env: oldKernel + "=1"},
		{name: "copied", dockerfile: "FROM %s AS a\nFROM scratch\nCOPY --from=a /probe /all/\n"},
	}
}

// TestHostile drives what means harm through all ways that it has into a build. Each
// ends in the right image or in one error with a status that says whose fault it is;
// nothing outside is read or written, and memory stays bounded.
func TestHostile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	busybox, err := os.ReadFile(conformance.Busybox)
	if err != nil {
		t.Skip("needs /bin/busybox (package busybox-static)")
	}
	choice, err := isolated.Choose(t.Context(), isolated.Auto, isolated.StateDirs(t.TempDir()))
	if err != nil || choice.Grant == nil {
		t.Skip("this machine grants no namespaces")
	}
	h := &harm{
		server: registrytest.Start(t, registrytest.Config{}), canary: layertest.NewCanary(t, filepath.Join(t.TempDir(), "outside")),
		base: busyboxLayer(t, busybox), static: sandboxtest.StaticBinary(t),
	}
	archives := layertest.Archives(t, h.canary.Dir)
	images := layertest.Images(t, h.base)
	for _, a := range archives {
		images = append(images, layertest.Of(t, a, h.base))
	}
	for n, i := range images {
		repo := fmt.Sprintf("image%d", n)
		i.Plant(h.server, repo, "latest")
		t.Run("image/"+i.Name, func(t *testing.T) {
			t.Parallel()
			h.image(t, i, h.server.Host()+"/"+repo)
		})
	}
	for _, a := range archives {
		t.Run("archive/"+a.Name, func(t *testing.T) {
			t.Parallel()
			h.archive(t, a)
		})
	}
	t.Cleanup(func() { h.canary.Check(t) })
}

func busyboxLayer(t *testing.T, program []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "busybox", Mode: 0o755, Size: int64(len(program))})
	if err == nil {
		_, err = w.Write(program)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image builds on an image, by all drivers, which agree.
func (h *harm) image(t *testing.T, i layertest.Image, ref string) {
	digests := map[string]string{}
	for _, w := range imageWays() {
		got := h.build(t, w, fmt.Sprintf(w.dockerfile, ref), nil)
		crowded := i.Name == "1200 layers" && slices.Contains(w.flags, "--isolation=namespaces") // the kernel's overlay takes fewer than 500
		switch {
		case got.status != i.Status && !(crowded && got.status == 78):
			t.Errorf("%s: status %d, want %d\n%s", w.name, got.status, i.Status, got.said)
		case got.status == 0 && w.name != "copied":
			digests[got.digest(t)] += w.name + " "
		}
		if got.status == 0 {
			got.compare(t, w)
		}
	}
	if len(digests) > 1 && i.Name != "device nodes" { // which of them can be made depends on the driver
		t.Errorf("images differ: %q", digests)
	}
}

// archive has ADD unpack an archive, and builds with it as the build context.
func (h *harm) archive(t *testing.T, a layertest.Archive) {
	files := map[string][]byte{"a.tar": a.Layers[len(a.Layers)-1]}
	for _, w := range []way{
		{name: "ADD", dockerfile: "FROM scratch\nADD a.tar /all/\n"},
		{name: "ADD, without openat2", dockerfile: "FROM scratch\nADD a.tar /all/\n", env: oldKernel + "=1"},
		{name: "build context", dockerfile: "FROM scratch\nCOPY . /all/\n", flags: []string{"--context=tar://context/a.tar"}},
	} {
		got := h.build(t, w, w.dockerfile, files)
		if a.Refused && got.status == 0 && !(a.Added && strings.HasPrefix(w.name, "ADD")) {
			t.Errorf("%s: no error", w.name)
		}
		if got.status != 0 && got.status != 65 {
			t.Errorf("%s: status %d\n%s", w.name, got.status, got.said)
		}
	}
}

// outcome is what came of a build.
type outcome struct {
	status int
	said   string
	layout string
}

// build builds, and demands what is true of every build.
func (h *harm) build(t *testing.T, w way, dockerfile string, files map[string][]byte) outcome {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "context"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"Dockerfile": []byte(dockerfile), "context/a.tar": files["a.tar"]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Beside the root in place, and where unpacked layers are.
	made := filepath.Join(dir, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, layout := h.command(t, w, dir, made)
	cmd.Args = append(cmd.Args, "--dockerfile=Dockerfile", "--no-push", "--reproducible", "--compression=none")
	if !slices.ContainsFunc(w.flags, func(f string) bool { return strings.HasPrefix(f, "--context=") }) {
		cmd.Args = append(cmd.Args, "--context=context")
	}
	cmd.Args = append(cmd.Args, w.flags...)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME=/", "SOURCE_DATE_EPOCH="+strconv.Itoa(epoch), w.env)
	out, err := cmd.CombinedOutput()
	got := outcome{said: string(out), layout: layout}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got.status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.said, "goroutine ") {
		t.Errorf("%s: it crashed: status %d\n%s", w.name, got.status, got.said)
	}
	if n := strings.Count("\n"+got.said, "\nerror: "); got.status != 0 && n > 1 {
		t.Errorf("%s: %d errors\n%s", w.name, n, got.said)
	}
	h.canary.Check(t, made)
	layertest.CheckMemory(t, cmd.ProcessState)
	return got
}

// command is the executor, which writes below made only.
func (h *harm) command(t *testing.T, w way, dir, made string) (cmd *exec.Cmd, layout string) {
	t.Helper()
	if w.inPlace {
		cmd = exec.CommandContext(t.Context(), h.static, "--isolation=in-place", "--force", "--kaniko-dir="+conformance.JailState, "--oci-layout-path="+conformance.JailState+"/layout")
		cmd.SysProcAttr, cmd.Env = conformance.Jail(made, dir)
		cmd.Env = append(cmd.Env, "TMPDIR="+conformance.JailState)
		return cmd, filepath.Join(made, conformance.JailState, "layout")
	}
	exe, err := exec.LookPath("executor")
	if err != nil {
		t.Fatal(err)
	}
	layout = filepath.Join(made, "layout")
	cmd = exec.CommandContext(t.Context(), exe, "--kaniko-dir="+made+"/state", "--oci-layout-path="+layout)
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + made}
	return cmd, layout
}

func (o outcome) digest(t *testing.T) string {
	t.Helper()
	d, err := image(t, o.layout).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// compare asks a judge that shares no code with the engine what a command, or COPY, should
// have seen.
func (o outcome) compare(t *testing.T, w way) {
	t.Helper()
	if w.name == "copied" {
		return
	}
	flat, err := treediff.Flatten(image(t, o.layout), treediff.Options{Keep: 1 << 20})
	if err != nil {
		t.Errorf("%s: %v", w.name, err)
		return
	}
	var want []string
	seen := ""
	for e := range flat.Entries() {
		switch {
		case e.Path == "/seen":
			seen = string(e.Text)
		case e.Kind == "char" || e.Kind == "block":
			return // as the machine allows
		case e.Path == "/probe" || strings.HasPrefix(e.Path, "/probe/"):
			want = append(want, e.Path[1:])
		}
	}
	if len(flat.Anomalies) > 0 {
		return // the judge knows no file system that would take it
	}
	slices.Sort(want)
	if got := strings.Fields(seen); !slices.Equal(got, want) {
		t.Errorf("%s: a command sees %q, want %q", w.name, got, want)
	}
}
