package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// program has one command, work, that does what run does.
func program(run func(ctx context.Context, env *Env) error) Program {
	return Program{Name: "prog", New: func(env *Env) *cobra.Command {
		root := &cobra.Command{Use: "prog"}
		work := &cobra.Command{
			Use:  "work",
			Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return run(c.Context(), env) },
		}
		work.Flags().String("must", "", "a flag")
		root.AddCommand(work)
		return root
	}}
}

func start(ctx context.Context, p Program, args ...string) (code Code, stdout, stderr string) {
	var out, err bytes.Buffer
	code = p.run(ctx, &Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	return code, out.String(), err.String()
}

type codedError struct{ code int }

func (e codedError) Error() string { return "coded" }
func (e codedError) ExitCode() int { return e.code }

func TestCodeOf(t *testing.T) {
	helper := exec.Command("false").Run()
	if helper == nil {
		t.Fatal("false succeeded")
	}
	_, missing := os.Open("/no/such/file")
	for name, test := range map[string]struct {
		err  error
		want Code
	}{
		"nothing":               {nil, OK},
		"anything":              {errors.New("x"), Internal},
		"own code":              {fmt.Errorf("a: %w", codedError{77}), NoPermission},
		"outermost decides":     {fmt.Errorf("a: %w", wrapCoded{65, codedError{77}}), BadData},
		"joined":                {errors.Join(errors.New("x"), codedError{66}), NoInput},
		"RUN":                   {fmt.Errorf("step: %w", &sandbox.ExitError{Status: 3}), 3},
		"RUN killed":            {&sandbox.ExitError{Status: 137, Signal: 9}, 137},
		"a helper's status":     {fmt.Errorf("helper: %w", helper), Internal},
		"own code over helper":  {wrapCoded{77, helper}, NoPermission},
		"Dockerfile":            {fmt.Errorf("x: %w", &dockerfile.Error{Err: errors.New("y")}), BadData},
		"unsupported":           {&dockerfile.UnsupportedError{Instruction: "COPY", Option: "--link"}, BadData},
		"RUN in a Dockerfile":   {buildError{&sandbox.ExitError{Status: 4}}, 4},
		"disk full":             {&fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}, DiskFull},
		"quota":                 {fmt.Errorf("x: %w", syscall.EDQUOT), DiskFull},
		"no such file":          {missing, NoInput},
		"permission":            {&fs.PathError{Op: "open", Path: "f", Err: syscall.EACCES}, NoPermission},
		"read-only file system": {&fs.PathError{Op: "open", Path: "f", Err: syscall.EROFS}, CannotCreate},
		"refused":               {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Unavailable},
		"no such host":          {&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, Unavailable},
		"net timeout":           {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, TryAgain},
		"deadline":              {fmt.Errorf("x: %w", context.DeadlineExceeded), TryAgain},
		"cancelled":             {fmt.Errorf("x: %w", context.Canceled), Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CodeOf(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

type wrapCoded struct {
	code int
	err  error
}

func (e wrapCoded) Error() string { return "wrapped: " + e.err.Error() }
func (e wrapCoded) Unwrap() error { return e.err }
func (e wrapCoded) ExitCode() int { return e.code }

func TestRun_usage(t *testing.T) {
	p := program(func(context.Context, *Env) error { return errors.New("ran") })
	for _, args := range [][]string{
		{"nonsense"}, {"work", "more"}, {"work", "--what"}, {"work", "--must"},
		{"work", "-v", "loud"}, {"work", "--log-format", "xml"},
	} {
		code, stdout, stderr := start(t.Context(), p, args...)
		if code != Usage || stdout != "" || !strings.HasPrefix(stderr, "error: ") || !strings.Contains(stderr, "\nhint: see prog") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	p.Usage = 2
	if code, _, _ := start(t.Context(), p, "nonsense"); code != 2 {
		t.Errorf("status %d, want the program's own", code)
	}
}

func TestRun_usageFoundLate(t *testing.T) {
	p := Program{Name: "prog", New: func(*Env) *cobra.Command {
		root := &cobra.Command{Use: "prog"}
		root.RunE = func(c *cobra.Command, _ []string) error { return UsageError(c, "--a excludes --b") }
		return root
	}}
	code, _, stderr := start(t.Context(), p)
	if want := "error: --a excludes --b\nhint: see prog --help\n"; code != Usage || stderr != want {
		t.Errorf("status %d, stderr %q", code, stderr)
	}
}

func TestRun_failure(t *testing.T) {
	p := program(func(context.Context, *Env) error { return errors.New("no") })
	code, _, stderr := start(t.Context(), p, "work")
	if code != Internal || stderr != "error: no\n" {
		t.Errorf("status %d, stderr %q", code, stderr)
	}
	p.Failure = 1
	if code, _, _ := start(t.Context(), p, "work"); code != 1 {
		t.Errorf("status %d, want the program's own", code)
	}
}

// A status is an answer: it is all there is.
func TestRun_status(t *testing.T) {
	code, stdout, stderr := start(t.Context(), program(func(_ context.Context, env *Env) error {
		fmt.Fprintln(env.Stdout, "they differ")
		return Status(1)
	}), "work")
	if code != 1 || stdout != "they differ\n" || stderr != "" {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
}

func TestRun_stopped(t *testing.T) {
	for sig, want := range map[syscall.Signal]Code{syscall.SIGINT: Interrupted, syscall.SIGTERM: Terminated} {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := program(func(ctx context.Context, _ *Env) error {
			cancel(&signalError{sig})
			<-ctx.Done()
			return fmt.Errorf("pull debian: %w", ctx.Err())
		})
		code, _, stderr := start(ctx, p, "work")
		if code != want || stderr != "error: stopped by "+signalName(sig)+"\n" {
			t.Errorf("%v: status %d, stderr %q", sig, code, stderr)
		}
		// What finished in spite of the signal is no failure.
		ctx, cancel = context.WithCancelCause(t.Context())
		p = program(func(context.Context, *Env) error { cancel(&signalError{sig}); return nil })
		if code, _, _ := start(ctx, p, "work"); code != OK {
			t.Errorf("%v: status %d for finished work", sig, code)
		}
	}
}

// The process itself: SIGTERM cancels, a second one ends it at once.
func TestMain_signals(t *testing.T) {
	if mode := os.Getenv("COMMAND_TEST_MODE"); mode != "" {
		os.Args = []string{"prog", "work"}
		Main(program(func(ctx context.Context, env *Env) error {
			fmt.Fprintln(env.Stdout, "ready")
			<-ctx.Done()
			fmt.Fprintln(env.Stdout, "cancelled")
			if mode == "stubborn" {
				time.Sleep(time.Minute)
			}
			return ctx.Err()
		}))
	}
	for _, mode := range []string{"polite", "stubborn"} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMain_signals$")
			cmd.Env = append(os.Environ(), "COMMAND_TEST_MODE="+mode)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			expect := func(want string) {
				line := make([]byte, len(want)+1)
				if _, err := io.ReadFull(out, line); err != nil || string(line) != want+"\n" {
					t.Fatalf("read %q, %v; want %q", line, err, want)
				}
			}
			expect("ready")
			signalProcess(t, cmd, syscall.SIGTERM)
			expect("cancelled")
			if mode == "stubborn" {
				signalProcess(t, cmd, syscall.SIGTERM)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != int(Terminated) {
				t.Errorf("ended with %v, want status 143", err)
			}
		})
	}
}

func signalProcess(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

type buildError struct{ err error }

func (e buildError) Error() string { return "RUN make: " + e.err.Error() }
func (e buildError) Unwrap() error { return e.err }
func (e buildError) Hint() string  { return "is make there?" }
func (e buildError) Location() dockerfile.Location {
	return dockerfile.Location{File: "Dockerfile", Line: 3, Last: 4}
}

func TestPage(t *testing.T) {
	p := program(func(_ context.Context, env *Env) error {
		env.Page = Page{
			Source: []byte("FROM scratch\n\nRUN make \\\n  all\nCMD x\nCMD y\nCMD z\n"),
			Output: func() []string { return []string{"make: nothing", "bad \x1b[2J\ttab"} },
			Trace:  "4bf92f3577b34da6a3ce929d0e0e4736",
		}
		return fmt.Errorf("build: %w", buildError{&sandbox.ExitError{Status: 127}})
	})
	code, stdout, stderr := start(t.Context(), p, "work")
	want := `
Dockerfile:3
  1 | FROM scratch
  2 |
> 3 | RUN make \
> 4 |   all
  5 | CMD x
  6 | CMD y

last lines of the command:
  make: nothing
  bad ·[2J	tab

error: build: RUN make: exit status 127
hint: is make there?
trace: 4bf92f3577b34da6a3ce929d0e0e4736
`
	if code != 127 || stdout != "" || stderr != want {
		t.Errorf("status %d, stdout %q, page:\n%s\nwant:\n%s", code, stdout, stderr, want)
	}
}

func TestPage_faultInDockerfile(t *testing.T) {
	p := program(func(_ context.Context, env *Env) error {
		env.Page.Source = []byte("FROM scratch\nCPOY a b\n")
		return &dockerfile.Error{
			At:  dockerfile.Location{File: "Dockerfile", Line: 2, Last: 2},
			Err: errors.New("unknown instruction: CPOY"), Advice: "did you mean COPY?",
		}
	})
	code, _, stderr := start(t.Context(), p, "work")
	want := `
Dockerfile:2
  1 | FROM scratch
> 2 | CPOY a b

error: Dockerfile:2: unknown instruction: CPOY
hint: did you mean COPY?
`
	if code != BadData || stderr != want {
		t.Errorf("status %d, page:\n%s\nwant:\n%s", code, stderr, want)
	}
}

func TestExcerpt(t *testing.T) {
	var long strings.Builder
	for n := 1; n <= 40; n++ {
		fmt.Fprintf(&long, "line %d\n", n)
	}
	for name, test := range map[string]struct {
		source   string
		at       dockerfile.Location
		contains []string
		lines    int
	}{
		"no text":         {"", dockerfile.Location{Line: 1}, nil, 0},
		"no place":        {"a\n", dockerfile.Location{}, nil, 0},
		"beyond the end":  {"a\n", dockerfile.Location{Line: 9}, nil, 0},
		"first line":      {"a\r\nb\nc\nd\n", dockerfile.Location{Line: 1}, []string{"> 1 | a\n", "  3 | c\n"}, 3},
		"last line":       {"a\nb\nc\nd", dockerfile.Location{Line: 4, Last: 9}, []string{"  2 | b\n", "> 4 | d\n"}, 3},
		"widths":          {long.String(), dockerfile.Location{Line: 9, Last: 9}, []string{">  9 | line 9\n", "  11 | line 11\n"}, 5},
		"very many lines": {long.String(), dockerfile.Location{Line: 3, Last: 38}, []string{"> 14 | line 14\n>    | (24 more lines)\n  39 |"}, 2 + maxLines + 1 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := excerpt([]byte(test.source), test.at)
			for _, want := range test.contains {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if lines := strings.Count(got, "\n"); lines != test.lines {
				t.Errorf("%d lines, want %d", lines, test.lines)
			}
			if t.Failed() {
				t.Log("\n" + got)
			}
		})
	}
}

func TestLogTo(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var elsewhere strings.Builder
		p := program(func(_ context.Context, env *Env) error {
			log := env.Log.With("a", 1)
			env.LogTo(&elsewhere)
			log.Info("over there")
			env.LogTo(env.Stderr)
			log.Info("here")
			return nil
		})
		_, _, stderr := start(t.Context(), p, "work", "--log-format", format)
		if there := elsewhere.String(); !strings.Contains(there, "over there") || strings.Contains(stderr, "over there") || !strings.Contains(stderr, "here") {
			t.Errorf("%s: elsewhere %q, here %q", format, there, stderr)
		}
	}
}

func TestLog(t *testing.T) {
	logged := func(args ...string) string {
		p := program(func(_ context.Context, env *Env) error {
			env.Log.Log(context.Background(), levelTrace, "tiny")
			env.Log.Debug("small")
			env.Log.With("stage", 2).WithGroup("http").Info("said\nso", "code", 200, "text", "a b")
			env.Log.Warn("careful")
			return nil
		})
		code, _, stderr := start(t.Context(), p, append([]string{"work"}, args...)...)
		if code != OK {
			t.Fatalf("status %d: %s", code, stderr)
		}
		return stderr
	}
	if got, want := logged(), "INFO[0000] said·so stage=2 http.code=200 http.text=\"a b\"\nWARNING[0000] careful\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := logged("-v", "trace"), "TRACE[0000] tiny\nDEBUG[0000] small\nINFO[0000]"; !strings.HasPrefix(got, want) {
		t.Errorf("trace: got %q", got)
	}
	if got := logged("-v", "WARNING"); got != "WARNING[0000] careful\n" {
		t.Errorf("warning: got %q", got)
	}
	if got := logged("-v", "error"); got != "" {
		t.Errorf("error: got %q", got)
	}
	if got := logged("--log-timestamp", "-v=warn"); !strings.HasPrefix(got, fmt.Sprintf("WARNING[%d-", time.Now().Year())) {
		t.Errorf("timestamp: got %q", got)
	}
	got := logged("--log-format=json")
	for _, want := range []string{`"level":"info"`, `"msg":"said\nso"`, `"stage":2`, `"http.code":200`, `"level":"warning"`} {
		if !strings.Contains(got, want) {
			t.Errorf("json: %s is missing in %s", want, got)
		}
	}
}

type hinted struct{ error }

func (hinted) Hint() string { return "warm it" }

// What is wrong in a line of a Dockerfile may be something else's, which knows a remedy.
func TestPage_hintBehindFault(t *testing.T) {
	p := program(func(context.Context, *Env) error {
		return &dockerfile.Error{Err: fmt.Errorf("FROM x: %w", hinted{errors.New("not there")})}
	})
	if _, _, stderr := start(t.Context(), p, "work"); !strings.HasSuffix(stderr, "\nhint: warm it\n") {
		t.Errorf("page:\n%s", stderr)
	}
}

// TestPage_diskFull: an error of a full disk that says nothing of what to do names the
// directory; one that does is left alone.
func TestPage_diskFull(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/spool/layer", Err: syscall.ENOSPC}
	for err, want := range map[error]string{
		error(full):         "hint: the disk that holds /spool is full",
		hinted{error(full)}: "hint: warm it",
		error(&fs.PathError{Op: "write", Path: "/spool/layer", Err: syscall.EIO}): "",
	} {
		var b strings.Builder
		Page{Err: fmt.Errorf("read /fill: %w", err)}.write(&b)
		if got := b.String(); !strings.Contains(got, want) || want == "" && strings.Contains(got, "hint: ") {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
