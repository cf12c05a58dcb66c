package disk

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// procPath names an entry of the open directory fd for the calls that take no
// directory descriptor. The last component is not followed by the l-variants.
func procPath(fd int, name string) string {
	if name == "" {
		name = "." // the descriptor itself is a link in /proc
	}
	return "/proc/self/fd/" + strconv.Itoa(fd) + "/" + name
}

// hostXattr reports whether an attribute belongs to this machine and not to the
// file: security labels and signatures are computed anew wherever a file lands.
func hostXattr(name string) bool {
	switch name {
	case "security.selinux", "security.ima", "security.evm", "security.apparmor",
		"security.SMACK64", "system.nfs4_acl":
		return true
	}
	return strings.HasPrefix(name, TrustedOverlay) || strings.HasPrefix(name, UserOverlay) ||
		strings.HasPrefix(name, "btrfs.")
}

// listXattrs gives the names of the attributes of name in fd; none where the
// file system has no attributes.
func listXattrs(fd int, name string, buf []byte) ([]string, error) {
	path := procPath(fd, name)
	for {
		n, err := unix.Llistxattr(path, buf)
		switch err {
		case nil:
			if n == 0 {
				return nil, nil
			}
			return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
		case unix.ENOTSUP, unix.ENOSYS:
			return nil, nil
		case unix.ERANGE:
			n, err = unix.Llistxattr(path, nil)
			if err != nil {
				return nil, err
			}
			buf = make([]byte, n+256)
		case unix.EINTR:
		default:
			return nil, err
		}
	}
}

// getXattr reads one attribute; ok is false if it is not there (any more).
func getXattr(fd int, name, attr string, buf []byte) (value string, ok bool, err error) {
	path := procPath(fd, name)
	for {
		n, err := unix.Lgetxattr(path, attr, buf)
		switch err {
		case nil:
			return string(buf[:n]), true, nil
		case unix.ENODATA, unix.ENOTSUP, unix.EPERM, unix.EACCES:
			return "", false, nil
		case unix.ERANGE:
			n, err = unix.Lgetxattr(path, attr, nil)
			if err != nil {
				return "", false, err
			}
			buf = make([]byte, n+256)
		case unix.EINTR:
		default:
			return "", false, err
		}
	}
}

// readXattrs reads what a layer would keep of the attributes of name in fd.
func readXattrs(fd int, name string, buf []byte) (tree.Xattrs, error) {
	names, err := listXattrs(fd, name, buf)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var xattrs tree.Xattrs
	for _, attr := range names {
		if hostXattr(attr) {
			continue
		}
		v, ok, err := getXattr(fd, name, attr, buf)
		if err != nil {
			return nil, err
		}
		if ok {
			if xattrs == nil {
				xattrs = tree.Xattrs{}
			}
			xattrs[attr] = v
		}
	}
	return xattrs, nil
}
