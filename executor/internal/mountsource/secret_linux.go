package mountsource

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// WriteSecret makes the file path, which must not exist. It has its owner and mode
// before its content. After an error there is no such file.
func WriteSecret(path string, s *sandbox.Secret) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("write a secret: %w", e)
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := own(path, s.UID, s.GID, s.Mode); err != nil {
		return err
	}
	if _, err := f.Write(s.Data); err != nil {
		return fmt.Errorf("write a secret: %w", err)
	}
	return nil
}

// own gives path, which is no link, its owner and mode.
func own(path string, uid, gid int, mode tree.Mode) error {
	// The owner first: giving a file away takes its set-id bits. What is right
	// already needs no right to be changed.
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		if err := unix.Lchown(path, uid, gid); err != nil {
			return fmt.Errorf("give %s to %d:%d: %w", path, uid, gid, err)
		}
	}
	if err := unix.Chmod(path, uint32(mode&tree.ModeMask)); err != nil {
		return fmt.Errorf("set the mode of %s to %#o: %w", path, mode, err)
	}
	return nil
}
