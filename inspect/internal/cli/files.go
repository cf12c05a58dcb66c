package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/shared/command"
)

// what the help of all says of how files are read.
const reading = `Layers are read from the top and no further down than the answer is; of layers of
estargz and zstd:chunked only the index and the file's own part, where the registry
can send parts. Symbolic links are followed in the image, never out of it.`

const fileCodes = `Exit codes: 0; 2 if the command line is wrong or something did not work; 5 if
the image or the path is not there, or the registry does not allow to see it.`

const oneOf = "`platform` of an index that is meant (default linux and this machine's)"

// filesOf opens the files of the image that a name means.
func (l *looking) filesOf(ctx context.Context, s *session, spec string) (*files.FS, *source.Source, source.Image, error) {
	opened, img, err := l.one(ctx, s, spec)
	if err != nil {
		return nil, nil, img, err
	}
	f, err := files.Open(spec, os.TempDir(), img)
	return f, opened, img, err
}

type lsCommand struct {
	looking
	recursive bool
}

func newLs(env *command.Env) *cobra.Command {
	c := &lsCommand{}
	cmd := &cobra.Command{
		Use:   "ls REF [PATH]",
		Short: "List a directory of an image, as a container would see it",
		Long: `ls lists a directory of an image, or the root: whiteouts applied, and all layers
read, or their indexes. PATH may also be part of REF, as REF:/PATH.

` + names + "\n\n" + fileCodes,
		Example: `  inspect ls registry.example/app:1 /etc
  inspect ls --recursive registry.example/app:1:/etc`,
		Args: cobra.RangeArgs(1, 2),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, oneOf)
	fs.BoolVar(&c.recursive, "recursive", false, "list all that is below the directory")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// lsDocument is the answer.
type lsDocument struct {
	Version  int          `json:"version"`
	Name     string       `json:"name"`
	Digest   string       `json:"digest"`
	Platform string       `json:"platform,omitempty"`
	Path     string       `json:"path"`
	Files    []listedFile `json:"files"`
}

// pathIn parts REF:/PATH, if the path is not an argument of its own.
func pathIn(args []string) (spec, p string) {
	if len(args) == 2 {
		return args[0], args[1]
	}
	if i := strings.LastIndex(args[0], ":/"); i > 0 && !strings.HasPrefix(args[0][i:], "://") && !isScheme(args[0][:i+1]) {
		return args[0][:i], args[0][i+1:]
	}
	return args[0], "/"
}

// isScheme tells whether a text is all of the prefix of a name that is no reference.
func isScheme(s string) bool { return !source.IsReference(s) && strings.Count(s, ":") == 1 }

func (c *lsCommand) look(ctx context.Context, s *session, args []string) (err error) {
	spec, p := pathIn(args)
	f, _, img, err := c.filesOf(ctx, s, spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	all, err := f.List(ctx, p, c.recursive)
	if err != nil {
		return err
	}
	doc := &lsDocument{Version: documentVersion, Name: spec, Digest: img.Descriptor.Digest.String(), Path: path.Clean("/" + p), Files: []listedFile{}}
	if img.Platform.OS != "" {
		doc.Platform = img.Platform.String()
	}
	for _, e := range all {
		doc.Files = append(doc.Files, listed(e, f.Size(ctx, e)))
	}
	return c.print(s, doc, func(w io.Writer) error {
		_, err := io.WriteString(w, fileRows(doc.Files).String())
		return err
	})
}

type catCommand struct{ looking }

func newCat(env *command.Env) *cobra.Command {
	c := &catCommand{}
	cmd := &cobra.Command{
		Use:   "cat REF PATH",
		Short: "Print a file of an image",
		Long: `cat prints the content of a file of an image. ` + reading + `

` + names + "\n\n" + fileCodes,
		Example: `  inspect cat registry.example/app:1 /etc/os-release`,
		Args:    cobra.ExactArgs(2),
		RunE:    runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, oneOf)
	c.access.bind(fs)
	return cmd
}

func (c *catCommand) look(ctx context.Context, s *session, args []string) (err error) {
	f, _, _, err := c.filesOf(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Read(ctx, &waiting{s, s.env.Stdout}, args[1])
	return err
}

// waiting closes what shows progress before the first byte is written.
type waiting struct {
	s *session
	w io.Writer
}

// Write implements [io.Writer].
func (w *waiting) Write(p []byte) (int, error) {
	w.s.shown.Close()
	n, err := w.w.Write(p)
	if err != nil {
		err = toolError{fmt.Errorf("write the file: %w", err)}
	}
	return n, err
}

type extractCommand struct{ looking }

func newExtract(env *command.Env) *cobra.Command {
	c := &extractCommand{}
	cmd := &cobra.Command{
		Use:   "extract REF PATH [DEST]",
		Short: "Save a file of an image",
		Long: `extract saves a file of an image as DEST, or under its own name in the directory
DEST, which is the current one unless it is given. It has the file's permissions,
without set-user-id and the like, and is there only when it is whole; what was
there is replaced. ` + reading + `

` + names + "\n\n" + fileCodes,
		Example: `  inspect extract registry.example/app:1 /usr/bin/app ./app`,
		Args:    cobra.RangeArgs(2, 3),
		RunE:    runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, oneOf)
	c.access.bind(fs)
	return cmd
}

func (c *extractCommand) look(ctx context.Context, s *session, args []string) (err error) {
	dest := "."
	if len(args) == 3 {
		dest = args[2]
	}
	if info, err := os.Stat(dest); err == nil && info.IsDir() {
		base := path.Base(path.Clean("/" + args[1]))
		if base == "/" {
			return fmt.Errorf("extract %s: it is a directory", args[1])
		}
		dest = filepath.Join(dest, base)
	}
	f, _, _, err := c.filesOf(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := save(dest, func(w *os.File) error {
		e, err := f.Read(ctx, w, args[1])
		if err != nil {
			return err
		}
		return w.Chmod(os.FileMode(e.Header.Mode) & 0o777)
	}); err != nil {
		return err
	}
	s.shown.Close()
	return nil
}

// save makes a file that is there only when it is whole.
func save(dest string, write func(*os.File) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(dest), ".inspect-*")
	if err != nil {
		return toolError{err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(write(file), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), dest); err != nil {
		return toolError{err}
	}
	return nil
}
