// Command slim is the executor without what needs the libraries of a cloud: build
// contexts in object stores, and credentials that a cloud gives its machines.
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
	command.Main(cli.Program(grant, cli.Slim()))
}
