package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// terminal opens a pseudo-terminal: what is written to the second file is read
// from the first.
func terminal(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { reader.Close() })
	ioctl := func(request uintptr, value *int32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, reader.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Skipf("no pseudo-terminals here: %v", errno)
		}
	}
	var unlock, number int32
	ioctl(syscall.TIOCSPTLCK, &unlock)
	ioctl(syscall.TIOCGPTN, &number)
	writer, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { writer.Close() })
	return reader, writer
}

func TestTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		env    map[string]string
		args   []string
		live   bool
		colour bool
	}{
		"plain":     {nil, nil, true, true},
		"no colour": {map[string]string{"NO_COLOR": "1"}, nil, true, false},
		"dumb":      {map[string]string{"TERM": "dumb"}, nil, false, false},
		"text":      {nil, []string{"--log-format=text"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			reader, writer := terminal(t)
			live := false
			p := program(func(_ context.Context, env *Env) error {
				live = env.Terminal() != nil
				env.Log.Info("hello")
				return nil
			})
			env := &Env{
				Args: append([]string{"work"}, test.args...), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: writer,
				LookupEnv: func(name string) (string, bool) { v, ok := test.env[name]; return v, ok },
			}
			if code := p.run(t.Context(), env); code != OK {
				t.Fatalf("status %d", code)
			}
			buf := make([]byte, 1000)
			n, err := reader.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			line := string(buf[:n])
			if live != test.live || strings.Contains(line, "\x1b[36mINFO\x1b[0m") != test.colour || !strings.Contains(line, "hello") {
				t.Errorf("terminal %v, line %q", live, line)
			}
		})
	}
	if (&Env{Stderr: &strings.Builder{}}).Terminal() != nil {
		t.Error("a buffer is a terminal")
	}
}
