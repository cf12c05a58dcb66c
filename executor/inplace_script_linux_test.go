package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kaniko-suite/kaniko/executor/internal/conformance"
)

// systemCommands are the commands that scripts have on this system beside the others.
func systemCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"inplace": inPlace}
}

// inPlace is a script's command
//
//	inplace STATUS [ARGUMENT...]
//
// which runs the executor with a root of its own, $WORK/jail, where it may build in
// place, and requires it to end with that status. It sees $WORK as its working
// directory, read-only, and what it writes to /kaniko is in $WORK/jail/kaniko.
func inPlace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: inplace STATUS [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	exe, err := exec.LookPath("executor")
	ts.Check(err)
	root := ts.MkAbs("jail")
	ts.Check(ts.Exec("mkdir", "-p", root))
	cmd := exec.Command(exe, append([]string{"--isolation=in-place", "--force", "--kaniko-dir=" + conformance.JailState}, args[1:]...)...)
	cmd.SysProcAttr, cmd.Env = conformance.Jail(root, filepath.Clean(ts.MkAbs(".")))
	for _, name := range []string{"PATH", "SSL_CERT_FILE", "DOCKER_CONFIG", ignored} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "HOME=/", "TMPDIR="+conformance.JailState)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	ts.Logf("%s", said.String())
	_, err = ts.Stdout().Write([]byte(out.String()))
	ts.Check(err)
	_, err = ts.Stderr().Write([]byte(said.String()))
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
