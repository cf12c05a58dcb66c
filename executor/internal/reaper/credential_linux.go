package reaper

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// credential is what becomes of init's own credentials in the command; nil keeps
// them. What the kernel would refuse is refused here, since after a fork it
// cannot be told from a program that must not be executed.
func credential(who identity) (*syscall.Credential, error) {
	step := fmt.Sprintf("run as uid %d, gid %d", who.uid, who.gid)
	if len(who.groups) > 0 {
		step += fmt.Sprintf(", groups %s", strings.Trim(fmt.Sprint(who.groups), "[]"))
	}
	current, err := os.Getgroups()
	if err != nil {
		return nil, &SetupError{Step: "read own groups", Err: err}
	}
	changeIDs := who.uid != os.Getuid() || who.gid != os.Getgid()
	slices.Sort(current)
	wanted := slices.Sorted(slices.Values(who.groups))
	changeGroups := !slices.Equal(current, wanted)
	if !changeIDs && !changeGroups {
		return nil, nil
	}
	if changeGroups && !groupsSettable() {
		if changeIDs || len(who.groups) > 0 {
			return nil, &SetupError{Step: step, Err: errors.New("this user namespace forbids setgroups(2)"), Help: idHelp}
		}
		// Root of a namespace with a single id keeps the groups it came with: they
		// are not mapped, and it cannot do otherwise.
		return nil, nil
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return nil, &SetupError{Step: "read own capabilities", Err: err}
	}
	for _, c := range []struct {
		needed bool
		bit    int
		name   string
	}{
		{who.uid != os.Getuid(), unix.CAP_SETUID, "CAP_SETUID"},
		{who.gid != os.Getgid() || changeGroups, unix.CAP_SETGID, "CAP_SETGID"},
	} {
		if c.needed && data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			return nil, &SetupError{Step: step, Err: fmt.Errorf("%s is missing", c.name),
				Help: "give the container " + c.name + ", or use no USER but the one the build runs as"}
		}
	}
	for _, ids := range []struct {
		file string
		ids  []int
	}{
		{"/proc/self/uid_map", []int{who.uid}},
		{"/proc/self/gid_map", append([]int{who.gid}, who.groups...)},
	} {
		for _, id := range ids.ids {
			if !mapped(ids.file, id) {
				return nil, &SetupError{Step: step, Err: fmt.Errorf("id %d is not mapped in this user namespace (%s)", id, ids.file), Help: idHelp}
			}
		}
	}
	c := &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid), NoSetGroups: !changeGroups}
	for _, g := range who.groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c, nil
}

const idHelp = "the build has too few user ids: give its user a range in /etc/subuid and /etc/subgid and install newuidmap and newgidmap"

// groupsSettable reports whether setgroups(2) is allowed here at all; it is if
// nothing says otherwise.
func groupsSettable() bool {
	b, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(b)) != "deny"
}

// mapped reports whether a user namespace's map has an id; it has if the map
// cannot be read.
func mapped(file string, id int) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		var inside, outside, n int
		if _, err := fmt.Sscan(line, &inside, &outside, &n); err == nil && id >= inside && id-inside < n {
			return true
		}
	}
	return false
}

// bound takes from this thread, and from what it starts, all capabilities but
// those listed. The thread's own effective ones stay until it executes.
func bound(keep []int) error {
	for c := 0; c <= 63; c++ {
		set, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err != nil {
			break // beyond the last that this kernel knows
		}
		if set == 0 || slices.Contains(keep, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return &SetupError{Step: "limit the command's capabilities", Err: err}
		}
	}
	// Inheritable ones would outlive the bounding set through exec.
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return &SetupError{Step: "read own capabilities", Err: err}
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return &SetupError{Step: "limit the command's capabilities", Err: err}
	}
	return nil
}
