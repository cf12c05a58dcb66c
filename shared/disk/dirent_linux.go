package disk

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where the fields of the kernel's struct linux_dirent64 are.
const (
	direntLength = unsafe.Offsetof(unix.Dirent{}.Reclen)
	direntType   = unsafe.Offsetof(unix.Dirent{}.Type)
	direntName   = int(unsafe.Offsetof(unix.Dirent{}.Name))
)

func hostUint16(s string) uint16 { return binary.NativeEndian.Uint16([]byte(s[:2])) }
