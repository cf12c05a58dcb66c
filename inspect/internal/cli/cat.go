package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// reading is what the help of all says that read single files.
const reading = `Layers are read from the top and no further down than the answer is; of layers of
estargz and zstd:chunked only the index and the file's own part, where the registry
can send parts. Symbolic links are followed in the image, never out of it.`

type catCommand struct{ looking }

func newCat(env *command.Env) *cobra.Command {
	c := &catCommand{}
	cmd := &cobra.Command{
		Use:   "cat REF PATH",
		Short: "Print a file of an image",
		Long: `cat prints the content of a file of an image. ` + reading + `

` + names + "\n\n" + usualCodes,
		Example: `  inspect cat registry.example/app:1 /etc/os-release`,
		Args:    cobra.ExactArgs(2),
		RunE:    runs(env, &c.access, c),
	}
	fs := cmd.Flags()
	c.bindPlatform(fs, onePlatform)
	c.access.bind(fs)
	return cmd
}

func (c *catCommand) look(ctx context.Context, s *session, args []string) (err error) {
	f, _, err := c.filesOf(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Read(ctx, &waiting{s, s.env.Stdout}, args[1])
	return err
}

// waiting takes what shows progress off the terminal before the first byte is written.
type waiting struct {
	s *session
	w io.Writer
}

// Write implements [io.Writer].
func (w *waiting) Write(p []byte) (int, error) {
	w.s.unveil()
	n, err := w.w.Write(p)
	if err != nil {
		err = toolError{fmt.Errorf("write the file: %w", err)}
	}
	return n, err
}
