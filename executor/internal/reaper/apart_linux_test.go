package reaper

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfine: in either form of a domain, files can be renamed from one directory into
// another, and another process's root cannot be looked at. Of the kernel's versions of
// Landlock this is tried with the one that there is; the older form must work there too.
func TestConfine(t *testing.T) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		t.Skipf("this kernel has no Landlock: %v", errno)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to confine itself without no_new_privs")
	}
	other := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := other.Start(); err != nil {
		t.Skip(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	for name, form := range map[string]struct {
		since uintptr
		set   unix.LandlockRulesetAttr
		size  uintptr
	}{
		"files":  {referVersion, unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER}, sizeFiles},
		"scopes": {scopeVersion, unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}, sizeScoped},
	} {
		t.Run(name, func(t *testing.T) {
			if version < form.since {
				t.Skipf("this kernel's Landlock is version %d, and it takes %d", version, form.since)
			}
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o755), os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			root := "/proc/" + strconv.Itoa(other.Process.Pid) + "/root"
			if _, err := os.Readlink(root); err != nil {
				t.Fatalf("before: %v", err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // and it ends with this
				confine(form.set, form.size)
				if err := os.Rename(filepath.Join(dir, "file"), filepath.Join(dir, "a", "file")); err != nil {
					t.Error(err)
				}
				if _, err := os.Readlink(root); !errors.Is(err, os.ErrPermission) {
					t.Errorf("the root of another process: %v", err)
				}
			}()
			<-done
		})
	}
}
