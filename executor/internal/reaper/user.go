package reaper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// maxAccounts bounds what is read of /etc/passwd and /etc/group, in bytes.
const maxAccounts = 16 << 20

// maxID is the largest user or group id; the one above it means "none" to the kernel.
const maxID = 1<<32 - 2

// identity is who a command runs as.
type identity struct {
	uid, gid int
	groups   []int
	home     string
}

type account struct {
	name     string
	uid, gid int
	home     string
}

type group struct {
	name    string
	gid     int
	members []string
}

// lookupUser finds the identity that a USER instruction means by the two account
// files, of which either may be missing.
func lookupUser(spec, passwdFile, groupFile string) (identity, error) {
	if spec == "" {
		spec = "0"
	}
	name, groupName, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	passwd, err := readAccounts(passwdFile)
	if err != nil {
		return identity{}, err
	}
	groups, err := readAccounts(groupFile)
	if err != nil {
		return identity{}, err
	}

	var id identity
	users := parsePasswd(passwd)
	known := slices.IndexFunc(users, func(a account) bool { return a.name == name })
	uid, numeric := parseID(name)
	if known < 0 && numeric {
		known = slices.IndexFunc(users, func(a account) bool { return a.uid == uid })
	}
	switch {
	case known >= 0:
		a := users[known]
		id = identity{uid: a.uid, gid: a.gid, home: a.home}
		if !hasGroup {
			for _, g := range parseGroup(groups) {
				if slices.Contains(g.members, a.name) && !slices.Contains(id.groups, g.gid) {
					id.groups = append(id.groups, g.gid)
				}
			}
		}
	case numeric:
		id = identity{uid: uid, home: "/"}
		if uid == 0 {
			id.home = "/root"
		}
	default:
		return identity{}, fmt.Errorf("no user %q in the image's %s", name, passwdFile)
	}
	if id.home == "" {
		id.home = "/"
	}

	if hasGroup && groupName != "" {
		all := parseGroup(groups)
		at := slices.IndexFunc(all, func(g group) bool { return g.name == groupName })
		gid, numeric := parseID(groupName)
		switch {
		case at >= 0:
			id.gid = all[at].gid
		case numeric:
			id.gid = gid
		default:
			return identity{}, fmt.Errorf("no group %q in the image's %s", groupName, groupFile)
		}
	}
	return id, nil
}

// readAccounts reads one of the account files. The image decides what is at
// that path: anything but a plain file of sensible size is refused, and a fifo
// is not waited for.
func readAccounts(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", nil
	case err != nil:
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("the image's %s is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxAccounts+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxAccounts {
		return "", fmt.Errorf("the image's %s has more than %d bytes", path, maxAccounts)
	}
	return string(b), nil
}

// parsePasswd leaves out lines that do not name a user and an id: images carry
// comments and NIS leftovers, and a broken id must not be taken for 0.
func parsePasswd(text string) []account {
	var out []account
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		uid, ok1 := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if !ok1 || !ok2 {
			continue
		}
		a := account{name: f[0], uid: uid, gid: gid}
		if len(f) > 5 {
			a.home = f[5]
		}
		out = append(out, a)
	}
	return out
}

func parseGroup(text string) []group {
	var out []group
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		gid, ok := parseID(f[2])
		if !ok {
			continue
		}
		g := group{name: f[0], gid: gid}
		if len(f) > 3 && f[3] != "" {
			g.members = strings.Split(f[3], ",")
		}
		out = append(out, g)
	}
	return out
}

func parseID(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return int(n), err == nil && n <= maxID
}
