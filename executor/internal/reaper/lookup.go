package reaper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// defaultPath is searched when a command's environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exit statuses by which shells say that a command did not start.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// startError is a command that cannot be started, told as a shell would.
type startError struct {
	status int
	text   string
	help   string // may be empty
}

func (e *startError) Error() string { return e.text }

// lookPath finds the program that a command names, in the PATH of its own
// environment. Relative names and directories start at the working directory.
func lookPath(name string, env []string) (string, error) {
	if name == "" {
		return "", &startError{status: statusNotFound, text: "the command's name is empty"}
	}
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	path := defaultPath
	if p, ok := getenv(env, "PATH"); ok {
		path = p
	}
	var denied error
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		if !strings.Contains(file, "/") {
			file = "./" + file
		}
		err := executable(file)
		if err == nil {
			return file, nil
		}
		var se *startError
		if denied == nil && errors.As(err, &se) && se.status == statusNotExecutable {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &startError{status: statusNotFound, text: fmt.Sprintf("%s: command not found in PATH %s", name, path)}
}

// withoutShell adds to the error of a command that a shell was to run, and that is not
// there, what that may mean.
func withoutShell(args []string, err error) error {
	var se *startError
	if errors.As(err, &se) && se.status == statusNotFound && len(args) > 2 && strings.HasSuffix(args[1], "c") {
		se.help = fmt.Sprintf("a RUN of one line needs the shell %s, which the image has not got here: an earlier step of the stage took it away, or its base has none; "+
			`RUN ["/program", "argument"] needs no shell, and SHELL names another`, args[0])
	}
	return err
}

func executable(file string) error {
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &startError{status: statusNotExecutable, text: file + ": permission denied"}
	case err != nil:
		if _, lerr := os.Lstat(file); lerr == nil {
			return &startError{status: statusNotFound, text: file + ": a symbolic link that leads nowhere"}
		}
		return &startError{status: statusNotFound, text: file + ": no such file"}
	case st.IsDir():
		return &startError{status: statusNotExecutable, text: file + ": is a directory"}
	case st.Mode()&0o111 == 0:
		return &startError{status: statusNotExecutable, text: file + ": permission denied (not an executable file)"}
	}
	return nil
}

// execFailed explains the kernel's refusal to execute a file that is there.
func execFailed(file string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return &startError{status: statusNotFound, text: file + ": the file is there, but the interpreter or loader that it asks for is not"}
	case errors.Is(err, syscall.ENOEXEC):
		return &startError{status: statusNotExecutable, text: file + ": not a program for this machine (exec format error; is it a script without #!, or for another CPU?)"}
	case errors.Is(err, syscall.E2BIG):
		return &startError{status: statusNotExecutable, text: file + ": arguments and environment are too long for the kernel"}
	}
	return &startError{status: statusNotExecutable, text: fmt.Sprintf("%s: %v", file, err)}
}

// getenv is the value that counts for a C library: the first one.
func getenv(env []string, key string) (string, bool) {
	for _, e := range env {
		if k, v, ok := strings.Cut(e, "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}
