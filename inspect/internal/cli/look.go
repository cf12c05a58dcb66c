package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// documentVersion is the version of the JSON that commands print; fields are added to
// it, and never changed.
const documentVersion = 1

// forms of names, for the help of each command.
const names = `REF is a reference, oci:DIR, oci:DIR:NAME or oci:DIR@DIGEST, docker-archive:FILE,
tar:FILE or dir:DIR.`

// usualCodes are the exit codes of commands whose answer is never no.
const usualCodes = `Exit codes: 0; 2 if the command line is wrong or something did not work; 5 if what
is asked for is not there, or the registry does not allow to see it.`

// onePlatform and allPlatforms say what --platform is for.
const (
	onePlatform  = "`platform` of an index that is meant (default linux and this machine's)"
	allPlatforms = "`platform` to show of an index; all of them without"
)

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
		if err := output.Check(l.output, output.Forms()); err != nil {
			return err
		}
	}
	if l.want, err = readPlatform(l.platform); err != nil {
		return err
	}
	return l.trace.Check()
}

// readPlatform reads the flag --platform; nil if it is not given.
func readPlatform(text string) (*v1.Platform, error) {
	if text == "" {
		return nil, nil
	}
	p, err := v1.ParsePlatform(text)
	if err != nil {
		return nil, fmt.Errorf("--platform: %w", err)
	}
	return p, nil
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

// header is what the JSON of every answer begins with.
type header struct {
	Version  int    `json:"version"`
	Name     string `json:"name"`
	Digest   string `json:"digest"`
	Platform string `json:"platform,omitempty"`
}

func headerOf(spec string, img source.Image) header {
	h := header{Version: documentVersion, Name: spec, Digest: img.Descriptor.Digest.String()}
	if img.Platform.OS != "" {
		h.Platform = img.Platform.String()
	}
	return h
}

// document is an answer: its fields are the JSON, and people get a table.
type document interface{ table() string }

// filesOf opens the files of the image that a name means.
func (l *looking) filesOf(ctx context.Context, s *session, spec string) (*files.FS, source.Image, error) {
	_, img, err := l.one(ctx, s, spec)
	if err != nil {
		return nil, img, err
	}
	f, err := files.Open(spec, os.TempDir(), img)
	return f, img, err
}

// print prints an answer.
func (l *looking) print(s *session, d document) error {
	s.unveil()
	var err error
	if l.output == output.JSON {
		err = output.WriteJSON(s.env.Stdout, d)
	} else {
		_, err = io.WriteString(s.env.Stdout, d.table())
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
