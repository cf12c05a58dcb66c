package git

import (
	"context"
	"os"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
)

// write puts files below dir; none of them leads out of it.
func write(ctx context.Context, dir string, c layer.Changes) error {
	return disk.WriteAll(ctx, dir, disk.WriterOptions{}, c, nil)
}

// owner is whose files are written: giving them away is for who copies them.
func owner() (uid, gid int) { return os.Geteuid(), os.Getegid() }
