package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// deny takes from a process, which is root of a user namespace, what it could make
// further ones with, and makes it nobody.
const deny = `echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --no-new-privs "$0" "$@"`

// asNobody has a command run by somebody who is not root and can make no namespace.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	for _, needed := range []string{"sh", "setpriv"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip(err)
		}
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	cmd.Args = append([]string{"sh", "-c", deny, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	all := []syscall.SysProcIDMap{{Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
}

// reachable lets anybody get to directories.
func reachable(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		for up := dir; up != "/"; up = filepath.Dir(up) {
			info, err := os.Stat(up)
			if err == nil && info.Mode()&0o5 != 0o5 {
				err = os.Chmod(up, info.Mode()|0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCacheUnprivileged: who is not root and can make no namespace builds what is cached;
// a command that has to be run is refused, with what would help.
func TestCacheUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become somebody who can do less")
	}
	f := newFixture(t, registrytest.Config{})
	f.build("--isolation=namespaces")
	command := func(t *testing.T, flags ...string) build {
		b := isolatedCommand(t, f.built, append([]string{"--cache", "--cache-repo=" + f.server.Host() + "/" + f.repo}, flags...)...)
		state := filepath.Dir(b.layout)
		reachable(t, f.built.Dir, filepath.Dir(b.Path))
		if err := os.Chmod(state, 0o777); err != nil {
			t.Fatal(err)
		}
		reachable(t, state)
		asNobody(t, b.Cmd)
		return b
	}
	for _, isolation := range []string{"auto", "namespaces", "in-place"} {
		t.Run(isolation, func(t *testing.T) {
			here := *f
			here.t = t
			said := here.check(command(t, "--isolation="+isolation))
			if strings.Contains(said, "] running the") {
				t.Errorf("something ran:\n%s", said)
			}
		})
	}
	for isolation, want := range map[string]string{"auto": "in place", "namespaces": "namespace", "in-place": "in place"} {
		t.Run("missing "+isolation, func(t *testing.T) {
			out, err := command(t, "--isolation="+isolation, "--cache-ttl=0").CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 78 && exit.ExitCode() != 77 {
				t.Errorf("%v, want exit status 77 or 78", err)
			}
			if said := string(out); !strings.Contains(said, "error: ") || !strings.Contains(said, want) || !strings.Contains(said, "hint: ") {
				t.Errorf("no error with %q and no hint:\n%s", want, said)
			}
		})
	}
}
