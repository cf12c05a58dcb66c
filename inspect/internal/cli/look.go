package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// documentVersion is the version of the JSON that commands print; fields are added to
// it, and never changed.
const documentVersion = 1

// exitNo is the answer no: a digest is another, a base is outdated.
const exitNo = exitDifferent

// forms of names, for the help of each command.
const names = `REF is a reference, oci:DIR, oci:DIR:NAME or oci:DIR@DIGEST, docker-archive:FILE,
tar:FILE or dir:DIR.`

// looking is what commands share that look at one image.
type looking struct {
	access
	output   string
	platform string
	want     *v1.Platform
}

func (l *looking) bindPlatform(fs *pflag.FlagSet, usage string) {
	fs.StringVar(&l.platform, "platform", "", usage)
}

func (l *looking) bindOutput(fs *pflag.FlagSet) {
	fs.StringVar(&l.output, "output", output.Table, "`form` of what is printed: table or json")
}

// check reads the flags.
func (l *looking) check() (err error) {
	if l.output != "" {
		if err := output.Check(l.output); err != nil {
			return err
		}
	}
	if l.platform != "" {
		if l.want, err = v1.ParsePlatform(l.platform); err != nil {
			return fmt.Errorf("--platform: %w", err)
		}
	}
	return l.trace.Check()
}

// ours is the platform that is meant where none is named, and an index has several.
func ours() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// one opens the image that a name means.
func (l *looking) one(ctx context.Context, s *session, spec string) (*source.Source, source.Image, error) {
	opened, err := source.Open(ctx, s.client, spec)
	if err != nil {
		return nil, source.Image{}, err
	}
	img, err := opened.One(l.want, ours())
	return opened, img, err
}

// print prints an answer.
func (l *looking) print(s *session, document any, table func(io.Writer) error) error {
	s.shown.Close()
	var err error
	if l.output == output.JSON {
		err = output.WriteJSON(s.env.Stdout, document)
	} else {
		err = table(s.env.Stdout)
	}
	if err != nil {
		return toolError{fmt.Errorf("write the answer: %w", err)}
	}
	return nil
}

// looker is a command that looks at something.
type looker interface {
	check() error
	look(ctx context.Context, s *session, args []string) error
}

// runs is how commands run: the command line is checked, and errors have inspect's
// few exit codes.
func runs(env *command.Env, a *access, l looker) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := l.check(); err != nil {
			return command.UsageError(cmd, "%v", err)
		}
		err := a.within(cmd.Context(), env, cmd.Name(), func(ctx context.Context, s *session) error { return l.look(ctx, s, args) })
		return answered(err)
	}
}
