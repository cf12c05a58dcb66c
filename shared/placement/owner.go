package placement

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Owner is a numeric owner.
type Owner struct{ UID, GID int }

// maxAccounts bounds how much of a passwd or group file is read, in bytes.
const maxAccounts = 8 << 20

// ParseOwner turns "user", "user:group", "user:", ":group" or ids into numbers. Names are
// looked up in the passwd and group files of root, the file system the owner is
// for; a nil root has none, so that names are errors, as with --link. A user without a group gets the group passwd gives it; an id without a
// group gets the same number as group, as the Dockerfile reference has it.
func ParseOwner(root tree.FS, spec string) (Owner, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	var o Owner
	if id, ok := number(name); ok {
		o = Owner{UID: id, GID: id}
	} else if name != "" {
		u, err := lookupUser(root, name)
		if err != nil {
			return Owner{}, err
		}
		o = Owner{UID: u.Uid, GID: u.Gid}
	}
	if !hasGroup || group == "" {
		return o, nil
	}
	if id, ok := number(group); ok {
		o.GID = id
		return o, nil
	}
	gid, err := lookupGroup(root, group)
	o.GID = gid
	return o, err
}

// number reads an id; ids go up to 2³²-2.
func number(s string) (int, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return int(id), err == nil && id < 1<<32-1
}

func lookupUser(root tree.FS, name string) (user.User, error) {
	text, err := accounts(root, "etc/passwd")
	if err == nil {
		found, perr := user.ParsePasswdFilter(bytes.NewReader(text), func(u user.User) bool { return u.Name == name })
		if len(found) > 0 {
			return found[0], nil
		}
		err = perr
	}
	return user.User{}, unknown("user", name, "/etc/passwd", err)
}

func lookupGroup(root tree.FS, name string) (int, error) {
	text, err := accounts(root, "etc/group")
	if err == nil {
		found, perr := user.ParseGroupFilter(bytes.NewReader(text), func(g user.Group) bool { return g.Name == name })
		if len(found) > 0 {
			return found[0].Gid, nil
		}
		err = perr
	}
	return 0, unknown("group", name, "/etc/group", err)
}

func unknown(kind, name, file string, err error) error {
	switch {
	case errors.Is(err, errNoRoot):
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("the image has no %s; give a number", file)
	case err != nil:
		err = fmt.Errorf("read the image's %s: %w", file, err)
	default:
		err = fmt.Errorf("the image's %s does not have it", file)
	}
	return &OwnerError{Kind: kind, Name: name, Err: err}
}

var errNoRoot = errors.New("with --link the image below is not looked at; give a number")

func accounts(root tree.FS, p tree.Path) ([]byte, error) {
	if root == nil {
		return nil, errNoRoot
	}
	at, err := tree.Resolve(root, p)
	if err != nil {
		return nil, err
	}
	if e, err := tree.Stat(root, at); err != nil {
		return nil, err
	} else if e.Node.Type != tree.File {
		return nil, fmt.Errorf("%s is no file", at.Abs())
	}
	r, err := root.Open(at)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxAccounts+1))
	if err == nil && len(text) > maxAccounts {
		err = fmt.Errorf("%s is larger than %d bytes", at.Abs(), maxAccounts)
	}
	return text, err
}
