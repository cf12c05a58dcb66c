package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/report"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// checkArg is the build argument with options for the linter.
const checkArg = "BUILDKIT_DOCKERFILE_CHECK"

func checkCommand(env *command.Env, clouds Clouds) *cobra.Command {
	f := flags{clouds: clouds}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Lint a Dockerfile, without building it",
		Long: `check reads a Dockerfile and its .dockerignore, and prints what the linter says
of them. It asks no registry and runs nothing. It takes the flags of a build, so
that the command line of one can be checked as it is.

It ends in 0 if there is nothing to say, in 1 if there are warnings, and in 65 if
the Dockerfile cannot be built or makes its warnings errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd, env, f) },
	}
	f.bind(cmd.Flags())
	f.bindFormat(cmd.Flags(), report.Text, report.JSON, report.SARIF)
	complete(cmd)
	return cmd
}

// runCheck is executor check, and executor --check.
func runCheck(cmd *cobra.Command, env *command.Env, f flags) (err error) {
	if err := f.checkValues(); err != nil {
		return command.UsageError(cmd, "%v", err)
	}
	format, err := report.ParseFormat(f.format, report.Text, report.JSON, report.SARIF)
	if err != nil {
		return command.UsageError(cmd, "%v", err)
	}
	b := &builder{flags: f, env: env}
	defer forget(isolated.StateDirs(b.flags.kanikoDir))()
	defer func() { err = errors.Join(err, b.leave()) }()
	if err := b.find(cmd.Context(), !cmd.Flags().Changed("context") && f.context.bucket == ""); err != nil {
		return err
	}
	found, err := b.lint(cmd.Context())
	if err != nil {
		return err
	}
	if err := found.Write(env.Stdout, format); err != nil {
		return err
	}
	return verdict(found)
}

// lint reports what the linter says; what is wrong with the Dockerfile is in the
// findings, and is no error.
func (b *builder) lint(ctx context.Context) (report.Findings, error) {
	found := report.Findings{File: fromHere(b.dockerfile), Version: command.Release}
	ignore, err := b.context.Ignore(b.dockerfile)
	if err != nil {
		return found, err
	}
	file, err := b.parse()
	if err != nil {
		found.Fault = err
		return found, nil
	}
	found.Strict = file.Strict
	o := b.options()
	o.Ignore = ignore
	found.Warnings, found.Fault = plan.Lint(ctx, file, o)
	if err := ctx.Err(); err != nil {
		return found, err
	}
	return found, nil
}

// parse parses the Dockerfile that was found.
func (b *builder) parse() (*dockerfile.File, error) {
	d := b.dockerfile
	if check, ok := b.flags.args(b.env.LookupEnv)[checkArg]; ok {
		return dockerfile.ParseChecked(d.Name, d.Text, check)
	}
	return dockerfile.Parse(d.Name, d.Text)
}

// fromHere is where a Dockerfile is, seen from the working directory if it is below it.
func fromHere(d buildcontext.Dockerfile) string {
	if d.Origin != buildcontext.OnDisk {
		return d.Path
	}
	here, err := filepath.Abs(".")
	if err != nil || !filepath.IsAbs(d.Path) {
		return filepath.Clean(d.Path)
	}
	if rel, err := filepath.Rel(here, d.Path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return d.Path
}

// verdict is how check ends.
func verdict(found report.Findings) error {
	n := found.Warned()
	switch {
	case found.Fault != nil:
		return found.Fault
	case n > 0:
		return &warnedError{file: found.File, n: n, strict: found.Strict}
	}
	return nil
}

// warnedError says that the linter found something.
type warnedError struct {
	file   string
	n      int
	strict bool
}

func (e *warnedError) Error() string {
	s := "s"
	if e.n == 1 {
		s = ""
	}
	return fmt.Sprintf("check %s: %d warning%s", e.file, e.n, s)
}

// ExitCode is that of a wrong Dockerfile if it says so itself, else one that no
// fault has.
func (e *warnedError) ExitCode() int {
	if e.strict {
		return int(command.BadData)
	}
	return warnedCode
}

// Hint says why warnings are errors.
func (e *warnedError) Hint() string {
	if e.strict {
		return `"check=error=true" makes warnings errors`
	}
	return ""
}

// warnedCode is the status of a check with warnings, as docker build --check has it.
const warnedCode = 1

// errFormat says that --format was given to a build.
var errFormat = errors.New("--format is for check and plan: give --check or --dryrun too")

// formats is a list of formats for people.
func formats(allowed []report.Format) string {
	var names []string
	for _, f := range allowed {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}
