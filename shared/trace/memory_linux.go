package trace

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// peakMemory is the most memory, in bytes, that was in use at once: by this process
// (VmHWM of proc(5); what getrusage(2) says counts what it was before exec, too) and by
// the largest of the processes that it has waited for.
func peakMemory() map[string]int64 {
	all := map[string]int64{}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for l := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(l, "VmHWM:"); ok {
				if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
					all["process"] = kb << 10
				}
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err == nil && usage.Maxrss > 0 {
		all["commands"] = int64(usage.Maxrss) << 10
	}
	return all
}
