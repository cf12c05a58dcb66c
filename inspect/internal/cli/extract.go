package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/inspect/internal/extract"
	"github.com/kaniko-suite/kaniko/shared/command"
)

type extractCommand struct{ looking }

func newExtract(env *command.Env) *cobra.Command {
	c := &extractCommand{}
	cmd := &cobra.Command{
		Use:   "extract REF PATH [DEST]",
		Short: "Save a file or a directory of an image",
		Long: `extract saves a file or a directory of an image as DEST, or under its own name in
the directory DEST, which is the current one unless it is given. A file replaces
what was there, a directory nothing. Either is there only when it is whole, and
nothing is written beside it, whatever names and links the image has.

Files have their permissions, without set-user-id and the like, and their times.
Owners and extended attributes are not kept, symbolic links are as the image has
them, hard links are files of their own, and devices and pipes are left out.

` + reading + `

` + names + "\n\n" + usualCodes,
		Example: `  inspect extract registry.example/app:1 /usr/bin/app ./app
  inspect extract registry.example/app:1 /etc ./etc-of-app`,
		Args: cobra.RangeArgs(2, 3),
		RunE: runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, onePlatform)
	c.access.bind(fs)
	return cmd
}

func (c *extractCommand) look(ctx context.Context, s *session, args []string) (err error) {
	dest, err := destination(args[1:])
	if err != nil {
		return err
	}
	f, _, err := c.filesOf(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	left, err := extract.To(ctx, dest, f, args[1])
	s.unveil()
	if left > 0 {
		s.env.Log.Warn("devices and pipes were left out", "number", left)
	}
	return err
}

// destination is where the path of an image is to be saved, of PATH and perhaps DEST.
func destination(args []string) (string, error) {
	dest := "."
	if len(args) == 2 {
		dest = args[1]
	}
	if info, err := os.Stat(dest); err != nil || !info.IsDir() {
		return dest, nil
	}
	base := path.Base(path.Clean("/" + args[0]))
	if base == "/" {
		return "", fmt.Errorf("extract / to %s: it is a directory, and the root has no name to have there", dest)
	}
	return filepath.Join(dest, base), nil
}
