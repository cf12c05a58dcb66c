package cli

import (
	"context"
	"errors"
	"path"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

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
read, or their indexes.

` + names + "\n\n" + usualCodes,
		Example: `  inspect ls registry.example/app:1 /etc
  inspect ls --recursive --output json registry.example/app:1`,
		Args: cobra.RangeArgs(1, 2),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, onePlatform)
	fs.BoolVar(&c.recursive, "recursive", false, "list all that is below the directory")
	c.bindOutput(fs)
	c.access.bind(fs)
	return cmd
}

// lsDocument is the answer.
type lsDocument struct {
	header
	Path  string       `json:"path"`
	Files []listedFile `json:"files"`
}

func (c *lsCommand) look(ctx context.Context, s *session, args []string) (err error) {
	p := "/"
	if len(args) == 2 {
		p = args[1]
	}
	f, img, err := c.filesOf(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	all, err := f.List(ctx, p, c.recursive)
	if err != nil {
		return err
	}
	doc := &lsDocument{header: headerOf(args[0], img), Path: path.Clean("/" + p), Files: []listedFile{}}
	for _, e := range all {
		doc.Files = append(doc.Files, listed(e, f.Size(ctx, e)))
	}
	return c.print(s, doc)
}

func (d *lsDocument) table() string { return fileRows(d.Files).String() }
