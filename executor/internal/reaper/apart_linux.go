package reaper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock can do grows by versions (linux/landlock.h).
const (
	// referVersion is the first with which files can still be renamed from one directory
	// into another.
	referVersion = 2
	// scopeVersion is the first that keeps signals and sockets in.
	scopeVersion = 6
	// How much of a set of rules these know, in bytes.
	sizeFiles, sizeScoped = 8, 24
)

// apart keeps this thread, and what it starts, from all other processes: as far as the
// kernel can do that. Where it cannot, nothing is different; so it has no error.
//
// A command gets a keyring of its own, for the keys that its user's session has are not
// for it. Of two processes of which neither is in the other's Landlock domain none can
// trace the other, and hence not read what is of it below /proc, its root with its secrets
// among it, whatever their capabilities. Landlock may be used with CAP_SYS_ADMIN or with
// no_new_privs, which is not set for its sake: it would take away sudo. With whole set,
// older versions are used too, which refuse mounts, in exchange, to who may mount.
func apart(whole bool) {
	unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno != 0:
		return
	case version >= scopeVersion:
		confine(unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL}, sizeScoped)
	case version >= referVersion && whole:
		// There is no domain without a rule. This one allows what it would take away.
		confine(unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER}, sizeFiles)
	}
}

// confine puts this thread into a domain. Of the set, size bytes are known to the kernel.
func confine(set unix.LandlockRulesetAttr, size uintptr) {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&set)), size, 0)
	if errno != 0 {
		return
	}
	defer unix.Close(int(fd))
	if set.Handled_access_fs != 0 && !allow(int(fd), set.Handled_access_fs, "/") {
		return
	}
	unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
}

// allow adds to a set what may be done below a directory.
func allow(set int, access uint64, dir string) bool {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	return errno == 0
}
