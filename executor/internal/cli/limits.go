package cli

import (
	"runtime"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/kaniko-suite/kaniko/shared/engine"
)

const (
	// perCommand is the memory, in bytes, that there has to be for each command that runs
	// beside others: a compiler or an installer of packages takes hundreds of megabytes.
	perCommand = 1 << 30
	// commandsPerCPU is how many may run for each processor: many wait for servers.
	commandsPerCPU = 4
)

// limits are those of this machine or, if it has some, of the container; jobs, if not 0,
// is how many commands run at the same time.
func limits(jobs int) engine.Limits {
	cpus := runtime.GOMAXPROCS(0)
	if jobs == 0 {
		jobs = commands(cpus, memory())
	}
	return engine.Limits{Stages: cpus, Commands: jobs}
}

// commands is how many commands of stages may run at the same time with so many bytes
// of memory: as many as there are processors at least.
func commands(cpus int, memory uint64) int {
	return max(cpus, int(min(uint64(cpus*commandsPerCPU), memory/perCommand)))
}

// memory is what this process and its commands may use, in bytes; 0 if it is not known.
func memory() uint64 {
	total, err := memlimit.FromSystem()
	if err != nil {
		return 0
	}
	if limit, err := memlimit.FromCgroup(); err == nil {
		return min(total, limit)
	}
	return total
}
