package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A cache has a directory of its own in the directory of caches:
//
//	NAME/0.lock       held while a command uses 0: for all of it, or with others
//	NAME/0/content    what the command sees
//	NAME/1…           the same again, for sharing=private
//
// NAME is what can be read of the id, and a hash of it. Content is made under
// another name and renamed when it is complete.
const contentName = "content"

// poll is how long a locked cache is left alone before it is tried again. A lock
// has no way to wait that also ends with the build.
const poll = 100 * time.Millisecond

// Cache implements [engine.Host].
func (h *Host) Cache(ctx context.Context, c engine.Cache) (string, func() error, error) {
	dir := filepath.Join(h.caches, cacheName(c.ID))
	// Commands of any user pass through on the way to the content.
	if err := makeDirs(h.caches, dir); err != nil {
		return "", nil, fmt.Errorf("open cache %q: %w (--cache-mounts names another place)", c.ID, err)
	}
	path, release, err := lease(ctx, dir, c.Sharing)
	if err != nil {
		return "", nil, fmt.Errorf("open cache %q: %w", c.ID, err)
	}
	content, err := fill(ctx, path, c)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("open cache %q: %w", c.ID, err), release())
	}
	return content, release, nil
}

func makeDirs(dirs ...string) error {
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// cacheName is an id as the name of a directory.
func cacheName(id string) string {
	const readable = 40
	var b strings.Builder
	for _, r := range id {
		if b.Len() == readable {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	sum := sha256.Sum256([]byte(id))
	return strings.Trim(b.String(), "-.") + "-" + hex.EncodeToString(sum[:6])
}

// lease takes one of the copies in dir, as sharing says.
func lease(ctx context.Context, dir string, s dockerfile.Sharing) (string, func() error, error) {
	for n := 0; ; n++ {
		path := filepath.Join(dir, strconv.Itoa(n))
		lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return "", nil, err
		}
		err = take(ctx, lock, s)
		if err == nil {
			return path, lock.Close, nil
		}
		lock.Close()
		if s != dockerfile.SharingPrivate || !errors.Is(err, unix.EWOULDBLOCK) {
			return "", nil, err
		}
	}
}

// take locks a file, waiting where the way of sharing is to wait.
func take(ctx context.Context, f *os.File, s dockerfile.Sharing) error {
	how := unix.LOCK_EX
	if s == dockerfile.SharingShared {
		how = unix.LOCK_SH
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if s == dockerfile.SharingPrivate || !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// fill makes what a command sees, unless it is there.
func fill(ctx context.Context, path string, c engine.Cache) (string, error) {
	content := filepath.Join(path, contentName)
	if _, err := os.Lstat(content); err == nil {
		return within(content, c.Source)
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(path, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	first, err := begin(ctx, fresh, c)
	if err != nil {
		return "", err
	}
	// Of two who share it, and came at the same time, the first one's is taken.
	if err := os.Rename(first, content); err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return "", err
	}
	return within(content, c.Source)
}

// begin makes the first content of a cache below dir.
func begin(ctx context.Context, dir string, c engine.Cache) (string, error) {
	if c.Initial != nil {
		path, err := mountsource.Materialize(ctx, c.Initial, dir)
		if err != nil {
			return "", err
		}
		if info, err := os.Lstat(path); err != nil || !info.IsDir() {
			return "", errors.Join(err, fmt.Errorf("%s is not a directory", c.Initial.From.Abs()))
		}
		return path, nil
	}
	path := filepath.Join(dir, contentName)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	if c.UID != 0 || c.GID != 0 {
		if err := os.Lchown(path, c.UID, c.GID); err != nil {
			return "", err
		}
	}
	return path, unix.Chmod(path, uint32(c.Mode))
}

// sourceError says that a cache does not have what the Dockerfile wants of it.
type sourceError struct {
	source tree.Path
	err    error
}

func (e *sourceError) Error() string { return fmt.Sprintf("source %s: %v", e.source.Abs(), e.err) }

func (e *sourceError) Unwrap() error { return e.err }

// ExitCode is that of a Dockerfile that asks for what is not there.
func (e *sourceError) ExitCode() int { return 65 }

// within is the directory p of a cache. A link that leads out of the cache is
// refused: what a command left there must not open the machine to the next.
func within(content string, p tree.Path) (string, error) {
	if p == tree.Root {
		return content, nil
	}
	root, err := os.OpenRoot(content)
	if err != nil {
		return "", err
	}
	defer root.Close()
	info, err := root.Stat(string(p))
	if err != nil {
		return "", &sourceError{p, err}
	}
	if !info.IsDir() {
		return "", &sourceError{p, unix.ENOTDIR}
	}
	real, err := filepath.EvalSymlinks(filepath.Join(content, string(p)))
	if err != nil {
		return "", err
	}
	if now, err := os.Lstat(real); err != nil || !os.SameFile(now, info) {
		return "", fmt.Errorf("source %s: it changed while it was looked up", p.Abs())
	}
	return real, nil
}
