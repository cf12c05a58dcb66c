package reaper

import (
	"golang.org/x/sys/unix"
)

// raiseLoopback brings up the one interface of a new network namespace; the kernel
// gives it its addresses.
func raiseLoopback() error {
	fail := func(err error) error { return &SetupError{Step: "bring up the loopback interface", Err: err} }
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fail(err)
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fail(err)
	}
	return nil
}
