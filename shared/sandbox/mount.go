package sandbox

import (
	"context"
	"io"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Mount is something that a [Process] finds in its root and that is in no layer.
// Where the kernel lets nobody mount, a driver puts it there by other means, and
// takes it away before changes are captured.
//
// What lies at Target is hidden for that time. A Target that is missing is made
// with what leads to it, and all of that is taken away again as far as nothing was
// put into it. Links in Target are followed inside the root.
//
// Exactly one of Files, Dir, Tmpfs, File and Socket is set.
type Mount struct {
	Target   tree.Path
	ReadOnly bool // where it can only be shown as a copy, a write is lost instead of refused
	Files    *Bind
	Dir      *Directory
	Tmpfs    *Tmpfs
	File     *Secret
	Socket   *Socket
}

// Bind shows a file or directory of another file system. What a command writes
// there is lost.
type Bind struct {
	FS tree.FS
	// From is what is shown; links in it are followed inside FS.
	From tree.Path
	// Key tells what is shown: two Binds with the same non-empty key and From show
	// the same, so a driver may use again what it has made ready.
	Key string
}

// Directory shows a directory of this machine, and keeps what a command writes.
type Directory struct {
	Path string // absolute, without links
}

// Tmpfs is an empty directory, in memory where that is possible.
type Tmpfs struct {
	Size int64 // in bytes; 0 is as the kernel has it
}

// Secret is a file whose content is nowhere but in memory where that is possible.
type Secret struct {
	Data     []byte
	Mode     tree.Mode
	UID, GID int
}

// Socket is a unix socket; each connection to it is given to Serve.
type Socket struct {
	Mode     tree.Mode
	UID, GID int
	// Serve talks to one client, and returns when either side has ended or ctx has.
	Serve func(ctx context.Context, client io.ReadWriteCloser)
}
