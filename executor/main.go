// Command executor builds a container image from a Dockerfile: see its --help.
package main

import (
	"github.com/kaniko-suite/kaniko/executor/internal/cli"
	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/command"
)

func main() {
	reaper.Main() // does not return in a process that was started to run one command
	grant := isolated.Main()
	command.Main(cli.Program(grant))
}
