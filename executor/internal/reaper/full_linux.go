package reaper

import "golang.org/x/sys/unix"

// little is how much room, in bytes, is none for a command.
const little = 64 << 10

// fullHelp is what helps a command that failed if the file system of a directory has no
// room left, or no inodes; else it is empty.
func fullHelp(dir string) string {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return ""
	}
	// A file system of the kernel's own says that it has none at all.
	noRoom := fs.Blocks > 0 && fs.Bavail*uint64(fs.Bsize) < little
	noInodes := fs.Files > 0 && fs.Ffree == 0
	if !noRoom && !noInodes {
		return ""
	}
	return "the disk that holds the command's root is full or has no inodes left, which may be why it failed: " +
		"give the container more storage (ephemeral-storage in Kubernetes) or a volume"
}
