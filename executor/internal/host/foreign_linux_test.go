package host

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestProgram: what is written is an executable for the machine, with its entry where
// its instructions begin.
func TestProgram(t *testing.T) {
	for arch, m := range machines() {
		text, err := m.program()
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.NewFile(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		if f.Machine != m.elf || f.Class != m.class || f.Type != elf.ET_EXEC || len(f.Progs) != 1 {
			t.Errorf("%s: %+v", arch, f.FileHeader)
		}
		at := f.Entry - f.Progs[0].Vaddr
		if got := text[at:]; !bytes.Equal(got, m.code) {
			t.Errorf("%s begins with %x", arch, got)
		}
	}
}

// TestTry: this machine's own program runs, and one that no emulator is there for does
// not. qemu's, where Debian's package is installed, run all others.
func TestTry(t *testing.T) {
	own := machines()[runtime.GOARCH]
	if own.code == nil {
		t.Skip("no program for " + runtime.GOARCH)
	}
	dir := t.TempDir()
	if err := try(context.Background(), dir, own); err != nil {
		t.Error(err)
	}
	nowhere := own
	nowhere.elf = elf.EM_TI_C6000 // which Linux does not run on
	if err := try(context.Background(), dir, nowhere); err == nil {
		t.Error("a program for no known machine ran")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
	names := map[string]string{"amd64": "x86_64", "386": "i386", "arm64": "aarch64"}
	for arch, m := range machines() {
		name := arch
		if n, ok := names[arch]; ok {
			name = n
		}
		qemu, err := exec.LookPath("qemu-" + name + "-static")
		if err != nil {
			t.Logf("%s is not tried: %v (Debian package qemu-user-static)", arch, err)
			continue
		}
		text, err := m.program()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, arch)
		if err := os.WriteFile(file, text, 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(qemu, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", arch, err, out)
		}
	}
}

// TestRuns: the error is about the platform, and says what to do.
func TestRuns(t *testing.T) {
	if err := Runs(context.Background(), t.TempDir(), v1.Platform{OS: "linux", Architecture: runtime.GOARCH}); err != nil {
		t.Error(err)
	}
	if err := Runs(context.Background(), t.TempDir(), v1.Platform{OS: "linux", Architecture: "unheard-of"}); err != nil {
		t.Error(err)
	}
	err := Runs(context.Background(), t.TempDir(), v1.Platform{OS: "linux", Architecture: "s390x"})
	var foreign *ForeignError
	if err == nil {
		t.Skip("this machine emulates s390x")
	}
	if !errors.As(err, &foreign) || foreign.Platform.Architecture != "s390x" || foreign.ExitCode() != 78 || foreign.Hint() == "" {
		t.Errorf("got error %v", err)
	}
}

// emulatedDir tells the child of TestRuns_emulated that it is one, and where it may
// mount.
const emulatedDir = "KANIKO_TEST_EMULATED"

// TestRuns_emulated: with an emulator that is registered with the kernel, here in a user
// namespace of the test's own (Linux 6.7), programs for the other machine run.
func TestRuns_emulated(t *testing.T) {
	if _, err := exec.LookPath("qemu-s390x-static"); err != nil {
		t.Skipf("%v (Debian package qemu-user-static)", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("mapping more than one user id needs root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRuns_emulatedChild$", "-test.v")
	cmd.Env = append(os.Environ(), emulatedDir+"="+t.TempDir())
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: ids, GidMappings: ids, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRuns_emulatedChild(t *testing.T) {
	dir := os.Getenv(emulatedDir)
	if dir == "" {
		t.Skip("TestRuns_emulated runs it in a namespace")
	}
	s390x := v1.Platform{OS: "linux", Architecture: "s390x"}
	registry := filepath.Join(dir, "binfmt")
	if err := os.Mkdir(registry, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("binfmt_misc", registry, "binfmt_misc", 0, ""); err != nil {
		t.Skipf("this kernel has no binfmt_misc for a namespace: %v", err)
	}
	if err := Runs(context.Background(), dir, s390x); err == nil {
		t.Fatal("programs for s390x run before there is an emulator")
	}
	qemu, err := exec.LookPath("qemu-s390x-static")
	if err != nil {
		t.Fatal(err)
	}
	// Magic and mask of the header's first 20 bytes, as qemu's own script registers it.
	magic := `\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16`
	mask := `\xff\xff\xff\xff\xff\xff\xff\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff`
	line := ":qemu-s390x:M::" + magic + ":" + mask + ":" + qemu + ":F"
	if err := os.WriteFile(filepath.Join(registry, "register"), []byte(line), 0); err != nil {
		t.Fatal(err)
	}
	if err := Runs(context.Background(), dir, s390x); err != nil {
		t.Errorf("with an emulator: %v", err)
	}
}
