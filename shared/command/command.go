// Package command is what the suite's programs do alike on their outside: signals,
// the log, exit codes, the error page and the version. It prints errors; nothing
// below it does. It knows no flag but those of the log, and builds nothing.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A Program is one of the suite's commands.
type Program struct {
	Name string
	// New makes the root command. Main adds the flags of the log and the
	// sub-command version.
	New func(*Env) *cobra.Command
	// Usage is the exit code for a wrong command line, and Failure that for an
	// error of which nothing better is known; zero means [Usage] and [Internal].
	Usage, Failure Code
}

// Env is what a program has from the process it runs in.
type Env struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// LookupEnv looks up a variable of the environment.
	LookupEnv func(string) (string, bool)
	// Log writes to Stderr, as the flags of the log say from when a command's Run
	// begins.
	Log *slog.Logger
	// Page is what the error page shows beside the error. A program fills it in as
	// it learns it.
	Page Page

	handler *handler
}

// LogTo makes the log go to w from now on, such as to a place above progress bars.
// The program sets it back to Stderr before it returns.
func (e *Env) LogTo(w io.Writer) { e.handler.redirect(w) }

// LogsJSON reports whether the log is one of JSON, which what people read would spoil.
func (e *Env) LogsJSON() bool { return e.handler.out.json != nil }

// Terminal is Stderr if people watch it and it can be drawn on, else nil.
func (e *Env) Terminal() io.Writer {
	if file, ok := e.Stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) && e.Getenv("TERM") != "dumb" {
		return file
	}
	return nil
}

// Getenv is the value of a variable of the environment, empty if it is not set.
func (e *Env) Getenv(name string) string {
	value, _ := e.LookupEnv(name)
	return value
}

// Main runs the program with what the process has, and ends the process.
//
// SIGINT and SIGTERM cancel the command's context, and what the command then
// returns ends in status 130 or 143; a second signal ends the process at once.
func Main(p Program) {
	env := &Env{
		Args:      os.Args[1:],
		Stdin:     os.Stdin,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		LookupEnv: os.LookupEnv,
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		sig := (<-signals).(syscall.Signal)
		cancel(&signalError{sig})
		sig = (<-signals).(syscall.Signal)
		os.Exit(128 + int(sig))
	}()
	os.Exit(int(p.run(ctx, env)))
}

// signalError is why the context of a command was cancelled.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return "stopped by " + signalName(e.signal) }
func (e *signalError) ExitCode() int { return 128 + int(e.signal) }

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return fmt.Sprintf("signal %d", int(s))
}

// usageError marks what is wrong with a command line.
type usageError struct {
	err     error
	command string // that explains itself with --help
	meant   string // a hint at what may be meant; empty without
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Hint is what may be meant, or else where to look.
func (e *usageError) Hint() string {
	if e.meant != "" {
		return e.meant
	}
	return fmt.Sprintf("see %s --help", e.command)
}

// Command is the program's root command with all that every program has, for those
// who write down what it takes.
func (p Program) Command(env *Env) *cobra.Command {
	root, _ := p.build(env)
	return root
}

func (p Program) build(env *Env) (*cobra.Command, *logFlags) {
	root, flags := p.New(env), &logFlags{}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.AddCommand(versionCommand(p.Name), manCommand(p.Name))
	flags.bind(root.PersistentFlags())
	return root, flags
}

// run runs the program and prints its error; it returns the process's status.
func (p Program) run(ctx context.Context, env *Env) Code {
	if p.Usage == 0 {
		p.Usage = Usage
	}
	if p.Failure == 0 {
		p.Failure = Internal
	}
	env.handler = newHandler(env.Stderr)
	env.Log = slog.New(env.handler)

	root, flags := p.build(env)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)

	// Until a command's own RunE begins, everything that goes wrong is a matter of
	// the command line: unknown flags and commands, missing flags, arguments.
	running := false
	each(root, func(c *cobra.Command) {
		if c.RunE == nil {
			return
		}
		inner := c.RunE
		c.RunE = func(c *cobra.Command, args []string) error {
			if err := setFromEnvironment(c.Flags(), env.LookupEnv); err != nil {
				return err
			}
			if err := setFromFile(c.Flags()); err != nil {
				running = errors.As(err, new(*flagsFileError)) // the file, not what it says
				return err
			}
			if err := env.handler.configure(*flags, env.LookupEnv, env.Terminal() != nil); err != nil {
				return err
			}
			running = true
			return inner(c, args)
		}
	})

	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return OK
	}
	if !running {
		err = &usageError{err: err, command: ran.CommandPath(), meant: suggest(ran, err)}
	}
	var status Status
	if errors.As(err, &status) && !isStopped(ctx) {
		return Code(status)
	}
	page := env.Page
	page.Err = err
	code := p.code(ctx, err)
	if isStopped(ctx) && errors.Is(err, context.Canceled) {
		page = Page{Err: context.Cause(ctx), Trace: page.Trace} // nobody's fault
	}
	page.write(env.Stderr)
	return code
}

// code is the exit code for a command's error.
func (p Program) code(ctx context.Context, err error) Code {
	if isStopped(ctx) {
		return CodeOf(context.Cause(ctx))
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return p.Usage
	}
	code := CodeOf(err)
	if code == Internal {
		return p.Failure
	}
	return code
}

func isStopped(ctx context.Context) bool {
	var stopped *signalError
	return errors.As(context.Cause(ctx), &stopped)
}

// each calls f for a command and all below it.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, child := range c.Commands() {
		each(child, f)
	}
}

// UsageError says that a command line is wrong in a way that only shows once the
// command runs, such as two flags which exclude each other.
func UsageError(c *cobra.Command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), command: strings.TrimSpace(c.CommandPath())}
}
