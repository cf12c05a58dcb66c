package reaper

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"syscall"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// initName is the Args[0] by which a copy of this program knows that it is init.
const initName = "kaniko-init"

// controlFD is where init finds its end of the socket.
const controlFD = 3

// newNetwork is CLONE_NEWNET (linux/sched.h).
const newNetwork = 0x40000000

// cancelByte, sent after the request, asks init to end the command. It is nothing
// that JSON's white space could be taken for.
const cancelByte = 0

// request is a [Spec] on its way to init. Bytes are kept as such: arguments,
// environment and file contents need not be UTF-8, which JSON strings must be.
type request struct {
	Args, Env    [][]byte
	Dir          []byte
	User         []byte
	Files        []file
	Root         []byte // in a form that keeps bytes, too
	Loopback     bool
	Capabilities []int
	SetupOnly    bool
}

type file struct {
	Name []byte
	Mode tree.Mode
	Data []byte
}

// response is what init has to say, once, at its end.
type response struct {
	Status, Signal int
	// Message explains a command that could not be started, as a shell would.
	Message []byte
	// Step is set if something failed on the way to the command.
	Step  string
	Errno syscall.Errno // 0 if Cause says it in words
	Cause []byte
	Help  string
	// Dockerfile is as in SetupError.
	Dockerfile bool
}

func newRequest(s Spec) (request, error) {
	r := request{
		Args:         toBytes(s.Process.Args),
		Env:          toBytes(s.Process.Env),
		Dir:          []byte(s.Process.Dir.Abs()),
		User:         []byte(s.Process.User),
		Loopback:     s.Namespaces&newNetwork != 0,
		Capabilities: s.Capabilities,
		SetupOnly:    s.SetupOnly,
	}
	for _, f := range s.Process.Files {
		r.Files = append(r.Files, file{[]byte(f.Name), f.Mode, []byte(f.Data)})
	}
	if s.Root == nil {
		return r, nil
	}
	var root bytes.Buffer
	if err := gob.NewEncoder(&root).Encode(s.Root); err != nil {
		return r, fmt.Errorf("tell of the command's root: %w", err)
	}
	r.Root = root.Bytes()
	return r, nil
}

func decodeRoot(b []byte) (Root, error) {
	var r Root
	err := gob.NewDecoder(bytes.NewReader(b)).Decode(&r)
	return r, err
}

func (r request) files() []sandbox.File {
	var fs []sandbox.File
	for _, f := range r.Files {
		fs = append(fs, sandbox.File{Name: string(f.Name), Mode: f.Mode, Data: string(f.Data)})
	}
	return fs
}

func toBytes(ss []string) [][]byte {
	bs := make([][]byte, len(ss))
	for i, s := range ss {
		bs[i] = []byte(s)
	}
	return bs
}

func toStrings(bs [][]byte) []string {
	ss := make([]string, len(bs))
	for i, b := range bs {
		ss[i] = string(b)
	}
	return ss
}

// refused is the response for an error of init's.
func refused(err error) response {
	var se *SetupError
	if !errors.As(err, &se) {
		se = &SetupError{Step: "prepare the command", Err: err}
	}
	r := response{Step: se.Step, Help: se.Help, Dockerfile: se.Dockerfile}
	if errno, ok := se.Err.(syscall.Errno); ok {
		r.Errno = errno
	} else {
		r.Cause = []byte(se.Err.Error())
		errors.As(se.Err, &r.Errno)
	}
	return r
}

// err is the error that refused was given, as far as it could travel.
func (r response) err() error {
	var cause error = r.Errno
	if len(r.Cause) > 0 {
		cause = &remoteError{string(r.Cause), r.Errno}
	}
	return &SetupError{Step: r.Step, Err: cause, Help: r.Help, Dockerfile: r.Dockerfile}
}

// remoteError keeps the words and the errno of an error from init.
type remoteError struct {
	text  string
	errno syscall.Errno
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}
